"""A program: the kernels of a graph, their memory, and the tables that workers run."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import starmap

import numpy as np

from .. import config
from ..errors import ChainruleError
from ..graph import Node, leaf, toposort
from ..holders import out_of_memory
from ..interpreter import evaluate
from ..prepare import prepare
from ..rewrite import rewrite
from . import printout
from .arrays import Launch, address, launcher, row_major
from .build import build
from .engine import CompileError, engine
from .fuse import Fusion
from .memory import Buffer, give_back, plan
from .step import Place, Step
from .threads import Entry, Table

LARGE = 16 << 20  # bytes of an arena before which free memory is given back to the system
ALONE = 1 << 16  # element-instructions of a program that one worker does sooner than two


class Fault(Exception):
    """A kernel met a value it has no answer for (an index out of range)."""


class Program:
    """Computes `outputs` from the values of `leaves`, again and again.

    `overwrites[k]` are the numbers of the leaves whose array may also be that of output k:
    nothing reads the leaf after the output is written.
    """

    def __init__(self, outputs: Sequence[Node], leaves: Sequence[Node]):
        outputs, leaves = _detached(outputs, leaves)
        self.recorded = sum(n.op is not None for n in toposort(outputs))
        self.leaves, self.outputs = leaves, prepare(rewrite(outputs))
        self._lock = threading.Lock()
        refused: dict[Node, str] = {}
        while True:
            self.fusion = Fusion(toposort(self.outputs), self.outputs, refused)
            self.steps = [build(self.fusion, k) for k in self.fusion.kernels]
            self._assign_levels()
            self._assign_slots()
            try:
                self._assemble()
                break
            except CompileError as error:
                refused = {**refused, **self._refused(error)}
        self.overwrites = self._overwrites()
        self._start = address(self._addresses)
        # The slots begin with the leaves, then the outputs that are no leaves.
        self._results = [self._slot[n] for n in self.outputs]
        made = {self._slot[n]: n for n in self.outputs if self._slot[n] >= len(self.leaves)}
        self._made = [(made[i].shape, made[i].dtype.np) for i in sorted(made)]
        first, last = len(self.leaves), len(self.leaves) + len(made)
        self._only_made = self._results == [*range(first, last)]
        table = self.segments[0] if len(self.segments) == 1 else None
        ordered = [self._slot[n] for n in self.leaves] == list(range(len(self.leaves)))
        self._alone = table if isinstance(table, Table) and ordered else None
        self._launch = self._launcher()

    def _launcher(self) -> Launch | None:
        """How to run the program in one call, if that is over sooner than a thread is woken."""
        table = self._alone
        if table is None or table.scratch or self.work >= ALONE:
            return None
        count = len(self.leaves) + len(self._made)
        return launcher(table.address, self._addresses, count, self._moving)

    def _refused(self, error: CompileError) -> dict[Node, str]:
        """The nodes of the kernels that could not be compiled: the interpreter computes them."""
        return {
            m.node: error.failures[code.text] for step in self.steps for code in step.codes
            if code.text in error.failures for m in step.kernel.members}

    # ------------------------------------------------------------------ when
    def _assign_levels(self) -> None:
        """Kernels of one level do not depend on each other."""
        ready: dict[Node, int] = defaultdict(int)
        floor = top = 0
        for step in self.steps:
            if step.kernel.kind == "host":  # between what comes before and what comes after
                floor = top
            step.level = max([ready[x] for x in step.reads], default=0)
            step.level = max(step.level, floor)
            top = max(top, step.last + 1)
            if step.kernel.kind == "host":
                floor = top
            for x in step.writes:
                # A cat computes nothing: it is there as soon as its parts are.
                ready[x] = step.level if step.kernel.kind == "cat" else step.last + 1

    # ------------------------------------------------------------------ where
    def _assign_slots(self) -> None:
        """A slot for each array that comes from outside, each buffer, each start within one."""
        self._slot: dict[Node | Buffer, int] = {}
        hosts = [s.writes[0] for s in self.steps if s.kernel.kind == "host"]
        for node in (*self.leaves, *self.outputs, *hosts):
            self._slot.setdefault(node, len(self._slot))
        outside = len(self._slot)
        self._plan_memory()
        temporaries = [t for s in self.steps for t in s.temporaries]
        inside: list[Node | Buffer] = [*self.buffers, *temporaries]
        for owner in inside:
            self._slot[owner] = len(self._slot)
        starts: dict[tuple[Node | Buffer, int], int] = {}
        for step in self.steps:
            for place in (p for places in step.places for p in places):
                if place[1] and place not in starts:
                    starts[place] = len(self._slot) + len(starts)
        self._starts = starts
        self._addresses = np.zeros(len(self._slot) + len(starts), np.int64)
        for owner, slot in self._slot.items():
            if slot >= outside:
                buffer = owner if isinstance(owner, Buffer) else self.buffers[owner]
                self._addresses[slot] = self._base + buffer.offset
        self._find_starts(lambda owner: self._slot[owner] >= outside)
        self._moving = [(slot, self._slot[o], n * _element(o))
                        for (o, n), slot in starts.items() if self._slot[o] < outside]

    def _find_starts(self, which) -> None:
        for (owner, start), slot in self._starts.items():
            if which(owner):
                size = _element(owner)
                self._addresses[slot] = self._addresses[self._slot[owner]] + start * size

    def _plan_memory(self) -> None:
        """Lay the intermediates out in one arena, each alive from its first write to its last
        read."""
        born: dict[Node, int] = {}
        dies: dict[Node, int] = {}
        for step in self.steps:
            for x in (*step.reads, *step.writes):
                x = self._owner(x)
                born[x] = min(born.get(x, step.level), step.level)
                dies[x] = max(dies.get(x, 0), step.last)
            for t in step.temporaries:
                t.born, t.dies = step.level, step.last
        written = {self._owner(x) for step in self.steps for x in step.writes}
        self.buffers = {x: Buffer(x.nbytes, born[x], dies[x])
                        for x in born if x in written and x not in self._slot}
        self.arena_bytes = plan(
            [*self.buffers.values(), *(t for s in self.steps for t in s.temporaries)])
        if self.arena_bytes > LARGE:
            give_back()
        try:
            self._arena = np.empty(self.arena_bytes + 64, np.uint8)
        except MemoryError:
            largest = max(self.buffers, key=lambda x: x.nbytes, default=None)
            raise out_of_memory(
                "the arena of a program", self.arena_bytes, largest) from None
        self._base = address(self._arena) + -address(self._arena) % 64

    def _owner(self, node: Node) -> Node:
        """Whose memory a node is written to: a part of a cat has none of its own."""
        return self.fusion.part_of[node][0] if node in self.fusion.part_of else node

    def _overwrites(self) -> list[list[int]]:
        """For each output the leaves whose memory it may take: the last who reads them is the step
        that writes the output, element by element."""
        writer = {x: s for s in self.steps for x in s.writes}
        readers = defaultdict(list)
        for step in self.steps:
            for x in step.reads:
                readers[x].append(step)
        times = Counter(self.outputs)
        number = {x: k for k, x in enumerate(self.leaves) if not times[x]}

        def leaves_of(output: Node) -> list[int]:
            step = writer.get(output)
            if step is None or step.nest is None or times[output] > 1:
                return []
            return [
                number[x] for x in step.nest.buffers if x in number and x.spec is output.spec
                and all(s is step or s.last < step.level for s in readers[x])
                and _in_place(step, x, output)]

        return [leaves_of(n) for n in self.outputs]

    # ------------------------------------------------------------------ what
    def _assemble(self) -> None:
        """Tables of native kernels, with the interpreter's nodes between them."""
        self.segments: list[Table | Node] = []
        codes = [code for step in self.steps for code in step.codes]
        addresses = iter(engine().addresses([code.text for code in codes]))
        self.work = sum(code.work for code in codes)
        pending: list[Entry] = []
        scratch = max([code.scratch for code in codes], default=0)

        def close() -> None:
            if pending:
                self.segments.append(Table(sorted(pending, key=lambda e: e.level), scratch))
                pending.clear()

        for step in self.steps:
            if step.kernel.kind == "host":
                close()
                self.segments.append(step.writes[0])
            for k, (code, places) in enumerate(zip(step.codes, step.places)):
                pending.append(Entry(next(addresses), self.slots(places), code.units, code.grain,
                                     step.level + k))
        close()

    def slots(self, places: Sequence[Place]) -> list[int]:
        """Which slots these places are."""
        return [self._starts[p] if p[1] else self._slot[p[0]] for p in places]

    @property
    def workers(self) -> int:
        """How many workers run the program: one if there is little to do."""
        return 1 if self.work < ALONE else config.get_num_threads()

    def __repr__(self) -> str:
        return printout.summary(self)

    def __str__(self) -> str:
        return printout.text(self)

    # ------------------------------------------------------------------ running
    def run(self, values: Sequence[np.ndarray], out: Sequence[np.ndarray | None] | None = None
            ) -> list[np.ndarray]:
        """The values of the outputs from those of the leaves.

        `out` may give arrays to write outputs to: that of a leaf `overwrites` names, say.
        """
        with self._lock:
            try:
                if out is None and self._alone is not None:
                    return self._run_alone(self._alone, values)
                arrays = self._enter(values, out)
                self._work(arrays)
                return [arrays[n] for n in self.outputs]
            except MemoryError as error:
                raise self._out_of_memory(error) from None

    def _out_of_memory(self, error: MemoryError) -> MemoryError:
        """The error that names the largest output, most often NumPy's reason for its own."""
        largest = max(self.outputs, key=lambda n: n.nbytes)
        own = [(self.arena_bytes, "the arena of the program")]
        return out_of_memory("a program", sum(n.nbytes for n in self.outputs), largest, error, own)

    def _run_alone(self, table: Table, values: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The same where all is native and one table."""
        arrays = [*values, *starmap(np.empty, self._made)]
        if self._launch is not None:
            return self._run_at_once(self._launch, table, arrays)
        row_major(arrays, self._start, self._addresses)
        for slot, base, start in self._moving:
            self._addresses[slot] = self._addresses[base] + start
        fault = table.run(self._start, self.workers)
        if fault is not None:
            raise Fault(fault)
        return [arrays[i] for i in self._results]

    def _run_at_once(self, launch: Launch, table: Table, arrays: list[np.ndarray]
                     ) -> list[np.ndarray]:
        """The same where there is so little to do that the calls around it would take longer."""
        fault = launch(arrays)
        while fault < -1:
            place = -2 - fault
            arrays[place] = np.require(arrays[place], requirements=("C", "A"))
            fault = launch(arrays)
        if fault:
            raise Fault(table.fault(fault))
        if self._only_made:
            return arrays[len(self.leaves):]
        return [arrays[i] for i in self._results]

    def _enter(self, values: Sequence[np.ndarray], out=None) -> dict[Node, np.ndarray]:
        """Put the addresses of all arrays from outside into the table; these arrays."""
        held = [v if v.flags.c_contiguous else np.ascontiguousarray(v) for v in values]
        arrays: dict[Node, np.ndarray] = dict(zip(self.leaves, held))
        for k, node in enumerate(self.outputs):
            if node not in arrays:
                given = None if out is None else out[k]
                arrays[node] = np.empty(node.shape, node.dtype.np) if given is None else given
        for node, array in arrays.items():
            self._addresses[self._slot[node]] = address(array)
        for slot, base, start in self._moving:
            self._addresses[slot] = self._addresses[base] + start
        return arrays

    def _work(self, arrays: dict[Node, np.ndarray]) -> None:
        workers = self.workers
        for segment in self.segments:
            if isinstance(segment, Table):
                fault = segment.run(self._addresses.ctypes.data, workers)
                if fault is not None:
                    raise Fault(fault)
            else:
                self._host(segment, arrays)

    def _host(self, node: Node, arrays: dict[Node, np.ndarray]) -> None:
        inputs = [self._array(x, arrays) for x in node.inputs]
        try:
            with np.errstate(all="ignore"):
                value = np.ascontiguousarray(evaluate(node, inputs)).reshape(node.shape)
        except ChainruleError as error:
            # The interpreter meets it again, on the line that recorded the user's own node.
            raise Fault(error) from None
        if not value.flags.owndata:
            value = value.copy()
        arrays[node] = value
        self._addresses[self._slot[node]] = address(value)
        self._find_starts(lambda owner: owner is node)

    def _array(self, node: Node, arrays: dict[Node, np.ndarray]) -> np.ndarray:
        if node in arrays:
            return arrays[node]
        offset = self.buffers[node].offset + self._base - address(self._arena)
        raw = self._arena[offset : offset + node.nbytes]
        return raw.view(node.dtype.np).reshape(node.shape)




def _element(owner: Node | Buffer) -> int:
    """Bytes of one element: those of a temporary are its elements."""
    return 1 if isinstance(owner, Buffer) else owner.dtype.itemsize


def _detached(outputs: Sequence[Node], leaves: Sequence[Node]) -> tuple[list[Node], list[Node]]:
    """The same graph on leaves without the user's values: a program must not hold them."""
    new: dict[Node, Node] = {}
    for x in leaves:
        new[x] = stand_in = leaf(np.zeros((), x.dtype.np), x.dtype)
        stand_in.spec, stand_in.site, stand_in.scope = x.spec, x.site, x.scope
    for node in toposort(outputs):
        if node not in new:
            inputs = tuple([new[x] for x in node.inputs])
            new[node] = Node(
                node.op, inputs, node.attrs, node.spec, False, node.site, node.scope, 0)
    return [new[n] for n in outputs], [new[x] for x in leaves]


def _in_place(step: Step, x: Node, output: Node) -> bool:
    """Whether the step reads x just where it writes the output, and before."""
    nest = step.nest
    assert nest is not None
    place, target = nest.buffers.index(x), nest.buffers.index(output)
    if nest.starts[place] != nest.starts[target]:
        return False
    if any(x is source for source, _ in step.places[-1][: -len(nest.buffers)]):
        return False  # a contraction's operand
    code = list(enumerate(nest.instructions()))
    stores = [(k, i) for k, i in code if i.do == "store" and i.place == target]
    loads = [(k, i) for k, i in code if i.do == "load" and i.place == place]
    return len(stores) == 1 and all(
        k < stores[0][0] and i.where == stores[0][1].where and not i.guards for k, i in loads)
