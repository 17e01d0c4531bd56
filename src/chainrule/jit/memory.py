"""The memory plan of a program: where in one arena each intermediate lives, known before it runs.

A buffer lives from the level that writes it to the last level that reads it.  Buffers whose lives
do not overlap share bytes.
"""

from __future__ import annotations

import ctypes
from bisect import insort
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

ALIGNMENT = 64  # a cache line, and the widest vector


@dataclass(eq=False)
class Buffer:
    """Bytes that live from level `born` to level `dies`, both included."""

    nbytes: int
    born: int
    dies: int
    offset: int = -1


def plan(buffers: list[Buffer]) -> int:
    """Give every buffer its offset; returns the bytes of the arena.

    Level by level, each new buffer takes the smallest free piece that holds it.
    """
    births, deaths = defaultdict(list), defaultdict(list)
    for b in buffers:
        births[b.born].append(b)
        deaths[b.dies + 1].append(b)
    free = _Free()
    for level in sorted({*births, *deaths}):
        for b in deaths[level]:
            free.give(b.offset, _rounded(b.nbytes))
        for b in sorted(births[level], key=lambda b: -b.nbytes):
            b.offset = free.take(_rounded(b.nbytes))
    return free.top


def give_back() -> None:
    """Return free memory to the system: the C library keeps what the arrays of interpreted steps
    took, some for every node, and a program has its arena instead."""
    _trim()(0)


@cache
def _trim() -> Callable[[int], object]:
    """glibc's malloc_trim; other C libraries keep less."""
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return lambda _: None


def _rounded(nbytes: int) -> int:
    return max(-(-nbytes // ALIGNMENT), 1) * ALIGNMENT


class _Free:
    """Free pieces of the arena: by offset for joining neighbours, by size for the best fit."""

    def __init__(self) -> None:
        self.top = 0
        self._size: dict[int, int] = {}  # offset -> size
        self._start_of_end: dict[int, int] = {}
        self._by_size: list[tuple[int, int]] = []

    def _add(self, offset: int, size: int) -> None:
        self._size[offset] = size
        self._start_of_end[offset + size] = offset
        insort(self._by_size, (size, offset))

    def _remove(self, offset: int) -> int:
        size = self._size.pop(offset)
        del self._start_of_end[offset + size]
        self._by_size.remove((size, offset))
        return size

    def give(self, offset: int, size: int) -> None:
        """A piece is free again; it is joined with free neighbours."""
        if offset + size in self._size:
            size += self._remove(offset + size)
        if offset in self._start_of_end:
            before = self._start_of_end[offset]
            size += self._remove(before)
            offset = before
        self._add(offset, size)

    def take(self, size: int) -> int:
        for found, offset in self._by_size:
            if found >= size:
                self._remove(offset)
                if found > size:
                    self._add(offset + size, found - size)
                return offset
        if self.top in self._start_of_end:  # grow the last piece
            offset = self._start_of_end[self.top]
            self._remove(offset)
            self.top = offset + size
            return offset
        self.top += size
        return self.top - size
