"""A kernel as a nest of loops: what `print(kernel)` shows and machine code is made from.

One turn of the parallel loops runs the blocks of a nest one after the other.  A block is
straight-line code, either run once a turn or within loops of its own: the passes over a row.
Every instruction says where in memory it reads or writes as a linear expression of the loops'
variables.  Nothing here knows how many lanes a vector has: codegen.py chooses the variable that
becomes the vector.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import prod
from typing import Any

from ..graph import Node
from ..ops import elementwise as ew
from ..ops import indexing as ix
from ..ops import movement as mv
from ..ops.op import cast
from . import math
from .fuse import Fusion, Kernel, Member
from .index import ZERO, Guard, Index, Linear, parts, stretched
from .needs import is_one_hot, is_read, one_hot_index, read

AGAIN = 12  # instructions that a later pass rather repeats than keeps in scratch
LARGEST_ROW = 1 << 16  # elements: what is kept between passes and larger than this is stored

HALF = ("float16", "bfloat16")


def register(elem: str) -> str:
    """The type in which a dtype is computed: half precision in float32."""
    return "float32" if elem in HALF else elem


@dataclass(slots=True)
class Instruction:
    """`out` = do(args): load, store, keep, kept, number, index, found, choose, reduce or an op."""

    do: str
    out: int
    elem: str
    args: tuple[int, ...] = ()
    place: int = -1  # number of the buffer, or of the scratch row, or of the variable found
    where: Linear = ZERO
    guards: tuple[Guard, ...] = ()
    extra: Any = None  # (op, attrs), a number, the name of a reduction ...

    def __str__(self) -> str:
        args = ", ".join(f"%{a}" for a in self.args)
        if self.do in ("load", "store"):
            text = f"b{self.place}[{self.where}]"
            text = f"load {text}" if self.do == "load" else f"{text} <- {args}"
        elif self.do == "op":
            op, attrs = self.extra
            text = f"{op.name} {args}{''.join(f' {k}={v}' for k, v in attrs.items())}"
        elif self.do in ("keep", "kept"):
            text = f"{self.do} row{self.place} {args}"
        elif self.do == "index":
            text = f"index {self.where}"
        else:
            text = " ".join([self.do, "" if self.extra is None else str(self.extra), args])
        if self.do.startswith("found"):
            text += f" -> i{self.place}"
        guards = f" where {' and '.join(map(str, self.guards))}" if self.guards else ""
        left = f"%{self.out}: {self.elem} = " if self.out >= 0 else ""
        return f"{left}{text}{guards}"


@dataclass(eq=False)
class Block:
    """Instructions that run once for every turn of the loops `inner`."""

    inner: tuple[int, ...]
    code: list[Instruction] = field(default_factory=list)
    known: dict[tuple, int] = field(default_factory=dict)  # (node, flat index) -> value


@dataclass(eq=False)
class Nest:
    """The loops of one kernel.  `buffers` lists the nodes in memory, by their place number, and
    `starts` from which element on the kernel looks at each."""

    sizes: dict[int, int]  # variables and their lengths
    parallel: tuple[int, ...]
    blocks: list[Block]
    buffers: list[Node]
    starts: list[int]
    rows: list[tuple[tuple[int, ...], str]]  # kept between passes: (its variables, its type)
    found: set[int]  # variables whose value comes from memory
    ordered: bool = False  # the inner loops write one over the other: keep their order

    def __str__(self) -> str:
        over = ", ".join(f"i{v} < {self.sizes[v]}" for v in self.parallel) or "once"
        lines = [f"parallel {over}:"]
        for block in self.blocks:
            indent = "  "
            if block.inner:
                over = ", ".join(f"i{v} < {self.sizes[v]}" for v in block.inner)
                lines.append(f"  for {over}:")
                indent = "    "
            lines += [f"{indent}{i}" for i in block.code]
        return "\n".join(lines)

    def instructions(self) -> Iterable[Instruction]:
        for block in self.blocks:
            yield from block.code


class Lowering:
    """Writes the members of one kernel as a nest."""

    def __init__(self, fusion: Fusion, kernel: Kernel):
        self.fusion, self.kernel, self.space = fusion, kernel, kernel.space
        self.parallel = kernel.parallel
        self.buffers: list[Node] = []
        self._place: dict[Node, int] = {}
        self._count = 0
        self._rows: list[tuple[tuple[int, ...], str]] = []
        self._row: dict[Node, int] = {}
        self._stage: dict[Node, int] = {}  # of a value per element: the pass that computes it
        self._ready: dict[Node, int] = {}  # of a value per turn: after which pass it is there
        self._found: dict[int, tuple] = {}  # where a variable was found last
        self.blocks: dict[tuple, Block] = {}

    # ------------------------------------------------------------------ passes
    def nest(self) -> Nest:
        if self.kernel.kind == "scatter":
            self._write_scatter(self.kernel.members[0])
            return self._finished()
        # What was written out in a member may have become a member itself, later.
        self.members = sorted(self.kernel.members, key=lambda m: self.fusion.position[m.node])
        for m in self.members:
            self._schedule(m)
        self._choose_rows()
        for m in self.members:
            self._write(m)
        return self._finished()

    def _finished(self) -> Nest:
        blocks = [self.blocks[k] for k in sorted(self.blocks, key=lambda k: k[:2])]
        blocks = [b for b in blocks if b.code]
        inner = {v for b in blocks for v in b.inner}
        sizes = {v: self.space.sizes[v] for v in sorted(self.parallel | inner)}
        return Nest(sizes, tuple(sorted(self.parallel)), blocks, self.buffers,
                    self._starts(blocks), self._rows, set(self.space.found),
                    self.kernel.kind == "scatter")

    def _starts(self, blocks: list[Block]) -> list[int]:
        """Let each buffer begin where the kernel first looks, so that the same work on another
        slice is the same code."""
        places: list[list[Instruction]] = [[] for _ in self.buffers]
        for block in blocks:
            for i in block.code:
                if i.do in ("load", "store"):
                    places[i.place].append(i)
        starts = [max(min(i.where.offset for i in found), 0) for found in places]
        for start, found in zip(starts, places):
            for i in found if start else ():
                i.where = i.where + -start
        return starts

    def _is_contract(self, m: Member) -> bool:
        return self.kernel.kind == "contract" and m is self.kernel.members[0]

    def _inner(self, index: Index) -> tuple[int, ...]:
        return tuple(sorted(self.space.variables(index) - self.parallel))

    def _schedule(self, m: Member) -> None:
        """In which pass over the row the member is computed."""
        inner = self._inner(m.operand if m.operand is not None else m.index)
        deps = {x for x in self._inside(m.node)}
        if self._is_contract(m):
            self._ready[m.node] = -1
        elif not inner and m.operand is None:
            self._ready[m.node] = max((self._ready.get(x, -1) for x in deps), default=-1)
        else:
            stage = max(
                (self._stage[x] if x in self._stage else self._ready[x] + 1 for x in deps),
                default=0)
            if m.operand is None:
                self._stage[m.node] = stage
            else:
                self._ready[m.node] = stage

    def _inside(self, node: Node) -> set[Node]:
        """The members of this kernel that a member needs."""
        found, stack, seen = set(), list(node.inputs), set()
        while stack:
            x = stack.pop()
            if x in seen:
                continue
            seen.add(x)
            if x in self.kernel:
                found.add(x)
            elif not self.fusion.ready(x, self.kernel):
                stack += x.inputs
        return found

    def _choose_rows(self) -> None:
        """What a later pass needs is read back if it is stored, computed again if that is cheap,
        and otherwise kept in the scratch memory of the worker."""
        for m in self.members:
            need = self._ready[m.node] if m.node not in self._stage else self._stage[m.node]
            for x in self._inside(m.node):
                if x in self._stage and self._stage[x] < need and x not in self.fusion.stored:
                    self._keep(x)

    def _keep(self, x: Node) -> None:
        if x in self._row or self._weight(x, 0) <= AGAIN:
            return
        inner = self._inner(self.kernel.own(x).index)
        if prod(self.space.sizes[v] for v in inner) > LARGEST_ROW:
            self.fusion.stored.add(x)
            return
        self._row[x] = len(self._rows)
        self._rows.append((inner, register(x.dtype.name)))

    def _weight(self, x: Node, depth: int) -> int:
        """Instructions to compute x again from memory."""
        if depth > 20:
            return AGAIN + 1
        total = getattr(math, "COST", {}).get(x.op.name, 1) if x.op.kind == "elementwise" else 0
        for y in x.inputs:
            if y in self.fusion.stored and self.fusion.ready(y, self.kernel) or y.value is not None:
                total += 1
            elif y in self._ready and y in self.kernel:
                continue
            else:
                total += self._weight(y, depth + 1)
            if total > AGAIN:
                break
        return total

    # ------------------------------------------------------------------ members
    def _block(self, stage: int, inner: tuple[int, ...]) -> Block:
        # Once a turn after pass s: (s, 1); the loops of pass s: (s, 0).
        key = (stage, 0 if inner else 1, inner)
        if key not in self.blocks:
            self.blocks[key] = Block(inner)
        return self.blocks[key]

    def _write(self, m: Member) -> None:
        node = m.node
        if m.operand is not None and not self._is_contract(m):
            self._write_reduction(m, m.operand)
            return
        inner = self._inner(m.index)
        stage = self._stage[node] if node in self._stage else self._ready[node]
        block = self._block(stage, inner)
        value = self._value(block, stage, node, m.index)
        if node in self._row:
            self._emit(block, Instruction("keep", -1, node.dtype.name, (value,),
                                          place=self._row[node]))
        if node in self.fusion.stored:
            self._store(block, node, m.index, value)

    def _write_reduction(self, m: Member, operand: Index) -> None:
        node, (x,) = m.node, m.node.inputs
        stage = self._ready[node]
        inner = self._inner(operand)
        block = self._block(stage, inner)
        after = self._block(stage, ())
        args = [self._value(block, stage, x, operand)]
        name = node.op.name
        if name in ("argmax", "argmin"):
            along = self.space.resolve(operand[node.attrs["axis"]])
            args.append(self._emit(block, Instruction("index", self._new(), "int64", where=along)))
            if not inner:
                args.reverse()
        out = self._emit(block, Instruction(
            "reduce" if inner else "as", self._new(), register(node.dtype.name), tuple(args),
            extra=(name, node.dtype.name)))
        after.known[self._key(node, m.index)] = out
        if node in self.fusion.stored:
            self._store(after, node, m.index, out)

    def _write_scatter(self, m: Member) -> None:
        node = m.node
        written, places, value, _ = self.fusion.writes_of(self.kernel)
        block = self._block(0, self._inner(m.index))
        self._store(block, node, m.index,
                    self._value(block, 0, node.inputs[0], m.index))
        block = self._block(1, self._inner(written))
        new = self._value(block, 1, value, stretched(written, value.shape))
        where = self.space.flat(places, node.shape)
        self._ask(block, 1, where, ())
        elem = node.dtype.name
        if node.op is ix.scatter_add or node.attrs.get("accumulate"):
            old = self._emit(block, Instruction("load", self._new(), register(elem), (),
                                                self._buffer(node), where, (), elem))
            new = self._emit(block, Instruction("op", self._new(), elem, (old, new),
                                                extra=(ew.add, {})))
        self._emit(block, Instruction("store", -1, elem, (new,), self._buffer(node), where))

    def _store(self, block: Block, node: Node, index: Index, value: int) -> None:
        if node in self.fusion.part_of:
            whole, start = self.fusion.part_of[node]
            axis = whole.attrs["axis"]
            index = (*index[:axis], index[axis] + start, *index[axis + 1 :])
            node = whole
        where = self.space.flat(index, node.shape)
        self._emit(block, Instruction("store", -1, node.dtype.name, (value,),
                                      self._buffer(node), where))

    def _buffer(self, node: Node) -> int:
        if node not in self._place:
            self._place[node] = len(self.buffers)
            self.buffers.append(node)
        return self._place[node]

    def _new(self) -> int:
        self._count += 1
        return self._count

    def _emit(self, block: Block, instruction: Instruction) -> int:
        block.code.append(instruction)
        return instruction.out

    def _key(self, node: Node, index: Index, guards=()) -> tuple:
        return node, self.space.flat(index, node.shape) if node.shape else None, guards

    # ------------------------------------------------------------------ values
    def _value(self, block: Block, stage: int, node: Node, index: Index, guards=()) -> int:
        """One element of a node, in a register."""
        home, stage = self._scope(block, stage, index, guards)
        key = self._key(node, index, guards)
        found = self._lookup(home, stage, key)
        if found is None and guards and node in self.kernel:
            found = self._lookup(home, stage, self._key(node, index))
        if found is None:
            found = home.known[key] = self._compute(home, stage, node, index, guards)
        return found

    def _scope(self, block: Block, stage: int, index: Index, guards) -> tuple[Block, int]:
        """What does not depend on the inner loops is done once a turn, before them."""
        if not block.inner:
            return block, stage
        depends = self.space.variables((*index, *[g.place for g in guards]))
        if depends & set(block.inner):
            return block, stage
        return self._block(stage - 1, ()), stage - 1

    def _lookup(self, block: Block, stage: int, key: tuple) -> int | None:
        if key in block.known:
            return block.known[key]
        # What is computed once a turn stays known to everything after it.
        last = stage - 1 if block.inner else stage
        for s in range(-1, last + 1):
            other = self.blocks.get((s, 1, ()))
            if other is not None and key in other.known:
                return other.known[key]
        return None

    def _compute(self, block: Block, stage: int, node: Node, index: Index, guards) -> int:
        elem = node.dtype.name
        own = self.kernel.own(node) if node in self.kernel else None
        if own is not None and self._is_contract(own):
            return self._emit(block, Instruction("result", self._new(), register(elem)))
        if own is not None and node in self._stage and self._stage[node] < stage:
            if node in self._row:
                return self._emit(block, Instruction("kept", self._new(), register(elem),
                                                     place=self._row[node]))
            if node in self.fusion.stored:
                return self._load(block, stage, node, self.space.flat(index, node.shape), guards)
        elif own is None and self.fusion.ready(node, self.kernel):
            return self._load(block, stage, node, self.space.flat(index, node.shape), guards)
        return self._expression(block, stage, node, index, guards)

    def _load(self, block: Block, stage: int, node: Node, where: Linear, guards) -> int:
        where = self.space.resolve(where)
        for place in (where, *[g.place for g in guards]):
            self._ask(block, stage, self.space.resolve(place), guards)
        elem = node.dtype.name
        return self._emit(block, Instruction("load", self._new(), register(elem), (),
                                             self._buffer(node), where, self._guards(guards), elem))

    def _guards(self, guards) -> tuple[Guard, ...]:
        return tuple([Guard(self.space.resolve(g.place), g.size) for g in guards])

    def _ask(self, block: Block, stage: int, where: Linear, guards) -> None:
        """Find the values of the variables that come from memory.

        Only where guards that are known without them hold: the others speak of what is found.
        """
        guards = tuple([g for g in guards if not any(
            v in self.space.found for v in self.space.resolve(g.place).variables)])
        for v in where.variables:
            if v not in self.space.found:
                continue
            node, index = self.space.found[v]
            home, when = self._scope(block, stage, index, guards)
            if self._found.get(v) != (id(home), guards):
                self._found[v] = (id(home), guards)
                value = self._value(home, when, node, index, guards)
                do = "found" if v in self.space.wraps else "found_from_0"
                self._emit(home, Instruction(do, self._new(), "int64", (value,), v,
                                             extra=self.space.sizes[v]))

    def _expression(self, block: Block, stage: int, node: Node, index: Index, guards) -> int:
        op = node.op
        if op is ew.constant:
            return self._emit(block, Instruction(
                "number", self._new(), register(node.dtype.name), extra=node.attrs["value"]))
        if op.kind == "elementwise":
            args = [self._value(block, stage, x, stretched(index, x.shape), guards)
                    for x in node.inputs]
            attrs = {"dtype": node.dtype} if op is cast else node.attrs
            return self._emit(block, Instruction(
                "op", self._new(), node.dtype.name, tuple(args), extra=(op, attrs)))
        if is_read(node):
            x, moved, _ = read(self.space, node, index)
            return self._moved(block, stage, x, moved, guards)
        if is_one_hot(node):
            return self._one_hot(block, stage, node, index, guards)
        return self._movement(block, stage, node, index, guards)

    def _moved(self, block: Block, stage: int, x: Node, index: Index, guards) -> int:
        """An element of x whose index holds variables found in memory."""
        for i in index:
            self._ask(block, stage, self.space.resolve(i), guards)
        return self._value(block, stage, x, index, guards)

    def _movement(self, block: Block, stage: int, node: Node, index: Index, guards) -> int:
        x = node.inputs[0]
        if node.op is ew_reshape and x not in self.kernel and self.fusion.ready(x, self.kernel):
            return self._load(block, stage, x, self.space.flat(index, node.shape), guards)
        if node.op is ew_reshape and x in self.kernel:
            own = self.kernel.own(x)
            return self._value(block, stage, x, own.index, guards)
        result = -1
        for number, moved, more in reversed(parts(self.space, node, index)):
            more = tuple(more)
            value = self._value(block, stage, node.inputs[number], moved, guards + more)
            if result < 0 and more:
                zero = self._emit(block, Instruction("number", self._new(),
                                                     register(node.dtype.name), extra=0))
                result = self._choose(block, stage, node, guards, more, value, zero)
            elif result < 0:
                result = value
            else:
                result = self._choose(block, stage, node, guards, more, value, result)
        return result

    def _choose(self, block, stage, node, outer, guards, yes: int, no: int) -> int:
        for g in guards:
            self._ask(block, stage, self.space.resolve(g.place), outer)
        return self._emit(block, Instruction(
            "choose", self._new(), register(node.dtype.name), (yes, no),
            guards=self._guards(guards)))

    def _one_hot(self, block: Block, stage: int, node: Node, index: Index, guards) -> int:
        """x, and at the place that the index names: src, or src added."""
        x, places, src = node.inputs
        axis = node.attrs["axis"]
        single = one_hot_index(node, index)
        base = self._value(block, stage, x, index, guards)
        named = self._value(block, stage, places, single, guards)
        value = self._value(block, stage, src, single, guards)
        here = self._emit(block, Instruction("index", self._new(), "int64",
                                             where=self.space.resolve(index[axis])))
        do = "add_where" if node.op is ix.scatter_add else "set_where"
        return self._emit(block, Instruction(
            do, self._new(), node.dtype.name, (base, named, value, here),
            extra=x.shape[axis]))


ew_reshape = mv.reshape
