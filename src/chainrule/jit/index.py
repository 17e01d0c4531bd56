"""Where an element comes from: index maps through movement ops.

The index of a node's element is one linear expression of loop variables per axis.  A movement op
turns the index of its output into the index of its input, so it costs nothing: no copy is made.
Where the map is not linear (a reshape of axes that do not nest, say) `NotLinear` is raised, and
the caller stores the value in memory first, from where any flat index can be read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from ..graph import Node
from ..ops import movement as mv
from ..ops.op import expand, reshape


class NotLinear(Exception):
    """The element of `node` cannot be found by linear expressions: store it first."""

    def __init__(self, node: Node):
        super().__init__(node)
        self.node = node


@dataclass(frozen=True, slots=True)
class Linear:
    """offset + sum of coefficient * variable, the variables in ascending order."""

    offset: int
    terms: tuple[tuple[int, int], ...] = ()  # (variable, coefficient)

    def __add__(self, other: Linear | int) -> Linear:
        if isinstance(other, int):
            return Linear(self.offset + other, self.terms)
        if not other.terms:
            return Linear(self.offset + other.offset, self.terms)
        found = dict(self.terms)
        for v, c in other.terms:
            found[v] = found.get(v, 0) + c
        return Linear(self.offset + other.offset, _ordered(found))

    def __mul__(self, factor: int) -> Linear:
        if not factor:
            return ZERO
        return Linear(self.offset * factor, tuple([(v, c * factor) for v, c in self.terms]))

    @property
    def variables(self) -> list[int]:
        return [v for v, _ in self.terms]

    def coefficient(self, variable: int) -> int:
        for v, c in self.terms:
            if v == variable:
                return c
        return 0

    def __str__(self) -> str:
        parts = [f"i{v}" if c == 1 else f"{c} i{v}" for v, c in self.terms]
        if self.offset or not parts:
            parts.append(str(self.offset))
        return " + ".join(parts)


ZERO = Linear(0)
Index = tuple[Linear, ...]


def _ordered(terms: dict[int, int]) -> tuple[tuple[int, int], ...]:
    return tuple(sorted((v, c) for v, c in terms.items() if c))


@dataclass(frozen=True, slots=True)
class Guard:
    """The element exists where 0 <= place < size; elsewhere it is 0 and is not read."""

    place: Linear
    size: int

    def __str__(self) -> str:
        return f"0 <= {self.place} < {self.size}"


def row_major(shape: Sequence[int]) -> list[int]:
    """How far apart neighbours along each axis lie, in elements."""
    steps = [1] * len(shape)
    for i in range(len(shape) - 2, -1, -1):
        steps[i] = steps[i + 1] * shape[i + 1]
    return steps


class Space:
    """The variables of one kernel.  Some are split in two when a reshape asks for it; some hold a
    value found in memory (`found`: the row an index names)."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.splits: dict[int, tuple[int, int, int]] = {}  # v -> (high, low, size of low)
        self.found: dict[int, tuple[Node, Index]] = {}
        self.wraps: set[int] = set()
        self._found: dict[tuple, int] = {}

    def new(self, size: int) -> Linear:
        """A variable of this size, as an expression; none is needed for size 1."""
        if size == 1:
            return ZERO
        self.sizes.append(size)
        return Linear(0, ((len(self.sizes) - 1, 1),))

    def at(self, node: Node, index: Index, size: int, wraps: bool) -> Linear:
        """The variable whose value is that element of `node`, an index below `size`; one that
        `wraps` may count from the end."""
        key = (node, self.resolved(index), size, wraps)
        if key not in self._found:
            self.sizes.append(size)
            self._found[key] = len(self.sizes) - 1
            self.found[len(self.sizes) - 1] = (node, index)
            if wraps:
                self.wraps.add(len(self.sizes) - 1)
        return Linear(0, ((self._found[key], 1),))

    def split(self, v: int, low: int) -> None:
        """v = high * low_size + low"""
        self.sizes += [self.sizes[v] // low, low]
        self.splits[v] = (len(self.sizes) - 2, len(self.sizes) - 1, low)

    def resolve(self, x: Linear) -> Linear:
        """x in variables that are not split."""
        if not self.splits or not any(v in self.splits for v, _ in x.terms):
            return x
        found: dict[int, int] = {}
        stack = list(x.terms)
        while stack:
            v, c = stack.pop()
            if v in self.splits:
                high, low, n = self.splits[v]
                stack += [(high, c * n), (low, c)]
            else:
                found[v] = found.get(v, 0) + c
        return Linear(x.offset, _ordered(found))

    def resolved(self, index: Index) -> Index:
        return tuple([self.resolve(x) for x in index]) if self.splits else index

    def variables(self, index: Index) -> set[int]:
        """The loop variables that an index depends on, also through found ones."""
        stack = [v for x in self.resolved(index) for v in x.variables]
        result: set[int] = set()
        while stack:
            v = stack.pop()
            if v in self.found:
                stack += self.variables(self.found[v][1])
            else:
                result.add(v)
        return result

    # ------------------------------------------------------------------ flat and back
    def flat(self, index: Index, shape: Sequence[int]) -> Linear:
        """The place of an element in row-major memory."""
        total = ZERO
        for x, step in zip(index, row_major(shape)):
            total = total + x * step
        return self.resolve(total)

    def unflatten(self, place: Linear, shape: Sequence[int], node: Node) -> Index:
        """The index into `shape` of a flat place; splits variables that reach over an axis."""
        if 0 in shape:
            return (ZERO,) * len(shape)
        while True:
            place = self.resolve(place)
            found = self._peel(place, shape, node)
            if found is not None:
                return found

    def _peel(self, place: Linear, shape: Sequence[int], node: Node) -> Index | None:
        steps = row_major(shape)
        axes = [k for k, n in enumerate(shape) if n > 1]
        parts: list[dict[int, int]] = [{} for _ in shape]
        offset = place.offset
        low = [0] * len(shape)
        high = [0] * len(shape)
        for v, c in place.terms:
            size = self.sizes[v]
            if c < 0:
                offset += c * (size - 1)
            k = next((k for k in axes if steps[k] <= abs(c)), None)
            if k is None or c % steps[k]:
                raise NotLinear(node)
            top = steps[k] * shape[k]
            if abs(c) * (size - 1) >= top:
                fits, rest = divmod(top, abs(c))
                if rest or fits < 2 or size % fits or v in self.found or c < 0:
                    raise NotLinear(node)
                self.split(v, fits)
                return None
            parts[k][v] = c // steps[k]
            high[k] += abs(c) // steps[k] * (size - 1)
            low[k] += -(c // steps[k] * (size - 1)) if c < 0 else 0
        result = []
        for k, n in enumerate(shape):
            here = offset // steps[k] % n if n > 1 else 0
            offset -= here * steps[k]
            if here + high[k] >= n:
                raise NotLinear(node)
            result.append(Linear(here + low[k], _ordered(parts[k])))
        if offset:
            raise NotLinear(node)
        return tuple(result)


# --------------------------------------------------------------------------- movement
Part = tuple[int, Index, tuple[Guard, ...]]  # (number of the input, its index, where it counts)


def parts(space: Space, node: Node, index: Index) -> list[Part]:
    """Where an element of a movement op comes from: the first part whose guards hold, else 0."""
    rule = _RULES.get(node.op)
    if rule is None:
        raise NotLinear(node)
    return rule(space, node, index, **node.attrs)


def _reshape(space, node, index, shape):
    x = node.inputs[0]
    return [(0, space.unflatten(space.flat(index, node.shape), x.shape, node), ())]


def _permute(space, node, index, axes):
    return [(0, tuple([index[i] for i in mv.inverse(axes)]), ())]


def stretched(index: Index, shape: Sequence[int]) -> Index:
    """The index of an input of `shape` under broadcasting: a stretched axis has one element."""
    lead = len(index) - len(shape)
    return tuple([ZERO if n == 1 else x for n, x in zip(shape, index[lead:])])


def _expand(space, node, index, shape):
    return [(0, stretched(index, node.inputs[0].shape), ())]


def _flip(space, node, index, axes):
    return [(0, tuple([
        x * -1 + (n - 1) if i in axes else x for i, (x, n) in enumerate(zip(index, node.shape))
    ]), ())]


def _slice(space, node, index, bounds):
    return [(0, tuple([x * step + start for x, (start, _, step) in zip(index, bounds)]), ())]


def _inside(index: Index, bounds, node: Node) -> tuple[Index, tuple[Guard, ...]]:
    """An index relative to a box, and the guards that say whether it lies inside."""
    moved, guards = [], []
    for x, n, (start, stop, step) in zip(index, node.shape, bounds):
        if step != 1 and stop - start > 1:
            raise NotLinear(node)
        moved.append(x + -start)
        if (start, stop) != (0, n):
            guards.append(Guard(moved[-1], stop - start))
    return tuple(moved), tuple(guards)


def _pad(space, node, index, widths):
    if any(inner for _, _, inner in widths):
        raise NotLinear(node)
    bounds = [(lo, lo + n, 1) for n, (lo, _, _) in zip(node.inputs[0].shape, widths)]
    moved, guards = _inside(index, bounds, node)
    return [(0, moved, guards)]


MOST_PARTS = 4  # a cat of more is stored: every element would ask all of them


def _cat(space, node, index, axis):
    if len(node.inputs) > MOST_PARTS:
        raise NotLinear(node)
    found, start = [], 0
    for i, x in enumerate(node.inputs):
        moved = index[axis] + -start
        guards = (Guard(moved, x.shape[axis]),)
        found.append((i, (*index[:axis], moved, *index[axis + 1 :]), guards))
        start += x.shape[axis]
    return found


def _setslice(space, node, index, bounds):
    moved, guards = _inside(index, bounds, node)
    written = (1, stretched(moved, node.inputs[1].shape), guards)
    return [written, (0, index, ())] if guards else [written]


def _window(space, node, index, size, stride, dilation):
    lead = len(index) - 2 * len(size)
    outer, taps = index[lead : lead + len(size)], index[lead + len(size) :]
    moved = [o * s + t * d for o, t, s, d in zip(outer, taps, stride, dilation)]
    return [(0, (*index[:lead], *moved), ())]


_RULES: dict[Any, Callable[..., list[Part]]] = {
    reshape: _reshape, expand: _expand, mv.permute: _permute, mv.flip: _flip, mv.slice_: _slice,
    mv.pad: _pad, mv.cat: _cat, mv.setslice: _setslice, mv.window: _window,
}


# --------------------------------------------------------------------------- upwards
def lifted(space: Space, node: Node, index: Sequence[Linear | None]) -> list[Linear | None] | None:
    """The index of a movement op's output from that of its first input; an axis that the input
    does not tell is None; nothing at all is known of ops that choose."""
    x = node.inputs[0]
    if node.op is mv.permute:
        return [index[a] for a in node.attrs["axes"]]
    if node.op is expand:
        return [i if n == m else None for i, n, m in zip(index, x.shape, node.shape)]
    if node.op is reshape:
        return _lifted_reshape(space, node, index)
    return None


def _lifted_reshape(space, node, index):
    if all(i is not None for i in index):
        return list(space.unflatten(space.flat(index, x_shape(node)), node.shape, node))
    # Axes of length 1 come and go; the others keep their index, known or not.
    kept = iter([i for i, n in zip(index, x_shape(node)) if n != 1])
    if [n for n in x_shape(node) if n != 1] != [n for n in node.shape if n != 1]:
        return None
    return [ZERO if n == 1 else next(kept) for n in node.shape]


def x_shape(node: Node) -> tuple[int, ...]:
    return node.inputs[0].shape


def extent(sizes: Sequence[int]) -> int:
    return prod(sizes)
