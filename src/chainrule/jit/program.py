"""A program: the kernels of a graph, their memory, and the table that workers run."""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import c_void_p
from dataclasses import dataclass, field

import numpy as np

from .. import config
from ..graph import Node, toposort, is_pending
from ..interpreter import evaluate
from ..rewrite import rewrite
from . import contract
from .codegen import Code, Writer, lanes_of, loop_kernel, merged
from .emit import Builder
from .engine import NAME, engine
from .fuse import Fusion, Kernel
from .index import Linear
from .loops import Lowering
from .memory import Buffer, plan
from .operands import operand
from .threads import Entry, Table

ALONE = 1 << 16  # element-instructions of a program that one worker does sooner than two


class Fault(Exception):
    """A kernel met a value it has no answer for (an index out of range)."""


@dataclass(eq=False)
class Step:
    """A kernel made machine code, or a node that the interpreter computes."""

    kernel: Kernel
    level: int
    reads: list[Node]
    writes: list[Node]
    codes: list[Code] = field(default_factory=list)
    temporaries: list[Buffer] = field(default_factory=list)


class Program:
    """Computes `outputs` from the values of `leaves`, again and again.

    run() takes arrays in the order of `leaves` and returns those of `outputs`.
    """

    def __init__(self, outputs: Sequence[Node], leaves: Sequence[Node]):
        new = rewrite(list(outputs))
        order = toposort(new, enter=lambda n: True)
        self.leaves, self.outputs = list(leaves), new
        self.fusion = Fusion(order, new)
        self.steps = [self._step(k) for k in self.fusion.kernels]
        self._assign_levels()
        self._slots()
        self._segments()

    # ------------------------------------------------------------------ making
    def _step(self, kernel: Kernel) -> Step:
        writes = [m.node for m in kernel.members if m.node in self.fusion.stored]
        if kernel.kind == "host":
            node = kernel.members[0].node
            return Step(kernel, 0, list(node.inputs), [node])
        nest = Lowering(self.fusion, kernel).nest()
        writes = [m.node for m in kernel.members if m.node in self.fusion.stored]
        if kernel.kind == "contract":
            return _contraction(self.fusion, kernel, nest, writes)
        code = loop_kernel(nest, engine().target)
        reads = [x for x in code.buffers if x not in writes]
        return Step(kernel, 0, reads, writes, [code])

    def _assign_levels(self) -> None:
        ready: dict[Node, int] = {}
        for step in self.steps:
            step.level = max((ready.get(x, 0) for x in step.reads), default=0)
            after = step.level + max(len(step.codes), 1)
            for x in step.writes:
                ready[x] = after

    def _slots(self) -> None:
        """A slot for each array that comes from outside, and for each buffer of the arena."""
        self._slot: dict[Node, int] = {n: i for i, n in enumerate(self.leaves)}
        for node in self.outputs:
            self._slot.setdefault(node, len(self._slot))
        host = [s.writes[0] for s in self.steps if s.kernel.kind == "host"]
        for node in host:
            self._slot.setdefault(node, len(self._slot))
        self._plan(set(self._slot))

    def _plan(self, outside: set[Node]) -> None:
        last: dict[Node, int] = {}
        for step in self.steps:
            for x in step.reads:
                last[x] = max(last.get(x, 0), step.level + len(step.codes))
        self.buffers: dict[Node, Buffer] = {}
        everything = []
        for step in self.steps:
            end = step.level + len(step.codes)
            for x in step.writes:
                if x not in outside:
                    buffer = Buffer(x.nbytes, step.level, max(last.get(x, 0), end))
                    self.buffers[x] = buffer
                    everything.append(buffer)
            for t in step.temporaries:
                t.born, t.dies = step.level, end
                everything.append(t)
        self.arena_bytes = plan(everything)
        self._arena = np.empty(self.arena_bytes + 64, np.uint8)
        start = self._arena.ctypes.data
        start += -start % 64
        self._start = start
        count = len(self._slot)
        for node in self.buffers:
            self._slot[node] = len(self._slot)
        extra = [t for s in self.steps for t in s.temporaries]
        self._temporary = {t: len(self._slot) + i for i, t in enumerate(extra)}
        self._table = np.zeros(len(self._slot) + len(extra), np.int64)
        for node, buffer in self.buffers.items():
            self._table[self._slot[node]] = start + buffer.offset
        for t, slot in self._temporary.items():
            self._table[slot] = start + t.offset
        self._outside = count

    def _segments(self) -> None:
        """Tables of native kernels, with the interpreter's nodes between them."""
        self.segments: list[Table | Node] = []
        entries: list[tuple[int, Entry]] = []
        scratch = 0

        def close():
            nonlocal scratch
            if entries:
                ordered = sorted(entries, key=lambda e: e[0])
                self.segments.append(Table([e for _, e in ordered], scratch))
            entries.clear()
            scratch = 0

        self.work = 0
        codes = [code for step in self.steps for code in step.codes]
        addresses = iter(engine().addresses([code.text for code in codes]))
        for step in self.steps:
            if step.kernel.kind == "host":
                close()
                self.segments.append(step.writes[0])
                continue
            for k, code in enumerate(step.codes):
                places = [self._temporary[x] if isinstance(x, Buffer) else self._slot_of(x)
                          for x in code.buffers]
                scratch = max(scratch, code.scratch)
                self.work += code.work
                entries.append((step.level + k, Entry(next(addresses), places, code.units,
                                                      code.grain, step.level + k)))
        close()

    def _slot_of(self, node: Node) -> int:
        if node not in self._slot:
            raise AssertionError(f"{node!r} has no memory")
        return self._slot[node]

    # ------------------------------------------------------------------ running
    def run(self, values: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The values of the outputs from those of the leaves."""
        held = [v if v.flags.c_contiguous else np.ascontiguousarray(v) for v in values]
        arrays: dict[Node, np.ndarray] = dict(zip(self.leaves, held))
        for node in self.outputs:
            if node not in arrays:
                arrays[node] = np.empty(node.shape, node.dtype.np)
        for node, array in arrays.items():
            self._table[self._slot[node]] = address(array)
        workers = 1 if self.work < ALONE else config.get_num_threads()
        for segment in self.segments:
            if isinstance(segment, Table):
                fault = segment.run(self._table.ctypes.data, workers)
                if fault is not None:
                    raise Fault(fault)
            else:
                self._host(segment, arrays)
        return [arrays[n] for n in self.outputs]

    def _host(self, node: Node, arrays: dict[Node, np.ndarray]) -> None:
        inputs = [self._array(x, arrays) for x in node.inputs]
        with np.errstate(all="ignore"):
            value = np.ascontiguousarray(evaluate(node, inputs)).reshape(node.shape)
        if not value.flags.owndata:
            value = value.copy()
        arrays[node] = value
        self._table[self._slot[node]] = address(value)

    def _array(self, node: Node, arrays: dict[Node, np.ndarray]) -> np.ndarray:
        if node in arrays:
            return arrays[node]
        offset = self.buffers[node].offset + self._start - self._arena.ctypes.data
        raw = self._arena[offset : offset + node.nbytes]
        return raw.view(node.dtype.np).reshape(node.shape)


def address(array: np.ndarray) -> int:
    """Where the elements of an array lie."""
    return array.__array_interface__["data"][0]


def _contraction(fusion: Fusion, kernel: Kernel, nest, writes: list[Node]) -> Step:
    node = kernel.members[0].node
    space, target = kernel.space, engine().target
    labels = node.attrs["labels"]
    member = kernel.members[0]
    sizes = {a: n for x, ls in zip(node.inputs, labels) for a, n in zip(ls, x.shape)}
    index_of = dict(zip(sizes, member.operand))
    sources = [operand(fusion, kernel, x, tuple([index_of[a] for a in ls]))
               for x, ls in zip(node.inputs, labels)]
    everything = sorted({
        v for i in member.operand for v in space.resolve(i).variables} | kernel.parallel_vars())
    number = {v: k for k, v in enumerate(everything)}
    by_x, by_y = ({v for _, w, g in [s] for part in (w, *[y.place for y in g])
                   for v in part.variables} for s in sources)
    labelled = [space.variables(tuple([index_of[a] for a in ls])) for ls in labels]
    out = labelled[2]

    def access(place, source):
        x, where, guards = source
        return contract.Access(
            place, x.dtype.name, where.offset, _strides(where, everything),
            tuple([contract.Guard(g.place.offset, _strides(space.resolve(g.place), everything),
                                  g.size) for g in guards]))

    def numbers(variables):
        return tuple(sorted(number[v] for v in variables))

    x_vars, y_vars = labelled[0], labelled[1]
    c = contract.Contraction(
        tuple([space.sizes[v] for v in everything]),
        numbers(out & x_vars & y_vars), numbers((out & x_vars) - y_vars),
        numbers((out & y_vars) - x_vars), numbers((x_vars & y_vars) - out),
        access(0, sources[0]), access(1, sources[1]),
        "float32" if node.dtype.itemsize < 4 and node.dtype.is_floating_point else node.dtype.name)
    flat = space.flat(member.index, node.shape)
    prefer = next((number[v] for v, s in flat.terms if s == 1), None)
    made = contract.plan(c, target, prefer)
    temporaries = [Buffer(n, 0, 0) for n in made.temporaries]
    codes = []
    for phase in made.phases:
        codes.append(_phase(phase, sources, temporaries, nest, everything, node, target))
    reads = [s[0] for s in sources] + [x for x in nest.buffers if x not in writes]
    return Step(kernel, 0, reads, writes, codes, temporaries)


def _strides(x: Linear, variables: list[int]) -> tuple[int, ...]:
    return tuple([x.coefficient(v) for v in variables])


def _phase(phase, sources, temporaries, nest, everything, node, target) -> Code:
    b = Builder(NAME, target)
    first = [sources[0][0], sources[1][0], *temporaries]
    if not phase.last:
        phase.emit(b)
        return Code(b.text(), phase.units, phase.grain, phase.scratch, phase.work, first)
    places = [b.buffer(len(first) + k) for k in range(len(nest.buffers))]

    def finish(b, where, vector, value, mask):
        variable = None if vector is None else everything[vector]
        writer = Writer(b, nest, variable, value.lanes)
        writer.across = True
        writer._buffers = dict(enumerate(places))
        writer.env = {everything[k]: i for k, i in where.items()}
        writer.mask = mask
        value = b.cast(value, "float32") if value.elem in ("float16", "bfloat16") else value
        for block in nest.blocks:
            for i in block.code:
                if i.do == "result":
                    writer.values[i.out] = writer._rounded(value, node.dtype.name)
                else:
                    writer._write(i)

    phase.emit(b, finish)
    return Code(b.text(), phase.units, phase.grain, phase.scratch, phase.work,
                [*first, *nest.buffers])


__all__ = ["Fault", "Program", "c_void_p", "is_pending"]
