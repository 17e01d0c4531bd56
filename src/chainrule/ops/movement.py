"""Movement ops: an element of the output is an element of the input, or a fixed padding.

Convolution and pooling start with one of them, `window`; its adjoint `fold` sums the overlaps.
"""

from __future__ import annotations

import numpy as np

from ..graph import Node
from ..shapes import spec
from .elementwise import fill
from .op import Op, expand, movement, normal, register, reshape

__all__ = ["cat", "expand", "flip", "fold", "pad", "permute", "reshape", "setslice", "slice_",
           "window"]

Bounds = tuple[tuple[int, int, int], ...]  # (start, stop, step) per axis, 0 <= start <= stop <= n


def inverse(axes: tuple[int, ...]) -> tuple[int, ...]:
    """The permutation that undoes `axes`."""
    return tuple(int(i) for i in np.argsort(axes))


permute: Op = movement(
    "permute",
    shape=lambda x, axes: tuple([x.shape[a] for a in axes]),
    eval=lambda x, axes: x.transpose(axes),
    vjp=lambda ct, out, x, axes: (permute(ct, axes=inverse(axes)),),
    batch=lambda flags, x, axes: permute(x, axes=(0, *[a + 1 for a in axes])),
    sample=normal((2, 3, 4), axes=(2, 0, 1)),
)
flip: Op = movement(
    "flip",
    shape=lambda x, axes: x.shape,
    eval=lambda x, axes: np.flip(x, axes),
    vjp=lambda ct, out, x, axes: (flip(ct, axes=axes),),
    batch=lambda flags, x, axes: flip(x, axes=tuple(a + 1 for a in axes)),
    sample=normal((2, 3), axes=(1,)),
)


def _slices(bounds: Bounds) -> tuple[slice, ...]:
    return tuple(slice(*b) for b in bounds)


def sliced_shape(bounds: Bounds) -> tuple[int, ...]:
    return tuple([len(range(*b)) for b in bounds])


def _slice_vjp(ct, out, x, *, bounds):
    widths = []
    for (start, _, step), n, m in zip(bounds, x.shape, out.shape):
        covered = (m - 1) * step + 1 if m else 0
        widths.append((start, n - start - covered, step - 1))
    return (pad(ct, widths=tuple(widths)),)


slice_: Op = movement(
    "slice",
    shape=lambda x, bounds: sliced_shape(bounds),
    eval=lambda x, bounds: x[_slices(bounds)],
    vjp=_slice_vjp,
    batch=lambda flags, x, bounds: slice_(x, bounds=((0, x.shape[0], 1), *bounds)),
    sample=normal((4, 7), bounds=((1, 3, 1), (0, 7, 3))),
)


def _padded_shape(x, widths):
    return tuple(
        [lo + hi + n + max(n - 1, 0) * inner for n, (lo, hi, inner) in zip(x.shape, widths)]
    )


def _pad_bounds(shape, widths) -> Bounds:
    """Where the elements of x lie in pad(x)."""
    return tuple(
        (lo, lo + (n - 1) * (inner + 1) + 1 if n else lo, inner + 1)
        for n, (lo, _, inner) in zip(shape, widths)
    )


def _pad(x, widths):
    out = np.zeros(_padded_shape(x, widths), x.dtype)
    out[_slices(_pad_bounds(x.shape, widths))] = x
    return out


pad: Op = movement(  # zeros: `lo` before, `hi` behind and `inner` between the elements of each axis
    "pad",
    shape=_padded_shape,
    eval=_pad,
    vjp=lambda ct, out, x, widths: (slice_(ct, bounds=_pad_bounds(x.shape, widths)),),
    batch=lambda flags, x, widths: pad(x, widths=((0, 0, 0), *widths)),
    sample=normal((2, 3), widths=((1, 0, 0), (2, 1, 1))),
)


def _cat_shape(*xs, axis):
    total = sum(x.shape[axis] for x in xs)
    return xs[0].shape[:axis] + (total,) + xs[0].shape[axis + 1 :]


def _cat_vjp(ct, out, *xs, axis):
    parts, start = [], 0
    for x in xs:
        stop = start + x.shape[axis]
        bounds = [(0, n, 1) for n in out.shape]
        bounds[axis] = (start, stop, 1)
        parts.append(slice_(ct, bounds=tuple(bounds)))
        start = stop
    return tuple(parts)


def stack_batch(flags, inputs: tuple[Node, ...]) -> list[Node]:
    """All inputs with a leading batch axis; those without one are repeated."""
    n = next(x.shape[0] for x, f in zip(inputs, flags) if f)
    return [
        x if f else expand(reshape(x, shape=(1, *x.shape)), shape=(n, *x.shape))
        for x, f in zip(inputs, flags)
    ]


cat: Op = movement(
    "cat",
    shape=_cat_shape,
    eval=lambda *xs, axis: np.concatenate(xs, axis),
    vjp=_cat_vjp,
    batch=lambda flags, *xs, axis: cat(*stack_batch(flags, xs), axis=axis + 1),
    sample=normal((2, 3), (2, 1), axis=1),
)


def _setslice(x, v, bounds):
    out = x.copy()
    out[_slices(bounds)] = v
    return out


def _setslice_vjp(ct, out, x, v, *, bounds):
    return setslice(ct, fill(v, value=0.0), bounds=bounds), slice_(ct, bounds=bounds)


setslice: Op = movement(  # x with the part within `bounds` replaced by v: an assignment
    "setslice",
    shape=lambda x, v, bounds: x.shape,
    eval=_setslice,
    vjp=_setslice_vjp,
    batch=lambda flags, x, v, bounds: setslice(
        *(both := stack_batch(flags, (x, v))), bounds=((0, both[0].shape[0], 1), *bounds)
    ),
    sample=normal((4, 5), (2, 2), bounds=((1, 3, 1), (0, 5, 3))),
)


# --------------------------------------------------------------------------- windows
def window_count(n: int, size: int, stride: int, dilation: int) -> int:
    """How many windows of `size` taps fit on an axis of length n."""
    return (n - dilation * (size - 1) - 1) // stride + 1


def _window_shape(x, size, stride, dilation):
    lead = x.ndim - len(size)
    counts = map(window_count, x.shape[lead:], size, stride, dilation)
    return x.shape[:lead] + tuple(counts) + size


def _window(x, size, stride, dilation):
    lead = x.ndim - len(size)
    steps = x.strides[lead:]
    strides = x.strides[:lead] + tuple(s * k for s, k in zip(steps, stride))
    strides += tuple(s * k for s, k in zip(steps, dilation))
    shape = _window_shape(x, size, stride, dilation)
    return np.lib.stride_tricks.as_strided(x, shape, strides, writeable=False)


def _fold(x, shape, stride, dilation):
    rank = len(shape)
    lead = x.ndim - 2 * rank
    out = np.zeros(x.shape[:lead] + shape, x.dtype)
    counts, size = x.shape[lead : lead + rank], x.shape[lead + rank :]
    for tap in np.ndindex(*size):
        part = tuple(
            slice(t * d, t * d + (n - 1) * s + 1, s)
            for t, d, n, s in zip(tap, dilation, counts, stride)
        )
        out[(..., *part)] += x[(..., *tap)]
    return out


window: Op = movement(  # (..., *S) -> (..., *O, *K): the K taps of each of the O windows
    "window",
    shape=_window_shape,
    eval=_window,
    vjp=lambda ct, out, x, size, stride, dilation: (
        fold(ct, shape=x.shape[x.ndim - len(size) :], stride=stride, dilation=dilation),
    ),
    batch=lambda flags, x, **attrs: window(x, **attrs),
    sample=normal((2, 7, 6), size=(3, 2), stride=(2, 1), dilation=(1, 2)),
)
fold: Op = register(  # (..., *O, *K) -> (..., *S): the adjoint of window, overlaps are summed
    Op(
        "fold",
        "reduction",
        lambda x, shape, stride, dilation: spec(
            x.shape[: x.ndim - 2 * len(shape)] + shape, x.dtype
        ),
        _fold,
        lambda ct, out, x, shape, stride, dilation: (
            window(ct, size=x.shape[x.ndim - len(shape) :], stride=stride, dilation=dilation),
        ),
        None,
        lambda flags, x, **attrs: fold(x, **attrs),
        normal((2, 3, 3, 3, 2), shape=(7, 5), stride=(2, 1), dilation=(1, 2)),
    )
)
