"""`torch.linalg`: norms, inverses, determinants, linear systems, factorisations.

All functions take matrices in the last two axes, of float32 or float64, and treat leading axes as
a batch.  A matrix without what is asked of it (singular, not positive-definite, with NaN) raises
LinAlgError when the value is computed; it names the line that asked.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from . import methods
from .errors import ArgumentError, LinAlgError, ShapeError, missing_name
from .methods import det, matmul, matrix_power, slogdet
from .methods import inverse as inv
from .methods import norm as _norm
from .methods.factor import mirrored, qr_result, return_type, solved
from .ops import linear_algebra as la
from .scope import composite
from .tensor import Tensor, apply

__all__ = [
    "LinAlgError", "cholesky", "cond", "cross", "det", "diagonal", "eigh", "eigvalsh", "inv",
    "lstsq", "matmul", "matrix_norm", "matrix_power", "matrix_rank", "multi_dot", "norm",
    "pinv", "qr", "slogdet", "solve", "solve_triangular", "svd", "svdvals", "vander", "vecdot",
    "vector_norm",
]


class eigh_result(NamedTuple):  # noqa: N801 - like the names of PyTorch's types
    """A = V diag(w) V^T."""

    eigenvalues: Tensor
    eigenvectors: Tensor

    def __repr__(self) -> str:
        return return_type("linalg_eigh", self)


class svd_result(NamedTuple):  # noqa: N801
    """A = U diag(S) Vh."""

    U: Tensor
    S: Tensor
    Vh: Tensor

    def __repr__(self) -> str:
        return return_type("linalg_svd", self)


class lstsq_result(NamedTuple):  # noqa: N801
    """X for which |A X - B| is least, and what PyTorch returns next to it."""

    solution: Tensor
    residuals: Tensor
    rank: Tensor
    singular_values: Tensor

    def __repr__(self) -> str:
        return return_type("linalg_lstsq", self)


# --------------------------------------------------------------------------- norms
def vector_norm(x: Tensor, ord=2, dim=None, keepdim=False, *, dtype=None) -> Tensor:
    """(sum |x|^ord)^(1/ord) along `dim`; ord inf the largest |x|, 0 the number of non-zeros.

    >>> import chainrule as torch
    >>> torch.linalg.vector_norm(torch.tensor([3.0, 4.0]))
    tensor(5.)
    """
    return _norm(x, ord, dim, keepdim, dtype)


@composite()
def matrix_norm(A: Tensor, ord="fro", dim=(-2, -1), keepdim=False, *, dtype=None) -> Tensor:
    """A norm of the matrices in the two axes `dim`.

    "fro" the root of the sum of squares; "nuc", 2, -2 the sum, the largest, the smallest of the
    singular values; 1, -1, inf, -inf the largest or smallest sum of |a| in a column or row.

    >>> import chainrule as torch
    >>> torch.linalg.matrix_norm(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), 1)
    tensor(6.)
    """
    A = A if dtype is None else A.to(dtype)
    if len(dim) != 2:
        raise ShapeError(f"matrix_norm requires two axes, got dim {tuple(dim)}")
    if ord == "fro":
        return _norm(A, 2, dim, keepdim)
    rows, columns = (d % A.ndim for d in dim)
    if ord in (1, -1, math.inf, -math.inf):
        inner, other = (rows, columns) if abs(ord) == 1 else (columns, rows)
        sums = A.abs().sum(inner, keepdim=True)
        found = sums.amax(other, True) if ord > 0 else sums.amin(other, True)
    elif ord in ("nuc", 2, -2):
        values = svdvals(A.movedim((rows, columns), (-2, -1)))
        found = values.sum(-1) if ord == "nuc" else values.amax(-1) if ord > 0 else values.amin(-1)
        for axis in sorted((rows, columns)):
            found = found.unsqueeze(axis)
    else:
        raise ArgumentError("matrix_norm requires ord 'fro', 'nuc', 1, -1, 2, -2, inf or -inf, "
                            f"got {ord!r}")
    return found if keepdim else found.squeeze((rows, columns))


def norm(A: Tensor, ord=None, dim=None, keepdim=False, *, dtype=None) -> Tensor:
    """`vector_norm` of all elements or along one axis; `matrix_norm` of a matrix or along two.

    >>> import chainrule as torch
    >>> torch.linalg.norm(torch.tensor([[3.0, 0.0], [0.0, 4.0]]), "nuc")
    tensor(7.)
    """
    if ord is not None and dim is None and A.ndim not in (1, 2):
        raise ShapeError("norm requires a vector or a matrix where ord is given without dim, got "
                         f"shape {tuple(A.shape)}")
    axes = (-2, -1) if dim is None and A.ndim == 2 else dim
    if ord is not None and isinstance(axes, (tuple, list)) and len(axes) == 2:
        return matrix_norm(A, ord, axes, keepdim, dtype=dtype)
    return vector_norm(A, 2 if ord is None else ord, dim, keepdim, dtype=dtype)


@composite()
def cond(A: Tensor, p=None) -> Tensor:
    """How many times larger a relative error of b may be in x = A^-1 b: |A| |A^-1|.

    `p` is the order of the matrix norm; by default 2.

    >>> import chainrule as torch
    >>> torch.linalg.cond(torch.tensor([[4.0, 0.0], [0.0, 2.0]]))
    tensor(2.)
    """
    if p in (None, 2, -2):
        values = svdvals(A)
        low, high = values.amin(-1), values.amax(-1)
        return low / high if p == -2 else high / low
    return matrix_norm(A, p) * matrix_norm(inv(A), p)


# --------------------------------------------------------------------------- linear systems
def _is_vector(A: Tensor, B: Tensor) -> bool:
    return B.ndim == 1 or (B.ndim == A.ndim - 1 and B.shape == A.shape[:-1])


@composite("LinalgSolveExBackward0")
def solve(A: Tensor, B: Tensor, *, left: bool = True) -> Tensor:
    """X with A X = B (or X A = B unless `left`), for square A (*, n, n) and B (*, n, k) or (*, n).

    >>> import chainrule as torch
    >>> torch.linalg.solve(torch.tensor([[2.0, 0.0], [0.0, 4.0]]), torch.tensor([2.0, 2.0]))
    tensor([1.0000, 0.5000])
    """
    if _is_vector(A, B):
        return solve(A, B.unsqueeze(-1)).squeeze(-1)
    return solved(A, B) if left else solved(A.mT, B.mT).mT


@composite("LinalgSolveTriangularBackward0")
def solve_triangular(A: Tensor, B: Tensor, *, upper: bool, left: bool = True,
                     unitriangular: bool = False) -> Tensor:
    """`solve` with a triangular A, of which the other triangle is not read.

    `unitriangular`: its diagonal is not read either, but taken for ones.  Difference from
    PyTorch: a zero on the diagonal raises LinAlgError.

    >>> import chainrule as torch
    >>> A = torch.tensor([[1.0, 9.0], [2.0, 1.0]])
    >>> torch.linalg.solve_triangular(A, torch.ones(2, 1), upper=False).mT
    tensor([[ 1., -1.]])
    """
    part = A.triu(int(unitriangular)) if upper else A.tril(-int(unitriangular))
    if unitriangular:
        part = part + methods.eye(A.shape[-1], dtype=A.dtype)
    return solve(part, B, left=left)


@composite("LinalgPinvBackward0")
def pinv(A: Tensor, rtol: float | None = None, hermitian: bool = False) -> Tensor:
    """The pseudoinverse (*, n, m) of A (*, m, n).

    Singular values up to `rtol` times the largest count as zero; by default max(m, n) times the
    dtype's epsilon.  Difference from PyTorch: no absolute tolerance.

    >>> import chainrule as torch
    >>> torch.linalg.pinv(torch.tensor([[2.0], [0.0]]))
    tensor([[0.5000, 0.0000]])
    """
    return apply(la.pinv, A, rtol=_tolerance("pinv", A) if rtol is None else rtol)


def _tolerance(name: str, A: Tensor) -> float:
    """The share of the largest singular value below which one is a rounding error."""
    la.require_matrix(name, A.node)
    return float(max(A.shape[-2:]) * np.finfo(A.dtype.np).eps)


def matrix_rank(A: Tensor, tol: float | None = None, hermitian: bool = False, *,
                atol: float | None = None, rtol: float | None = None) -> Tensor:
    """How many singular values are larger than max(atol, rtol times the largest).

    By default atol = 0 and rtol = max(m, n) times the dtype's epsilon; `tol` is PyTorch's older
    name of atol.

    >>> import chainrule as torch
    >>> torch.linalg.matrix_rank(torch.ones(3, 3))
    tensor(1)
    """
    atol = tol if atol is None else atol
    if rtol is None:
        rtol = 0.0 if atol else _tolerance("matrix_rank", A)
    values = svdvals(A).detach()
    return (values > (values[..., :1] * rtol).clamp(min=atol or 0.0)).sum(-1)


@composite()
def lstsq(A: Tensor, B: Tensor, rcond: float | None = None, *, driver: str | None = None
          ) -> lstsq_result:
    """The X of least norm for which |A X - B| is least; A (*, m, n), B (*, m, k) or (*, m).

    `residuals` and `singular_values` are empty, as with PyTorch's default driver; there is no
    other one.

    >>> import chainrule as torch
    >>> A = torch.tensor([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]])
    >>> torch.linalg.lstsq(A, torch.tensor([[1.0], [3.0], [5.0]])).solution.mT
    tensor([[1.0000, 2.0000]])
    """
    if _is_vector(A, B):
        found = lstsq(A, B.unsqueeze(-1), rcond)
        return found._replace(solution=found.solution.squeeze(-1))
    X = pinv(A, rcond) @ B
    return lstsq_result(X, A.new_empty(0), matrix_rank(A, rtol=rcond), A.new_empty(0))


# --------------------------------------------------------------------------- factorisations
@composite("LinalgCholeskyExBackward0")
def cholesky(A: Tensor, *, upper: bool = False) -> Tensor:
    """The lower triangular L with L L^T = A; `upper`: its transpose.

    Raises LinAlgError, when the value is computed, unless A is positive-definite.

    >>> import chainrule as torch
    >>> torch.linalg.cholesky(torch.tensor([[4.0, 2.0], [2.0, 5.0]]))
    tensor([[2., 0.],
            [1., 2.]])
    """
    return methods.cholesky(A, upper)


def _symmetric(name: str, A: Tensor, UPLO: str):
    if UPLO.upper() not in ("L", "U"):
        raise ArgumentError(f"{name} requires UPLO 'L' or 'U', got {UPLO!r}")
    return mirrored(name, A, UPLO.upper() == "U")


@composite("LinalgEighBackward0")
def eigh(A: Tensor, UPLO: str = "L") -> eigh_result:
    """A = V diag(w) V^T of symmetric matrices: w ascending, the columns of V orthonormal.

    Only the triangle `UPLO` is read.  Where eigenvalues are equal the gradient of V is inf or
    NaN; that of w exists.

    >>> import chainrule as torch
    >>> torch.linalg.eigh(torch.tensor([[0.0, 1.0], [1.0, 0.0]])).eigenvalues
    tensor([-1.,  1.])
    """
    x = _symmetric("eigh", A, UPLO)
    return eigh_result(Tensor._from_node(la.eigenvalues(x)),
                       Tensor._from_node(la.eigenvectors(x)))


@composite("LinalgEighBackward0")
def eigvalsh(A: Tensor, UPLO: str = "L") -> Tensor:
    """The eigenvalues of symmetric matrices, ascending.

    >>> import chainrule as torch
    >>> torch.linalg.eigvalsh(torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
    tensor([-1.,  1.])
    """
    return Tensor._from_node(la.eigenvalues(_symmetric("eigvalsh", A, UPLO)))


@composite("LinalgSvdBackward0")
def svd(A: Tensor, full_matrices: bool = True, *, driver: str | None = None) -> svd_result:
    """A = U diag(S) Vh with orthonormal columns of U and rows of Vh, S descending.

    A (*, m, n) gives U (*, m, k), S (*, k), Vh (*, k, n), k = min(m, n); with `full_matrices` U
    and Vh are square, and what completes them has no gradient.  Where singular values are equal
    the gradient of U and Vh is inf or NaN; that of S exists.

    >>> import chainrule as torch
    >>> torch.linalg.svd(torch.tensor([[0.0, 3.0], [-4.0, 0.0]])).S
    tensor([4., 3.])
    """
    U, S, V = methods.svd(A, some=not full_matrices)
    return svd_result(U, S, V.mT)


@composite("LinalgSvdBackward0")
def svdvals(A: Tensor, *, driver: str | None = None) -> Tensor:
    """The singular values, descending.

    >>> import chainrule as torch
    >>> torch.linalg.svdvals(torch.tensor([[0.0, 3.0], [-4.0, 0.0]]))
    tensor([4., 3.])
    """
    return apply(la.singular_values, A)


@composite("LinalgQrBackward0")
def qr(A: Tensor, mode: str = "reduced") -> qr_result:
    """A = Q R with orthonormal columns of Q and upper triangular R.

    A (*, m, n) gives Q (*, m, k) and R (*, k, n), k = min(m, n); mode "complete" k = m, and then
    neither has a gradient if m > n; mode "r" leaves Q empty.

    >>> import chainrule as torch
    >>> torch.linalg.qr(torch.tensor([[-3.0], [0.0]])).R.abs()
    tensor([[3.]])
    """
    if mode not in ("reduced", "complete", "r"):
        raise ArgumentError(f"qr requires mode 'reduced', 'complete' or 'r', got {mode!r}")
    Q, R = methods.qr(A, some=mode != "complete")
    return qr_result(A.new_empty(0) if mode == "r" else Q, R)


# --------------------------------------------------------------------------- products
def multi_dot(tensors: Sequence[Tensor]) -> Tensor:
    """A B C ..., from the left; the first and the last may be vectors.

    >>> import chainrule as torch
    >>> torch.linalg.multi_dot([torch.ones(2), torch.ones(2, 3), torch.ones(3)])
    tensor(6.)
    """
    return methods.chain_matmul(*tensors)


def cross(input: Tensor, other: Tensor, *, dim: int = -1) -> Tensor:
    """The cross product of the 3-vectors along `dim`.

    >>> import chainrule as torch
    >>> torch.linalg.cross(torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.0, 1.0, 0.0]))
    tensor([0., 0., 1.])
    """
    a, b = methods.broadcast_tensors(input, other)
    return methods.cross(a, b, dim)


@composite()
def vecdot(x: Tensor, y: Tensor, *, dim: int = -1) -> Tensor:
    """sum x y along `dim`.

    >>> import chainrule as torch
    >>> torch.linalg.vecdot(torch.ones(2, 3), torch.arange(3.0))
    tensor([3., 3.])
    """
    return (x * y).sum(dim)


def vander(x: Tensor, *, N: int | None = None) -> Tensor:
    """V_ij = x_i^j for j < N, by default as many as there are x; leading axes are a batch.

    >>> import chainrule as torch
    >>> torch.linalg.vander(torch.tensor([1, 2, 3]))
    tensor([[1, 1, 1],
            [1, 2, 4],
            [1, 3, 9]])
    """
    count = x.shape[-1] if N is None else N
    ones = methods.ones_like(x).unsqueeze(-1)
    repeated = x.unsqueeze(-1).expand(*x.shape, max(count - 1, 0))
    return methods.cat((ones, repeated.cumprod(-1)), -1)[..., :count]


def diagonal(A: Tensor, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """The diagonals of the matrices in the last two axes, a view.

    >>> import chainrule as torch
    >>> torch.linalg.diagonal(torch.eye(2).expand(3, 2, 2)).shape
    torch.Size([3, 2])
    """
    return methods.diagonal(A, offset, dim1, dim2)


def __getattr__(name: str):
    raise missing_name("module 'torch.linalg'", name, __all__)
