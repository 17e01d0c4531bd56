"""Contractions: from what is to be summed to the kernels that do it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import ceil, gcd, lcm, prod

from .access import Access, Contraction, Guard, Matrix, matrix
from .dots import Dots
from .emit import BITS, FLOATING, Builder
from .engine import Target
from .packing import transposable
from .simple import Finish, Simple
from .tiles import Combine, PackRows, Tiled, Tiling, turn_lanes

__all__ = ["Access", "Contraction", "Guard", "Phase", "Plan", "plan"]

# Handing out less than this is not worth a worker's while (flops).
_GRAIN = 60_000
# Bytes of the first and the second cache, and of packed panels that stay in the second beside
# what else is used.
_FIRST, _SECOND = 32 << 10, 1 << 20
_PANELS = 400_000


@dataclass
class Phase:
    """One kernel: `emit` writes its body for the units [b.low, b.high).

    `grain` is how many units are worth handing out at once, `scratch` bytes of memory a worker
    needs, `work` flops (or bytes, whichever is more).  The last phase calls `finish` for every
    piece of the result, exactly once.
    """

    units: int
    grain: int
    scratch: int
    work: int
    last: bool
    body: Callable[[Builder, Finish | None], None] = field(repr=False)

    def emit(self, b: Builder, finish: Finish | None = None) -> None:
        self.body(b, finish)


@dataclass
class Plan:
    """Phases that run one after another; `temporaries` are the bytes of the buffers between them,
    which are the places 2, 3 ... of each kernel."""

    phases: list[Phase]
    temporaries: list[int]
    text: str

    def __str__(self) -> str:
        return self.text


def plan(c: Contraction, target: Target, prefer: int | None = None) -> Plan:
    """How to compute c.  `prefer` is the variable along which the result is contiguous."""
    lanes = target.lanes(c.elem)
    if c.elem not in FLOATING or 0 in c.sizes or not (c.rows or c.columns):
        return _simple(_oriented(c, prefer), lanes)
    ways = [_ordered(way, prefer) for way in (c, c.transposed()) if way.columns]
    cycles, tiled = min((_tiled_plan(way, target, prefer, turned) for way in ways
                         for turned in (False, True)
                         if not turned or prefer in way.rows and way.extent(way.rows) >= lanes),
                        key=lambda choice: choice[0])
    dots = [Dots(way, lanes) for way in ways if Dots.fits(way, lanes)]
    best = min(dots, key=lambda d: _dots_cycles(d, prefer), default=None)
    if best is not None and _dots_cycles(best, prefer) < cycles:
        return _single(best, c, best.scratch)
    return phases(tiled)


def _dots_cycles(dots: Dots, prefer: int | None) -> float:
    return dots.cycles() + dots.m * dots.n * (prefer not in (None, dots.c.columns[-1]))


def phases(tiled: Tiled) -> Plan:
    """The kernels of a contraction in tiles."""
    c, t = tiled.c, tiled.t
    flops = 2 * c.extent(range(len(c.sizes)))
    found, temporaries = [], []
    if t.pack_x == "phase":
        pack = PackRows(tiled)
        found.append(_phase(pack.units, 0, pack.bytes, False, pack.emit))
        temporaries.append(pack.bytes)
    split = tiled.chunks > 1
    found.append(_phase(tiled.units, tiled.scratch, flops, not split, tiled.emit))
    if split:
        combine = Combine(tiled)
        found.append(_phase(combine.units, 0, combine.bytes, True, combine.emit))
        temporaries.append(combine.bytes)
    return Plan(found, temporaries, str(t))


def _simple(c: Contraction, lanes: int) -> Plan:
    return _single(Simple(c, lanes), c, 0)


def _single(kernel: Simple | Dots, c: Contraction, scratch: int) -> Plan:
    """One kernel does it all."""
    flops = 2 * c.extent(range(len(c.sizes)))
    return Plan([_phase(kernel.units, scratch, flops, True, kernel.emit)], [], str(kernel))


def _phase(units: int, scratch: int, work: int, last: bool, body) -> Phase:
    grain = max(1, min(units, _GRAIN * units // max(work, 1)))
    return Phase(units, grain, scratch, work, last, body)


def _oriented(c: Contraction, prefer: int | None) -> Contraction:
    """The result's contiguous variable among the columns if possible."""
    if prefer in c.rows or not c.columns:
        c = c.transposed()
    return _ordered(c, prefer)


def _ordered(c: Contraction, prefer: int | None) -> Contraction:
    """Variables in the order of memory, but the preferred one last."""
    def by(access, variables):
        return tuple(sorted(variables, key=lambda v: (v == prefer, -abs(access.strides[v]))))

    return replace(c, rows=by(c.x, c.rows), columns=by(c.y, c.columns), inner=by(c.x, c.inner))


# ---------------------------------------------------------------------- choosing a tiling
def _tiled_plan(c: Contraction, target: Target, prefer: int | None,
                turned: bool) -> tuple[float, Tiled]:
    """The tiling that should take the fewest cycles, and how many."""
    lanes, size = target.lanes(c.elem), BITS[c.elem] // 8
    x, y = matrix(c, c.x, c.rows), matrix(c, c.y, c.columns)
    m, n, k = c.extent(c.rows), c.extent(c.columns), c.extent(c.inner)
    pack_x = "" if x.plain() else "unit"
    pack_y = "unit"
    if y.plain() and (n == 1 or y.step(y.outer) == 1):
        crowded = m >= 32 and _crowded(y.step(y.inner) * size, k)
        pack_y = "unit" * crowded
    most = m
    if not pack_x and 256 > (x.step(x.outer) * size + 128) % 4096:
        most = min(m, 8)  # rows that meet in the same places of the first cache
    spare = 4 if target.registers > 16 else 2  # what LLVM wants for itself
    cycles, rows, vectors = min(
        (_cycles(m, n, k, *shape, lanes, size) + (n * k * _rate(y, y.outer, lanes, shape[1])
                                                  if pack_y else 0), *shape)
        for shape in _shapes(most, n, target.registers - spare, lanes)
        if not turned or shape[0] % (lanes // 2) == 0)
    width = vectors * lanes
    all_panels = ceil(n / width)
    chunk = _chunk(c, x, y, ceil(m / rows) * all_panels, lanes)
    panels = 1
    if pack_x or pack_y and m * k * size > _PANELS:
        panels = max(1, min(all_panels, _PANELS // (chunk * width * size)))
    if pack_x and panels < all_panels:
        pack_x = "phase"
    if pack_x:
        cycles += m * k * _rate(x, x.inner, lanes)
    along = c.rows[-1] if turned else c.columns[-1]
    run = min(turn_lanes(lanes, rows) if turned else lanes, c.sizes[along])
    cycles += m * n * ((10 if turned else 3) / run if prefer in (None, along) else 1.5)
    turned = turned and chunk == k
    return cycles, Tiled(c, Tiling(lanes, rows, vectors, panels, chunk, pack_x, pack_y, turned))


def _shapes(m: int, n: int, registers: int, lanes: int) -> list[tuple[int, int]]:
    """Tiles (rows, vectors) whose sums and vectors of y fit the registers."""
    return [(rows, vectors) for vectors in range(1, min(4, ceil(n / lanes)) + 1)
            for rows in range(1, m + 1) if (rows + 1) * vectors <= registers]


def _cycles(m: int, n: int, k: int, rows: int, vectors: int, lanes: int, size: int) -> float:
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
    step = m.step(lanes_along)
    if step not in (1, 2):
        return 2.0
    length = m.sizes[lanes_along[-1]]
    width = vectors * lanes
    # Panels that do not end where runs end are made of more pieces.
    ragged = width and len(lanes_along) > 1 and width % length and length % width
    return (2 + step) * (2 if ragged else 1) / min(lanes, length)


def _chunk(c: Contraction, x: Matrix, y: Matrix, tiles: int, lanes: int) -> int:
    """How many inner positions are summed at once: all, but for long sums of few tiles."""
    k = c.extent(c.inner)
    unit = lcm(_tail(x), _tail(y))
    if k < 2048 or tiles * c.extent(c.batch) > 512 and k < 16384:
        return k
    chunk = unit * max(1, 1024 // unit)
    while chunk < k and 0 < k % chunk < lanes:
        chunk += unit
    return min(chunk, k)


def _tail(m: Matrix) -> int:
    """Positions of the inner variables behind the first one."""
    return prod(m.sizes[v] for v in m.inner[1:])
