"""Contractions: from what is to be summed to the kernels that do it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil

from .access import Access, Contraction, Guard
from .choice import Kernel, choose
from .emit import Builder
from .engine import Target
from .simple import Finish
from .tiles import Combine, PackRows, Tiled

__all__ = ["Access", "Contraction", "Guard", "Phase", "Plan", "plan"]

# Handing out less than this is not worth a worker's while (flops).
_GRAIN = 60_000
# There shall be as many pieces of work as that, or more.
_FEWEST = 8


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
    return plan_of(choose(c, target, prefer))


def plan_of(kernel: Kernel) -> Plan:
    """The kernel that sums, and what must run before and after it."""
    flops = 2 * kernel.c.extent(range(len(kernel.c.sizes)))
    split = isinstance(kernel, Tiled) and kernel.chunks > 1
    found = [_phase(kernel.units, kernel.scratch, flops, not split, kernel.emit, _shared(kernel))]
    temporaries = []
    if isinstance(kernel, Tiled) and kernel.t.pack_x == "phase":
        pack = PackRows(kernel)
        found.insert(0, _phase(pack.units, 0, pack.bytes, False, pack.emit))
        temporaries.append(pack.bytes)
    if isinstance(kernel, Tiled) and split:
        combine = Combine(kernel)
        found.append(_phase(combine.units, 0, combine.bytes, True, combine.emit))
        temporaries.append(combine.bytes)
    return Plan(found, temporaries, str(kernel))


def _phase(units: int, scratch: int, work: int, last: bool, body, shared: int = 1) -> Phase:
    grain = max(1, min(units, max(_GRAIN * units // max(work, 1), shared)))
    return Phase(units, grain, scratch, work, last, body)


def _shared(kernel: Kernel) -> int:
    """How many units to hand out at once, so that panels are not packed anew for each: all rows of
    tiles that share them, or a part where there would be too few to share out."""
    if not isinstance(kernel, Tiled) or not kernel.t.pack_y:
        return 1
    blocks = kernel.units // kernel.tiles
    return ceil(kernel.tiles / ceil(_FEWEST / blocks))
