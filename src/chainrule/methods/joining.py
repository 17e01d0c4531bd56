"""Joining: tensors one behind the other, side by side, as grids and as blocks."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..dtypes import promote
from ..errors import ArgumentError, ArgumentTypeError, ShapeError
from ..ops import movement as mv
from ..ops.op import cast
from ..scope import composite
from ..shapes import axis_index
from ..tensor import Tensor, from_array
from .register import into, spread
from .shape import expand, numel, reshape, unsqueeze

__all__ = [
    "atleast_1d", "atleast_2d", "atleast_3d", "block_diag", "cartesian_prod", "cat",
    "column_stack", "combinations", "concat", "concatenate", "dstack", "hstack",
    "meshgrid", "row_stack", "stack", "vstack",
]


def _promoted(tensors: Sequence[Tensor], name: str) -> list[Any]:
    if not isinstance(tensors, (tuple, list)):
        tensors = list(tensors)
    for x in tensors:
        if not isinstance(x, Tensor):
            raise ArgumentTypeError(f"{name} requires Tensors, got {type(x).__name__}")
    if not tensors:
        error = ArgumentError if name == "cat" else ShapeError  # as PyTorch does
        raise error(
            f"{name} requires at least one Tensor, got none (expected a non-empty list of Tensors)"
        )
    dtype = tensors[0].dtype
    for x in tensors[1:]:
        dtype = promote(dtype, x.dtype)
    return [x.node if x.dtype is dtype else cast(x.node, dtype=dtype) for x in tensors]


@composite("CatBackward0")
def cat(tensors: Sequence[Tensor], dim: int = 0, *, axis=None, out=None) -> Tensor:
    """The tensors one behind the other along an axis, in their common dtype.

    All other lengths must be equal, else RuntimeError; empty vectors may stand next to anything.

    >>> import chainrule as torch
    >>> torch.cat([torch.zeros(1, 2), torch.ones(2, 2)])
    tensor([[0., 0.],
            [1., 1.],
            [1., 1.]])
    """
    nodes = _promoted(tensors, "cat")
    # PyTorch lets empty 1-d tensors stand next to anything.
    full = [n for n in nodes if n.shape != (0,)] or nodes[:1]
    rank = full[0].ndim
    if rank == 0:
        raise ShapeError("cat requires tensors with at least one axis, got a 0-d tensor "
                         "(zero-dimensional tensor cannot be concatenated)",
                         hint="use torch.stack")
    place = axis_index("cat", dim if axis is None else axis, rank)
    for n in full[1:]:
        if n.ndim != rank or any(
            a != b for i, (a, b) in enumerate(zip(n.shape, full[0].shape)) if i != place
        ):
            raise ShapeError(
                f"cat requires equal lengths except along dim {place}, got "
                f"{full[0].shape} and {n.shape} (Sizes of tensors must match except in dimension "
                f"{place})"
            )
    result = Tensor._from_node(mv.cat(*full, axis=place))
    return into(out, result)


concat = concatenate = cat


@composite("StackBackward0")
def stack(tensors: Sequence[Tensor], dim: int = 0, *, out=None) -> Tensor:
    """The tensors along a new axis, in their common dtype.

    Raises RuntimeError where the shapes are not equal.

    >>> import chainrule as torch
    >>> torch.stack([torch.tensor([1, 2]), torch.tensor([3, 4])], dim=1)
    tensor([[1, 3],
            [2, 4]])
    """
    nodes = _promoted(tensors, "stack")
    shape = nodes[0].shape
    for n in nodes[1:]:
        if n.shape != shape:
            raise ShapeError(
                f"stack requires equal shapes, got {shape} and {n.shape} (stack expects each "
                "tensor to be equal size)"
            )
    axis = axis_index("stack", dim, len(shape) + 1)
    new = shape[:axis] + (1,) + shape[axis:]
    result = mv.cat(*[mv.reshape(n, shape=new) for n in nodes], axis=axis)
    return into(out, Tensor._from_node(result))


# --------------------------------------------------------------------------- in tables
def atleast_1d(*tensors):
    """Views with at least one axis."""
    return _atleast(tensors, lambda x: reshape(x, 1) if not x.ndim else x)


def atleast_2d(*tensors):
    """Views with at least two axes."""
    return _atleast(tensors, lambda x: reshape(x, 1, -1) if x.ndim < 2 else x)


def atleast_3d(*tensors):
    """Views with at least three axes."""
    return _atleast(
        tensors,
        lambda x: x if x.ndim > 2 else unsqueeze(x, -1) if x.ndim == 2 else reshape(x, 1, -1, 1),
    )


def _atleast(tensors, widen):
    if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)):
        return tuple(map(widen, tensors[0]))
    return widen(tensors[0]) if len(tensors) == 1 else tuple(map(widen, tensors))


def hstack(tensors) -> Tensor:
    """Side by side: along the columns."""
    tensors = atleast_1d(list(tensors))
    return cat(tensors, 0 if tensors[0].ndim == 1 else 1)


def vstack(tensors) -> Tensor:
    """Below one another: along the rows."""
    return cat(atleast_2d(list(tensors)), 0)


row_stack = vstack


def dstack(tensors) -> Tensor:
    """Behind one another: along the third axis."""
    return cat(atleast_3d(list(tensors)), 2)


def column_stack(tensors) -> Tensor:
    """Vectors as columns next to each other."""
    return hstack([x if x.ndim > 1 else reshape(x, -1, 1) for x in tensors])


# --------------------------------------------------------------------------- grids and combinations
def meshgrid(*tensors, indexing: str = "ij") -> tuple[Tensor, ...]:
    """Coordinates of the grid that the vectors span, one tensor per vector.

    Raises ValueError unless indexing is 'ij' (rows first) or 'xy' (columns first).

    >>> import chainrule as torch
    >>> torch.meshgrid(torch.tensor([1, 2]), torch.tensor([3, 4]), indexing="ij")[0]
    tensor([[1, 1],
            [2, 2]])
    """
    tensors = spread(tensors)
    if indexing not in ("ij", "xy"):
        raise ArgumentError(f"meshgrid requires indexing 'ij' or 'xy', got {indexing!r}")
    flip_ = indexing == "xy" and len(tensors) > 1
    if flip_:
        tensors = (tensors[1], tensors[0], *tensors[2:])
    shape = tuple(numel(x) for x in tensors)
    grids = [
        expand(reshape(x, *(-1 if i == k else 1 for i in range(len(shape)))), *shape)
        for k, x in enumerate(tensors)
    ]
    if flip_:
        grids[0], grids[1] = grids[1], grids[0]
    return tuple(grids)


def cartesian_prod(*tensors) -> Tensor:
    """All combinations of one element from each vector, one a row."""
    if len(tensors) == 1:
        return tensors[0]
    return stack([reshape(g, -1) for g in meshgrid(*tensors)], 1)


def combinations(input: Tensor, r: int = 2) -> Tensor:
    """All combinations of r elements."""
    places = np.array(list(itertools.combinations(range(numel(input)), r)), np.int64).reshape(-1, r)
    return input[from_array(places)]


def block_diag(*tensors) -> Tensor:
    """Matrices along the diagonal of one matrix."""
    blocks = [atleast_2d(x) for x in tensors]
    columns = sum(b.shape[1] for b in blocks)
    rows, left = [], 0
    for b in blocks:
        right = columns - left - b.shape[1]
        rows.append(Tensor._from_node(mv.pad(b.node, widths=((0, 0, 0), (left, right, 0)))))
        left += b.shape[1]
    return cat(rows, 0)
