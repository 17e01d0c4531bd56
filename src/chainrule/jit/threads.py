"""Running a program: a table of kernels, worked through by parked workers.

Workers are ordinary Python threads that never come back from native code (runtime.py), so they
hold no GIL.  Idle, they look for work for some tens of microseconds, then sleep.  A run never
waits for a worker that has not come: the calling thread can do everything, and whoever comes
takes some of it.  Which worker does what changes no bit of a result, since kernels do not depend
on how their units are split.

>>> Table([])
Table(0 entries, 0 levels, 0 bytes of scratch)
"""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from .. import config
from ..errors import ArgumentError
from .runtime import HEADER, IDLE_NS, runtime

#: No pool has more workers.
MOST = 256
#: A grain that no entry reaches: the task is one chunk.
_WHOLE = np.iinfo(np.int64).max


class Entry(NamedTuple):
    """One kernel of a program and its work.

    kernel: address of  i64 kernel(ptr slots, ptr places, i64 lo, i64 hi, ptr scratch)
    places: which slots are its buffers
    units, grain: how much work there is, and how much of it a worker takes at once
    level: entries of one level are independent; a level starts when the one before is complete
    """

    kernel: int
    places: Sequence[int]
    units: int
    grain: int
    level: int


class Fault(NamedTuple):
    """The first entry that gave an error, and its code (the low 32 bits)."""

    entry: int
    code: int


class _Task(NamedTuple):
    """What workers share: so many entries from `entry` on; see runtime.py."""

    entry: int
    entries: int
    grain: int
    chunks: int
    turn: int

    def __str__(self) -> str:
        if self.entries > 1:
            return f"entries {self.entry} to {self.entry + self.entries - 1} in a row"
        return f"entry {self.entry}" + (f" in {self.chunks} chunks" if self.chunks > 1 else "")


class Table:
    """The kernels of a program in order, with the bytes of scratch that the hungriest asks for.

    Two threads may run one table at once, each with its own slots, if nobody asks for `completed`.
    """

    _ids = itertools.count(1)

    def __init__(self, entries: Iterable[Entry], scratch: int = 0):
        self.entries = list(entries)
        self.scratch = scratch
        _verify(self.entries)
        self.levels = _levels(self.entries)
        self._places, rows = self._rows()
        self._table = _layout(next(self._ids), rows, self.levels, scratch)
        self.address = self._table.ctypes.data
        self._run = runtime().run

    def _rows(self) -> tuple[np.ndarray, list[int]]:
        """The places of all entries in one array, and the words of the entries."""
        places = np.array([p for e in self.entries for p in e.places], np.int32)
        starts = itertools.accumulate((len(e.places) for e in self.entries), initial=0)
        base = places.ctypes.data
        rows = [(e.kernel, base + 4 * start, e.units, 0)
                for e, start in zip(self.entries, starts)]
        return places, [word for row in rows for word in row]

    def run(self, slots: int, workers: int = 1) -> Fault | None:
        """Run all kernels on the buffers whose addresses are at `slots`; None, or the first fault.

        At most `workers` threads work, this one among them.  While another thread's program has
        the workers, this one runs alone: waiting would take as long, and idle.  After a fault the
        later levels are left out.  A KeyboardInterrupt is raised before the native call or after
        it: if `completed` has grown, it was after.
        """
        pool = _pool.address or _pool.open()
        if workers > 1:
            workers = _pool.ready(workers)
        fault = self._run(pool, self.address, slots, workers)
        return self.fault(fault) if fault else None

    def fault(self, fault: int) -> Fault:
        """What the number that a run has given means."""
        if fault < 0:
            raise MemoryError(f"a program requires {self.scratch} bytes of scratch for each worker")
        return Fault(fault >> 32, fault & 0xFFFFFFFF)

    @property
    def completed(self) -> int:
        """How many runs of this table have ended."""
        return int(self._table[8])

    def __repr__(self) -> str:
        return (f"Table({len(self.entries)} entries, {len(self.levels)} levels, "
                f"{self.scratch} bytes of scratch)")

    def __str__(self) -> str:
        lines = [f"  level {k}: {', '.join(map(str, level))}"
                 for k, level in enumerate(self.levels)]
        return "\n".join([repr(self), *lines])


def _verify(entries: list[Entry]) -> None:
    for i, e in enumerate(entries):
        if e.units < 0 or e.grain < 1:
            raise ArgumentError("Table requires units >= 0 and grain >= 1, "
                                f"got {e.units} and {e.grain} in entry {i}")
        if i and e.level < entries[i - 1].level:
            raise ArgumentError("Table requires levels that do not fall, "
                                f"got {e.level} after {entries[i - 1].level} in entry {i}")


def _levels(entries: list[Entry]) -> list[list[_Task]]:
    """The tasks of each level; levels of one chunk in a row become one task of one level."""
    levels: list[list[_Task]] = []
    for _, group in itertools.groupby(enumerate(entries), lambda pair: pair[1].level):
        level = [_task(i, e, turn) for turn, (i, e) in enumerate(group)]
        if levels and _single(level) and _single(levels[-1]):
            row = levels[-1][0]
            levels[-1] = [row._replace(entries=row.entries + 1)]
        else:
            levels.append(level)
    return levels


def _single(level: list[_Task]) -> bool:
    return len(level) == 1 and level[0].chunks == 1


def _task(index: int, entry: Entry, turn: int) -> _Task:
    chunks = -(-entry.units // entry.grain)
    if chunks == 1:
        return _Task(index, 1, _WHOLE, 1, turn)  # the entries of a level at different homes
    return _Task(index, 1, entry.grain, chunks, 0)  # the same rows at the same home in all levels


def _layout(identity: int, rows: list[int], levels: list[list[_Task]], scratch: int) -> np.ndarray:
    """The words that runtime.py describes."""
    tasks = [task for level in levels for task in level]
    starts = itertools.accumulate((len(level) for level in levels), initial=0)
    totals = [sum(task.chunks for task in level) for level in levels]
    ends = [word for pair in zip(starts, [*totals, 0]) for word in pair]
    first_task = HEADER + len(rows)
    first_level = first_task + 5 * len(tasks)
    header = [identity, first_level + len(ends), len(rows) // 4, len(levels), len(tasks), scratch,
              first_task, first_level]
    header += [0] * (HEADER - len(header))
    return np.array([*header, *rows, *(word for task in tasks for word in task), *ends], np.int64)


class _Pool:
    """The workers of this process.  Nothing is made before the first run."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Start anew.  A forked child has none of the threads, and the memory as it was in the
        middle of whatever they did."""
        self.address = 0
        self.threads = 0
        self._lock = threading.Lock()

    def open(self) -> int:
        """The address of the native pool.  It is never freed: workers live in it to the end."""
        with self._lock:
            if not self.address:
                cores = config.cores()
                bits = sum(1 << core for core in cores if core < 1024).to_bytes(128, "little")
                self.address = runtime().create(
                    MOST, IDLE_NS, len(cores), bits, time.CLOCK_MONOTONIC) or 0
            if not self.address:
                raise MemoryError("the workers require memory")
            return self.address

    def ready(self, workers: int) -> int:
        """How many of these workers there can be, the calling thread among them."""
        workers = min(workers, config.get_num_threads(), MOST)
        if workers > self.threads + 1:
            self._start(workers)
        return min(workers, self.threads + 1)

    def _start(self, workers: int) -> None:
        with self._lock:
            while self.threads + 1 < workers:
                # Counted first: were we interrupted here, two threads must not be one worker,
                # but a worker may well be missing.
                self.threads += 1
                thread = threading.Thread(
                    target=runtime().worker, args=(self.address, self.threads), daemon=True,
                    name=f"chainrule worker {self.threads}")
                try:
                    thread.start()
                except RuntimeError:  # the system has no more threads, or Python is ending
                    self.threads -= 1
                    return


_pool = _Pool()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.forget)
