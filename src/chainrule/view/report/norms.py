"""Lengths of arrays, in float64 whatever they hold."""

from __future__ import annotations

import math

import numpy as np

_BLOCK = 1 << 15  # elements that are converted at once


def squared(array: np.ndarray, other: np.ndarray | None = None) -> float:
    """The sum of the squares of `array`, or of `array - other`.

    >>> squared(np.array([3.0, 4.0], np.float32)), squared(np.ones(2), np.zeros(2))
    (25.0, 2.0)
    """
    x = array.reshape(-1)
    y = None if other is None else other.reshape(-1)
    total = 0.0
    with np.errstate(all="ignore"):
        for i in range(0, x.size, _BLOCK):
            part = _wide(x[i : i + _BLOCK])
            if y is not None:
                part -= _wide(y[i : i + _BLOCK])
            # Not np.vdot: BLAS would wake threads of its own beside those that train.
            if part.dtype.kind == "c":
                part = part.view(np.float64)
            total += float(np.add.reduce(np.multiply(part, part, out=part)))
    return total


def _wide(array: np.ndarray) -> np.ndarray:
    return array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)


def root(square: float) -> float:
    """The square root, of what may be inf or nan."""
    return math.sqrt(square) if square >= 0 else math.nan


def ratio(update: float, weight: float) -> float:
    """|update| / |weight|; of a weight that was zero: 0 if it stayed there, else inf."""
    if weight:
        return update / weight
    return math.inf if update else 0.0
