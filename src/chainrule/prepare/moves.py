"""Movement ops, recorded in their shortest form.

Each function means what its op does, but sees through the movement below: a slice of a slice is
one slice, a slice of a cat is one of its parts, a slice of a padding is zeros.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from weakref import WeakKeyDictionary

from ..graph import Node
from ..ops import elementwise as ew
from ..ops import movement as mv
from ..ops.movement import Bounds, inverse, sliced_shape
from ..ops.op import Op, expand, reshape
from ..shapes import Shape, Spec, spec

DEEPEST = 30  # how far a slice looks through movement


def pending(x: Node, op: Op) -> bool:
    """Whether x is an application of op that is still to be computed."""
    return x.op is op and x.value is None


def constant(value: float, like: Spec) -> Node:
    """A number in this shape and dtype."""
    value = float(value) if like.dtype.is_floating_point else int(value)
    return ew.constant(value=value, like=like)


def is_constant(x: Node, value: float) -> bool:
    """Whether every element of x is known to be `value`."""
    return pending(x, ew.constant) and x.attrs["value"] == value


def _in_shape(x: Node, shape: Shape) -> Node:
    return constant(x.attrs["value"], spec(shape, x.dtype))


def whole(shape: Shape) -> list[tuple[int, int, int]]:
    """The bounds of everything."""
    return [(0, n, 1) for n in shape]


# --------------------------------------------------------------------------- one for one
def reshaped(x: Node, shape: Shape) -> Node:
    """reshape(x)"""
    if pending(x, ew.constant):
        return _in_shape(x, shape)
    while pending(x, reshape):
        x = x.inputs[0]
    return x if x.shape == shape else reshape(x, shape=shape)


def permuted(x: Node, axes: Sequence[int]) -> Node:
    """permute(x)"""
    axes = tuple(axes)
    if pending(x, ew.constant):
        return _in_shape(x, tuple([x.shape[a] for a in axes]))
    while pending(x, mv.permute):
        axes = tuple([x.attrs["axes"][a] for a in axes])
        x = x.inputs[0]
    return x if axes == tuple(range(x.ndim)) else mv.permute(x, axes=axes)


def expanded(x: Node, shape: Shape) -> Node:
    """expand(x)"""
    if pending(x, ew.constant):
        return _in_shape(x, shape)
    while pending(x, expand):
        x = x.inputs[0]
    return x if x.shape == shape else expand(x, shape=shape)


def flipped(x: Node, axes: Sequence[int]) -> Node:
    """flip(x), where there is something to turn"""
    axes = tuple([a for a in axes if x.shape[a] > 1])
    return mv.flip(x, axes=axes) if axes else x


def without(x: Node, axes: Sequence[int]) -> Node:
    """x without these axes, which have length 1."""
    return reshaped(x, tuple([n for i, n in enumerate(x.shape) if i not in axes]))


# --------------------------------------------------------------------------- pad
def padded(x: Node, widths: Sequence[tuple[int, int]]) -> Node:
    """x with zeros before and behind it; a negative width cuts off."""
    kept = [(max(-lo, 0), min(n, n + hi), 1) for n, (lo, hi) in zip(x.shape, widths)]
    shape = tuple([n + lo + hi for n, (lo, hi) in zip(x.shape, widths)])
    if is_constant(x, 0) or any(start >= stop for start, stop, _ in kept):
        return constant(0, spec(shape, x.dtype))
    x = sliced(x, tuple(kept))
    more = [(max(lo, 0), max(hi, 0), 0) for lo, hi in widths]
    if not any(map(any, more)):
        return x
    if pending(x, mv.pad) and is_border(x):
        more = [(a + c, b + d, 0) for (a, b, _), (c, d, _) in zip(more, x.attrs["widths"])]
        x = x.inputs[0]
    return mv.pad(x, widths=tuple(more))


def is_border(x: Node) -> bool:
    """Whether a padding puts nothing between the elements."""
    return not any(inner for _, _, inner in x.attrs["widths"])


def padded_axis(x: Node) -> int | None:
    """The axis along which x is a padding, if that is one axis."""
    if not pending(x, mv.pad) or 0 in x.inputs[0].shape:
        return None
    axes = [i for i, w in enumerate(x.attrs["widths"]) if any(w)]
    return axes[0] if len(axes) == 1 and not x.attrs["widths"][axes[0]][2] else None


def extent(x: Node, axis: int) -> tuple[int, int]:
    """From where to where the elements of a padding lie."""
    before = x.attrs["widths"][axis][0]
    return before, before + x.inputs[0].shape[axis]


def spread(x: Node, widths: Sequence[tuple[int, int, int]]) -> Node:
    """pad(x) with zeros between the elements, by way of a new axis behind each one."""
    between = [inner if n > 1 else 0 for n, (_, _, inner) in zip(x.shape, widths)]
    if any(between):
        apart = reshaped(x, tuple([m for n in x.shape for m in (n, 1)]))
        apart = padded(apart, [w for inner in between for w in ((0, 0), (0, inner))])
        x = reshaped(apart, tuple([n * (1 + inner) for n, inner in zip(x.shape, between)]))
    return padded(x, [(lo, hi - inner) for (lo, hi, _), inner in zip(widths, between)])


# --------------------------------------------------------------------------- slice
def sliced(x: Node, bounds: Bounds, deep: int = DEEPEST) -> Node:
    """slice(x), looked for at most so deep below x."""
    bounds = tuple(bounds)
    if bounds == tuple(whole(x.shape)):
        return x
    if x.value is None and deep:
        rule = _SLICES.get(x.op)
        found = rule(x, bounds, deep - 1) if rule is not None else None
        if found is not None:
            return found
    return mv.slice_(x, bounds=bounds)


def _of_slice(x: Node, bounds: Bounds, deep: int) -> Node:
    found = []
    for (start, _, step), outer in zip(x.attrs["bounds"], bounds):
        count, begin = len(range(*outer)), start + outer[0] * step
        stride = step * outer[2] if count > 1 else 1
        found.append((begin, begin + (count - 1) * stride + 1 if count else begin, stride))
    return sliced(x.inputs[0], tuple(found), deep)


def _of_permute(x: Node, bounds: Bounds, deep: int) -> Node:
    axes = x.attrs["axes"]
    inner = tuple([bounds[i] for i in inverse(axes)])
    return permuted(sliced(x.inputs[0], inner, deep), axes)


def _of_expand(x: Node, bounds: Bounds, deep: int) -> Node:
    (z,) = x.inputs
    inner = [(0, 1, 1) if m == 1 != n else b for m, n, b in zip(z.shape, x.shape, bounds)]
    return expanded(sliced(z, tuple(inner), deep), sliced_shape(bounds))


def _of_reshape(x: Node, bounds: Bounds, deep: int) -> Node | None:
    (z,) = x.inputs
    inner = below_reshape(z.shape, x.shape, bounds)
    return None if inner is None else reshaped(sliced(z, inner, deep), sliced_shape(bounds))


def below_reshape(inner: Shape, outer: Shape, bounds: Bounds) -> Bounds | None:
    """What to slice before a reshape from `inner` to `outer`, instead of behind it."""
    if 0 in sliced_shape(bounds):
        return None
    if [n for n in inner if n != 1] == [n for n in outer if n != 1]:
        # Axes of length 1 come and go.
        kept = iter([b for n, b in zip(outer, bounds) if n != 1])
        return tuple([(0, 1, 1) if n == 1 else next(kept) for n in inner])
    cut = [i for i, (b, n) in enumerate(zip(bounds, outer)) if b != (0, n, 1)]
    same = len(outer) - cut[0]
    if inner[-same:] == outer[-same:]:
        return (*whole(inner[:-same]), *bounds[-same:])
    start, stop, step = bounds[0]
    if cut == [0] and step == 1 and inner and inner[0] % outer[0] == 0:
        m = inner[0] // outer[0]  # rows of the one are several rows of the other
        return ((start * m, stop * m, 1), *whole(inner[1:]))
    return None


def _of_pad(x: Node, bounds: Bounds, deep: int) -> Node | None:
    (z,) = x.inputs
    shape = sliced_shape(bounds)
    if not is_border(x) or 0 in shape:
        return None
    inner, widths = [], []
    for n, (lo, _, _), (start, _, step), count in zip(z.shape, x.attrs["widths"], bounds, shape):
        first, last = start - lo, start - lo + (count - 1) * step
        if last < 0 or first >= n:
            return constant(0, spec(shape, x.dtype))
        if step != 1 and not 0 <= first <= last < n:
            return None
        widths.append((max(-first, 0), max(last - n + 1, 0)))
        inner.append((max(first, 0), min(last + 1, n), step))
    return padded(sliced(z, tuple(inner), deep), widths)


# Where the parts of a cat end: a cat of many is sliced many times.
_ends: WeakKeyDictionary[Node, list[int]] = WeakKeyDictionary()


def _of_cat(x: Node, bounds: Bounds, deep: int) -> Node | None:
    axis = x.attrs["axis"]
    start, stop, step = bounds[axis]
    count = len(range(start, stop, step))
    ends = _ends.get(x)
    if ends is None:
        ends = _ends[x] = list(accumulate(p.shape[axis] for p in x.inputs))
    first, last = bisect_right(ends, start), bisect_right(ends, start + (count - 1) * step)
    if not count or (first != last and (step != 1 or last - first + 1 == len(x.inputs))):
        return None
    found = []
    for i in range(first, last + 1):
        before = ends[i] - x.inputs[i].shape[axis]
        here = (max(start - before, 0), min(stop, ends[i]) - before, step)
        found.append(sliced(x.inputs[i], (*bounds[:axis], here, *bounds[axis + 1 :]), deep))
    return joined(found, axis)


def _of_window(x: Node, bounds: Bounds, deep: int) -> Node | None:
    if 0 in sliced_shape(bounds):
        return None
    size, stride, dilation = (x.attrs[k] for k in ("size", "stride", "dilation"))
    lead = x.ndim - 2 * len(size)
    inner, sizes, strides, dilations = list(bounds[:lead]), [], [], []
    for i, (s, d) in enumerate(zip(stride, dilation)):
        at, tap = bounds[lead + i], bounds[lead + len(size) + i]
        count, taps = len(range(*at)), len(range(*tap))
        start = at[0] * s + tap[0] * d
        sizes.append(taps)
        strides.append(s * at[2])
        dilations.append(d * tap[2])
        reach = (count - 1) * strides[-1] + (taps - 1) * dilations[-1] + 1
        inner.append((start, start + reach, 1))
    return mv.window(sliced(x.inputs[0], tuple(inner), deep), size=tuple(sizes),
                     stride=tuple(strides), dilation=tuple(dilations))


_SLICES = {
    ew.constant: lambda x, bounds, deep: _in_shape(x, sliced_shape(bounds)),
    mv.slice_: _of_slice,
    mv.permute: _of_permute,
    expand: _of_expand,
    reshape: _of_reshape,
    mv.pad: _of_pad,
    mv.cat: _of_cat,
    mv.window: _of_window,
}


# --------------------------------------------------------------------------- cat
def joined(parts: Sequence[Node], axis: int) -> Node:
    """cat(*parts); of parts that are one row each, the rows are joined at their first axis.

    So that the same parts, stacked here and joined there, are one cat.
    """
    first = parts[0]
    if len(parts) == 1:
        return first
    if axis == 0 and first.ndim > 1 and all(p.shape[0] == 1 for p in parts):
        rows = joined([without(p, (0,)) for p in parts], 0)
        return reshaped(rows, (len(parts), *first.shape[1:]))
    found = _rows_of_one(parts) if axis == 0 else None
    return found or _neighbours(parts, axis) or mv.cat(*parts, axis=axis)


def row_of(x: Node) -> tuple[Node, int, int] | None:
    """(base, axis, index) where x is base[..., index, ...], without that axis."""
    if not pending(x, reshape) or not pending(x.inputs[0], mv.slice_):
        return None
    cut = x.inputs[0]
    (base,), bounds = cut.inputs, cut.attrs["bounds"]
    axes = [i for i, (b, n) in enumerate(zip(bounds, base.shape)) if b != (0, n, 1)]
    if len(axes) != 1 or cut.shape[axes[0]] != 1:
        return None
    (axis,) = axes
    return (base, axis, bounds[axis][0]) if x.shape == _drop(base.shape, axis) else None


def rows(base: Node, axis: int, start: int, stop: int) -> Node:
    """base[..., start:stop, ...] with that axis in front."""
    bounds = whole(base.shape)
    bounds[axis] = (start, stop, 1)
    return permuted(sliced(base, tuple(bounds)), (axis, *_drop(tuple(range(base.ndim)), axis)))


def _drop(items: tuple, at: int) -> tuple:
    return (*items[:at], *items[at + 1 :])


def _rows_of_one(parts: Sequence[Node]) -> Node | None:
    """A cat of rows of one tensor, one after the other, is that tensor."""
    found = [row_of(p) for p in parts]
    if found[0] is None:
        return None
    base, axis, start = found[0]
    if any(f != (base, axis, start + i) for i, f in enumerate(found)):
        return None
    first = parts[0].shape
    return reshaped(rows(base, axis, start, start + len(parts)),
                    (len(parts) * first[0], *first[1:]))


def _neighbours(parts: Sequence[Node], axis: int) -> Node | None:
    """A cat of slices that lie side by side is one slice."""
    if not all(pending(p, mv.slice_) and p.inputs[0] is parts[0].inputs[0] for p in parts):
        return None
    bounds = [p.attrs["bounds"] for p in parts]
    first, last = bounds[0], bounds[-1]
    others = _drop(first, axis)
    beside = all(b[axis][0] == a[axis][1] for a, b in zip(bounds, bounds[1:]))
    if not beside or any(b[axis][2] != 1 or _drop(b, axis) != others for b in bounds):
        return None
    whole_row = (first[axis][0], last[axis][1], 1)
    return sliced(parts[0].inputs[0], (*first[:axis], whole_row, *first[axis + 1 :]))
