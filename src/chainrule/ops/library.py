"""Ops that a well-kept library computes whole, in both tiers."""

from __future__ import annotations

import numpy as np

from .. import dtypes
from ..shapes import spec
from .op import Op, apart, nondifferentiable, register


def _argsort(x, axis, descending):
    if not descending:
        return np.argsort(x, axis=axis, kind="stable")
    # Sorting the reversed array keeps equal elements in their order after reversing back.
    back = np.argsort(np.flip(x, axis), axis=axis, kind="stable")
    return np.flip(x.shape[axis] - 1 - back, axis)


argsort: Op = register(
    Op(
        "argsort",
        "library",
        lambda x, axis, descending: spec(x.shape, dtypes.int64),
        _argsort,
        nondifferentiable,
        None,
        lambda flags, x, axis, descending: argsort(x, axis=axis + 1, descending=descending),
        apart((2, 5), axis=1, descending=False),
    )
)
