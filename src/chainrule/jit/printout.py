"""What a program prints of itself: its kernels in the order they run, and its memory plan.

For each kernel which nodes became it and where they were recorded, what it reads and writes, and
what that costs.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from ..graph import Node, toposort
from . import cache
from .fuse import Fusion
from .loops import Nest
from .memory import Buffer
from .step import Cost, Step, amount, op_names

WIDTH = 100
MOST_ARRAYS = 24  # that a kernel is said to read or write
HARD = "\0"  # a space at which no line ends


class Program(Protocol):
    """What is told of a program (program.py, which prints itself by this)."""

    leaves: list[Node]
    outputs: list[Node]
    recorded: int
    fusion: Fusion
    steps: list[Step]
    buffers: dict[Node, Buffer]
    arena_bytes: int

    @property
    def workers(self) -> int: ...


@dataclass(frozen=True)
class Times:
    """Microseconds of each kernel by itself, and of the whole program (measure.py)."""

    kernels: Mapping[Step, float]
    whole: float


# --------------------------------------------------------------------------- what became of nodes
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
    written_out = {x for step in program.steps for x in step.inlined()}
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
def _many(n: int, what: str) -> str:
    return f"{n} {what}{'s' * (n != 1)}"


def summary(program: Program) -> str:
    """A program in one line."""
    nodes = sum(n.value is None for n in toposort(program.outputs))
    parts = [_many(nodes, "node"), _many(len(program.steps), "kernel"),
             _many(levels(program), "level"), f"{amount(program.arena_bytes, 'B')} arena"]
    return f"Program({', '.join(parts)})"


def levels(program: Program) -> int:
    """How many levels there are."""
    return max([step.last + 1 for step in program.steps if step.kernel.kind != "cat"], default=0)


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
        costs = sum([step.cost() for step in self.steps], Cost(0, 0, 0))
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
        c = step.cost()
        row = [str(step.kernel.number), step.levels, step.kind, step.units,
               amount(c.read, "B"), amount(c.written, "B"), amount(c.flops) if c.flops else "-"]
        if self.times is not None:
            us = self.times.kernels.get(step)
            if us is None:
                row += ["-"] * 3
            else:
                row += [f"{us:.2f}", _rate(c.flops, us), _rate(c.read + c.written, us)]
        return row

    def _facts(self, step: Step) -> Iterator[str]:
        for line in self.nodes(step):
            yield from _wrapped("       ", line)
        yield from _wrapped("       reads ", self._arrays(step.reads))
        yield from _wrapped("       writes ", self._arrays(step.writes))
        if step.text:
            yield from _wrapped("       as ", step.text)
        if step.kernel.kind == "host":
            yield from _wrapped("       since ", reason(self.program, step.writes[0]))

    def nodes(self, step: Step) -> Iterator[str]:
        """The nodes, by the line that recorded them."""
        groups: dict[tuple[str, str], tuple[list[Node], list[Node]]] = {}
        members = sorted((m.node for m in step.kernel.members), key=self._position)
        for which, nodes in enumerate([members, sorted(step.inlined(), key=self._position)]):
            for n in nodes:
                place = n.scope.path if n.scope else "", str(n.where)
                groups.setdefault(place, ([], []))[which].append(n)
        apart: list[Node] = []
        for (scope, where), (own, others) in groups.items():
            if own:
                inside = f" ({op_names(others)} inlined)" if others else ""
                yield f"{op_names(own)}{inside}  {scope}{' ' * bool(scope)}{where}"
            else:
                apart += others
        if apart:
            yield f"with {op_names(apart)} inlined"

    def _position(self, node: Node) -> int:
        return self.program.fusion.position.get(node, 0)

    def texts(self, nodes: Iterable[Node]) -> list[str]:
        """Arrays by name and shape."""
        found = [f"{self.name.get(x, x.name)} {x.spec!r}" for x in nodes]
        return list(dict.fromkeys(found))  # two numbers may be equal

    def _arrays(self, nodes: Iterable[Node]) -> str:
        found = [text.replace(" ", HARD) for text in self.texts(nodes)]
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
            yield str(step)
            if step.nest is not None:
                yield from _wrapped("  where ", self._buffers(step.nest))
            yield f"{step.assembly()}\n" if assembly else ""

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
