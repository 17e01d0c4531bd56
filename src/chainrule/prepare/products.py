"""Contractions, recorded in their simplest form.

What an operand's axes are called is all that a permute changes, so none is left on an operand.
A stretched axis is taken out; what has no inner or no outer labels left is a product element by
element.
"""

from __future__ import annotations

from ..graph import Node
from ..ops import elementwise as ew
from ..ops import movement as mv
from ..ops.contraction import Labels, contract
from ..ops.movement import Bounds
from ..ops.op import expand, sum_
from ..shapes import spec
from .factors import summed
from .moves import (
    constant,
    expanded,
    is_border,
    padded,
    pending,
    permuted,
    reshaped,
    sliced,
    without,
)

Three = tuple[Labels, Labels, Labels]


def contracted(x: Node, y: Node, labels: Three) -> Node:
    """contract(x, y)"""
    xl, yl, ol = labels
    x, xl = _unpermuted(x, xl)
    y, yl = _unpermuted(y, yl)
    if not x.dtype.is_floating_point:
        return contract(x, y, labels=(xl, yl, ol))
    if pending(x, mv.pad) or pending(y, mv.pad):
        found = _unpadded(x, y, (xl, yl, ol))
        if found is not None:
            return found
    size = dict(zip(xl, x.shape)) | dict(zip(yl, y.shape))
    shape = tuple([size[a] for a in ol])
    for _ in range(2):  # the one operand, then the other
        x, xl, y, yl = _unstretched(y, yl, x, xl, ol)
    kept = tuple([a for a in ol if a in xl or a in yl])
    found = _simple(x, y, (xl, yl, kept), size)
    return found if kept == ol else _stretched(found, kept, ol, shape)


def _unpermuted(x: Node, labels: Labels) -> tuple[Node, Labels]:
    while pending(x, mv.permute):
        found = dict(zip(x.attrs["axes"], labels))
        x, labels = x.inputs[0], tuple([found[a] for a in range(x.ndim)])
    return x, labels


def _unpadded(x: Node, y: Node, labels: Three) -> Node | None:
    """Zeros around an operand are not multiplied: the other one is cut, the result is padded."""
    xl, yl, ol = labels
    (x, around_x), (y, around_y) = _core(x, xl), _core(y, yl)
    if not (around_x or around_y) or around_x.keys() & around_y.keys():
        return None
    x, y = _cut(x, xl, around_y), _cut(y, yl, around_x)
    outside = around_x | around_y
    return padded(contracted(x, y, labels), [outside.get(a, (0, 0)) for a in ol])


def _cut(x: Node, labels: Labels, outside: dict[int, tuple[int, int]]) -> Node:
    widths = [outside.get(a, (0, 0)) for a in labels]
    return padded(x, [(-lo, -hi) for lo, hi in widths])


def _core(x: Node, labels: Labels) -> tuple[Node, dict[int, tuple[int, int]]]:
    """x without its border of zeros, and how wide that is along which labels."""
    if not pending(x, mv.pad) or not is_border(x):
        return x, {}
    widths = zip(labels, x.attrs["widths"])
    return x.inputs[0], {a: (lo, hi) for a, (lo, hi, _) in widths if lo or hi}


def _unstretched(x: Node, xl: Labels, y: Node, yl: Labels, ol: Labels):
    """x without the axes along which it repeats itself; along inner ones y is summed instead."""
    gone = _repeated(x)
    if not gone:
        return x, xl, y, yl
    inner = [a for i, a in enumerate(xl) if i in gone and a not in ol]
    if inner:
        y = summed(y, tuple([i for i, a in enumerate(yl) if a in inner]))
        yl = tuple([a for a in yl if a not in inner])
    if pending(x, ew.constant):
        x = constant(x.attrs["value"], spec((), x.dtype))
    else:
        x = without(x.inputs[0], gone)
    return x, tuple([a for i, a in enumerate(xl) if i not in gone]), y, yl


def _repeated(x: Node) -> list[int]:
    """The axes along which all elements are the same."""
    if pending(x, ew.constant):
        return list(range(x.ndim))
    if not pending(x, expand) or x.inputs[0].ndim != x.ndim:
        return []
    return [i for i, (n, m) in enumerate(zip(x.inputs[0].shape, x.shape)) if n != m]


def _stretched(x: Node, kept: Labels, ol: Labels, shape) -> Node:
    single = tuple([n if a in kept else 1 for a, n in zip(ol, shape)])
    return expanded(reshaped(x, single), shape)


def _simple(x: Node, y: Node, labels: Three, size: dict[int, int]) -> Node:
    xl, yl, ol = labels
    inner = [a for a in xl if a in yl and a not in ol]
    if all(size[a] == 1 for a in inner):
        return _product(_without(x, xl, inner), _without(y, yl, inner), labels, inner)
    if all(size[a] == 1 or (a in xl and a in yl) for a in ol) or (
            _is_correlation(x, xl, yl, ol, size) or _is_correlation(y, yl, xl, ol, size)):
        both = (*ol, *inner)
        product = ew.mul(_aligned(x, xl, both), _aligned(y, yl, both))
        return sum_(product, axis=tuple(range(len(ol), len(both))))
    return contract(x, y, labels=labels)


def _is_correlation(x: Node, xl: Labels, yl: Labels, ol: Labels, size: dict[int, int]) -> bool:
    """Whether every tap of windows is multiplied with one and the same tensor: the gradient of
    a depthwise convolution's weight."""
    if not pending(x, mv.window) or not {a for a in yl if size[a] > 1} < set(xl):
        return False
    taps = xl[-len(x.attrs["size"]) :]
    return all(a in ol and a not in yl for a in taps)


def _without(x: Node, labels: Labels, gone: list[int]) -> Node:
    return without(x, [i for i, a in enumerate(labels) if a in gone])


def _product(x: Node, y: Node, labels: Three, inner: list[int]) -> Node:
    xl, yl = (tuple([a for a in ls if a not in inner]) for ls in labels[:2])
    return ew.mul(_aligned(x, xl, labels[2]), _aligned(y, yl, labels[2]))


def _aligned(x: Node, labels: Labels, out: Labels) -> Node:
    """x with its axes in the order of `out`; labels that it has not get an axis of length 1."""
    x = permuted(x, [labels.index(a) for a in out if a in labels])
    size = iter(x.shape)
    return reshaped(x, tuple([next(size) if a in labels else 1 for a in out]))


# --------------------------------------------------------------------------- movement above
def relabelled(x: Node, axes: tuple[int, ...]) -> Node:
    """permute(contract)"""
    xl, yl, ol = x.attrs["labels"]
    return contracted(x.inputs[0], x.inputs[1], (xl, yl, tuple([ol[a] for a in axes])))


def part(x: Node, bounds: Bounds) -> Node:
    """slice(contract): only what is asked for"""
    xl, yl, ol = x.attrs["labels"]
    asked = dict(zip(ol, bounds))
    parts = [
        sliced(z, tuple([asked.get(a, (0, n, 1)) for a, n in zip(ls, z.shape)]))
        for z, ls in zip(x.inputs, (xl, yl))
    ]
    return contracted(parts[0], parts[1], (xl, yl, ol))
