"""Matrix functions: inverses, determinants, linear systems, factorisations."""

from __future__ import annotations

import math
from typing import NamedTuple

from ..graph import Node
from ..ops import linear_algebra as la
from ..ops.elementwise import reattach
from ..ops.op import expand_to
from ..scope import composite
from ..shapes import broadcast
from ..tensor import Tensor, apply
from .create import eye
from .diagonals import tril, triu
from .joining import cat
from .logic import where
from .register import method

__all__ = [
    "cholesky", "det", "inverse", "logdet", "matrix_power", "pinverse", "qr", "slogdet", "svd",
]


def return_type(name: str, fields: tuple) -> str:
    """The text of a named tuple, as PyTorch shows it."""
    parts = zip(fields._fields, fields)  # type: ignore[attr-defined]
    shown = ",\n".join(f"{field}={value!r}" for field, value in parts)
    return f"torch.return_types.{name}(\n{shown})"


class slogdet_result(NamedTuple):  # noqa: N801 - PyTorch's name of the type
    """The sign of a determinant and the logarithm of its size."""

    sign: Tensor
    logabsdet: Tensor

    def __repr__(self) -> str:
        return return_type("slogdet", self)


class qr_result(NamedTuple):  # noqa: N801
    """The factors of A = Q R."""

    Q: Tensor
    R: Tensor

    def __repr__(self) -> str:
        return return_type("linalg_qr", self)


class svd_result(NamedTuple):  # noqa: N801
    """The factors of A = U diag(S) V^T."""

    U: Tensor
    S: Tensor
    V: Tensor

    def __repr__(self) -> str:
        return return_type("svd", self)


# --------------------------------------------------------------------------- inverses
@method("inv")
@composite("LinalgInvExBackward0")
def inverse(input: Tensor) -> Tensor:
    """A^-1, such that A A^-1 = I, of square matrices (*, n, n).

    Raises LinAlgError, when the value is computed, for a singular matrix.

    >>> import chainrule as torch
    >>> torch.inverse(torch.tensor([[2.0, 0.0], [0.0, 4.0]]))
    tensor([[0.5000, 0.0000],
            [0.0000, 0.2500]])
    """
    return apply(la.inv, input, strict=True)


@method()
@composite("LinalgPinvBackward0")
def pinverse(input: Tensor, rcond: float = 1e-15) -> Tensor:
    """The pseudoinverse (*, n, m) of matrices (*, m, n): x = A^+ b makes |A x - b| least.

    Singular values up to `rcond` times the largest count as zero.

    >>> import chainrule as torch
    >>> torch.pinverse(torch.tensor([[2.0], [0.0]]))
    tensor([[0.5000, 0.0000]])
    """
    return apply(la.pinv, input, rtol=rcond)


@method()
@composite()
def matrix_power(input: Tensor, n: int) -> Tensor:
    """A A ... A, n times, by repeated squaring; I for n = 0, powers of A^-1 for n < 0.

    >>> import chainrule as torch
    >>> torch.matrix_power(torch.tensor([[1.0, 1.0], [0.0, 1.0]]), 5)
    tensor([[1., 5.],
            [0., 1.]])
    """
    la.require_square("matrix_power", input.node)
    if n < 0:
        return matrix_power(inverse(input), -n)
    if n == 0:
        return eye(input.shape[-1], dtype=input.dtype).expand(input.shape)
    half = matrix_power(input, n // 2) if n > 1 else None
    square = input if half is None else half @ half
    return square @ input if n % 2 and n > 1 else square


# --------------------------------------------------------------------------- determinants
@method()
@composite("LinalgDetBackward0")
def det(input: Tensor) -> Tensor:
    """The determinant of square matrices, (*, n, n) -> (*).

    The gradient is the matrix of cofactors, also of a singular matrix.

    >>> import chainrule as torch
    >>> torch.det(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor(-2.)
    """
    return apply(la.det, input)


@method()
@composite("LinalgSlogdetBackward0")
def slogdet(input: Tensor) -> slogdet_result:
    """The sign of det A and ln |det A|, which neither overflows nor underflows.

    >>> import chainrule as torch
    >>> torch.slogdet(-1e-30 * torch.eye(3)).logabsdet
    tensor(-207.2327)
    """
    return slogdet_result(apply(la.detsign, input), apply(la.logabsdet, input))


@method()
@composite("WhereBackward0")
def logdet(input: Tensor) -> Tensor:
    """ln det A; -inf where det A is 0, NaN where it is negative.

    >>> import chainrule as torch
    >>> torch.logdet(torch.eye(3))
    tensor(0.)
    """
    sign, logabsdet = slogdet(input)
    return where(sign < 0, math.nan, logabsdet)


# --------------------------------------------------------------------------- factorisations
def mirrored(name: str, A: Tensor, upper: bool) -> Node:
    """The symmetric matrices that agree with one triangle of A.

    As in PyTorch the other triangle is not read, and yet half of its gradient goes to it.
    """
    la.require_square(name, A.node)
    kept = triu(A) if upper else tril(A)
    rest = triu(A, 1) if upper else tril(A, -1)
    return reattach(A.node, (kept + rest.mT).node)


@method()
@composite("CholeskyBackward0")
def cholesky(input: Tensor, upper: bool = False) -> Tensor:
    """The lower triangular L with L L^T = A; `upper`: its transpose.

    Raises LinAlgError, when the value is computed, unless A is positive-definite.

    >>> import chainrule as torch
    >>> torch.cholesky(torch.tensor([[4.0, 2.0], [2.0, 5.0]]))
    tensor([[2., 0.],
            [1., 2.]])
    """
    found = Tensor._from_node(la.cholesky(mirrored("cholesky", input, upper)))
    return found.mT if upper else found


def completed(Q: Tensor) -> Tensor:
    """Q and further orthonormal columns, up to a square matrix."""
    if Q.shape[-2] == Q.shape[-1]:
        return Q
    return cat((Q, apply(la.complement, Q)), -1)


@method()
@composite("LinalgQrBackward0")
def qr(input: Tensor, some: bool = True) -> qr_result:
    """A = Q R with orthonormal columns Q (*, m, k) and upper triangular R (*, k, n).

    k = min(m, n), or m unless `some`; in that case, for m > n, Q has no gradient.

    >>> import chainrule as torch
    >>> torch.qr(torch.tensor([[-3.0], [0.0]])).R.abs()
    tensor([[3.]])
    """
    la.require_matrix("qr", input.node)
    m, n = input.shape[-2:]
    # The columns behind a square block do not change Q.
    Q = apply(la.orthonormal, input[..., : min(m, n)])
    if not some and m > n:
        Q = completed(Q).detach()
    return qr_result(Q, triu(Q.mT @ input))


@method()
@composite("LinalgSvdBackward0")
def svd(input: Tensor, some: bool = True, compute_uv: bool = True) -> svd_result:
    """A = U diag(S) V^T with orthonormal columns U (*, m, k), V (*, n, k) and S descending.

    k = min(m, n); unless `some`, U and V are completed to square matrices by columns that have
    no gradient.  Where singular values are equal the gradient of U and V is inf or NaN.

    >>> import chainrule as torch
    >>> torch.svd(torch.tensor([[0.0, 3.0], [-4.0, 0.0]])).S
    tensor([4., 3.])
    """
    S = apply(la.singular_values, input)
    m, n = input.shape[-2:]
    if not compute_uv:
        return svd_result(input.new_zeros(m, m), S, input.new_zeros(n, n))
    U, V = apply(la.singular_vectors, input).split((m, n), -2)
    if not some:
        U, V = completed(U), completed(V)
    return svd_result(U, S, V)


def solved(A: Tensor, B: Tensor) -> Tensor:
    """X with A X = B, where leading axes broadcast."""
    a, b = A.node, B.node
    lead = broadcast("solve", a.shape[:-2], b.shape[:-2])
    wide = [expand_to(x, lead + x.shape[-2:]) for x in (a, b)]
    return Tensor._from_node(la.solve(*wide))
