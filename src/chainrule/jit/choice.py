"""Which kernel computes a contraction, and with which sizes: the one that should take the fewest
cycles on one core."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import ceil, gcd, lcm, prod
from typing import TypeAlias

from .access import Contraction, Matrix, matrix
from .dots import Dots
from .emit import BITS, FLOATING
from .engine import Target
from .packing import transposable
from .simple import Simple
from .tiles import Tiled, Tiling, turn_lanes

Kernel: TypeAlias = Simple | Dots | Tiled

# Bytes of the first and the second cache, and of packed panels that stay in the second beside
# what else is used.
_FIRST, _SECOND = 32 << 10, 1 << 20
_PANELS = 550_000
# Bytes of a temporary that x may be packed into.
_TEMPORARY = 16 << 20
# Inner positions of a chunk when a long sum is cut: from which length to have enough units, and
# from which one because a panel would leave the second cache.
_CHUNK, _LONG, _LONGEST = 1024, 2048, 5000
_PARTIAL = 1 << 28  # bytes of partial sums that a cut may take if there are enough units anyway


def choose(c: Contraction, target: Target, prefer: int | None) -> Kernel:
    """`prefer` is the variable along which the result is contiguous."""
    lanes = target.lanes(c.elem)
    if c.elem not in FLOATING or 0 in c.sizes or not (c.rows or c.columns):
        first = c.transposed() if prefer in c.rows or not c.columns else c
        return Simple(_ordered(first, prefer), lanes)
    ways = [_ordered(way, prefer) for way in (c, c.transposed()) if way.columns]
    kernels = [kernel for way in ways for kernel in _kernels(way, target, prefer)]
    return min(kernels, key=lambda pair: pair[0])[1]


def _kernels(c: Contraction, target: Target, prefer: int | None) -> Iterator[tuple[float, Kernel]]:
    """The kernels with these rows and columns, and their cycles."""
    lanes = target.lanes(c.elem)
    # What it takes to write a vector's elements one by one.
    scattered = c.extent(c.batch + c.rows + c.columns) * (prefer not in (None, c.columns[-1]))
    if c.extent(c.inner) < _LONG:  # one sum after the other: of very many, rounding errors grow
        yield _simple_cycles(c, lanes) + scattered, Simple(c, lanes)
    if Dots.fits(c):
        dots = Dots(c, lanes, 5 if target.registers > 16 else 2)
        yield _dots_cycles(dots) + scattered, dots
    cycles, tiled = _tiled(c, target, prefer, False)
    yield cycles + scattered, tiled
    if prefer in c.rows and c.extent(c.rows) >= lanes:
        yield _tiled(c, target, prefer, True)


def _ordered(c: Contraction, prefer: int | None) -> Contraction:
    """Variables in the order of memory, but the preferred one last."""
    def by(access, variables):
        return tuple(sorted(variables, key=lambda v: (v == prefer, -abs(access.strides[v]))))

    inner = by(c.x, c.inner)
    if inner and abs(c.x.strides[inner[-1]]) != 1 and c.y.strides[inner[-1]] != 1:
        # Neither operand is contiguous along any: the longest makes the fullest vectors.
        inner = tuple(sorted(inner, key=lambda v: c.sizes[v]))
    return replace(c, rows=by(c.x, c.rows), columns=by(c.y, c.columns), inner=inner)


def _simple_cycles(c: Contraction, lanes: int) -> float:
    """A load of y and a multiply-add at a time."""
    length = c.sizes[c.columns[-1]]
    vectors = c.extent(c.batch + c.rows + c.columns[:-1]) * ceil(length / lanes)
    load = 1.2 if c.y.strides[c.columns[-1]] in (0, 1) else 12
    step = load + 1 + len(c.x.guards) + len(c.y.guards)
    k = c.extent(c.inner)
    # One sum at a time: of short ones, several vectors are under way side by side.
    return vectors * (k * (step if k <= 16 else max(step, 4)) + 4)


def _dots_cycles(dots: Dots) -> float:
    lines = dots.rows + dots.columns
    sums, size = dots.rows * dots.columns, BITS[dots.c.elem] // 8
    step = max(sums / 2, 4) + 0.7
    if dots.k * lines * size > 2 * _FIRST:
        # Nothing of a unit is still in the first cache when the next one needs it.
        step = max(step, lines * dots.lanes * size / 24)
    return dots.units * (ceil(dots.k / dots.lanes) * step + 8 * sums + 40)


# ---------------------------------------------------------------------- tiles
def _tiled(c: Contraction, target: Target, prefer: int | None,
           turned: bool) -> tuple[float, Tiled]:
    """The best tiling, and how many cycles it takes."""
    lanes, size = target.lanes(c.elem), BITS[c.elem] // 8
    x, y = matrix(c, c.x, c.rows), matrix(c, c.y, c.columns)
    m, n, k = c.extent(c.rows), c.extent(c.columns), c.extent(c.inner)
    pack_x, pack_y = _must_pack_x(x, n, k, lanes, size), _must_pack_y(y, m, n, k, size)

    def estimate(shape: tuple[int, int]) -> float:
        cycles = _tile_cycles(m, n, k, *shape, lanes, size)
        return cycles + n * k * _rate(y, y.outer, lanes, shape[1]) if pack_y else cycles

    most_rows = m
    if not pack_x and 256 > (x.step(x.outer) * size + 128) % 4096:
        most_rows = min(m, 8)  # rows that meet in the same places of the first cache
    shapes = _shapes(most_rows, n, target.registers - 2, lanes)
    rows, vectors = min((s for s in shapes if not turned or s[0] % (lanes // 2) == 0), key=estimate)
    cycles = estimate((rows, vectors))
    width = vectors * lanes
    all_panels = ceil(n / width)
    most = k
    if pack_x and m > n:  # all columns at once, so that every row is packed once
        most = max(_PANELS // (all_panels * width * size), _CHUNK // 8)
    chunk = _chunk(c, x, y, ceil(m / rows) * all_panels * c.extent(c.batch), most, lanes)
    panels, packed_x = 1, ""
    if pack_x or pack_y and m * k * size > _PANELS:
        panels = max(1, min(all_panels, _PANELS // (chunk * width * size)))
    if pack_x:
        rate = _rate(x, x.inner, lanes)
        if x.plain() and x.step(x.outer) == 1:
            rate = 3 / rows  # rows that lie side by side stay so
        packed_x, more = _pack_x(m * k * rate, m * k * size, ceil(all_panels / panels),
                                 c.extent(c.batch))
        cycles += more
    # A sum in chunks is finished by vectors along the columns.
    tiling = Tiling(lanes, rows, vectors, panels, chunk, packed_x, "unit" * pack_y,
                    turned and chunk == k)
    cycles += m * n * _finish_rate(c, tiling)
    return cycles * c.extent(c.batch), Tiled(c, tiling)


def _finish_rate(c: Contraction, t: Tiling) -> float:
    """Cycles to finish an element of the result."""
    if t.turned:
        return 10 / min(turn_lanes(t.lanes, t.rows), c.sizes[c.rows[-1]])
    return 3 / min(t.lanes, c.sizes[c.columns[-1]])


def _must_pack_x(x: Matrix, n: int, k: int, lanes: int, size: int) -> bool:
    """Unless its elements have strides, do not bring half a line of the cache each, and lie apart
    in the cache."""
    steps = x.step(x.outer), x.step(x.inner)
    if not x.plain():
        return True
    crowded = steps[0] == 1 and _crowded(steps[1] * size, k // 4)
    return n >= 8 * lanes and (crowded or min(map(abs, steps)) * size >= 32)


def _must_pack_y(y: Matrix, m: int, n: int, k: int, size: int) -> bool:
    """Unless its columns lie next to each other, and its rows apart in the cache."""
    if not y.plain() or n > 1 and y.step(y.outer) != 1:
        return True
    return m >= 32 and _crowded(y.step(y.inner) * size, min(k, _CHUNK))


def _pack_x(cycles: float, nbytes: int, blocks: int, batch: int) -> tuple[str, float]:
    """How to pack x: again for each block of columns, or once before if that is not too large."""
    before = cycles + nbytes / 4
    if blocks == 1 or cycles * blocks <= before or nbytes * batch > _TEMPORARY:
        return "unit", cycles * blocks
    return "phase", before


def _shapes(m: int, n: int, registers: int, lanes: int) -> list[tuple[int, int]]:
    """Tiles (rows, vectors) whose sums and vectors of y fit the registers."""
    return [(rows, vectors) for vectors in range(1, min(4, ceil(n / lanes)) + 1)
            for rows in range(1, min(m, registers // vectors - 1) + 1)]


def _tile_cycles(m: int, n: int, k: int, rows: int, vectors: int, lanes: int,
                 size: int) -> float:
    """Two multiply-adds a cycle, each 4 cycles long, and what a step and a tile cost besides; of
    equal ones the smaller tile, which compiles faster."""
    sums = rows * vectors
    step = max(sums / 2, 4)
    if k * vectors * lanes * size > _FIRST:
        # What a step reads comes from the second cache.
        step = max(step, (vectors * lanes + rows) * size / 20)
    if k * rows * size > _SECOND // 6:
        step = max(step, rows * size / 6)
    tiles = ceil(m / rows) * ceil(n / (vectors * lanes))
    return tiles * (k * (step + 0.5 + 0.7 / vectors) + 2 * sums + 30) * (1 + sums / 250)


def _crowded(step: int, count: int) -> bool:
    """Whether lines that are `step` bytes apart meet in the same places of the second cache."""
    return count > 8 * 65536 // gcd(65536, step or 65536)


def _rate(m: Matrix, lanes_along: tuple[int, ...], lanes: int, vectors: int = 0) -> float:
    """Cycles to pack an element, with lanes along the last one of some variables."""
    if lanes_along == m.outer and transposable(m):
        return 0.2
    length = m.sizes[lanes_along[-1]] if lanes_along else 1
    step = abs(m.step(lanes_along))
    if step not in (1, 2):
        return 1.5 * lanes / min(lanes, length)
    width = vectors * lanes
    # Panels that do not end where runs end are made of more pieces.
    ragged = width and len(lanes_along) > 1 and width % length and length % width
    return (2 + step) * (2 if ragged else 1) / min(lanes, length)


def _chunk(c: Contraction, x: Matrix, y: Matrix, tiles: int, most: int, lanes: int) -> int:
    """How many inner positions are summed at once: all, but for long sums of few tiles, or if the
    panels for `most` fill the second cache."""
    k = c.extent(c.inner)
    parts = ceil(k / min(most, _CHUNK)) * c.extent(c.batch + c.rows + c.columns)
    large = parts * BITS[c.elem] // 8 > _PARTIAL
    if k < _LONG or tiles >= 64 and (k <= min(_LONGEST, most) or large):
        return k
    most = min(most, _CHUNK)
    unit = lcm(*(prod(m.sizes[v] for v in m.inner[1:]) for m in (x, y)))
    if unit > 2 * most:
        unit = lcm(*(m.sizes[m.inner[-1]] for m in (x, y) if len(m.inner) > 1))
    chunk = unit * max(1, most // unit)
    while chunk < k and 0 < k % chunk < lanes:
        chunk += unit
    return min(chunk, k)
