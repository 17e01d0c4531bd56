"""From a nest of loops to the instructions of one kernel: which variable becomes the vector, what
a unit of work is, and how every instruction of the nest is written for a vector of lanes."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

from .emit import BITS, Builder, Index, Value
from .engine import NAME, Target
from .index import Linear
from .loops import HALF, Instruction, Nest, register
from .vectors import FARTHEST, NONE, TILE, lanes_of, merged, tiled, vector_variable, widened

OUT_OF_RANGE = 1  # what a kernel returns when an index names no element
CHUNK = 2048  # elements of a vector variable that one unit runs over, where there is no inner loop
GRAIN = 1 << 14  # element-instructions that are worth a hand-over between workers


# --------------------------------------------------------------------------- what a kernel is
@dataclass(frozen=True)
class Code:
    """One kernel, ready to be made machine code: its text, its units of work, its needs."""

    text: str
    units: int
    grain: int
    scratch: int
    work: int  # element-instructions in all


def loop_kernel(nest: Nest, target: Target) -> Code:
    """The code of a kernel that is only loops."""
    nest = merged(nest)
    lanes = lanes_of(nest, target)
    v = vector_variable(nest, lanes)
    b = Builder(NAME, target)
    writer = Writer(b, nest, v, 1 if v == NONE else widened(nest, v, lanes))
    work = writer.work()
    units = writer.write()
    each = max(work // max(units, 1), 1)
    return Code(b.text(), units, max(1, GRAIN // each), writer.scratch, work)


_PLACES = {"argmax": "amax", "argmin": "amin"}
_NOWHERE = (1 << 63) - 1
_IDENTITY = {"sum": 0, "prod": 1, "any": False, "all": True}


class Writer:
    """Writes the instructions of a nest; `vector` is the variable whose neighbours are lanes."""

    def __init__(self, b: Builder, nest: Nest, vector: int, lanes: int):
        self.b, self.nest, self.vector, self.lanes = b, nest, vector, lanes
        self.env: dict[int, Index] = {}
        self.values: dict[int, Value] = {}
        self.mask: Value | None = None
        self.sums: dict[int, Any] = {}  # of a reduction: its Variable; of argmax, two
        self.across = vector in nest.parallel  # lanes are turns, not elements of a turn
        self.tile = NONE
        self.scratch = 0
        self._rows = []
        for variables, elem in nest.rows:
            self._rows.append(self.scratch)
            count = prod(nest.sizes[u] for u in variables) * (lanes if self.across else 1)
            self.scratch += -(-count * BITS[elem] // 8 // 64) * 64 + 64
        self._buffers: dict[int, Value] = {}

    def work(self) -> int:
        turns = prod(self.nest.sizes[v] for v in self.nest.parallel)
        each = sum(
            len(b.code) * prod(self.nest.sizes[v] for v in b.inner) for b in self.nest.blocks)
        return turns * each

    def finish(self, places: list[Value], env, mask, result: Value, elem: str) -> None:
        """Write the nest for one piece of a contraction's result."""
        self._buffers = dict(enumerate(places))
        self.env, self.mask, self.across = env, mask, True
        for block in self.nest.blocks:
            for i in block.code:
                if i.do == "result":
                    self.values[i.out] = self._rounded(result, elem)
                else:
                    self._write(i)

    # ------------------------------------------------------------------ loops over turns
    def write(self) -> int:
        """Write the whole kernel; returns how many units of work there are."""
        b, nest = self.b, self.nest
        for k in range(len(nest.buffers)):
            self._buffers[k] = b.buffer(k)
        self.tile = tiled(nest, self.vector)
        outer = [v for v in nest.parallel if v not in (self.vector, self.tile)]
        units = prod(nest.sizes[v] for v in outer)
        if not self.across:
            with b.loop(b.low, b.high) as unit:
                self._decode(unit, outer)
                self._blocks(nest.blocks)
            return units
        n = nest.sizes[self.vector]
        inner = any(block.inner for block in nest.blocks)
        chunk = min(n, self.lanes if inner else max(CHUNK, self.lanes))
        chunk = -(-chunk // self.lanes) * self.lanes
        pieces = -(-n // chunk)
        rows = 1 if self.tile == NONE else -(-nest.sizes[self.tile] // TILE)
        with b.loop(b.low, b.high) as unit:
            piece, rest = b.modulo(unit, pieces), b.quotient(unit, pieces)
            row = b.modulo(rest, rows)
            self._decode(b.quotient(rest, rows), outer)
            early = self._early()
            with self._along(piece, chunk, n, self.lanes) as i:
                self._set_vector(i, n)
                if self.tile == NONE:
                    self._blocks(nest.blocks, early)
                else:
                    with self._along(row, TILE, nest.sizes[self.tile], 1) as j:
                        self.env[self.tile] = j
                        self._blocks(nest.blocks, early)
        return units * pieces * rows

    def _along(self, piece: Index, chunk: int, n: int, step: int):
        """The loop over one piece of a variable of length n."""
        start = self.b.mul(piece, chunk)
        stop = n if chunk >= n else self.b.min(self.b.add(start, chunk), n)
        return self.b.loop(start, stop, step)

    def _decode(self, unit: Index, variables: list[int]) -> None:
        for v in reversed(variables[1:]):
            self.env[v] = self.b.modulo(unit, self.nest.sizes[v])
            unit = self.b.quotient(unit, self.nest.sizes[v])
        if variables:
            self.env[variables[0]] = unit

    def _set_vector(self, i: Index, n: int) -> None:
        self.env[self.vector] = i
        if n % self.lanes:
            self.mask = self.b.first_lanes(self.b.sub(self.b.index(n), i), self.lanes)

    def _early(self) -> set[int]:
        """Write what is the same for all lanes of a unit once, before the loop over vectors."""
        varying: set[int] = set()
        done: set[int] = set()
        for block in self.nest.blocks:
            if block.inner:
                break
            for i in block.code:
                if i.do == "store" or self._varies(i, varying) or i.do in ("result", "keep"):
                    varying.add(i.out)
                    if i.do.startswith("found"):
                        varying.add(-2 - i.place)
                else:
                    self._write(i)
                    done.add(id(i))
        return done

    def _varies(self, i: Instruction, varying: set[int]) -> bool:
        if any(a in varying for a in i.args):
            return True
        places = [i.where, *[g.place for g in i.guards]]
        turning = (self.vector, self.tile)
        return any(v in turning or -2 - v in varying for p in places for v in p.variables)

    def _blocks(self, blocks, early=frozenset()) -> None:
        for block in blocks:
            if block.inner:
                self._loops(block)
            else:
                for i in block.code:
                    if id(i) not in early:
                        self._write(i)

    def _loops(self, block) -> None:
        """The loops of one block around its code; sums begin before and end behind them."""
        for i in block.code:
            if i.do == "reduce":
                self._begin(i, self.vector in block.inner)
        order = [v for v in block.inner if v != self.vector]
        if self.vector in block.inner:
            order.append(self.vector)
        self._nested(block, order)
        for i in block.code:
            if i.do == "reduce":
                self._end(i)

    def _nested(self, block, order: list[int]) -> None:
        if not order:
            known = dict(self.values)
            for i in block.code:
                self._write(i)
            self.values = known
            return
        v, *rest = order
        n = self.nest.sizes[v]
        if v != self.vector:
            with self.b.loop(0, n) as i:
                self.env[v] = i
                self._nested(block, rest)
            return
        with self.b.loop(0, n, self.lanes) as i:
            before = self.mask
            self._set_vector(i, n)
            self._nested(block, rest)
            self.mask = before

    # ------------------------------------------------------------------ reductions
    def _begin(self, i: Instruction, folded: bool) -> None:
        name, elem = i.extra
        if name in _PLACES:
            self._begin_place(i, folded)
            return
        kept = {"sum": "float64" if elem.startswith(("float", "bf")) else "int64"}.get(
            name, register(elem))
        lanes = self.lanes if folded or self.across else 1
        self.sums[i.out] = self.b.variable(self.b.number(_identity(name, kept), kept, lanes))

    def _begin_place(self, i: Instruction, folded: bool) -> None:
        """argmax keeps two registers: the best so far, and where it was met."""
        name, _ = i.extra
        elem = next(j.elem for j in self.nest.instructions() if j.out == i.args[0])
        lanes = self.lanes if folded or self.across else 1
        best = self.b.number(_identity(_PLACES[name], register(elem)), register(elem), lanes)
        place = self.b.number(_NOWHERE, "int64", lanes)
        self.sums[i.out] = self.b.variable(best), self.b.variable(place)

    def _reduce(self, i: Instruction) -> None:
        name, _ = i.extra
        variable = self.sums[i.out]
        if name in _PLACES:
            self._reduce_place(i)
            return
        value = self.b.cast(self.values[i.args[0]], variable.elem)
        value = self.b.like(value, variable)
        if self.mask is not None and variable.lanes > 1:
            value = self.b.select(self.mask, value, _identity(name, variable.elem))
        variable.set(self._combine(name)(variable.get(), value))

    def _reduce_place(self, i: Instruction) -> None:
        best, place = self.sums[i.out]
        value = self.b.like(self.values[i.args[0]], best)
        where = self.b.like(self.values[i.args[1]], place)
        if self.mask is not None and best.lanes > 1:
            where = self.b.select(self.mask, where, _NOWHERE)
            value = self.b.select(self.mask, value, _identity(_PLACES[i.extra[0]], best.elem))
        chosen = self._better(i.extra[0], (value, where), (best.get(), place.get()))
        best.set(chosen[0])
        place.set(chosen[1])

    def _better(self, name: str, new, old):
        """The greater of two, NaN above all; of equals the one met at the lower index."""
        b, (x, i), (y, j) = self.b, new, old
        wins = b.compare("gt" if name == "argmax" else "lt", x, y)
        same = b.compare("eq", x, y)
        if x.floating:
            x_nan, y_nan = b.compare("ne", x, x), b.compare("ne", y, y)
            wins = b.bits("logical_or", wins, x_nan & b.bits("logical_not", y_nan))
            same = b.bits("logical_or", same, x_nan & y_nan)
        wins = b.bits("logical_or", wins, same & b.compare("lt", i, j))
        return b.select(wins, x, y), b.select(wins, i, j)

    def _end_place(self, i: Instruction) -> None:
        best, place = (v.get() for v in self.sums[i.out])
        while not self.across and best.lanes > 1:
            half = best.lanes // 2
            halves = [[self.b.shuffle(v, None, range(k, k + half)) for v in (best, place)]
                      for k in (0, half)]
            best, place = self._better(i.extra[0], *halves)
        self.values[i.out] = place

    def _combine(self, name: str):
        return {"sum": self.b.add, "prod": self.b.mul, "amax": self.b.max, "amin": self.b.min,
                "any": self.b.max, "all": self.b.min}[name]

    def _end(self, i: Instruction) -> None:
        name, elem = i.extra
        if name in _PLACES:
            self._end_place(i)
            return
        total = self.sums[i.out].get()
        if not self.across:
            total = self.b.fold(self._combine(name), total)
        self.values[i.out] = self._rounded(total, elem)

    def _rounded(self, x: Value, elem: str) -> Value:
        """A result as its dtype has it, in the type of its register."""
        if elem in HALF:
            return self.b.cast(self.b.cast(x, elem), "float32")
        return self.b.cast(x, elem)

    # ------------------------------------------------------------------ places in memory
    def _where(self, where: Linear) -> tuple[Index, int, Value | None]:
        """(index of the first lane, distance of the lanes, what else differs between lanes)"""
        b = self.b
        base: Index = where.offset
        step, apart = 0, None
        for v, c in where.terms:
            at = self.env[v]
            if isinstance(at, Value) and at.lanes > 1:
                more = b.mul(at, c)
                apart = more if apart is None else b.add(apart, more)
                continue
            if v == self.vector:
                step = c
            base = b.add(base, b.mul(at, c))
        return base, step, apart

    def _guard(self, guards) -> Value | None:
        """Whether all guards hold, as a mask or a single bool."""
        result = None
        for g in guards:
            base, step, apart = self._where(g.place)
            place = self.b.index(base)
            if step or apart is not None:
                place = self._spread(base, step, apart)
            held = self.b.compare("lt", self.b.bitcast(place, "uint64"), g.size)
            result = held if result is None else self.b.bits("logical_and", result, held)
        return result

    def _spread(self, base: Index, step: int, apart: Value | None) -> Value:
        lanes = self.b.iota(self.lanes, "int64", step)
        place = self.b.add(lanes, base) if isinstance(base, Value) or base else lanes
        return place if apart is None else self.b.add(place, apart)

    def _masked(self, guard: Value | None, lanes: int) -> Value | None:
        if lanes == 1:
            return guard
        if guard is None:
            return self.mask
        guard = self.b.splat(guard, lanes)
        return guard if self.mask is None else self.b.bits("logical_and", guard, self.mask)

    def _load(self, i: Instruction) -> Value:
        base, step, apart = self._where(i.where)
        guard = self._guard(i.guards)
        memory, elem = self._buffers[i.place], i.extra
        many = step or apart is not None or (guard is not None and guard.lanes > 1)
        lanes = self.lanes if many else 1
        mask = self._masked(guard, lanes)
        if apart is None and (step == 1 or lanes == 1):
            x = self.b.load(memory, base, elem, lanes, mask)
        elif apart is None and step == 0 and guard is not None:
            x = self.b.load(memory, base, elem, 1, self.b.fold(self.b.max, guard))
        elif apart is None and 2 <= step <= FARTHEST:
            wide = self.b.load(memory, base, elem, lanes * step, self._every(step, mask))
            x = self.b.shuffle(wide, None, range(0, lanes * step, step))
        else:
            start = self.b.offset(memory, elem, base)
            x = self.b.gather(start, self._spread(0, step, apart), elem, mask)
        return self.b.cast(x, "float32") if elem in HALF else x

    def _store(self, i: Instruction) -> None:
        base, step, apart = self._where(i.where)
        x, memory = self.values[i.args[0]], self._buffers[i.place]
        x = self.b.cast(x, i.elem)
        if not step and apart is None:
            self.b.store(memory, base, self.b.extract(x, 0))
            return
        x = self.b.splat(x, self.lanes)
        if step == 1 and apart is None:
            self.b.store(memory, base, x, self.mask)
        elif apart is None and 2 <= step <= FARTHEST:
            x, _ = self.b._to_store(x)
            places = [k // step if k % step == 0 else 0 for k in range(self.lanes * step)]
            self.b.store(memory, base, self.b.shuffle(x, None, places),
                         self._every(step, self.mask))
        else:
            start = self.b.offset(memory, i.elem, base)
            self.b.scatter(start, self._spread(0, step, apart), x, self.mask)

    def _every(self, step: int, mask: Value | None) -> Value:
        """A mask for lanes that lie `step` elements apart in a wider vector."""
        lanes = self.lanes
        if mask is None:
            return self.b.vector([k % step == 0 for k in range(lanes * step)], "bool")
        none = self.b.number(False, "bool", lanes)
        return self.b.shuffle(mask, none, [
            k // step if k % step == 0 else lanes for k in range(lanes * step)])

    def _row(self, i: Instruction) -> tuple[Value, Index]:
        """Where the present element of a row kept in scratch lies."""
        variables, elem = self.nest.rows[i.place]
        order = [v for v in variables if v != self.vector]
        order += [v for v in variables if v == self.vector]
        place: Index = 0
        for v in order:
            place = self.b.add(self.b.mul(place, self.nest.sizes[v]), self.env[v])
        if self.across:
            place = self.b.mul(place, self.lanes)
        return self.b.offset(self.b.scratch, "uint8", self._rows[i.place]), place

    def _kept_lanes(self, i: Instruction) -> int:
        return self.lanes if self.across or self.vector in self.nest.rows[i.place][0] else 1

    # ------------------------------------------------------------------ instructions
    def _write(self, i: Instruction) -> None:
        if i.do == "store":
            self._store(i)
        elif i.do == "reduce":
            self._reduce(i)
        elif i.do == "keep":
            base, place = self._row(i)
            mask = None if self.across else self.mask
            self.b.store(base, place, self.b.splat(self.values[i.args[0]], self._kept_lanes(i)),
                         mask if self._kept_lanes(i) > 1 else None)
        elif i.do.startswith("found"):
            self.env[i.place] = self._find(i)
        elif i.do != "result":
            self.values[i.out] = getattr(self, f"_do_{i.do}")(i)

    def _do_load(self, i: Instruction) -> Value:
        return self._load(i)

    def _do_kept(self, i: Instruction) -> Value:
        base, place = self._row(i)
        return self.b.load(base, place, i.elem, self._kept_lanes(i))

    def _do_as(self, i: Instruction) -> Value:
        """A reduction of one element."""
        return self.b.cast(self.values[i.args[0]], i.elem)

    def _do_number(self, i: Instruction) -> Value:
        return self.b.number(i.extra, i.elem)

    def _do_index(self, i: Instruction) -> Value:
        base, step, apart = self._where(i.where)
        if step or apart is not None:
            return self._spread(base, step, apart)
        return self.b.index(base)

    def _do_choose(self, i: Instruction) -> Value:
        yes, no = (self.values[a] for a in i.args)
        guard = self._guard(i.guards)
        return yes if guard is None else self.b.select(guard, yes, no)

    def _do_op(self, i: Instruction) -> Value:
        op, attrs = i.extra
        self.b.active = self.mask
        args = [self.values[a] for a in i.args]
        x = op.emit(self.b, *args, **attrs)
        if not isinstance(x, Value):
            x = self.b.number(x, register(i.elem))
        return self._rounded(x, i.elem) if i.elem in HALF else x

    def _named(self, i: Instruction) -> tuple[Value, Value, Value]:
        base, named, value, here = (self.values[a] for a in i.args)
        named = self.b.cast(named, "int64")
        self._check(named, i.extra)
        return base, value, self.b.compare("eq", named, here)

    def _do_add_where(self, i: Instruction) -> Value:
        base, value, hit = self._named(i)
        return self.b.select(hit, self.b.add(base, value), base)

    def _do_set_where(self, i: Instruction) -> Value:
        base, value, hit = self._named(i)
        return self.b.select(hit, value, base)

    def _find(self, i: Instruction) -> Value:
        """An index found in memory; `found` may count from the end."""
        x = self.b.cast(self.values[i.args[0]], "int64")
        if i.do == "found":
            x = self.b.select(self.b.compare("lt", x, 0), self.b.add(x, i.extra), x)
        self._check(x, i.extra)
        return x

    def _check(self, x: Value, size: int) -> None:
        """Leave with an error if an index that counts lies outside."""
        bad = self.b.compare("ge", self.b.bitcast(x, "uint64"), size)
        if bad.lanes > 1:
            if self.mask is not None:
                bad = self.b.bits("logical_and", bad, self.mask)
            bad = self.b.fold(self.b.max, bad)
        self.b.leave(bad, OUT_OF_RANGE)


def _identity(name: str, elem: str):
    if name in _IDENTITY:
        return _IDENTITY[name]
    low = name == "amax"
    if elem.startswith("float"):
        return float("-inf") if low else float("inf")
    if elem == "bool":
        return not low
    if elem.startswith("uint"):
        return 0 if low else (1 << BITS[elem]) - 1
    top = 1 << (BITS[elem] - 1)
    return -top if low else top - 1
