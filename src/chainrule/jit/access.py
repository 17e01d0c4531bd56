"""Which products a contraction sums, and where the elements of its operands lie."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from math import prod

from .emit import Builder, Index, Value

#: Index of every loop variable known so far.
Where = dict[int, Index]


@dataclass(frozen=True)
class Guard:
    """An element exists where 0 <= offset + sum(strides[v] v) < size; elsewhere it is 0."""

    offset: int
    strides: tuple[int, ...]
    size: int


@dataclass(frozen=True)
class Access:
    """The element of a buffer at offset + sum(strides[v] v), v = the loop variables."""

    place: int
    elem: str
    offset: int
    strides: tuple[int, ...]
    guards: tuple[Guard, ...] = ()


@dataclass(frozen=True)
class Contraction:
    """out[batch, rows, columns] = sum over inner of x[batch, rows, inner] y[batch, columns, inner]

    `sizes` are the lengths of the loop variables; the four groups number them.  x does not depend
    on the columns, nor y on the rows.  Products and sums are of dtype `elem`.
    """

    sizes: tuple[int, ...]
    batch: tuple[int, ...]
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    inner: tuple[int, ...]
    x: Access
    y: Access
    elem: str

    def extent(self, variables: Sequence[int]) -> int:
        return prod(self.sizes[v] for v in variables)

    def transposed(self) -> Contraction:
        """The same sums with rows for columns."""
        return replace(self, rows=self.columns, columns=self.rows, x=self.y, y=self.x)


def linear(b: Builder, offset: int, strides: Sequence[int], where: Where) -> Index:
    """offset + sum(strides[v] where[v]); constants are folded."""
    total: Value | None = None
    for v, i in where.items():
        if isinstance(i, int):
            offset += strides[v] * i
        elif strides[v]:
            term = i * strides[v]
            total = term if total is None else total + term
    return offset if total is None else total + offset


def split(b: Builder, flat: Index, variables: Sequence[int], sizes: Sequence[int]) -> Where:
    """The indices of variables whose row-major position is `flat`."""
    where: Where = {}
    for v in reversed(variables):
        last = v == variables[0]
        where[v] = flat if last else b.modulo(flat, sizes[v])
        flat = flat if last else b.quotient(flat, sizes[v])
    return where


@contextmanager
def nest(b: Builder, variables: Sequence[int], sizes: Sequence[int]):
    """Loops over the variables, the last one innermost."""
    with ExitStack() as stack:
        where: Where = {}
        for v in variables:
            where[v] = 0 if sizes[v] == 1 else stack.enter_context(b.loop(0, sizes[v]))
        yield where


class Reader:
    """Loads elements of an operand as numbers of dtype `elem`."""

    def __init__(self, b: Builder, access: Access, elem: str):
        self.b, self.access, self.elem = b, access, elem
        self.base = b.buffer(access.place)

    def inside(self, where: Where, vector: int | None = None, lanes: int = 1,
               guards: Sequence[Guard] | None = None) -> Value | None:
        """Which of the lanes along `vector` exist, as far as some of the guards say (else all);
        None if all of them always do."""
        found = None
        for guard in self.access.guards if guards is None else guards:
            step = 0 if vector is None else guard.strides[vector]
            first = self.b.index(linear(self.b, guard.offset, guard.strides, where))
            # One comparison for both ends: a negative position is a huge unsigned one.
            first = self.b.cast(first, "uint32")
            if step and lanes > 1:
                first = self.b.splat(first, lanes) + self.b.iota(lanes, "uint32", step)
            holds = self.b.compare("lt", first, guard.size)
            found = both(found, holds)
        return found

    def load(self, where: Where, vector: int | None = None, lanes: int = 1,
             mask: Value | None = None) -> Value:
        """The elements from `where` on, `lanes` of them along `vector`; 0 where the mask is not."""
        b, elem = self.b, self.access.elem
        index = linear(b, self.access.offset, self.access.strides, where)
        step = 0 if vector is None else self.access.strides[vector]
        if lanes > 1 and mask is not None and (mask.lanes > 1 or step):
            mask = b.splat(mask, lanes)
        if lanes > 1 and step == 1:
            found = b.load(self.base, index, elem, lanes, mask)
        elif lanes > 1 and step == -1:
            found = self._backwards(index, lanes, mask)
        elif lanes > 1 and step == 2:
            found = self._every_second(index, lanes, mask)
        elif lanes > 1 and (step or mask is not None and mask.lanes > 1):
            start = b.offset(self.base, elem, index)
            found = b.gather(start, b.iota(lanes, "int32", step), elem, mask)
        else:
            found = b.load(self.base, index, elem, 1, mask)
        return b.splat(b.cast(found, self.elem), lanes)

    def address(self, where: Where) -> Value:
        index = linear(self.b, self.access.offset, self.access.strides, where)
        return self.b.offset(self.base, self.access.elem, index)

    def load_at(self, base: Value, index: Index, lanes: int, mask: Value | None = None) -> Value:
        """Elements that lie next to each other, counted from an address."""
        return self.b.cast(self.b.load(base, index, self.access.elem, lanes, mask), self.elem)

    def _backwards(self, index: Index, lanes: int, mask: Value | None) -> Value:
        b, order = self.b, range(lanes - 1, -1, -1)
        if mask is not None:
            mask = b.shuffle(mask, None, order)
        first = b.index(index) - (lanes - 1)
        return b.shuffle(b.load(self.base, first, self.access.elem, lanes, mask), None, order)

    def _every_second(self, index: Index, lanes: int, mask: Value | None) -> Value:
        """Two loads, which read no element between two that are missing or behind the last."""
        b, elem = self.b, self.access.elem
        none = b.number(False, "bool", lanes)
        if mask is None:
            mask = b.number(True, "bool", lanes)
        order = [i // 2 + (lanes if i % 2 else 0) for i in range(2 * lanes)]
        low = b.load(self.base, index, elem, lanes, b.shuffle(mask, none, order[:lanes]))
        high = b.load(self.base, b.index(index) + lanes, elem, lanes,
                      b.shuffle(mask, none, order[lanes:]))
        return b.shuffle(low, high, range(0, 2 * lanes, 2))


def both(x: Value | None, y: Value | None) -> Value | None:
    """Lanes that two masks hold; None holds all."""
    if x is None or y is None:
        return x or y
    lanes = max(x.lanes, y.lanes)
    return x.b.splat(x, lanes) & x.b.splat(y, lanes)


def multiply_add(b: Builder, x: Value, y: Value, total: Value) -> Value:
    """x y + total: rounded once of floating-point numbers where the host can."""
    return b.fma(x, y, total) if total.floating else total + b.mul(x, y)


@dataclass(frozen=True)
class Matrix:
    """An operand as matrices [batch][outer][inner] with row-major positions in each group.

    Neighbouring variables that act as one are one, so its variables are its own.
    """

    access: Access
    sizes: tuple[int, ...]
    batch: tuple[int, ...]
    outer: tuple[int, ...]
    inner: tuple[int, ...]
    lead: int = 1  # of the inner variables, how many a chunk may end within

    def in_chunks(self, chunk: int) -> Matrix:
        """The same, summed over `chunk` inner positions at once."""
        tails = [prod(self.sizes[v] for v in self.inner[j:]) for j in range(len(self.inner) + 1)]
        lead = next((j for j in range(1, len(tails)) if chunk % tails[j] == 0), 1)
        return replace(self, lead=1 if chunk == tails[0] else lead)

    def plain(self) -> bool:
        """Whether the element is at offset + batch ... + outer * o + inner * i."""
        return not self.access.guards and len(self.outer) <= 1 and len(self.inner) <= 1

    def step(self, group: tuple[int, ...]) -> int:
        """The stride along the last variable of a group."""
        return self.access.strides[group[-1]] if group else 0


def matrix(c: Contraction, access: Access, outer: Sequence[int]) -> Matrix:
    """x with outer = rows, or y with outer = columns."""
    maps = [access.strides, *(g.strides for g in access.guards)]
    sizes: list[int] = []
    steps: list[list[int]] = []  # per variable, its stride in each of maps
    groups = []
    for group in (c.batch, tuple(outer), c.inner):
        start = len(sizes)
        for v in group:
            step = [m[v] for m in maps]
            if c.sizes[v] == 1:
                continue
            if len(sizes) > start and steps[-1] == [s * c.sizes[v] for s in step]:
                sizes[-1] *= c.sizes[v]
                steps[-1] = step
            else:
                sizes.append(c.sizes[v])
                steps.append(step)
        groups.append(tuple(range(start, len(sizes))))
    address, *rest = zip(*steps) if steps else [()] * len(maps)
    guards = tuple(replace(g, strides=s) for g, s in zip(access.guards, rest))
    access = replace(access, strides=tuple(address), guards=guards)
    batch, outer, inner = groups
    return Matrix(access, tuple(sizes), batch, outer, inner)
