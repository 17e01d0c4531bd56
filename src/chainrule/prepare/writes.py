"""Row after row written into a tensor: what is read of it is the row, and the whole is a cat.

A row is written by setslice, added by the sum with a padding, as the gradients of reads are, or
appended by cat.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce

from ..graph import Node, is_pending, toposort
from ..ops import elementwise as ew
from ..ops import movement as mv
from ..ops.movement import Bounds
from ..rewrite import again, rebuild
from ..shapes import Shape
from .moves import expanded, extent, joined, padded_axis, pending, reshaped, sliced, whole
from .walk import once

MOST_WRITES = 8  # that are added up once more for a read between them


@dataclass(frozen=True)
class Write:
    """x with `value` put into, or added to, `width` places from `start` on along an axis."""

    x: Node
    value: Node
    axis: int
    start: int
    width: int
    adds: bool


@dataclass
class Chain:
    """Writes one after the other, each to some block of `width` places along one axis."""

    base: Node
    axis: int
    width: int
    offset: int  # where the first of the blocks begins
    writes: list[Write] = field(default_factory=list)
    at: dict[int, list[int]] = field(default_factory=dict)  # start: the numbers of its writes

    def append(self, write: Write) -> int:
        self.at.setdefault(write.start, []).append(len(self.writes))
        self.writes.append(write)
        return len(self.writes) - 1

    def takes(self, write: Write) -> bool:
        same = (write.axis, write.width) == (self.axis, self.width)
        return same and write.start % write.width == self.offset

    def block(self, start: int, number: int) -> list[Write]:
        """What the block at `start` is the sum of after write `number`, if not of the base too."""
        numbers = self.at.get(start, [])
        found: list[Write] = []
        for k in range(bisect_right(numbers, number) - 1, -1, -1):
            found.append(self.writes[numbers[k]])
            if not found[-1].adds:
                break
        return found[::-1]


def join_writes(outputs: Sequence[Node]) -> list[Node]:
    """setslice(setslice(x, a), b) ... along one axis is cat(a, b ...), and reading is no copy.

    cat(cat(a, b), c) is cat(a, b, c).
    """
    writes = Writes(outputs)
    if not writes.chains and not writes.inner:
        return list(outputs)
    return rebuild(outputs, writes.make)


class Writes:
    """One walk over the graph, which looks at old nodes and builds on new ones."""

    def __init__(self, outputs: Sequence[Node]):
        self.new: dict[Node, Node] = {}
        self.chains: dict[Node, tuple[Chain, int]] = {}  # the chain, and which write this is
        self.inner: set[Node] = set()  # cats that are part of one other only
        single = once(outputs)
        for node in toposort(outputs, enter=is_pending):
            write = _set(node) or self._added(node)
            if write is not None:
                self.chains[node] = self._chained(write)
            elif node.op is mv.cat:
                self.inner.update(x for x in node.inputs if x in single and pending(x, mv.cat)
                                  and x.attrs == node.attrs)

    def _added(self, node: Node) -> Write | None:
        if node.op is not ew.add or any(x.spec is not node.spec for x in node.inputs):
            return None
        a, b = node.inputs
        for x, y in ((b, a), (a, b)) if b in self.chains else ((a, b), (b, a)):
            axis = padded_axis(y)
            if axis is not None and padded_axis(x) is None:
                start, stop = extent(y, axis)
                return Write(x, y.inputs[0], axis, start, stop - start, True)
        return None

    def _chained(self, write: Write) -> tuple[Chain, int]:
        chain, number = self.chains.get(write.x, (None, 0))
        # Of two that write to the same tensor, the second starts anew.
        if chain is None or number + 1 < len(chain.writes) or not chain.takes(write):
            chain = Chain(write.x, write.axis, write.width, write.start % write.width)
        return chain, chain.append(write)

    def make(self, node: Node, inputs: list[Node]) -> Node:
        found = None
        if node.op is mv.slice_ and node.inputs[0] in self.chains:
            found = self._read(node, *self.chains[node.inputs[0]])
        elif node in self.chains:
            chain, number = self.chains[node]
            if 0 < number == len(chain.writes) - 1 and not all(w.adds for w in chain.writes):
                found = self._row(chain, node.shape)
        elif node.op is mv.cat and node not in self.inner:
            found = self._flat(node)
        self.new[node] = found or again(node, inputs)
        return self.new[node]

    def _read(self, node: Node, chain: Chain, number: int) -> Node | None:
        """A slice, if it reads from one block only."""
        start, stop, step = node.attrs["bounds"][chain.axis]
        block = start - (start - chain.offset) % chain.width
        if step != 1 or not start < stop <= block + chain.width:
            return None
        if len(chain.block(block, number)) > MOST_WRITES:
            return None
        return self._block(chain, block, number, node.attrs["bounds"], node.inputs[0].shape)

    def _flat(self, cat: Node) -> Node | None:
        if self.inner.isdisjoint(cat.inputs):
            return None
        parts, stack = [], [cat]
        while stack:
            node = stack.pop()
            if node is cat or node in self.inner:
                stack += reversed(node.inputs)
            else:
                parts.append(self._made(node))
        return joined(parts, cat.attrs["axis"])

    def _row(self, chain: Chain, shape: Shape) -> Node:
        """All that was written, with what was there before between it."""
        parts: list[Node] = []
        end = 0
        for start in (*sorted(chain.at), shape[chain.axis]):
            bounds = whole(shape)
            if start > end:
                bounds[chain.axis] = (end, start, 1)
                parts.append(sliced(self._made(chain.base), tuple(bounds)))
            if start < shape[chain.axis]:
                end = start + chain.width
                bounds[chain.axis] = (start, end, 1)
                last = len(chain.writes) - 1
                parts.append(self._block(chain, start, last, tuple(bounds), shape))
        return joined(parts, chain.axis)

    def _block(self, chain: Chain, block: int, number: int, bounds: Bounds, shape: Shape) -> Node:
        """What lies within `bounds`, in the block that starts at `block`, after write `number`."""
        start, stop, _ = bounds[chain.axis]
        within = list(bounds)
        within[chain.axis] = (start - block, stop - block, 1)
        writes = chain.block(block, number)
        parts = [sliced(self._value(w, shape), tuple(within)) for w in writes]
        if not writes or writes[0].adds:
            parts = [sliced(self._made(chain.base), bounds), *parts]
        return reduce(ew.add, parts)

    def _value(self, write: Write, shape: Shape) -> Node:
        """What was written, in the shape of the block."""
        value = self._made(write.value)
        value = reshaped(value, (1,) * (len(shape) - value.ndim) + value.shape)
        return expanded(value, (*shape[: write.axis], write.width, *shape[write.axis + 1 :]))

    def _made(self, node: Node) -> Node:
        return self.new.get(node, node)


def _set(node: Node) -> Write | None:
    """What a setslice writes, where it is a block along one axis."""
    if node.op is not mv.setslice or 0 in node.shape:
        return None
    x, value = node.inputs
    if value.ndim > x.ndim or value.dtype is not x.dtype:
        return None
    bounds = node.attrs["bounds"]
    cut = [i for i, (b, n) in enumerate(zip(bounds, node.shape)) if b != (0, n, 1)]
    if len(cut) != 1:
        return None
    start, stop, step = bounds[cut[0]]
    if step != 1 or stop <= start:
        return None
    return Write(x, value, cut[0], start, stop - start, False)
