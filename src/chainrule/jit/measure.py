"""How long each kernel of a program takes, by itself, on the program's own buffers."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import numpy as np

from .engine import engine
from .printout import Times
from .program import Fault, Program
from .step import Step
from .threads import Entry, Table

FEW, MANY = 3, 40  # times that a kernel, or the program, is run; the fastest counts
KERNEL, WHOLE = 0.004, 0.3  # seconds after which a few times are enough
LONG = 200e-6  # seconds: what takes less is also run in a row, so that calls do not count
ROW = 16


def measure(program: Program, values: Sequence[np.ndarray]) -> Times:
    """Run the kernels on these values of the leaves, one after the other, each several times.

    Every kernel runs when its turn comes, on what those before it have computed; the outputs go
    to new arrays.  Raises Fault where the program would.
    """
    with program._lock:
        arrays = program._enter(values)
        taken: dict[Step, float] = defaultdict(float)
        for step, in_a_row in _turns(program, arrays):
            taken[step] += _fastest(in_a_row)
        whole = _best(lambda: program._work(arrays), WHOLE)
    return Times({step: 1e6 * seconds for step, seconds in taken.items()}, 1e6 * whole)


#: Makes a function that runs a kernel so many times in a row.
InARow: TypeAlias = Callable[[int], Callable[[], None]]


def _turns(program: Program, arrays: dict) -> Iterator[tuple[Step, InARow]]:
    """Each code of each kernel, in the order of the levels."""
    turns = [(step.level + k, step, k) for step in program.steps
             for k in range(len(step.codes) or step.kernel.kind == "host")]
    for _, step, k in sorted(turns, key=lambda turn: turn[0]):
        yield step, _native(program, step, k) if step.codes else _host(program, step, arrays)


def _native(program: Program, step: Step, k: int) -> InARow:
    code = step.codes[k]
    slots, address = program.slots(step.places[k]), engine().address(code.text)
    workers = program.workers if code.units > code.grain else 1

    def in_a_row(times: int) -> Callable[[], None]:
        entries = [Entry(address, slots, code.units, code.grain, i) for i in range(times)]
        table = Table(entries, code.scratch)

        def run() -> None:
            fault = table.run(program._addresses.ctypes.data, workers)
            if fault is not None:
                raise Fault(fault)

        return run

    return in_a_row


def _host(program: Program, step: Step, arrays: dict) -> InARow:
    def in_a_row(times: int) -> Callable[[], None]:
        def run() -> None:
            for _ in range(times):
                program._host(step.writes[0], arrays)

        return run

    return in_a_row


def _fastest(in_a_row: InARow) -> float:
    """Seconds that one run takes."""
    seconds = _best(in_a_row(1))
    return min(seconds, _best(in_a_row(ROW)) / ROW) if seconds < LONG else seconds


def _best(run: Callable[[], None], enough: float = KERNEL) -> float:
    best, start = math.inf, time.perf_counter()
    for times in range(MANY):
        before = time.perf_counter()
        run()
        now = time.perf_counter()
        best = min(best, now - before)
        if now - start > enough and times + 1 >= FEW:
            break
    return best
