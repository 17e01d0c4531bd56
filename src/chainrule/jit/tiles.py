"""Contractions in register tiles: a tile of rows x vectors of columns is summed in registers.

For each inner position k the micro-kernel loads the vectors of row k of y and multiplies them by
the elements of column k of x, one for each row of the tile.  y is read in place where its columns
lie next to each other, else from a panel; x is read in place where its rows and inner positions
have strides, else from packed rows (packing.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil

from .access import Contraction, Reader, linear, matrix, multiply_add, split
from .emit import BITS, Builder, Index, Value
from .packing import block_of, pack_beside, pack_panel, pack_row, pieces, turned
from .simple import Finish

# Results of that many elements do not stay in the cache until the epilogue meets them.
_MANY = 1 << 17


@dataclass(frozen=True)
class Tiling:
    """The sizes a plan chose."""

    lanes: int
    rows: int  # of a tile
    vectors: int  # of a tile
    panels: int  # of a unit: how many tiles next to each other
    chunk: int  # inner positions summed at once
    pack_x: str  # "" (in place), "unit" (rows of the unit, in scratch), "phase" (all, before)
    pack_y: str  # "" or "unit"
    turned: bool = False  # whether the result is finished along the rows

    @property
    def width(self) -> int:
        return self.lanes * self.vectors

    def __str__(self) -> str:
        notes = [f"tile {self.rows} x {self.vectors} x {self.lanes}", f"{self.panels} panels"]
        notes += [f"x packed per {self.pack_x}"] * bool(self.pack_x)
        notes += [f"y packed per {self.pack_y}"] * bool(self.pack_y)
        notes += ["turned"] * self.turned
        return ", ".join([*notes, f"inner {self.chunk}"])


class Tiled:
    """A unit is one row of tiles: `panels` tiles of `rows` rows, over one chunk.

    The last tile of a row or column overlaps the one before: what has been finished there already
    is summed again and left alone.
    """

    def __init__(self, c: Contraction, tiling: Tiling):
        self.c, self.t = c, tiling
        self.x = matrix(c, c.x, c.rows).in_chunks(tiling.chunk)
        self.y = matrix(c, c.y, c.columns).in_chunks(tiling.chunk)
        # Whether the packed rows of a unit lie side by side, as they do in x.
        self.beside = (tiling.pack_x == "unit" and self.x.plain() and len(self.x.inner) == 1
                       and self.x.step(self.x.outer) == 1)
        self.m, self.n = c.extent(c.rows), c.extent(c.columns)
        self.k, self.batch = c.extent(c.inner), c.extent(c.batch)
        self.chunks = ceil(self.k / tiling.chunk)
        self.tiles = ceil(self.m / tiling.rows)
        self.all_panels = ceil(self.n / tiling.width)
        self.blocks = ceil(self.all_panels / tiling.panels)
        self.units = self.chunks * self.batch * self.blocks * self.tiles
        # The columns at which the vectors of a panel begin, counted from its first one.
        last = max(min(tiling.width, self.n) - tiling.lanes, 0)
        self.offsets = [min(v * tiling.lanes, last) for v in range(tiling.vectors)]
        self.row_length = row_length(tiling.chunk, tiling.lanes)
        self.line = _round(self.n, tiling.lanes)  # of a row of partial sums
        self._lay_out_scratch()

    def __str__(self) -> str:
        return str(self.t)

    def _lay_out_scratch(self) -> None:
        """Byte offsets of the tile, the panels and the rows in the worker's memory."""
        t, size = self.t, BITS[self.c.elem] // 8
        self.panel_size = t.chunk * t.width
        self.at_turned = t.rows * t.width * size
        self.at_panels = self.at_turned * (2 if t.turned else 1)
        self.at_rows = self.at_panels
        if t.pack_y:
            self.at_rows += _round(t.panels * self.panel_size * size, 64)
        self.scratch = self.at_rows
        if t.pack_x == "unit":
            self.scratch += t.rows * self.row_length * size

    # ------------------------------------------------------------------ the kernel
    def emit(self, b: Builder, finish: Finish | None) -> None:
        """The whole kernel; without a finish it writes partial sums (see `partial`)."""
        kernel = _Kernel(self, b, finish)
        with b.loop(b.low, b.high) as unit:
            kernel.unit(unit)


class _Kernel:
    """The writing of one kernel."""

    def __init__(self, tiled: Tiled, b: Builder, finish: Finish | None):
        self.tiled, self.t, self.c, self.b, self.finish = tiled, tiled.t, tiled.c, b, finish
        if finish is None:
            self.partial = b.buffer(3 if self.t.pack_x == "phase" else 2)
        self.packed = b.variable(b.number(-1, "int64"))  # which block's panels are in scratch

    def at(self, offset: int) -> Value:
        return self.b.offset(self.b.scratch, "uint8", offset)

    def unit(self, unit: Value) -> None:
        b, tiled, t = self.b, self.tiled, self.t
        tile, block = b.modulo(unit, tiled.tiles), b.quotient(unit, tiled.tiles)
        row = b.min(b.index(tile * t.rows), tiled.m - t.rows) if tiled.tiles > 1 else 0
        first = b.modulo(block, tiled.blocks)
        rest = b.quotient(block, tiled.blocks)
        self.batch, chunk = b.modulo(rest, tiled.batch), b.quotient(rest, tiled.batch)
        self.start, self.stop = self._chunk(chunk)
        self.chunk, self.tile, self.row = chunk, tile, row
        first = b.index(first * t.panels)
        last = b.min(first + t.panels, tiled.all_panels) if t.panels > 1 else first + 1
        if t.pack_y:
            with b.when(b.compare("ne", b.index(block), self.packed.get())):
                self.packed.set(b.index(block))
                self._pack_panels(first, last)
        if t.pack_x == "unit":
            self._pack_rows()
        if t.panels == 1:
            self._tile(first, self._panel(0))
        else:
            with b.loop(first, last) as panel:
                self._tile(panel, self._panel(panel - first))

    def _chunk(self, chunk: Index) -> tuple[Index, Index]:
        tiled, t = self.tiled, self.t
        if tiled.chunks == 1:
            return 0, tiled.k
        start = chunk * t.chunk
        return start, self.b.min(start + t.chunk, tiled.k)

    def _panel(self, number: Index) -> Value:
        """Where a packed panel of the unit is."""
        b = self.b
        return b.offset(self.at(self.tiled.at_panels), self.c.elem,
                        number * self.tiled.panel_size)

    def _column(self, panel: Index) -> Index:
        """The first column of a panel."""
        tiled, t = self.tiled, self.t
        if tiled.all_panels == 1:
            return 0
        return self.b.min(panel * t.width, tiled.n - t.width)

    @contextmanager
    def _apart(self, *values: Index) -> Iterator[list[Index]]:
        """A function of its own: its constants and masks would take the tile's registers."""
        names = "batch", "tile", "row", "start", "stop"
        known = [getattr(self, name) for name in names]
        with self.b.function(*known, *values) as given:
            self.__dict__.update(zip(names, given))
            yield given[len(names):]
        self.__dict__.update(zip(names, known))

    def _pack_panels(self, first: Index, last: Index) -> None:
        m = self.tiled.y
        with self._apart(first, last) as (low, high), self.b.loop(low, high) as panel:
            reader = Reader(self.b, m.access, self.c.elem)
            where = split(self.b, self.batch, m.batch, m.sizes)
            pack_panel(self.b, reader, m, where, self._column(panel), self.t.width,
                       self.tiled.offsets, self.start, self.stop, self._panel(panel - low),
                       self.t.lanes)

    def _pack_rows(self) -> None:
        b, m, t = self.b, self.tiled.x, self.t
        if self.tiled.beside:
            with self._apart():
                reader = Reader(b, m.access, self.c.elem)
                where = split(b, self.batch, m.batch, m.sizes)
                pack_beside(b, reader, m, where, self.row, t.rows, self.start, self.stop,
                            self.at(self.tiled.at_rows), t.lanes)
            return
        with self._apart(), b.loop(0, t.rows) as row:
            reader = Reader(b, m.access, self.c.elem)
            where = {**split(b, self.batch, m.batch, m.sizes),
                     **split(b, self.row + row, m.outer, m.sizes)}
            out = b.offset(self.at(self.tiled.at_rows), self.c.elem, row * self.tiled.row_length)
            pack_row(b, reader, m, where, self.start, self.stop, out, t.lanes)

    # ------------------------------------------------------------------ one tile
    def _tile(self, panel: Value, packed: Value) -> None:
        b, t = self.b, self.t
        zero = b.number(0, self.c.elem, t.lanes)
        sums = [[b.variable(zero) for _ in range(t.vectors)] for _ in range(t.rows)]
        load_x, load_y = self._left(), self._right(panel, packed)
        ask = getattr(self.finish, "ask", None)
        if ask is not None and self.tiled.m * self.tiled.n >= _MANY and not t.turned:
            with self._apart(panel) as (given,):
                self._ask(ask, given)
        with b.loop(0, b.index(self.stop) - self.start) as k:
            vectors = load_y(k)
            left = load_x(k)
            for row in range(t.rows):
                factor = b.splat(left(row), t.lanes)
                for vector, total in zip(vectors, sums[row]):
                    total.set(multiply_add(b, factor, vector, total.get()))
        if self.finish is None:
            self._store_partial(sums, panel)
        else:
            self._finish(sums, panel)

    def _left(self):
        """k -> (row -> element of x)"""
        b, m, elem = self.b, self.tiled.x, self.c.elem
        row_step, step, stored = self.tiled.row_length, 1, elem
        if self.t.pack_x == "unit":
            base = self.at(self.tiled.at_rows)
            if self.tiled.beside:
                row_step, step = 1, self.t.rows
        elif self.t.pack_x == "phase":
            row_step = row_length(self.tiled.k, self.t.lanes)
            base = b.offset(b.buffer(2), elem,
                            (self.batch * self.tiled.m + self.row) * row_step + self.start)
        else:
            stored = m.access.elem
            row_step, step = m.step(m.outer), m.step(m.inner)
            where = split(b, self.batch, m.batch, m.sizes)
            at = linear(b, m.access.offset, m.access.strides, where)
            at = at + (self.row * row_step + self.start * step)
            base = b.offset(b.buffer(m.access.place), stored, at)

        def column(k):
            start = b.offset(base, stored, k * step)
            return lambda row: b.cast(b.load(start, row * row_step, stored), elem)

        return column

    def _right(self, panel: Value, packed: Value):
        """k -> vectors of y"""
        b, m, t, elem = self.b, self.tiled.y, self.t, self.c.elem
        mask = None
        if t.pack_y:
            base, step, stored = packed, t.width, elem
        else:
            stored, step = m.access.elem, m.step(m.inner)
            where = split(b, self.batch, m.batch, m.sizes)
            at = linear(b, m.access.offset, m.access.strides, where)
            at = at + (self._column(panel) + self.start * step)
            base = b.offset(b.buffer(m.access.place), stored, at)
            if self.tiled.n < t.lanes:
                mask = b.first_lanes(self.tiled.n, t.lanes)

        def row(k):
            start = b.offset(base, stored, k * step)
            return [b.cast(b.load(start, v, stored, t.lanes, mask), elem)
                    for v in self.tiled.offsets]

        return row

    # ------------------------------------------------------------------ the result
    def _store_partial(self, sums, panel: Value) -> None:
        b, tiled = self.b, self.tiled
        line = tiled.line
        at = ((self.chunk * tiled.batch + self.batch) * tiled.m + self.row) * line
        base = b.offset(self.partial, self.c.elem, at + self._column(panel))
        for row, totals in enumerate(sums):
            for offset, total in zip(tiled.offsets, totals):
                b.store(base, row * line + offset, total.get())

    def _ask(self, ask: Callable, panel: Index) -> None:
        """Ask for the memory that the epilogue will meet, while there is something to sum."""
        b, c = self.b, self.c
        batch = split(b, self.batch, c.batch, c.sizes)
        with b.loop(0, self.t.rows) as line:
            row = split(b, self.row + line, c.rows, c.sizes)
            for offset in self.tiled.offsets:
                column = split(b, self._column(panel) + offset, c.columns, c.sizes)
                ask(b, {**batch, **row, **column}, c.columns[-1])

    def _finish(self, sums, panel: Value) -> None:
        """By way of scratch: one piece of code for all rows."""
        b, t, tiled = self.b, self.t, self.tiled
        for row, totals in enumerate(sums):
            for offset, total in zip(tiled.offsets, totals):
                b.store(b.scratch, row * t.width + offset, total.get())
        with self._apart(panel) as (given,):
            self._finish_tile(given)

    def _finish_tile(self, panel: Index) -> None:
        """What no tile before this one has finished."""
        b, t, tiled = self.b, self.t, self.tiled
        rows = self._new(self.tile, t.rows, tiled.m)
        columns = self._new(panel, t.width, tiled.n)
        if t.turned:
            self._turn()
            tile = _Lines(self.at(tiled.at_turned), t.rows, self._column(panel), self.row)
            self._finish_lines(tile, self.c.columns, columns, self.c.rows, rows,
                               turn_lanes(t.lanes, t.rows), tiled.m % t.rows == 0)
        else:
            tile = _Lines(b.scratch, t.width, self.row, self._column(panel))
            self._finish_lines(tile, self.c.rows, rows, self.c.columns, columns, t.lanes,
                               tiled.n % t.width == 0)

    def _new(self, number: Index, length: int, total: int) -> tuple[Index, Index]:
        """The rows or columns of a tile that none before it has finished."""
        begin = number * length
        if total % length == 0:
            return begin, begin + length
        return begin, self.b.min(self.b.index(begin + length), total)

    def _turn(self) -> None:
        """The tile transposed, behind it in scratch."""
        b, t, elem = self.b, self.t, self.c.elem
        side, block = turn_lanes(t.lanes, t.rows), block_of(elem, t.lanes)
        out = self.at(self.tiled.at_turned)
        with b.loop(0, t.rows, side) as row, b.loop(0, t.width, block) as column:
            start = b.offset(b.scratch, elem, row * t.width + column)
            to = b.offset(out, elem, column * t.rows + row)
            square = [b.load(start, i * t.width, elem, block) for i in range(side)]
            for i, line in enumerate(turned(b, square)):
                b.store(to, i * t.rows, line)

    def _finish_lines(self, tile: _Lines, outer, lines, along, span, lanes: int,
                      whole: bool) -> None:
        """Vectors along some variables, at positions `span`, of each of the new lines."""
        b, c = self.b, self.c
        assert self.finish is not None
        batch = split(b, self.batch, c.batch, c.sizes)
        start, stop = span
        with pieces(b, along, c.sizes, start, stop, lanes, whole) as (place, at, mask, wide):
            with b.loop(*lines) as line:
                value = b.load(tile.base, (line - tile.line) * tile.step + (at - tile.first),
                               c.elem, wide)
                where = {**batch, **split(b, line, outer, c.sizes), **place}
                self.finish(b, where, along[-1], value, mask)


@dataclass
class _Lines:
    """A tile in scratch: lines `step` elements apart, its first element at (line, first)."""

    base: Value
    step: int
    line: Index
    first: Index


def turn_lanes(lanes: int, rows: int) -> int:
    """Side of the squares in which a tile of so many rows is transposed."""
    return lanes if rows % lanes == 0 else lanes // 2


class PackRows:
    """All rows of x, before the tiles: a unit is one row."""

    def __init__(self, tiled: Tiled):
        self.tiled = tiled
        self.units = tiled.batch * tiled.m
        self.length = row_length(tiled.k, tiled.t.lanes)
        self.bytes = self.units * self.length * BITS[tiled.c.elem] // 8

    def emit(self, b: Builder, finish: Finish | None) -> None:
        tiled, m = self.tiled, self.tiled.x
        reader = Reader(b, m.access, tiled.c.elem)
        base = b.buffer(2)
        with b.loop(b.low, b.high) as unit:
            where = {**split(b, b.quotient(unit, tiled.m), m.batch, m.sizes),
                     **split(b, b.modulo(unit, tiled.m), m.outer, m.sizes)}
            out = b.offset(base, tiled.c.elem, unit * self.length)
            pack_row(b, reader, m, where, 0, tiled.k, out, tiled.t.lanes)


class Combine:
    """The sums over the chunks, in their order: a unit is one row of the result."""

    def __init__(self, tiled: Tiled):
        self.tiled = tiled
        self.units = tiled.batch * tiled.m
        self.bytes = tiled.chunks * self.units * tiled.line * BITS[tiled.c.elem] // 8

    def emit(self, b: Builder, finish: Finish) -> None:
        tiled, c = self.tiled, self.tiled.c
        partial = b.buffer(3 if tiled.t.pack_x == "phase" else 2)
        with b.loop(b.low, b.high) as unit:
            where = {**split(b, b.quotient(unit, tiled.m), c.batch, c.sizes),
                     **split(b, b.modulo(unit, tiled.m), c.rows, c.sizes)}
            with pieces(b, c.columns, c.sizes, 0, tiled.n, tiled.t.lanes, True) as piece:
                place, at, mask, lanes = piece
                total = b.variable(b.number(0, c.elem, lanes))
                with b.loop(0, tiled.chunks) as chunk:
                    row = (chunk * self.units + unit) * tiled.line
                    total.set(total.get() + b.load(partial, row + at, c.elem, lanes))
                finish(b, {**where, **place}, c.columns[-1], total.get(), mask)


def row_length(k: int, lanes: int) -> int:
    """Elements between packed rows: room for what is written over the end, and an odd number of
    vectors, so that rows do not compete for the same places of the cache."""
    return lanes * (ceil(k / lanes) + 1 | 1)


def _round(x: int, step: int) -> int:
    return -(-x // step) * step
