"""Padding: constants, mirrored, repeated or wrapped around elements beside the trailing axes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..errors import ArgumentError, ShapeError
from ..methods.logic import where
from ..ops.movement import pad as zeros_beside
from ..ops.movement import slice_
from ..scope import composite
from ..tensor import Tensor, apply, from_array

Widths = Sequence[tuple[int, int]]  # (before, behind) for each of the trailing axes


def take_along(x: Tensor, axis: int, index: np.ndarray) -> Tensor:
    """The elements at `index` along one axis."""
    return x.index_select(axis, from_array(index.astype(np.int64)))


def pad_value(x: Tensor, widths: Widths, value: float) -> Tensor:
    """`value` put beside the trailing axes; a negative width cuts elements off."""
    if not any(map(any, widths)):
        return x
    padded = _pad_zeros(x, widths)
    return padded if value == 0 else where(from_array(_inside(x, widths)), padded, value)


def _inside(x: Tensor, widths: Widths) -> np.ndarray:
    """Which elements of the padded trailing axes are the tensor's own."""
    own = np.ones(tuple(x.shape[x.dim() - len(widths) :]), np.bool_)
    kept = tuple(slice(max(-a, 0), n - max(-b, 0)) for n, (a, b) in zip(own.shape, widths))
    return np.pad(own[kept], [(max(a, 0), max(b, 0)) for a, b in widths])


def _pad_zeros(x: Tensor, widths: Widths) -> Tensor:
    lead = x.dim() - len(widths)
    if any(min(w) < 0 for w in widths):
        bounds = [
            (max(-before, 0), n - max(-behind, 0), 1)
            for n, (before, behind) in zip(x.shape[lead:], widths)
        ]
        x = apply(slice_, x, bounds=(*((0, n, 1) for n in x.shape[:lead]), *bounds))
    added = ((max(before, 0), max(behind, 0), 0) for before, behind in widths)
    return apply(zeros_beside, x, widths=((0, 0, 0),) * lead + tuple(added))


# Where element i of the padded axis comes from; i is 0 at the first of the n original elements.
_SOURCE = {
    "reflect": lambda i, n: n - 1 - np.abs(n - 1 - np.abs(i)),
    "replicate": lambda i, n: np.clip(i, 0, n - 1),
    "circular": lambda i, n: i % n,
}
# How far a mode reaches beyond an axis of n elements, and how many elements it leaves at least.
_REACH = {
    "constant": lambda n: math.inf,
    "reflect": lambda n: n - 1,
    "replicate": lambda n: math.inf if n else 0,
    "circular": lambda n: n,
}
_LEAST = {"constant": 0, "reflect": 1, "replicate": 1, "circular": 1}
_HISTORY = {
    "reflect": "ReflectionPad{}DBackward0",
    "replicate": "ReplicationPad{}DBackward0",
    "circular": "CopySlices",
}


def pad(
    input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None
) -> Tensor:
    """Lengthen the trailing axes, the last one first: pad = (left, right, top, bottom, ...).

    'constant' puts `value` (0) there, 'reflect' mirrors without repeating the edge, 'replicate'
    repeats the edge, 'circular' goes around.  Negative widths cut elements off.

    >>> import chainrule as torch
    >>> x = torch.tensor([[1.0, 2.0, 3.0]])
    >>> torch.nn.functional.pad(x, (2, 1), mode="reflect")
    tensor([[3., 2., 1., 2., 3., 2.]])
    """
    pad = tuple(int(p) for p in pad)
    widths = [(pad[i], pad[i + 1]) for i in range(0, len(pad) - 1, 2)][::-1]
    if len(pad) % 2 or len(widths) > input.dim():
        raise ShapeError(
            f"pad requires two widths for each of at most {input.dim()} axes, got {pad}"
        )
    if mode == "constant":
        return _pad_constant(input, widths, mode, value or 0)
    if mode not in _SOURCE:
        raise ArgumentError(f"pad requires mode 'constant' or one of {[*_SOURCE]}, got {mode!r}")
    if value:
        raise ArgumentError(f"pad requires no value with mode {mode!r}, got {value}")
    record = _PAD_BY_INDEX.get((mode, len(widths)))
    if record is None:
        raise ShapeError(f"pad requires 1 to 3 axes with mode {mode!r}, got {len(widths)}")
    return record(input, widths, mode, 0)


def _pad(x: Tensor, widths: Widths, mode: str, value: float) -> Tensor:
    lead = x.dim() - len(widths)
    for axis, (before, behind) in enumerate(widths, lead):
        n = x.shape[axis]
        if max(before, behind) > _REACH[mode](n) or n + before + behind < _LEAST[mode]:
            raise ShapeError(
                f"pad requires widths that mode {mode!r} can reach from an axis of {n} elements, "
                f"got {(before, behind)} for axis {axis} of input {tuple(x.shape)}"
            )
    if mode == "constant":
        return pad_value(x, widths, value)
    for axis, (before, behind) in enumerate(widths, lead):
        if before or behind:
            n = x.shape[axis]
            x = take_along(x, axis, _SOURCE[mode](np.arange(-before, n + behind), n))
    return x


_pad_constant = composite("ConstantPadNdBackward0")(_pad)
_PAD_BY_INDEX = {
    (mode, rank): composite(name.format(rank))(_pad)
    for mode, name in _HISTORY.items()
    for rank in (1, 2, 3)
}
