"""What a program prints of itself: its kernels in the order they run, and its memory plan.

Two lines and a few for each kernel: which nodes became it and where they were recorded, what it
reads and writes, and what that costs.  Costs count what must be done: each array that a kernel
touches once, as far as it is touched; two operations for each product of a contraction, one for
every other arithmetic operation on an element, elementary functions included.
"""

from __future__ import annotations

import textwrap
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from ..graph import Node, toposort
from ..ops.contraction import contract
from ..shapes import size
from . import cache
from .engine import engine
from .index import Linear, Space

if TYPE_CHECKING:
    from .build import Step
    from .loops import Nest
    from .measure import Times
    from .program import Program

WIDTH = 100
MOST_ARRAYS = 24  # that a kernel is said to read or write
HARD = "\0"  # a space at which no line ends
FREE = {"cast", "clone", "detach"}  # not counted as operations

_KINDS = {"host": "interpreted"}


# --------------------------------------------------------------------------- what a kernel costs
@dataclass(frozen=True)
class Cost:
    """Bytes that must be read and written, and arithmetic operations (0 where nobody knows)."""

    read: int
    written: int
    flops: int

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.read + other.read, self.written + other.written,
                    self.flops + other.flops)


def cost(step: Step) -> Cost:
    """What one kernel costs."""
    if step.kernel.kind == "cat":
        return Cost(0, 0, 0)  # its parts have been written into their places
    read = sum(min(x.nbytes, n * x.dtype.itemsize) for x, n in _touched(step).items())
    return Cost(read, sum(x.nbytes for x in step.writes), _flops(step))


def _touched(step: Step) -> dict[Node, int]:
    """How many elements of each array the kernel reads; more than there are means all."""
    found: dict[Node, int] = defaultdict(int)
    if step.nest is None:
        return {x: size(x.shape) for x in step.reads}
    node = step.kernel.members[0].node
    if node.op is contract:
        for memory, x in zip(step.reads, node.inputs):
            found[memory] += size(x.shape)
    space = step.kernel.space
    loads = {(i.place, i.where) for i in step.nest.instructions() if i.do == "load"}
    for place, where in loads:
        x = step.nest.buffers[place]
        if x not in step.writes:
            found[x] += prod(space.sizes[v] for v in _variables(space, where))
    return found


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


def _flops(step: Step) -> int:
    if step.nest is None:
        return 0
    count, node = 0, step.kernel.members[0].node
    if node.op is contract:
        axes = {a: n for x, ls in zip(node.inputs, node.attrs["labels"])
                for a, n in zip(ls, x.shape)}
        count = 2 * prod(axes.values())
    turns = prod(step.nest.sizes[v] for v in step.nest.parallel)
    for block in step.nest.blocks:
        each = sum(i.do in ("reduce", "add_where") or (i.do == "op" and i.extra[0].name not in FREE)
                   for i in block.code)
        count += each * turns * prod(step.nest.sizes[v] for v in block.inner)
    return count


# --------------------------------------------------------------------------- what became of nodes
def inlined(step: Step) -> list[Node]:
    """The nodes that are written out in the kernel, computed for its own use only."""
    if step.kernel.kind == "cat":
        return []  # its parts are others' members
    own = {m.node for m in step.kernel.members}
    found: dict[Node, None] = {}
    stack = [x for m in step.kernel.members for x in m.node.inputs]
    while stack:
        x = stack.pop()
        if not (x in found or x in own or x in step.reads or x.value is not None):
            found[x] = None
            stack += x.inputs
    return list(found)


@dataclass(frozen=True)
class Count:
    """What became of the nodes of a graph: each is of one kind."""

    recorded: int  # before rewriting; the others count what is left after it
    computed: int  # in a kernel of their own, or with others
    inlined: int  # written out in every kernel that needs them
    interpreted: int
    idle: int  # without elements, or needed by those only


def count(program: Program) -> Count:
    """What became of the program's nodes."""
    home = program.fusion.home
    nodes = [n for n in toposort(program.outputs) if n.value is None]
    interpreted = sum(n in home and home[n].kind == "host" for n in nodes)
    written_out = {x for step in program.steps for x in inlined(step)}
    out = sum(n not in home and n in written_out for n in nodes)
    computed = sum(n in home for n in nodes) - interpreted
    return Count(program.recorded, computed, out, interpreted,
                 len(nodes) - computed - out - interpreted)


def reason(program: Program, node: Node) -> str:
    """Why the interpreter computes a node."""
    if node in program.fusion.refused:
        return program.fusion.refused[node].partition("\n")[0]
    if node.op.kind == "elementwise":
        return f"{node.name} cannot be compiled for {node.dtype}"
    if node.op.kind == "movement":
        return "its elements are not found by linear maps of indices"
    return f"{node.name} is computed whole"


# --------------------------------------------------------------------------- short texts
def amount(n: float, unit: str = "") -> str:
    """A number in three digits.

    >>> [amount(n, "B") for n in (0, 999, 1234, 56789012)]
    ['0 B', '999 B', '1.23 kB', '56.8 MB']
    """
    for prefix in ("", "k", "M", "G", "T"):
        if abs(n) < 999.5 or prefix == "T":
            break
        n /= 1000
    digits = f"{n:.0f}" if n == int(n) and not prefix else f"{n:.3g}"
    return f"{digits} {prefix}{unit}".rstrip()


def _many(n: int, what: str) -> str:
    return f"{n} {what}{'s' * (n != 1)}"


def _kind(step: Step) -> str:
    return _KINDS.get(step.kernel.kind, step.kernel.kind)


def _levels(step: Step) -> str:
    return str(step.level) if step.last == step.level else f"{step.level}-{step.last}"


def _units(step: Step) -> str:
    return " + ".join(f"{code.units} x {code.grain}" for code in step.codes)


def _names(nodes: Iterable[Node]) -> str:
    """Op names, each once: `contract add x3 relu`."""
    counts = Counter(n.name for n in nodes)
    return " ".join(name + (f" x{n}" if n > 1 else "") for name, n in counts.items())


def short(step: Step) -> str:
    """A kernel in one line."""
    c = cost(step)
    units = f" of {_units(step)}" if step.codes else ""
    return (f"Step({step.kernel.number} {_kind(step)}{units} at level {_levels(step)}: "
            f"{_names(m.node for m in step.kernel.members)}; reads {amount(c.read, 'B')}, "
            f"writes {amount(c.written, 'B')}, {amount(c.flops, 'flop')})")


def summary(program: Program) -> str:
    """A program in one line."""
    nodes = sum(n.value is None for n in toposort(program.outputs))
    parts = [_many(nodes, "node"), _many(len(program.steps), "kernel"),
             _many(levels(program), "level"), f"{amount(program.arena_bytes, 'B')} arena"]
    return f"Program({', '.join(parts)})"


def levels(program: Program) -> int:
    """How many levels there are."""
    return max([step.last + 1 for step in program.steps if step.kernel.kind != "cat"], default=0)


def full(step: Step, assembly: bool = False) -> str:
    """A kernel with its loops and, if asked for, its machine code."""
    text = [short(step)]
    if step.nest is not None:
        text.append(textwrap.indent(str(step.nest), "  "))
    if assembly:
        text += [engine().assembly(code.text) for code in step.codes]
    return "\n".join(text)


# --------------------------------------------------------------------------- the whole program
class Printout:
    """The text of a program.  `names` are what the user calls its leaves and outputs."""

    def __init__(self, program: Program, names: Mapping[Node, str], times: Times | None):
        self.program, self.times = program, times
        self.steps = sorted(program.steps, key=lambda s: s.level)
        self.name: dict[Node, str] = {}
        taken = set()
        for k, x in enumerate(program.leaves):
            self.name[x] = names.get(x, f"leaf{k}")
            taken.add(self.name[x])
        for step in program.steps:
            for k, x in enumerate(step.writes):
                number = f"k{step.kernel.number}"
                self.name[x] = number if len(step.writes) == 1 else f"{number}.{k}"
        for k, x in enumerate(program.outputs):
            if x not in program.leaves:
                found = names.get(x, f"out{k}")
                self.name[x] = f"new {found}" if found in taken else found

    def text(self, full: bool = False, assembly: bool = False) -> str:
        parts = [*self.head(), "", *self.table()]
        if full:
            parts += ["", *self.memory()]
        if full or assembly:
            parts += ["", *self.loops(assembly)]
        return "\n".join(line.rstrip() for line in parts)

    # ------------------------------------------------------------------ head
    def head(self) -> Iterator[str]:
        program, n = self.program, count(self.program)
        costs = sum(map(cost, self.steps), Cost(0, 0, 0))
        yield (f"program of {_many(len(program.steps), 'kernel')} in "
               f"{_many(levels(program), 'level')}, for {_many(program.workers, 'worker')}")
        left = n.computed + n.inlined + n.interpreted + n.idle
        parts = [f"{n.computed} computed", f"{n.inlined} inlined"]
        parts += [f"{n.interpreted} interpreted"] * bool(n.interpreted)
        parts += [f"{n.idle} without elements"] * bool(n.idle)
        yield f"  nodes   {n.recorded} recorded, {left} after rewriting: {', '.join(parts)}"
        yield (f"  memory  {amount(program.arena_bytes, 'B')} for intermediates; "
               f"kernels read {amount(costs.read, 'B')}, write {amount(costs.written, 'B')}")
        if self.times is not None:
            yield (f"  time    {self.times.whole:.1f} us, its kernels by themselves "
                   f"{sum(self.times.kernels.values()):.1f} us; {amount(costs.flops, 'flop')}: "
                   + _rate(costs.flops, self.times.whole) + " GFLOP/s")
        yield f"  {cache.state()}"

    # ------------------------------------------------------------------ kernels
    def table(self) -> Iterator[str]:
        head = ["#", "level", "kind", "units x grain", "read", "written", "flop"]
        if self.times is not None:
            head += ["us", "GFLOP/s", "GB/s"]
        rows = [head, *map(self._row, self.steps)]
        widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
        for row, step in zip(rows, [None, *self.steps]):
            cells = [c.ljust(w) if i == 2 else c.rjust(w)
                     for i, (c, w) in enumerate(zip(row, widths))]
            yield "  ".join(cells)
            if step is not None:
                yield from self._facts(step)

    def _row(self, step: Step) -> list[str]:
        c = cost(step)
        row = [str(step.kernel.number), _levels(step), _kind(step), _units(step),
               amount(c.read, "B"), amount(c.written, "B"), amount(c.flops) if c.flops else "-"]
        if self.times is not None:
            us = self.times.kernels.get(step)
            if us is None:
                row += ["-"] * 3
            else:
                row += [f"{us:.2f}", _rate(c.flops, us), _rate(c.read + c.written, us)]
        return row

    def _facts(self, step: Step) -> Iterator[str]:
        for line in self._nodes(step):
            yield from _wrapped("       ", line)
        yield from _wrapped("       reads ", self._arrays(step.reads))
        yield from _wrapped("       writes ", self._arrays(step.writes))
        if step.text:
            yield from _wrapped("       as ", step.text)
        if step.kernel.kind == "host":
            yield from _wrapped("       since ", reason(self.program, step.writes[0]))

    def _nodes(self, step: Step) -> Iterator[str]:
        """The nodes, by the line that recorded them."""
        groups: dict[tuple[str, str], tuple[list[Node], list[Node]]] = {}
        members = sorted((m.node for m in step.kernel.members), key=self._position)
        for which, nodes in enumerate([members, sorted(inlined(step), key=self._position)]):
            for n in nodes:
                place = n.scope.path if n.scope else "", str(n.where)
                groups.setdefault(place, ([], []))[which].append(n)
        apart: list[Node] = []
        for (scope, where), (own, others) in groups.items():
            if own:
                inside = f" ({_names(others)} inlined)" if others else ""
                yield f"{_names(own)}{inside}  {scope}{' ' * bool(scope)}{where}"
            else:
                apart += others
        if apart:
            yield f"with {_names(apart)} inlined"

    def _position(self, node: Node) -> int:
        return self.program.fusion.position.get(node, 0)

    def _arrays(self, nodes: Iterable[Node]) -> str:
        found = [f"{self.name.get(x, x.name)} {x.spec!r}".replace(" ", HARD) for x in nodes]
        found = list(dict.fromkeys(found))  # two numbers may be equal
        more = [f"{len(found) - MOST_ARRAYS} more"] * (len(found) > MOST_ARRAYS)
        return ", ".join([*found[:MOST_ARRAYS], *more]) or "nothing"

    # ------------------------------------------------------------------ the full form
    def memory(self) -> Iterator[str]:
        """The plan: where in the arena each intermediate lies, and from which level to which."""
        owned = [(b, self.name.get(x, x.name)) for x, b in self.program.buffers.items()]
        owned += [(t, f"of kernel {step.kernel.number}")
                  for step in self.steps for t in step.temporaries]
        yield f"memory plan: {self.program.arena_bytes} bytes"
        for b, name in sorted(owned, key=lambda pair: (pair[0].offset, pair[0].born)):
            yield f"{b.offset:>12}  {b.nbytes:>12} bytes  levels {b.born} to {b.dies}  {name}"

    def loops(self, assembly: bool) -> Iterator[str]:
        for step in self.steps:
            yield full(step, assembly)
            if step.nest is not None:
                yield from _wrapped("  where ", self._buffers(step.nest))
            yield ""

    def _buffers(self, nest: Nest) -> str:
        found = [f"b{i} = {self.name.get(x, x.name)}" + (f"[{start}:]" if start else "")
                 for i, (x, start) in enumerate(zip(nest.buffers, nest.starts))]
        return ", ".join(found).replace(" = ", f"{HARD}={HARD}")


def _rate(n: float, us: float) -> str:
    """Billions a second."""
    return f"{n / us / 1000:.3g}" if n and us else "-"


def _wrapped(label: str, text: str) -> list[str]:
    below = " " * max(len(label), 9)
    lines = textwrap.wrap(text, WIDTH, initial_indent=label, subsequent_indent=below,
                          break_on_hyphens=False)
    return [line.replace(HARD, " ") for line in lines]


def text(program: Program, *, names: Mapping[Node, str] | None = None, times: Times | None = None,
         full: bool = False, assembly: bool = False) -> str:
    """The printout of a program.

    `full` adds the memory plan and the loops of every kernel, `assembly` their machine code.
    """
    return Printout(program, names or {}, times).text(full, assembly)
