"""Reductions: sums, products, extremes along axes, and the scans that keep every partial result."""

from __future__ import annotations

import numpy as np

from .. import dtypes
from ..graph import Node
from .elementwise import cast, fill
from .logic import eq, where
from .movement import cat, flip, slice_
from .op import apart, expand_to, keep_axes, nondifferentiable, normal, reduction, sum_

__all__ = [
    "all_", "amax", "amin", "any_", "argmax", "argmin", "cummax_index", "cummin_index", "cumprod",
    "cumsum", "prod", "sum_",
]


def _extreme_vjp(ct, out, x, *, axis):
    # Elements that tie for the extreme share the cotangent evenly, as PyTorch's amax does.
    hit = cast(eq(x, expand_to(keep_axes(out, x.shape, axis), x.shape)), dtype=x.dtype)
    count = sum_(hit, axis=axis)
    return (hit * expand_to(keep_axes(ct / count, x.shape, axis), x.shape),)


amax = reduction(
    "amax",
    eval=lambda x, axis: np.max(x, axis=axis),
    vjp=_extreme_vjp,
    sample=apart((2, 3, 2), axis=(0, 2)),
)
amin = reduction(
    "amin",
    eval=lambda x, axis: np.min(x, axis=axis),
    vjp=_extreme_vjp,
    sample=apart((2, 3, 2), axis=(0, 2)),
)


def _position(name, function):
    return reduction(
        name,
        eval=lambda x, axis: function(x, axis=axis),
        vjp=nondifferentiable,
        result=lambda d: dtypes.int64,
        sample=apart((2, 3), axis=1),
    )


argmax = _position("argmax", np.argmax)
argmin = _position("argmin", np.argmin)


def _record(name, function):
    """Where the extreme of the elements so far was met last; NaN counts as the extreme."""

    def evaluate(x, axis):
        met = (x == function.accumulate(x, axis)) | np.isnan(x)
        places = np.arange(x.shape[axis]).reshape([-1 if i == axis else 1 for i in range(x.ndim)])
        return np.maximum.accumulate(np.where(met, places, 0), axis)

    return reduction(
        name,
        keeps=True,
        eval=evaluate,
        vjp=nondifferentiable,
        result=lambda d: dtypes.int64,
        sample=apart((2, 4), axis=1),
    )


cummax_index = _record("cummax_index", np.maximum)
cummin_index = _record("cummin_index", np.minimum)


def _logical(name, function):
    return reduction(
        name,
        eval=lambda x, axis: function(x, axis=axis),
        vjp=nondifferentiable,
        result=lambda d: dtypes.bool_,
        sample=normal((2, 3), axis=(1,)),
    )


any_ = _logical("any", np.any)
all_ = _logical("all", np.all)


def _accumulate(function):
    def evaluate(x, axis):
        kept = x.dtype if x.dtype.kind in "fV" else np.dtype(np.int64)
        return function(x, axis=axis, dtype=kept)

    return evaluate


def _promoted(d):
    return d if d.is_floating_point else dtypes.int64


cumsum = reduction(
    "cumsum",
    keeps=True,
    eval=_accumulate(np.cumsum),
    vjp=lambda ct, out, x, axis: (_reverse_cumsum(ct, axis),),
    result=_promoted,
    sample=normal((2, 4), axis=1),
)


def _reverse_cumsum(x: Node, axis: int) -> Node:
    return flip(cumsum(flip(x, axes=(axis,)), axis=axis), axes=(axis,))


def _cumprod_vjp(ct, out, x, *, axis):
    """d out[j] / d x[i] = out[j] / x[i] for j >= i - without dividing by zeros.

    Before the first zero the quotient is right.  At the first zero x[i] is left out by putting a
    one in its place.  Behind it every derivative is zero.
    """
    zero = eq(x, 0.0)
    count = cumsum(cast(zero, dtype=dtypes.int64), axis=axis)
    first = zero & eq(count, 1)
    filled = where(first, 1.0, x)
    before = _reverse_cumsum(ct * out, axis) / where(zero, 1.0, x)
    at = _reverse_cumsum(ct * cumprod(filled, axis=axis), axis)
    return (where(eq(count, 0), before, where(first, at, 0.0)),)


cumprod = reduction(
    "cumprod",
    keeps=True,
    eval=_accumulate(np.cumprod),
    vjp=_cumprod_vjp,
    result=_promoted,
    sample=apart((2, 4), axis=1),
)


def _shifted(x: Node, axis: int) -> Node:
    """The products of the elements before each one: a cumprod moved by one place."""
    bounds = [(0, n, 1) for n in x.shape]
    bounds[axis] = (0, 1, 1)
    one = fill(slice_(x, bounds=tuple(bounds)), value=1.0)
    bounds[axis] = (0, max(x.shape[axis] - 1, 0), 1)
    return cat(one, cumprod(slice_(x, bounds=tuple(bounds)), axis=axis), axis=axis)


def _prod_vjp(ct, out, x, *, axis):
    if x.shape[axis] == 0:
        return (fill(x, value=0.0),)
    left = _shifted(x, axis)
    right = flip(_shifted(flip(x, axes=(axis,)), axis), axes=(axis,))
    return (expand_to(keep_axes(ct, x.shape, axis), x.shape) * left * right,)


prod = reduction(  # along one axis
    "prod",
    eval=_accumulate(np.prod),
    vjp=_prod_vjp,
    result=_promoted,
    sample=apart((2, 4), axis=1),
)
