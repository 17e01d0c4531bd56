"""Contractions as plain loops: one row at a time, one vector of columns, every product in turn.

Right for every access and every dtype, and fast where there is little to sum.
"""

from __future__ import annotations

from collections.abc import Callable

from .access import Contraction, Reader, Where, multiply_add, nest, split
from .emit import Builder, Value

#: Writes a piece of the result: finish(b, where, vector, value, mask).
Finish = Callable[[Builder, Where, int | None, Value, Value | None], None]


class Simple:
    """A unit is one row and all columns along the last column variable."""

    scratch = 0

    def __init__(self, c: Contraction, lanes: int):
        self.c = c
        self.vector = c.columns[-1] if c.columns else None
        self.length = 1 if self.vector is None else c.sizes[self.vector]
        self.lanes = min(lanes, 1 << (self.length - 1).bit_length()) if self.length else 1
        self.outer = c.batch + c.rows + c.columns[:-1]
        self.units = c.extent(self.outer) if self.length else 0

    def __str__(self) -> str:
        return f"plain loops, {self.lanes} lanes"

    def emit(self, b: Builder, finish: Finish) -> None:
        c = self.c
        x, y = Reader(b, c.x, c.elem), Reader(b, c.y, c.elem)
        with b.loop(b.low, b.high) as unit:
            where = split(b, unit, self.outer, c.sizes)
            if self.vector is None or self.length <= self.lanes:
                self._columns(b, x, y, where, 0, finish)
            else:
                with b.loop(0, self.length, self.lanes) as column:
                    self._columns(b, x, y, where, column, finish)

    def _columns(self, b: Builder, x: Reader, y: Reader, where: Where, column, finish) -> None:
        c, lanes, vector = self.c, self.lanes, self.vector
        mask = None
        if vector is not None:
            where = {**where, vector: column}
            if self.length % lanes:
                mask = b.first_lanes(self.length - column, lanes)
        total = b.variable(b.number(0, c.elem, lanes))
        with nest(b, c.inner, c.sizes) as inner:
            place = {**where, **inner}
            left = x.load(place, mask=x.inside(place))
            exist = y.inside(place, vector, lanes)
            if mask is not None and (vector is None or c.y.strides[vector]):
                exist = mask if exist is None else mask & b.splat(exist, lanes)
            right = y.load(place, vector, lanes, exist)
            total.set(multiply_add(b, b.splat(left, lanes), right, total.get()))
        finish(b, where, vector, total.get(), mask)
