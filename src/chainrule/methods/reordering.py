"""The same elements in another order, or several times: copies."""

from __future__ import annotations

import numpy as np

from ..errors import OutOfRange
from ..ops import movement as mv
from ..ops.elementwise import clone
from ..scope import composite
from ..shapes import axis_index, axis_of
from ..tensor import Tensor, from_array
from .joining import cat
from .parts import narrow
from .register import method, spread
from .shape import reshape, transpose

__all__ = ["flip", "fliplr", "flipud", "repeat_interleave", "roll", "rot90"]


@method()
def flip(input: Tensor, *dims) -> Tensor:
    """The elements along these axes in reverse order: a copy.

    >>> import chainrule as torch
    >>> torch.arange(3).flip(0)
    tensor([2, 1, 0])
    """
    dims = spread(dims)
    axes = tuple(sorted(axis_index("flip", d, input.ndim) for d in dims))
    reorders = axes and input.ndim
    return Tensor._from_node(mv.flip(input.node, axes=axes) if reorders else clone(input.node))


@method()
def fliplr(input: Tensor) -> Tensor:
    """The columns in reverse order."""
    return flip(input, 1)


@method()
def flipud(input: Tensor) -> Tensor:
    """The rows in reverse order."""
    return flip(input, 0)


@method()
@composite("RollBackward0")
def roll(input: Tensor, shifts, dims=None) -> Tensor:
    """The elements moved along axes; what leaves at one end enters at the other.

    >>> import chainrule as torch
    >>> torch.arange(4).roll(1)
    tensor([3, 0, 1, 2])
    """
    if dims is None:
        return reshape(roll(reshape(input, -1), shifts, 0), tuple(input.shape))
    shifts = (shifts,) if isinstance(shifts, int) else shifts
    dims = (dims,) if isinstance(dims, int) else dims
    x = input
    for shift, dim_ in zip(shifts, dims):
        axis = axis_of("roll", dim_, input.shape, OutOfRange)
        n = input.shape[axis]
        cut = (-shift) % n if n else 0
        if cut:
            x = cat([narrow(x, axis, cut, n - cut), narrow(x, axis, 0, cut)], axis)
    return x if x is not input else input.clone()


@method()
def rot90(input: Tensor, k: int = 1, dims=(0, 1)) -> Tensor:
    """Turned by k quarter turns in the plane of two axes."""
    a, b = dims
    turns = k % 4
    if turns == 0:
        return input.clone()
    if turns == 2:
        return flip(input, a, b)
    return transpose(flip(input, b), a, b) if turns == 1 else flip(transpose(input, a, b), b)


@method()
@composite("RepeatInterleaveBackward0")
def repeat_interleave(input: Tensor, repeats=None, dim: int | None = None, *,
                      output_size=None) -> Tensor:
    """Each element `repeats` times in a row: a number, or one per element.

    >>> import chainrule as torch
    >>> torch.tensor([1, 2]).repeat_interleave(2)
    tensor([1, 1, 2, 2])
    """
    if repeats is None:
        counts = input._value()
        return from_array(np.repeat(np.arange(counts.size), counts))
    x, axis = (reshape(input, -1), 0) if dim is None else (
        input, axis_index("repeat_interleave", dim, input.ndim))
    counts = repeats._value() if isinstance(repeats, Tensor) else repeats
    places = np.repeat(np.arange(x.shape[axis]), counts)
    return x.index_select(axis, from_array(places))
