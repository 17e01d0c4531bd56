"""Contractions: from what is to be summed to the kernels that do it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import ceil, gcd, lcm, prod

from .access import Access, Contraction, Guard, Matrix, matrix
from .emit import BITS, FLOATING, Builder
from .engine import Target
from .packing import transposable
from .simple import Finish, Simple
from .tiles import Combine, PackRows, Tiled, Tiling

__all__ = ["Access", "Contraction", "Guard", "Phase", "Plan", "plan"]

# Handing out less than this is not worth a worker's while (flops).
_GRAIN = 60_000
# Bytes of packed panels that stay in the second cache beside what else is used.
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
    choices = [_tiled_plan(_ordered(way, prefer), target, prefer)
               for way in (c, c.transposed()) if way.columns]
    _, tiled = min(choices, key=lambda choice: choice[0])
    return phases(tiled)


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
    kernel = Simple(c, lanes)
    flops = 2 * c.extent(range(len(c.sizes)))
    return Plan([_phase(kernel.units, 0, flops, True, kernel.emit)], [], str(kernel))


def _phase(units: int, scratch: int, work: int, last: bool, body) -> Phase:
    grain = max(1, min(units, _GRAIN * units // max(work, 1)))
    return Phase(units, grain, scratch, work, last, body)


def _oriented(c: Contraction, prefer: int | None) -> Contraction:
    """The result's contiguous variable among the columns if possible."""
    if prefer in c.rows or not c.columns:
        c = c.transposed()
    return _ordered(c, prefer)


def _ordered(c: Contraction, prefer: int | None) -> Contraction:
    """Variables in the order of memory; the preferred one, else one that is contiguous, last."""
    def by(access, variables):
        return tuple(sorted(variables, key=lambda v: -abs(access.strides[v])))

    if prefer not in c.columns:
        prefer = next((v for v in c.columns if c.y.strides[v] == 1), None)
    columns = by(c.y, [v for v in c.columns if v != prefer])
    columns += (prefer,) if prefer is not None else ()
    return replace(c, rows=by(c.x, c.rows), columns=columns, inner=by(c.x, c.inner))


# ---------------------------------------------------------------------- choosing a tiling
def _tiled_plan(c: Contraction, target: Target, prefer: int | None) -> tuple[float, Tiled]:
    """The tiling that should take the fewest cycles, and how many."""
    lanes, size = target.lanes(c.elem), BITS[c.elem] // 8
    x, y = matrix(c, c.x, c.rows), matrix(c, c.y, c.columns)
    m, n, k = c.extent(c.rows), c.extent(c.columns), c.extent(c.inner)
    pack_x = "" if x.plain() else "unit"
    pack_y = "unit"
    if y.plain() and (n == 1 or y.step(y.outer) == 1) and not _crowded(y.step(y.inner) * size, k):
        pack_y = ""
    most = m
    if not pack_x and 256 > (x.step(x.outer) * size + 128) % 4096:
        most = min(m, 8)  # rows that meet in the same places of the first cache
    spare = 6 if pack_y and transposable(y) and target.registers > 16 else 2
    shapes = _shapes(most, n, target.registers - spare, lanes)
    cycles, rows, vectors = min((_cycles(m, n, k, *shape, lanes), *shape) for shape in shapes)
    width = vectors * lanes
    all_panels = ceil(n / width)
    chunk = _chunk(c, x, y, ceil(m / rows) * all_panels, lanes)
    panels = 1
    if pack_x or pack_y and m * k * size > _PANELS:
        panels = max(1, min(all_panels, _PANELS // (chunk * width * size)))
    if pack_x and panels < all_panels:
        pack_x = "phase"
    if pack_y:
        cycles += n * k * _rate(y, y.outer, lanes)
    if pack_x:
        cycles += m * k * _rate(x, x.inner, lanes)
    run = min(lanes, c.sizes[c.columns[-1]])
    cycles += m * n * (3 / run if prefer in (None, c.columns[-1]) else 1.5)
    return cycles, Tiled(c, Tiling(lanes, rows, vectors, panels, chunk, pack_x, pack_y))


def _shapes(m: int, n: int, registers: int, lanes: int) -> list[tuple[int, int]]:
    """Tiles (rows, vectors) whose sums and vectors of y fit the registers."""
    return [(rows, vectors) for vectors in range(1, min(6, ceil(n / lanes)) + 1)
            for rows in range(1, m + 1) if (rows + 1) * vectors <= registers]


def _cycles(m: int, n: int, k: int, rows: int, vectors: int, lanes: int) -> float:
    """Two multiply-adds a cycle, each 4 cycles long, and what a step and a tile cost besides; of
    equal ones the smaller tile, which compiles faster."""
    sums = rows * vectors
    step = max(sums / 2, 4) + 0.7
    tiles = ceil(m / rows) * ceil(n / (vectors * lanes))
    return tiles * (k * step + 2 * sums + 30) * (1 + sums / 1000)


def _crowded(step: int, count: int) -> bool:
    """Whether lines that are `step` bytes apart meet in the same places of the second cache."""
    return count > 8 * 65536 // gcd(65536, step or 65536)


def _rate(m: Matrix, lanes_along: tuple[int, ...], lanes: int) -> float:
    """Cycles to pack an element, with lanes along the last one of some variables."""
    if lanes_along == m.outer and transposable(m):
        return 0.3
    if m.step(lanes_along) != 1:
        return 2.0
    return 3 / min(lanes, m.sizes[lanes_along[-1]])


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
