"""Contractions: from what is to be summed to the kernels that do it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from .access import Access, Contraction, Guard
from .emit import Builder
from .engine import Target
from .simple import Finish, Simple

__all__ = ["Access", "Contraction", "Guard", "Phase", "Plan", "plan"]

# Handing out less than this is not worth a worker's while (flops).
_GRAIN = 60_000


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
    c = _oriented(c, prefer)
    kernel = Simple(c, target.lanes(c.elem))
    flops = 2 * c.extent(range(len(c.sizes)))
    grain = max(1, _GRAIN * kernel.units // max(flops, 1))
    phase = Phase(kernel.units, grain, 0, flops, True, kernel.emit)
    return Plan([phase], [], str(kernel))


def _oriented(c: Contraction, prefer: int | None) -> Contraction:
    """The result's contiguous variable last among the columns, or one along which y is."""
    if prefer in c.rows or not c.columns:
        c = c.transposed()
    if prefer not in c.columns:
        prefer = next((v for v in c.columns if c.y.strides[v] == 1), None)
    if prefer is not None:
        rest = tuple(v for v in c.columns if v != prefer)
        c = replace(c, columns=(*rest, prefer))
    return c
