"""Products of matrices and vectors."""

from __future__ import annotations

from ..errors import DTypeError, ShapeError
from ..graph import Node
from ..ops.contraction import contract
from ..ops.op import expand_to
from ..scope import composite
from ..shapes import broadcast
from ..tensor import Tensor
from .diagonals import diagonal
from .joining import stack
from .reduce import norm
from .register import into, method
from .summation import tensordot

__all__ = [
    "addbmm", "addmm", "addmv", "baddbmm", "bmm", "cdist", "chain_matmul", "cross", "dot", "ger",
    "inner", "kron", "matmul", "mm", "mv", "outer", "trace", "vdot",
]


def _same_dtype(name: str, a: Tensor, b: Tensor) -> None:
    if a.dtype is not b.dtype:
        raise DTypeError(
            f"{name} requires equal dtypes, got {a.dtype} and {b.dtype} (expected m1 and m2 to "
            "have the same dtype)",
            hint="convert one of them, e.g. x.float()",
        )


@method()
@composite("MmBackward0")
def matmul(input: Tensor, other: Tensor, *, out=None) -> Tensor:
    """The matrix product over the last two axes; leading axes broadcast, vectors are allowed.

    (..., n, k) @ (..., k, m) is (..., n, m); a vector is a row on the left, a column on the right.
    Raises RuntimeError where the inner lengths or the dtypes differ.

    >>> import chainrule as torch
    >>> torch.ones(2, 3) @ torch.ones(3)
    tensor([3., 3.])
    """
    a, b = input.node, other.node
    _same_dtype("matmul", input, other)
    if not a.ndim or not b.ndim:
        raise ShapeError(
            f"matmul requires at least one axis each, got {a.shape} and {b.shape} (both arguments "
            "to matmul need to be at least 1D)"
        )
    if a.shape[-1] != b.shape[max(b.ndim - 2, 0)]:
        raise ShapeError(_mismatch(a, b), hint=_transpose_hint(a, b))
    result = Tensor._from_node(_matmul(a, b))
    return into(out, result)


def _mismatch(a: Node, b: Node) -> str:
    text = f"matmul requires a.shape[-1] == b.shape[-2], got {a.shape} @ {b.shape}"
    if a.ndim == b.ndim == 2:
        sizes = f"{a.shape[0]}x{a.shape[1]} and {b.shape[0]}x{b.shape[1]}"
        text += f" (mat1 and mat2 shapes cannot be multiplied ({sizes}))"
    return text


def _transpose_hint(a: Node, b: Node) -> str | None:
    if b.ndim >= 2 and a.shape[-1] == b.shape[-1]:
        return "nn.Linear stores weight as (out, in); did you mean x @ w.mT?"
    return None


def _matmul(a: Node, b: Node) -> Node:
    """Batch axes that only one operand has, or that have length 1, become free axes."""
    if a.ndim <= 2 and b.ndim <= 2:
        left, right = ((0, 2) if a.ndim == 2 else (2,)), ((2, 1) if b.ndim == 2 else (2,))
        return contract(a, b, labels=(left, right, left[:-1] + right[1:]))
    if b.ndim <= 2:
        rows = tuple(range(2, a.ndim + 1))
        right = (0, 1) if b.ndim == 2 else (0,)
        return contract(a, b, labels=((*rows, 0), right, rows + right[1:]))
    if a.ndim == 1:
        lead = tuple(range(2, b.ndim))
        return contract(a, b, labels=((0,), (*lead, 0, 1), (*lead, 1)))
    lead = broadcast("matmul", a.shape[:-2], b.shape[:-2])
    a, b = (expand_to(x, lead + x.shape[-2:]) for x in (a, b))
    n = len(lead)
    batch = tuple(range(3, 3 + n))
    return contract(a, b, labels=((*batch, 0, 1), (*batch, 1, 2), (*batch, 0, 2)))


def _rank(name: str, *pairs) -> None:
    for x, rank in pairs:
        if x.ndim != rank:
            kind = {1: "vectors", 2: "matrices", 3: "batches of matrices (3D)"}[rank]
            raise ShapeError(f"{name} requires {kind}, got shape {tuple(x.shape)}")


@method()
def mm(input: Tensor, mat2: Tensor, *, out=None) -> Tensor:
    """The product of two matrices, (n, k) and (k, m); raises RuntimeError for other ranks."""
    _rank("mm", (input, 2), (mat2, 2))
    return matmul(input, mat2, out=out)


@method()
@composite("BmmBackward0")
def bmm(input: Tensor, mat2: Tensor, *, out=None) -> Tensor:
    """The products of two batches of matrices, (b, n, k) and (b, k, m).

    >>> import chainrule as torch
    >>> torch.bmm(torch.ones(2, 3, 4), torch.ones(2, 4, 5)).shape
    torch.Size([2, 3, 5])
    """
    _rank("bmm", (input, 3), (mat2, 3))
    if input.shape[0] != mat2.shape[0]:
        raise ShapeError(
            f"bmm requires batches of equal length, got {tuple(input.shape)} and "
            f"{tuple(mat2.shape)}"
        )
    a, b = input.node, mat2.node
    if a.shape[-1] != b.shape[-2]:
        raise ShapeError(_mismatch(a, b).replace("matmul", "bmm"), hint=_transpose_hint(a, b))
    _same_dtype("bmm", input, mat2)
    return Tensor._from_node(_matmul(a, b))


@method()
@composite("MvBackward0")
def mv(input: Tensor, vec: Tensor) -> Tensor:
    """The product of a matrix and a vector."""
    _rank("mv", (input, 2), (vec, 1))
    return matmul(input, vec)


@method()
@composite("DotBackward0")
def dot(input: Tensor, tensor: Tensor) -> Tensor:
    """The inner product of two vectors; raises RuntimeError unless they are equally long.

    >>> import chainrule as torch
    >>> torch.tensor([1.0, 2.0]).dot(torch.tensor([3.0, 4.0]))
    tensor(11.)
    """
    _rank("dot", (input, 1), (tensor, 1))
    if input.shape != tensor.shape:
        raise ShapeError(
            f"dot requires equal lengths, got {tuple(input.shape)} and {tuple(tensor.shape)} "
            "(inconsistent tensor size)"
        )
    _same_dtype("dot", input, tensor)
    return matmul(input, tensor)


vdot = dot


@method()
def inner(input: Tensor, other: Tensor) -> Tensor:
    """Sums of products over the last axes."""
    if not input.ndim or not other.ndim:
        return input * other
    return tensordot(input, other, dims=([-1], [-1]))


@method("ger")
@composite("OuterBackward0")
def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """All products of an element of one vector and one of the other: (n,) and (m,) give (n, m).

    >>> import chainrule as torch
    >>> torch.outer(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0]))
    tensor([[3., 4.],
            [6., 8.]])
    """
    _rank("outer", (input, 1), (vec2, 1))
    return input.reshape(-1, 1) * vec2.reshape(1, -1)


ger = outer


def _scaled_sum(name: str, input, product: Tensor, beta, alpha) -> Tensor:
    if alpha != 1:
        product = alpha * product
    if beta == 0:
        return product
    return (input if beta == 1 else beta * input) + product


@method(inplace=True)
@composite("AddmmBackward0")
def addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta=1, alpha=1, out=None) -> Tensor:
    """beta x + alpha a b."""
    return _scaled_sum("addmm", input, mm(mat1, mat2), beta, alpha)


@method(inplace=True)
@composite("AddmvBackward0")
def addmv(input: Tensor, mat: Tensor, vec: Tensor, *, beta=1, alpha=1) -> Tensor:
    """beta x + alpha A v."""
    return _scaled_sum("addmv", input, mv(mat, vec), beta, alpha)


@method(inplace=True)
@composite("BaddbmmBackward0")
def baddbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta=1, alpha=1) -> Tensor:
    """beta x + alpha a b for batches of matrices."""
    return _scaled_sum("baddbmm", input, bmm(batch1, batch2), beta, alpha)


@method()
@composite("AddbmmBackward0")
def addbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta=1, alpha=1) -> Tensor:
    """beta x + alpha times the sum of the products of two batches of matrices."""
    return _scaled_sum("addbmm", input, bmm(batch1, batch2).sum(0), beta, alpha)


def chain_matmul(*matrices: Tensor) -> Tensor:
    """a b c ..., from the left."""
    result = matrices[0]
    for m in matrices[1:]:
        result = matmul(result, m)
    return result


# --------------------------------------------------------------------------- others
@method()
@composite("TraceBackward0")
def trace(input: Tensor) -> Tensor:
    """The sum of the diagonal."""
    _rank("trace", (input, 2))
    return diagonal(input).sum()


@method()
@composite("LinalgCrossBackward0")
def cross(input: Tensor, other: Tensor, dim: int | None = None) -> Tensor:
    """The cross product of 3-vectors along `dim`, or along the first axis of length 3."""
    axis = next((i for i, n in enumerate(input.shape) if n == 3), -1) if dim is None else dim
    a, b = ([x.select(axis, i) for i in range(3)] for x in (input, other))
    return stack([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2],
                  a[0] * b[1] - a[1] * b[0]], axis)


@method()
@composite("KronBackward0")
def kron(input: Tensor, other: Tensor) -> Tensor:
    """Each element of `input` times the whole of `other`."""
    rank = max(input.ndim, other.ndim)
    a = input.reshape((1,) * (rank - input.ndim) + tuple(input.shape))
    b = other.reshape((1,) * (rank - other.ndim) + tuple(other.shape))
    wide = a.reshape([n for m in a.shape for n in (m, 1)])
    tall = b.reshape([n for m in b.shape for n in (1, m)])
    return (wide * tall).reshape([n * m for n, m in zip(a.shape, b.shape)])


@method()
@composite("CdistBackward0")
def cdist(x1: Tensor, x2: Tensor, p: float = 2.0) -> Tensor:
    """The p-norm distances between the rows of two matrices, (..., n, k) and (..., m, k).

    >>> import chainrule as torch
    >>> torch.cdist(torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0], [0.0, 1.0]]))
    tensor([[5., 1.]])
    """
    return norm(x1.unsqueeze(-2) - x2.unsqueeze(-3), p, -1)
