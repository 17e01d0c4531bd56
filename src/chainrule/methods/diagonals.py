"""Diagonals and triangles of matrices."""

from __future__ import annotations

import numpy as np

from .. import dtypes
from ..errors import ShapeError
from ..ops import logic
from ..ops import movement as mv
from ..scope import composite
from ..shapes import axis_index
from ..tensor import Tensor, from_array
from .parts import part
from .register import into, method, named
from .shape import movedim

__all__ = ["diag", "diag_embed", "diagonal", "tril", "tril_indices", "triu", "triu_indices"]


@method()
@composite("DiagonalBackward0")
def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """The diagonal of the two axes, as the last axis: a view.

    >>> import chainrule as torch
    >>> torch.tensor([[1, 2], [3, 4]]).diagonal()
    tensor([1, 4])
    """
    a, b = (axis_index("diagonal", d, input.ndim) for d in (dim1, dim2))
    rows, cols = input.shape[a], input.shape[b]
    count = max(0, min(rows + min(offset, 0), cols - max(offset, 0)))
    # On the flattened matrix the diagonal is every (cols + 1)-th element.
    x = movedim(input, (a, b), (-2, -1))
    flat = x._view(mv.reshape, shape=(*x.shape[:-2], rows * cols))
    first = max(offset, 0) - min(offset, 0) * cols
    last = first + max(count - 1, 0) * (cols + 1) + 1
    return part(flat, flat.ndim - 1, first, last if count else first, cols + 1)


@method()
def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """The diagonal of a matrix, or the matrix with this diagonal.

    >>> import chainrule as torch
    >>> torch.diag(torch.tensor([1, 2]))
    tensor([[1, 0],
            [0, 2]])
    """
    if input.ndim == 2:
        return input.diagonal(diagonal)
    return diag_embed(input, diagonal)


@method()
@composite("DiagEmbedBackward0")
def diag_embed(input: Tensor, offset: int = 0) -> Tensor:
    """Matrices with the last axis on their diagonal."""
    n = input.shape[-1] + abs(offset)
    i = np.arange(input.shape[-1])
    mask = np.zeros((n, n), bool)
    mask[i - min(offset, 0), i + max(offset, 0)] = True
    padded = mv.pad(input.node, widths=((0, 0, 0),) * (input.ndim - 1) + (
        (max(offset, 0), -min(offset, 0), 0),))
    wide = mv.reshape(padded, shape=(*input.shape[:-1], 1, n))
    return Tensor._from_node(logic.where(from_array(mask).node, wide, _zero(input)))


def _zero(like: Tensor) -> bool | int | float:
    """0 as a number that leaves the dtype as it is."""
    return 0.0 if like.dtype.is_floating_point else like.dtype is not dtypes.bool_ and 0


def _triangle(keep, name: str, formula: str):
    def function(input: Tensor, diagonal: int = 0, *, out=None) -> Tensor:
        if input.ndim < 2:
            raise ShapeError(f"{name} requires at least 2 axes, got {tuple(input.shape)}")
        mask = keep(np.ones(tuple(input.shape[-2:]), bool), diagonal)
        kept = logic.where(from_array(mask).node, input.node, _zero(input))
        return into(out, Tensor._from_node(kept))

    recorded = composite(f"{name.capitalize()}Backward0")(named(function, name, formula))
    return method(inplace=True)(recorded)


tril = _triangle(np.tril, "tril", "The elements on and below a diagonal; zeros above.")
triu = _triangle(np.triu, "triu", "The elements on and above a diagonal; zeros below.")


def _indices(function, name: str):
    def indices(row: int, col: int, offset: int = 0, *, dtype=None, device=None) -> Tensor:
        return from_array(np.stack(function(row, offset, col)).astype(np.int64))

    return named(indices, name, "The (row, column) indices of a triangle, as two rows.")


tril_indices = _indices(np.tril_indices, "tril_indices")
triu_indices = _indices(np.triu_indices, "triu_indices")
