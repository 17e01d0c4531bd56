"""What a program does for one kernel, what that costs, and how it prints itself.

Costs count what must be done: each array once, as far as the kernel touches it; two operations for
each product of a contraction, one for every other arithmetic operation on an element, elementary
functions included.
"""

from __future__ import annotations

import textwrap
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import prod

from ..graph import Node
from ..ops.contraction import contract
from ..printing import amount
from ..shapes import size
from .codegen import Code
from .engine import engine
from .fuse import Kernel
from .index import Linear, Space
from .loops import Nest
from .memory import Buffer

Place = tuple[Node | Buffer, int]  # whose memory, and from which element on

FREE = {"cast", "clone", "detach"}  # no arithmetic


@dataclass(frozen=True)
class Cost:
    """Bytes that must be read and written, and arithmetic operations (0 where nobody knows)."""

    read: int
    written: int
    flops: int

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.read + other.read, self.written + other.written, self.flops + other.flops)


@dataclass(eq=False, repr=False)
class Step:
    """What a program does for one kernel: its codes one after the other, on these places."""

    kernel: Kernel
    reads: list[Node]
    writes: list[Node]
    codes: list[Code] = field(default_factory=list)
    places: list[list[Place]] = field(default_factory=list)
    temporaries: list[Buffer] = field(default_factory=list)
    nest: Nest | None = None
    text: str = ""  # how a contraction is done
    level: int = 0

    @property
    def last(self) -> int:
        """The level of its last code."""
        return self.level + max(len(self.codes), 1) - 1

    # ------------------------------------------------------------------ what it is
    @property
    def kind(self) -> str:
        return "interpreted" if self.kernel.kind == "host" else self.kernel.kind

    @property
    def levels(self) -> str:
        return f"{self.level}-{self.last}" if self.last > self.level else str(self.level)

    @property
    def units(self) -> str:
        """Units of work x how many a worker takes at once, of each code."""
        return " + ".join(f"{code.units} x {code.grain}" for code in self.codes)

    def inlined(self) -> list[Node]:
        """The nodes that are written out in the kernel, computed for its own use only."""
        if self.kernel.kind == "cat":
            return []  # its parts are others' members
        own = {m.node for m in self.kernel.members}
        found: dict[Node, None] = {}
        stack = [x for m in self.kernel.members for x in m.node.inputs]
        while stack:
            x = stack.pop()
            if not (x in found or x in own or x in self.reads or x.value is not None):
                found[x] = None
                stack += x.inputs
        return list(found)

    def __repr__(self) -> str:
        c, units = self.cost(), f" of {self.units}" if self.codes else ""
        return (f"Step({self.kernel.number} {self.kind}{units} at level {self.levels}: "
                f"{op_names(m.node for m in self.kernel.members)}; reads {amount(c.read, 'B')}, "
                f"writes {amount(c.written, 'B')}, {amount(c.flops, 'flop')})")

    def __str__(self) -> str:
        loops = "" if self.nest is None else "\n" + textwrap.indent(str(self.nest), "  ")
        return repr(self) + loops

    def assembly(self) -> str:
        """Its machine code, to be read."""
        return "\n".join(engine().assembly(code.text) for code in self.codes)

    # ------------------------------------------------------------------ what it costs
    def cost(self) -> Cost:
        if self.kernel.kind == "cat":
            return Cost(0, 0, 0)  # its parts have been written into their places
        read = sum(min(x.nbytes, n * x.dtype.itemsize) for x, n in self._touched().items())
        return Cost(read, sum(x.nbytes for x in self.writes), self._flops())

    def _touched(self) -> dict[Node, int]:
        """How many elements of each array are read; more than there are means all."""
        if self.nest is None:
            return {x: size(x.shape) for x in self.reads}
        found: dict[Node, int] = defaultdict(int)
        node = self.kernel.members[0].node
        if node.op is contract:
            for memory, x in zip(self.reads, node.inputs):
                found[memory] += size(x.shape)
        space = self.kernel.space
        for place, where in {(i.place, i.where) for i in self.nest.instructions()
                             if i.do == "load" and i.where is not None}:
            x = self.nest.buffers[place]
            if x not in self.writes:
                found[x] += prod(space.sizes[v] for v in _variables(space, where))
        return found

    def _flops(self) -> int:
        if self.nest is None:
            return 0
        count, node = 0, self.kernel.members[0].node
        if node.op is contract:
            labels = node.attrs["labels"]
            axes = {a: n for x, ls in zip(node.inputs, labels) for a, n in zip(ls, x.shape)}
            count = 2 * prod(axes.values())
        turns = prod(self.nest.sizes[v] for v in self.nest.parallel)
        for block in self.nest.blocks:
            each = sum(i.do in ("reduce", "add_where")
                       or (i.do == "op" and i.extra[0].name not in FREE) for i in block.code)
            count += each * turns * prod(self.nest.sizes[v] for v in block.inner)
        return count


def _variables(space: Space, where: Linear) -> set[int]:
    """The loops that an expression depends on, those for which a row is looked up among them."""
    found: set[int] = set()
    for v in space.resolve(where).variables:
        if v in space.found:
            for index in space.found[v][1]:
                found |= _variables(space, index)
        else:
            found.add(v)
    return found


def op_names(nodes: Iterable[Node]) -> str:
    """Op names, each once: `contract add x3 relu`."""
    counts = Counter(n.name for n in nodes)
    return " ".join(name + (f" x{n}" if n > 1 else "") for name, n in counts.items())
