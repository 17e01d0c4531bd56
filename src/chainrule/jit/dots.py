"""Contractions of few rows whose operands both lie along the inner positions: inner products.

Nothing is packed: vectors of x and y are multiplied lane by lane, and the lanes are added up at
the end.  A unit is `rows` rows times `columns` columns.
"""

from __future__ import annotations

from math import ceil

from .access import Contraction, Reader, linear, matrix, multiply_add, split
from .emit import BITS, Builder, Index, Value
from .packing import block_of, turned
from .simple import Finish

_COLUMNS = 4


class Dots:
    def __init__(self, c: Contraction, lanes: int, rows: int):
        """`rows` at most."""
        self.c, self.lanes = c, lanes
        self.x, self.y = matrix(c, c.x, c.rows), matrix(c, c.y, c.columns)
        self.m, self.n, self.k = c.extent(c.rows), c.extent(c.columns), c.extent(c.inner)
        self.rows = ceil(self.m / ceil(self.m / rows))
        self.columns = _COLUMNS
        self.tiles, self.blocks = ceil(self.m / self.rows), ceil(self.n / self.columns)
        self.units = c.extent(c.batch) * self.blocks * self.tiles
        self.scratch = self.rows * self.columns * BITS[c.elem] // 8

    def __str__(self) -> str:
        return f"inner products {self.rows} x {self.columns} x {self.lanes}, nothing packed"

    @staticmethod
    def fits(c: Contraction) -> bool:
        """Whether both operands lie along the inner positions."""
        x, y = matrix(c, c.x, c.rows), matrix(c, c.y, c.columns)
        return (len(c.columns) == 1 and c.extent(c.columns) >= _COLUMNS and c.elem == c.x.elem
                and c.elem == c.y.elem and x.plain() and y.plain()
                and x.step(x.inner) == y.step(y.inner) == 1)

    # ------------------------------------------------------------------ the kernel
    def emit(self, b: Builder, finish: Finish) -> None:
        c = self.c
        x, y = Reader(b, self.x.access, c.elem), Reader(b, self.y.access, c.elem)
        with b.loop(b.low, b.high) as unit:
            tile, rest = b.modulo(unit, self.tiles), b.quotient(unit, self.tiles)
            block, batch = b.modulo(rest, self.blocks), b.quotient(rest, self.blocks)
            row: Index = 0
            if self.tiles > 1:
                row = b.min(b.index(tile * self.rows), self.m - self.rows)
            column = b.min(b.index(block * self.columns), self.n - self.columns)
            sums = self._sums(b, self._lines(b, x, self.x, batch, row, self.rows),
                              self._lines(b, y, self.y, batch, column, self.columns))
            for i, of_row in enumerate(sums):
                b.store(b.scratch, i * self.columns, self._folded(b, of_row))
            # Its constants would take the sums' registers.
            with b.function(tile, block, batch, row, column) as known:
                self._finish(b, finish, *known)

    def _finish(self, b: Builder, finish: Finish, tile: Index, block: Index, batch: Index,
                row: Index, column: Index) -> None:
        c = self.c
        skip = tile * self.rows - row if self.m % self.rows else 0
        mask = None
        if self.n % self.columns:
            mask = self._new(b, b.index(block * self.columns) - column)
        with b.loop(skip, self.rows) as i:
            where = {**split(b, batch, c.batch, c.sizes),
                     **split(b, row + i, c.rows, c.sizes), c.columns[-1]: column}
            value = b.load(b.scratch, i * self.columns, c.elem, self.columns)
            finish(b, where, c.columns[-1], value, mask)

    def _new(self, b: Builder, skip: Value) -> Value:
        """The columns that the block before has not finished."""
        return b.compare("ge", b.iota(self.columns, "int32"), b.cast(skip, "int32"))

    def _lines(self, b: Builder, reader: Reader, m, batch: Index, first: Index, count: int):
        """(inner position, lanes, mask) -> a vector of each of `count` rows or columns."""
        where = split(b, batch, m.batch, m.sizes)
        step = m.step(m.outer)
        at = linear(b, m.access.offset, m.access.strides, where) + first * step
        base = b.offset(reader.base, self.c.elem, at)

        def load(k: Index, mask: Value | None):
            start = b.offset(base, self.c.elem, k)
            return [b.load(start, i * step, self.c.elem, self.lanes, mask) for i in range(count)]

        return load

    def _sums(self, b: Builder, load_x, load_y) -> list[list[Value]]:
        zero = b.number(0, self.c.elem, self.lanes)
        sums = [[b.variable(zero) for _ in range(self.columns)] for _ in range(self.rows)]

        def add(k: Index, mask: Value | None) -> None:
            right = load_y(k, mask)
            for left, totals in zip(load_x(k, mask), sums):
                for other, total in zip(right, totals):
                    total.set(multiply_add(b, left, other, total.get()))

        whole = self.k - self.k % self.lanes
        if whole:
            with b.loop(0, whole, self.lanes) as k:
                add(k, None)
        if whole < self.k:
            add(whole, b.first_lanes(self.k - whole, self.lanes))
        return [[total.get() for total in totals] for totals in sums]

    def _folded(self, b: Builder, sums: list[Value]) -> Value:
        """A vector of the sums of the lanes of each: by halves, then as the columns of a square."""
        while sums[0].lanes > block_of(self.c.elem, self.lanes):
            half = sums[0].lanes // 2
            sums = [b.shuffle(s, None, range(half)) + b.shuffle(s, None, range(half, 2 * half))
                    for s in sums]
        parts = turned(b, sums)
        while len(parts) > 1:
            parts = [x + y for x, y in zip(parts[::2], parts[1::2])]
        return parts[0]
