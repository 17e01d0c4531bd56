"""Operands laid out for the micro-kernels: rows of x, panels of y.

A row of x is its elements along the inner positions; a panel of y is, for each inner position,
the elements of some columns, which lie next to each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from math import prod

from .access import Matrix, Reader, Where, split
from .emit import BITS, Builder, Index, Value


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
def inner_loops(b: Builder, m: Matrix, variables: Sequence[int], start: Index, stop: Index):
    """Loops over some inner variables (in any order) within the inner positions [start, stop)

    whose first and last positions are multiples of the extent of all but the first variable."""
    with ExitStack() as stack:
        where: Where = {}
        for v in variables:
            if v == m.inner[0]:
                after = prod(m.sizes[other] for other in m.inner[1:])
                low, high = b.quotient(start, after), b.quotient(stop, after)
            else:
                low, high = 0, m.sizes[v]
            where[v] = stack.enter_context(b.loop(low, high))
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
    with inner_loops(b, m, m.inner[:-1], start, stop) as outer:
        alone = len(m.inner) == 1
        low, high = (start, stop) if alone else (0, length)
        with b.loop(low, high, lanes) as i:
            place = {**where, **outer, last: i}
            mask = reader.inside(place, last, lanes)
            if not (isinstance(high, int) and high % lanes == 0 and isinstance(low, int)):
                tail = b.first_lanes(b.index(high) - i, lanes)
                mask = tail if mask is None else b.splat(mask, lanes) & tail
            value = reader.load(place, last, lanes, mask)
            b.store(out, b.index(position(b, m, place)) - start, value)


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
    free = [v for v in m.inner if v not in guarded]
    with inner_loops(b, m, guarded, start, stop) as first:
        exist = reader.inside({**where, **first, **dict.fromkeys(free, 0)}, vector, lanes)
        if exist is None:
            exist = mask
        elif mask is not None:
            exist = b.splat(exist, lanes) & mask
        with inner_loops(b, m, free, start, stop) as rest:
            inner = {**first, **rest}
            value = reader.load({**where, **inner}, vector, lanes, exist)
            at = (b.index(position(b, m, inner)) - start) * width
            # A piece with a mask is one of several: the next one's lanes are not its own.
            b.store(out, at, value, mask if len(m.outer) > 1 else None)


def transposable(m: Matrix) -> bool:
    """Whether panels are made by transposing vectors along the inner positions."""
    return (not m.access.guards and len(m.outer) == 1 and len(m.inner) > 0
            and m.step(m.inner) == 1 and m.step(m.outer) != 1)


def _pack_transposed(b: Builder, reader: Reader, m: Matrix, where: Where, column: Index, width: int,
                     offsets: Sequence[int], start: Index, stop: Index, out: Value,
                     lanes: int) -> None:
    """Squares of lanes x lanes elements; the last ones of a row or panel overlap."""
    (outer,), inner = m.outer, m.inner[-1]
    columns, length = m.sizes[outer], m.sizes[inner]
    with inner_loops(b, m, m.inner[:-1], start, stop) as before:
        low, high = (start, stop) if len(m.inner) == 1 else (0, length)
        mask = b.first_lanes(length, lanes) if length < lanes else None
        with b.loop(0, len(offsets) * lanes, lanes) as group, b.loop(low, high, lanes) as k:
            first = b.min(group, offsets[-1])
            k = b.index(0) if mask else b.min(k, b.index(high) - lanes)
            place = {**where, **before, inner: k}
            square = [reader.load({**place, outer: column + first + min(i, columns - 1)}, inner,
                                  lanes, mask) for i in range(lanes)]
            to = (b.index(position(b, m, place)) - start) * width + first
            for i, row in enumerate(transposed(b, square)[:length]):
                b.store(out, to + i * width, row)


def transposed(b: Builder, square: list[Value]) -> list[Value]:
    """Rows become columns: first inside blocks of 128 bits, then blocks among themselves.

    Every step takes what lies at the same place of each block, which needs no register for the
    indices."""
    lanes = len(square)
    block = min(128 // BITS[square[0].elem], lanes)
    groups = [square[i : i + block] for i in range(0, lanes, block)]
    for size in (1, 2)[: block.bit_length() - 1]:
        groups = [_zip_rows(b, group, size, block) for group in groups]
    blocks = [_transposed_blocks(b, list(rows), block) for rows in zip(*groups)]
    return [rows[q] for q in range(lanes // block) for rows in blocks]


def _zip_rows(b: Builder, rows: list[Value], size: int, block: int) -> list[Value]:
    """Rows `size` apart, chunk by chunk in turn: the low halves of their blocks, then the high."""
    lanes = rows[0].lanes
    found = list(rows)
    for i in range(len(rows)):
        if not i & size:
            for high in (0, 1):
                places = [source * lanes + start + high * block // 2 + chunk * size + j
                          for start in range(0, lanes, block)
                          for chunk in range(block // 2 // size)
                          for source in (0, 1) for j in range(size)]
                found[i + high * size] = b.shuffle(rows[i], rows[i + size], places)
    return _bit_reversed(found) if size * 2 == block and block == 4 else found


def _bit_reversed(rows: list[Value]) -> list[Value]:
    return [rows[0], rows[2], rows[1], rows[3]]


def _transposed_blocks(b: Builder, rows: list[Value], block: int) -> list[Value]:
    """Block j of row i becomes block i of row j, of one, two or four rows."""
    lanes = rows[0].lanes
    if len(rows) == 1:
        return rows
    half = lanes // 2

    def pick(x: Value, y: Value, first: Sequence[int]) -> Value:
        return b.shuffle(x, y, [*first, *(lanes + i for i in first)])

    halves = [[pick(x, y, range(start, start + half)) for x, y in zip(rows[::2], rows[1::2])]
              for start in (0, half)]
    if len(rows) == 2:
        return [halves[0][0], halves[1][0]]
    return [pick(*pair, [2 * block * j + block * odd + i for j in (0, 1) for i in range(block)])
            for pair in halves for odd in (0, 1)]
