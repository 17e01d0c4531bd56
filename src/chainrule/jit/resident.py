"""A program that is run again and again: its arrays stay where they are.

The outputs of a run are mostly leaves of the next one (parameters, an optimizer's state).  So there
are two sets of output arrays and two tables of addresses: while one set is read, the other is
written, and neither arrays nor addresses are made anew.  An array that somebody else still holds,
which its reference count tells, is replaced by a new one and never written to again.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import is_
from sys import getrefcount

import numpy as np

from .. import config
from .program import ALONE, Fault, Program, address
from .threads import Table


class Side:
    """One table of addresses, the arrays of the leaves in it and those of the outputs."""

    def __init__(self, program: Program):
        self.table = program._addresses.copy()
        self.words = memoryview(self.table)
        self.start = self.table.ctypes.data
        self.leaves: list[np.ndarray | None] = [None] * len(program.leaves)
        self.copies: list[np.ndarray | None] = list(self.leaves)  # of those that are not contiguous
        self.outputs: list[np.ndarray] = []
        self.counts: list[int] = []  # of references to each output when it was free


class Resident:
    """Runs a program whose steps are all native (`fits`), and keeps its arrays."""

    @staticmethod
    def fits(program: Program) -> bool:
        return all(isinstance(segment, Table) for segment in program.segments)

    def __init__(self, program: Program):
        self._program = program
        self._leaf_slots = [program._slot[n] for n in program.leaves]
        leaves = {n: i for i, n in enumerate(program.leaves)}
        #: For each output the leaf that it is, or None.
        self._passed = [leaves.get(n) for n in program.outputs]
        first = {n: k for k, n in reversed(list(enumerate(program.outputs)))}
        #: The outputs that have an array of their own, and for each output which of them it is.
        self._own = [k for k, n in enumerate(program.outputs) if n not in leaves and first[n] == k]
        place = {k: i for i, k in enumerate(self._own)}
        self._from = [None if n in leaves else place[first[n]] for n in program.outputs]
        self._is_plain = self._from == list(range(len(program.outputs)))
        self._specs = [program.outputs[k].spec for k in self._own]
        self._output_slots = [program._slot[program.outputs[k]] for k in self._own]
        self._sides = Side(program), Side(program)
        for side in self._sides:
            side.outputs = [self._new(side, i) for i in range(len(self._own))]
            side.counts = [_ALONE] * len(self._own)
        self._turn = 0

    def _new(self, side: Side, i: int) -> np.ndarray:
        array = np.empty(self._specs[i].shape, self._specs[i].dtype.np)
        side.words[self._output_slots[i]] = address(array)
        return array

    def __call__(self, values: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The values of the outputs from those of the leaves; raises Fault."""
        side, other = self._sides[self._turn], self._sides[1 - self._turn]
        self._turn = 1 - self._turn
        moved = self._free(side, other)
        if not all(map(is_, values, side.leaves)):
            self._enter(side, values)
            moved = True
        if moved:
            for slot, base, start in self._program._moving:
                side.words[slot] = side.words[base] + start
        workers = 1 if self._program.work < ALONE else config.get_num_threads()
        for segment in self._program.segments:
            fault = segment.run(side.start, workers)
            if fault is not None:
                raise Fault(fault)
        if self._is_plain:
            return side.outputs.copy()
        return [values[i] if i is not None else side.outputs[j]
                for i, j in zip(self._passed, self._from)]

    def _free(self, side: Side, other: Side) -> bool:
        """Have outputs that nobody holds but this side, and the other one as its leaves."""
        counts = list(map(getrefcount, side.outputs))
        if counts == side.counts:
            return False
        renewed = False
        for i, (count, usual) in enumerate(zip(counts, side.counts)):
            if count != usual:
                array = side.outputs[i]
                side.counts[i] = _ALONE + sum([x is array for x in other.leaves])
                if count > side.counts[i]:
                    side.outputs[i], side.counts[i] = self._new(side, i), _ALONE
                    renewed = True
        return renewed

    def _enter(self, side: Side, values: Sequence[np.ndarray]) -> None:
        """Put the addresses of these arrays into the table."""
        for i, value in enumerate(values):
            if value is not side.leaves[i]:
                side.leaves[i] = value
                array = value if value.flags.c_contiguous else np.ascontiguousarray(value)
                side.copies[i] = None if array is value else array
                side.words[self._leaf_slots[i]] = address(array)


# What getrefcount counts for an array that only a list refers to.
(_ALONE,) = map(getrefcount, [np.empty(0)])
