"""Operands laid out for the micro-kernels: rows of x, panels of y.

A row of x is its elements along the inner positions; a panel of y is, for each inner position,
the elements of some columns, which lie next to each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import product
from math import prod

from .access import Matrix, Reader, Where, both, split
from .emit import BITS, Builder, Index, Value

# How many vectors of a run are written out, and how many taps of a convolution.
_UNROLLED, _TAPS = 4, 9


@contextmanager
def pieces(b: Builder, variables: Sequence[int], sizes: Sequence[int], start: Index, stop: Index,
           lanes: int, whole: bool = False) -> Iterator[tuple[Where, Index, Value | None, int]]:
    """Positions [start, stop) of some variables, a vector along the last one at a time.

    Yields where the vector begins, its position, the lanes that belong to it and how many lanes
    it has.  `whole` promises that start and stop are multiples of the lanes.
    """
    last = variables[-1]
    length = sizes[last]
    if len(variables) > 1 and lanes % length == 0:
        lanes = length
    with ExitStack() as stack:
        where: Where = {}
        begin, end, zero = start, stop, 0
        if len(variables) > 1:
            run = stack.enter_context(
                b.loop(b.quotient(start, length), b.quotient(stop - 1, length) + 1))
            where = split(b, run, variables[:-1], sizes)
            zero = run * length
            begin = b.max(zero, start)
            end = b.min(zero + length, stop)
        at = stack.enter_context(b.loop(begin, end, lanes))
        mask = None
        if not whole or length % lanes:
            mask = b.first_lanes(b.index(end) - at, lanes)
        yield {**where, last: at - zero}, at, mask, lanes


@contextmanager
def inner_loops(b: Builder, m: Matrix, variables: Sequence[int], start: Index,
                stop: Index) -> Iterator[Where]:
    """Loops over some inner variables, in any order, within the inner positions [start, stop).

    These begin and end with the variables behind the leading ones, which are one loop."""
    lead = m.inner[: m.lead]
    with ExitStack() as stack:
        where: Where = {}
        for v in variables:
            if v not in lead:
                where[v] = stack.enter_context(b.loop(0, m.sizes[v]))
            elif v not in where:
                tail = prod(m.sizes[other] for other in m.inner[m.lead:])
                flat = stack.enter_context(b.loop(b.quotient(start, tail), b.quotient(stop, tail)))
                where |= split(b, flat, lead, m.sizes)
        yield where


def position(b: Builder, m: Matrix, where: Where) -> Index:
    """The row-major position of the inner variables."""
    flat: Index = 0
    step = 1
    for v in reversed(m.inner):
        i = where[v]
        flat = flat + i * step
        step *= m.sizes[v]
    return flat


def pack_row(b: Builder, reader: Reader, m: Matrix, where: Where, start: Index, stop: Index,
             out: Value, lanes: int) -> None:
    """out[k - start] = the element at inner position k, for k in [start, stop), and what follows
    up to `lanes` elements behind the end is overwritten."""
    if not m.inner:
        b.store(out, 0, reader.load(where, mask=reader.inside(where)))
        return
    last = m.inner[-1]
    length = m.sizes[last]
    if len(m.inner) > 1 and length <= _UNROLLED * lanes:
        _pack_runs(b, reader, m, where, start, stop, out, lanes)
        return
    with inner_loops(b, m, m.inner[:-1], start, stop) as outer:
        low, high = (start, stop) if len(m.inner) == 1 else (0, length)
        with b.loop(low, high, lanes) as i:
            place = {**where, **outer, last: i}
            mask = reader.inside(place, last, lanes)
            if not (isinstance(high, int) and high % lanes == 0 and isinstance(low, int)):
                mask = both(mask, b.first_lanes(b.index(high) - i, lanes))
            value = reader.load(place, last, lanes, mask)
            b.store(out, b.index(position(b, m, place)) - start, value)


def _pack_runs(b: Builder, reader: Reader, m: Matrix, where: Where, start: Index, stop: Index,
               out: Value, lanes: int) -> None:
    """The vectors of a short run are written out; which of their lanes exist for all runs is known
    before the first."""
    *others, last = m.inner
    vectors = [{last: i} for i in range(0, m.sizes[last], lanes)]
    changing = [g for g in reader.access.guards if any(g.strides[v] for v in others)]
    fixed = [g for g in reader.access.guards if g not in changing]
    first = dict.fromkeys(others, 0)
    known = [reader.inside({**where, **first, **at}, last, lanes, fixed) for at in vectors]
    if tail := m.sizes[last] % lanes:
        known[-1] = both(known[-1], b.first_lanes(tail, lanes))
    with inner_loops(b, m, others, start, stop) as outer:
        to = b.offset(out, reader.elem, b.index(position(b, m, {**outer, last: 0})) - start)
        for at, mask in zip(vectors, known):
            place = {**where, **outer, **at}
            mask = both(reader.inside(place, last, lanes, changing), mask)
            b.store(to, at[last], reader.load(place, last, lanes, mask))


def pack_beside(b: Builder, reader: Reader, m: Matrix, where: Where, row: Index, rows: int,
                start: Index, stop: Index, out: Value, lanes: int) -> None:
    """out[(k - start) * rows + r] = the element of row `row` + r, where rows lie side by side.

    Up to `lanes` elements behind the end are overwritten."""
    with b.loop(start, stop) as k:
        base = reader.address({**where, m.outer[0]: row, m.inner[0]: k})
        for first in range(0, rows, lanes):
            wide = min(lanes, 1 << (rows - first - 1).bit_length())
            mask = b.first_lanes(rows - first, wide) if rows - first < wide else None
            b.store(out, (k - start) * rows + first, reader.load_at(base, first, wide, mask))


def pack_panel(b: Builder, reader: Reader, m: Matrix, where: Where, column: Index, width: int,
               offsets: Sequence[int], start: Index, stop: Index, out: Value, lanes: int) -> None:
    """out[(k - start) * width + n] = the element of column `column` + n at inner position k.

    `offsets` are the columns at which the vectors of the panel begin."""
    total = prod(m.sizes[v] for v in m.outer)
    if transposable(m):
        _pack_transposed(b, reader, m, where, column, width, offsets, start, stop, out, lanes)
        return
    inner = width, start, stop
    if not m.outer:
        _pack_columns(b, reader, m, where, None, None, 1, *inner, out)
    elif len(m.outer) == 1:
        (v,) = m.outer
        mask = b.first_lanes(total, lanes) if total < lanes else None
        for offset in offsets:
            _pack_columns(b, reader, m, {**where, v: column + offset}, v, mask, lanes, *inner,
                          b.offset(out, reader.elem, offset))
    else:
        end = column + min(offsets[-1] + lanes, total)
        whole = total % width == 0
        with pieces(b, m.outer, m.sizes, column, end, lanes, whole) as (place, at, mask, wide):
            _pack_columns(b, reader, m, {**where, **place}, m.outer[-1], mask, wide, *inner,
                          b.offset(out, reader.elem, at - column))


def _pack_columns(b: Builder, reader: Reader, m: Matrix, where: Where, vector: int | None,
                  mask: Value | None, lanes: int, width: int, start: Index, stop: Index,
                  out: Value) -> None:
    """Some columns, which lie next to each other, at every inner position."""
    # What exists depends on few inner variables, the taps of a convolution: they are outermost.
    guarded = [v for v in m.inner if any(g.strides[v] for g in reader.access.guards)]
    if m.lead > 1:
        guarded = [*m.inner[: m.lead], *(v for v in guarded if v not in m.inner[: m.lead])]
    free = [v for v in m.inner if v not in guarded]

    def exist(first: Where) -> Value | None:
        there = reader.inside({**where, **first, **dict.fromkeys(free, 0)}, vector, lanes)
        return both(there, mask)

    def copy(inner: Where, there: Value | None) -> None:
        if len(m.outer) > 1:
            # The same of the next panel: what hops from image to image no hardware foresees.
            runs = max(width // m.sizes[m.outer[-1]], 1)
            b.prefetch(reader.address({**where, **inner}), reader.access.elem,
                       runs * m.access.strides[m.outer[-2]])
        value = reader.load({**where, **inner}, vector, lanes, there)
        at = (b.index(position(b, m, inner)) - start) * width
        # A piece with a mask is one of several: the next one's lanes are not its own.
        b.store(out, at, value, mask if len(m.outer) > 1 else None)

    if _crowded(reader, m, free) and prod(m.sizes[v] for v in guarded) <= _TAPS:
        ranges = [range(m.sizes[v]) for v in guarded]
        taps: list[Where] = [dict(zip(guarded, at)) for at in product(*ranges)]
        known = [exist(tap) for tap in taps]
        with inner_loops(b, m, free, start, stop) as rest:
            for tap, there in zip(taps, known):
                copy({**tap, **rest}, there)
        return
    with inner_loops(b, m, guarded, start, stop) as first:
        there = exist(first)
        with inner_loops(b, m, free, start, stop) as rest:
            copy({**first, **rest}, there)


def _crowded(reader: Reader, m: Matrix, free: Sequence[int]) -> bool:
    """Whether what the steps of a loop load meets in the same places of the first cache."""
    if len(free) != 1 or m.lead > 1:
        return False
    apart = m.access.strides[free[0]] * BITS[reader.access.elem] // 8
    return apart != 0 and apart % 4096 == 0


def transposable(m: Matrix) -> bool:
    """Whether panels are made by transposing vectors along the inner positions."""
    return (not m.access.guards and len(m.outer) == 1 and len(m.inner) > 0
            and m.step(m.inner) == 1 and m.step(m.outer) != 1)


def _pack_transposed(b: Builder, reader: Reader, m: Matrix, where: Where, column: Index, width: int,
                     offsets: Sequence[int], start: Index, stop: Index, out: Value,
                     lanes: int) -> None:
    """A few inner positions of `lanes` columns at once; the last ones of a row or panel overlap."""
    (outer,), inner = m.outer, m.inner[-1]
    most, length, step = m.sizes[outer] - 1, m.sizes[inner], m.step(m.outer)
    block = block_of(reader.elem, lanes)
    with inner_loops(b, m, m.inner[:-1], start, stop) as before:
        low, high = (start, stop) if len(m.inner) == 1 else (0, length)
        mask = b.first_lanes(length, block) if length < block else None
        with b.loop(0, len(offsets) * lanes, lanes) as group, b.loop(low, high, block) as k:
            first = b.min(group, offsets[-1])
            k = b.index(0) if mask else b.min(k, b.index(high) - block)
            place = {**where, **before, inner: k}
            base = reader.address({**place, outer: column + first})
            square = [reader.load_at(base, min(i, most) * step, block, mask) for i in range(lanes)]
            to = b.offset(out, reader.elem,
                          (b.index(position(b, m, place)) - start) * width + first)
            for i, row in enumerate(turned(b, square)[:length]):
                b.store(to, i * width, row)


def block_of(elem: str, lanes: int) -> int:
    """How many elements of a row are turned at once: 128 bits, inside which shuffling is cheap."""
    return min(128 // BITS[elem], lanes)


def turned(b: Builder, rows: list[Value]) -> list[Value]:
    """Vectors of the first, second ... elements of all rows, which have a block of elements."""
    block = rows[0].lanes
    found = [_joined(b, rows[i::block]) for i in range(block)]
    if block >= 2:
        found = _zipped(b, found, 1, block)
    if block == 4:
        found = _zipped(b, found, 2, block)
        found = [found[0], found[2], found[1], found[3]]
    return found


def _joined(b: Builder, parts: list[Value]) -> Value:
    while len(parts) > 1:
        parts = [b.shuffle(x, y, range(2 * x.lanes)) for x, y in zip(parts[::2], parts[1::2])]
    return parts[0]


def _zipped(b: Builder, rows: list[Value], size: int, block: int) -> list[Value]:
    """Rows `size` apart, chunk by chunk in turn: the low halves of their blocks, then the high."""
    lanes = rows[0].lanes
    found = list(rows)
    for i in (i for i in range(block) if not i & size):
        for high in (0, 1):
            places = [source * lanes + start + high * block // 2 + chunk * size + j
                      for start in range(0, lanes, block) for chunk in range(block // 2 // size)
                      for source in (0, 1) for j in range(size)]
            found[i + high * size] = b.shuffle(rows[i], rows[i + size], places)
    return found
