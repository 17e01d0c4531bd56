"""Fold without windows in memory: as movement, as a contraction, or as a sum over the taps.

With out[o s + k d - start] += x[o, k], the positions p = q s + r of one residue r are met by the
taps k = k_r + j s/g, where g = gcd(s, d), and these see q = o + e_r + j d/g.  So each residue is a
problem of stride 1 with fewer taps, and the results are interleaved.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import product
from math import gcd, prod

from ..graph import Node
from ..ops import elementwise as ew
from ..ops import movement as mv
from ..ops.movement import Bounds
from ..shapes import spec
from .moves import constant, flipped, joined, padded, permuted, reshaped, sliced, whole
from .products import Three, contracted

MOST_TAPS = 36  # a sum of more is left to the op itself
MOST_RESIDUES = 36

Product = tuple[Node, Node, Three]  # the operands of a contraction and its labels


@dataclass(frozen=True)
class Axis:
    """One of the axes that are folded: `count` windows of `size` taps onto `length` places."""

    count: int
    size: int
    stride: int
    dilation: int
    start: int
    length: int

    @property
    def reach(self) -> int:
        return (self.size - 1) * self.dilation + 1

    @property
    def step(self) -> int:
        """How far apart the taps of one residue are."""
        return self.stride // gcd(self.stride, self.dilation)

    @property
    def apart(self) -> int:
        """How far apart these taps see the windows."""
        return self.dilation // gcd(self.stride, self.dilation)

    @property
    def rows(self) -> int:
        return -(-self.length // self.stride)

    def taps(self, residue: int) -> Taps | None:
        """The taps that meet places of this residue; None where none does."""
        for k in range(min(self.step, self.size)):
            offset, rest = divmod(k * self.dilation - self.start - residue, self.stride)
            if not rest:
                return Taps(self, k, -(-(self.size - k) // self.step), offset)
        return None


@dataclass(frozen=True)
class Taps:
    """The taps first, first + step ...: the j-th of them sees q = o + offset + j apart."""

    axis: Axis
    first: int
    count: int
    offset: int

    @property
    def bounds(self) -> tuple[int, int, int]:
        step = self.axis.step if self.count > 1 else 1
        return (self.first, self.first + (self.count - 1) * step + 1, step)

    def widths(self, j: int) -> tuple[int, int]:
        """What to put around the windows, so that they lie where the tap j sees them."""
        before = self.offset + j * self.axis.apart
        return before, self.axis.rows - before - self.axis.count


def folded(x: Node, bounds: Bounds, product: Product | None, stride, dilation) -> Node | None:
    """slice(fold(x)) by `bounds` of step 1 of the folded axes, or None where the op itself is
    best.  `product` says of what x is the contraction, if nothing else needs it."""
    rank = len(bounds)
    lead = x.ndim - 2 * rank
    counts, size = x.shape[lead : lead + rank], x.shape[lead + rank :]
    if 0 in x.shape or any(stop <= start for start, stop, _ in bounds):
        return None
    axes = []
    for n, k, s, d, (start, stop, _) in zip(counts, size, stride, dilation, bounds):
        axes.append(Axis(n, k, s if n > 1 else 1, d if k > 1 else 1, start, stop - start))
    if all(a.stride >= a.reach or a.count == 1 for a in axes):
        disjoint = [replace(a, stride=max(a.stride, a.reach)) for a in axes]
        return _side_by_side(x, disjoint, product)
    if prod(a.stride for a in axes) > MOST_RESIDUES:
        return None
    problem = _spread_product(product, axes) if product is not None else None
    if problem is None and prod(size) <= MOST_TAPS:
        problem = _sum_of_taps(x, axes)
    return problem and _interleaved(x, axes, problem)


def _side_by_side(x: Node, axes: Sequence[Axis], product: Product | None) -> Node:
    """Windows that do not overlap: every place has one tap of one window, or none."""
    rank, lead = len(axes), x.ndim - 2 * len(axes)
    outer = x.shape[:lead]
    turned = (*range(lead), *(lead + i + k * rank for i in range(rank) for k in (0, 1)))
    if product is None:
        x = permuted(x, turned)
    else:
        g, w, (gl, wl, ol) = product
        x = contracted(g, w, (gl, wl, tuple([ol[a] for a in turned])))
    if any(a.dilation > 1 for a in axes):
        x = reshaped(x, (*outer, *(n for a in axes for n in (a.count, a.size, 1))))
        x = padded(x, [(0, 0)] * lead + [w for a in axes for w in ((0, 0),) * 2 + (
            (0, a.dilation - 1),)])
        x = reshaped(x, (*outer, *(n for a in axes for n in (a.count, a.size * a.dilation))))
    x = padded(x, [(0, 0)] * lead + [
        w for a in axes for w in ((0, 0), (0, a.stride - a.size * a.dilation))])
    x = reshaped(x, (*outer, *(a.count * a.stride for a in axes)))
    return padded(x, [(0, 0)] * lead + [
        (-a.start, a.start + a.length - a.count * a.stride) for a in axes])


# --------------------------------------------------------------------------- residues
Problem = Callable[[Sequence[Taps]], Node]  # what one residue of every axis gets: (*L, *rows)


def _interleaved(x: Node, axes: Sequence[Axis], problem: Problem) -> Node:
    """The rows of all residues, which take turns; along the last axis first, where it is done
    within a row, and then whole rows take turns."""
    lead = x.shape[: x.ndim - 2 * len(axes)]
    zero = constant(0, spec((*lead, *(a.rows for a in axes)), x.dtype))
    parts = []
    for residues in product(*[range(a.stride) for a in axes]):
        taps = [t for a, r in zip(axes, residues) if (t := a.taps(r)) is not None]
        parts.append(problem(taps) if len(taps) == len(axes) else zero)
    for i in reversed(range(len(axes))):
        n = axes[i].stride  # the residue of the last axis runs fastest
        parts = [_alternating(parts[k : k + n], len(lead) + i) for k in range(0, len(parts), n)]
    return padded(parts[0], [(0, 0)] * len(lead) + [
        (0, a.length - a.rows * a.stride) for a in axes])


def _alternating(parts: Sequence[Node], axis: int) -> Node:
    """The first of every part, the second of every part ... along an axis."""
    if len(parts) == 1:
        return parts[0]
    shape = parts[0].shape
    split = (*shape[: axis + 1], 1, *shape[axis + 1 :])
    both = joined([reshaped(p, split) for p in parts], axis + 1)
    return reshaped(both, (*shape[:axis], shape[axis] * len(parts), *shape[axis + 1 :]))


def _sum_of_taps(x: Node, axes: Sequence[Axis]) -> Problem:
    rank, lead = len(axes), x.ndim - 2 * len(axes)

    def problem(taps: Sequence[Taps]) -> Node:
        terms = []
        for places in product(*[range(t.count) for t in taps]):
            at = [t.first + j * t.axis.step for t, j in zip(taps, places)]
            one = sliced(x, (*whole(x.shape[: lead + rank]), *((k, k + 1, 1) for k in at)))
            one = reshaped(one, x.shape[: lead + rank])
            terms.append(padded(one, [(0, 0)] * lead + [
                t.widths(j) for t, j in zip(taps, places)]))
        return reduce(ew.add, terms)

    return problem


def _spread_product(x: Product, axes: Sequence[Axis]) -> Problem | None:
    """For windows that are products of `g` (n, f, *O) and `w` (f, c, *K): instead of summing what
    all windows give, each place collects from the windows that it lies in."""
    found = _roles(x, len(axes))
    if found is None:
        return None
    g, w, (gl, wl, ol) = found
    rank = len(axes)
    at, tap = ol[-2 * rank : -rank], ol[-rank:]
    others = tuple([a for a in gl if a not in at])
    g = permuted(g, [gl.index(a) for a in (*others, *at)])
    turned = [wl.index(a) for a in tap]

    def problem(taps: Sequence[Taps]) -> Node:
        widths = []
        for t in taps:  # taps are taken from the last one on
            before, behind = t.widths(t.count - 1)
            widths.append((before, behind + (t.count - 1) * t.axis.apart))
        seen = mv.window(
            padded(g, [(0, 0)] * len(others) + widths), size=tuple([t.count for t in taps]),
            stride=(1,) * rank, dilation=tuple([t.axis.apart for t in taps]))
        bounds = whole(w.shape)
        for place, t in zip(turned, taps):
            bounds[place] = t.bounds
        kernel = flipped(sliced(w, tuple(bounds)), turned)
        return contracted(seen, kernel, ((*others, *at, *tap), wl, ol[:-rank]))

    return problem


def _roles(x: Product, rank: int) -> Product | None:
    """The operand that has the windows' places, and the one that has their taps."""
    a, b, (al, bl, ol) = x
    at, tap = set(ol[-2 * rank : -rank]), set(ol[-rank:])
    for g, gl, w, wl in ((a, al, b, bl), (b, bl, a, al)):
        if at <= set(gl) and tap <= set(wl) and not at & set(wl) and not tap & set(gl):
            return g, w, (gl, wl, ol)
    return None
