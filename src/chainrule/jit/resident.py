"""A program that is run again and again: its arrays stay where they are.

The outputs of a run are mostly leaves of the next one (parameters, an optimizer's state), or take
the place of outputs of the last one (gradients).  Where the program reads a leaf for the last time
when it writes the output, and nobody else holds the array, which its reference count tells, the
output is written in its place.  For all others there are two sets of arrays and two tables of
addresses: while one set is read, the other is written.  An array that somebody holds is replaced
by a new one and never written to again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from operator import is_
from sys import getrefcount
from typing import Any

import numpy as np

from .. import config
from .program import ALONE, Fault, Program, address
from .threads import Table


class Side:
    """One table of addresses, and the arrays in it."""

    def __init__(self, program: Program):
        self.table: Any = program._addresses.copy()
        self.words = memoryview(self.table)
        self.start = self.table.ctypes.data
        self.leaves: list[np.ndarray | None] = [None] * len(program.leaves)
        self.copies: list[np.ndarray | None] = list(self.leaves)  # of those that are not contiguous
        self.outputs: list[np.ndarray] = []
        self.counts: list[int] = []  # of references to the outputs, and to the fixed ones,
        self.fixed_counts: list[int] = []  # when nobody else held them


class Resident:
    """Runs a program whose steps are all native (`fits`), and keeps its arrays.

    `replaced[k]` is the leaf whose place output k takes, or None if it takes that of output k of
    the last run: once a run is over nobody needs that array, unless he is seen to hold it.
    """

    @staticmethod
    def fits(program: Program) -> bool:
        return len(program.segments) == 1 and isinstance(program.segments[0], Table)

    def __init__(self, program: Program, replaced: Mapping[int, int | None]):
        self._program = program
        self._table: Any = program.segments[0]
        self._begun = 0  # how often the table was run, or was about to be
        self._leaf_slots = [program._slot[n] for n in program.leaves]
        leaves = {n: i for i, n in enumerate(program.leaves)}
        first = {n: k for k, n in reversed(list(enumerate(program.outputs)))}
        #: The outputs that have an array of their own.
        self._own = [k for k, n in enumerate(program.outputs) if n not in leaves and first[n] == k]
        place = {k: j for j, k in enumerate(self._own)}
        #: For each output which of the own ones it is, or None; then it is this leaf.
        self._from = [place.get(first[n]) for n in program.outputs]
        self._passed = [leaves.get(n, 0) for n in program.outputs]
        self._specs = [program.outputs[k].spec for k in self._own]
        self._slots = [program._slot[program.outputs[k]] for k in self._own]
        #: Own outputs that are written in the place of a leaf, or (None) of their predecessor.
        self._fixed = list(_fixed(program, self._own, replaced))
        fixed = {j for j, _ in self._fixed}
        self._swapped = [j for j in range(len(self._own)) if j not in fixed]
        self._sides = Side(program), Side(program)
        for side in self._sides:
            side.outputs = [self._new(side, j) for j in range(len(self._own))]
            side.counts, side.fixed_counts = [0] * len(self._swapped), [0] * len(self._fixed)
        self._turn = 0

    def _new(self, side: Side, j: int) -> np.ndarray:
        array = np.empty(self._specs[j].shape, self._specs[j].dtype.np)
        side.words[self._slots[j]] = address(array)
        return array

    def __call__(self, values: Sequence[np.ndarray], alone: bool) -> list[np.ndarray]:
        """The values of the outputs from those of the leaves; raises Fault.

        `alone`: the caller will give what takes the place of the replaced arrays to whoever has
        them now.
        """
        side, other = self._sides[self._turn], self._sides[1 - self._turn]
        self._turn = 1 - self._turn
        moved = self._free(side, other)
        moved |= self._fix(side, other, values, alone)
        if not all(map(is_, values, side.leaves)):
            self._enter(side, other, values)
            moved = True
        if moved:
            for slot, base, start in self._program._moving:
                side.words[slot] = side.words[base] + start
        workers = 1 if self._program.work < ALONE else config.get_num_threads()
        self._begun += 1
        fault = self._table.run(side.start, workers)
        if fault is not None:
            raise Fault(fault)
        return self._outputs(side, values)

    def _outputs(self, side: Side, values: Sequence[np.ndarray]) -> list[np.ndarray]:
        outputs = side.outputs
        if len(outputs) == len(self._from):
            return outputs.copy()
        return [outputs[j] if j is not None else values[i]
                for i, j in zip(self._passed, self._from)]

    def outputs_of_interrupted(self, values: Sequence[np.ndarray]) -> list[np.ndarray] | None:
        """After a KeyboardInterrupt: what the run gave, or None if it did not take place."""
        if self._table.completed == self._begun:
            return self._outputs(self._sides[1 - self._turn], values)
        self._begun = self._table.completed
        return None

    def _free(self, side: Side, other: Side) -> bool:
        """Have arrays for the swapped outputs that nobody holds but the two sides."""
        outputs = side.outputs
        counts = list(map(getrefcount, [outputs[j] for j in self._swapped]))
        if counts == side.counts:
            return False
        moved = False
        for n, (j, count) in enumerate(zip(self._swapped, counts)):
            if count != side.counts[n]:
                if count > _ALONE + 1 + _times(outputs[j], other.leaves):
                    outputs[j], moved = self._new(side, j), True
                    count = 0
                side.counts[n] = count
        return moved

    def _fix(self, side: Side, other: Side, values: Sequence[np.ndarray], alone: bool) -> bool:
        """Let the fixed outputs have the arrays that they replace, if nobody else holds them."""
        outputs = side.outputs
        before = [other.outputs[j] if i is None else values[i] for j, i in self._fixed]
        counts = list(map(getrefcount, before))
        if alone and counts == side.fixed_counts and all(
            map(is_, before, [outputs[j] for j, _ in self._fixed])
        ):
            return False
        for n, (j, i) in enumerate(self._fixed):
            array = before[n]
            if alone and self._is_ours(array, counts[n], i is not None, side, other, values):
                if outputs[j] is array:
                    side.fixed_counts[n] = counts[n]
                    continue
                outputs[j] = array
                side.words[self._slots[j]] = address(array)
            else:
                outputs[j] = self._new(side, j)
            side.fixed_counts[n] = other.fixed_counts[n] = 0
        return True

    def _is_ours(
        self, array: np.ndarray, count: int, is_leaf: bool, side: Side, other: Side,
        values: Sequence[np.ndarray],
    ) -> bool:
        """Whether an array is held by nobody but us, the caller's list, and the node that has it
        as its value - and is read in this run only as the leaf that is replaced."""
        read = _times(array, values)
        lists = (side.leaves, other.leaves, side.outputs, other.outputs)
        ours = _ALONE + 1 + 2 * read + sum([_times(array, held) for held in lists])
        return count <= ours and read == is_leaf and array.flags.c_contiguous

    def _enter(self, side: Side, other: Side, values: Sequence[np.ndarray]) -> None:
        """Put the addresses of these arrays into the table."""
        gone = set(map(id, other.outputs))
        for i, value in enumerate(values):
            if value is not side.leaves[i]:
                # One holder less: what was counted for the other side's outputs is not so any more.
                if id(side.leaves[i]) in gone:
                    other.counts = [0] * len(other.counts)
                side.leaves[i] = value
                array = value if value.flags.c_contiguous else np.ascontiguousarray(value)
                side.copies[i] = None if array is value else array
                side.words[self._leaf_slots[i]] = address(array)


def _fixed(program: Program, own: list[int], replaced: Mapping[int, int | None]):
    """(number among the own outputs, leaf or None) of what may be written in the place of another
    array: after everything that can fail, so that a failing run has changed nothing."""
    fallible = [s.last for s in program.steps
                if any(re.search(r"ret i64 [^0]", code.text) for code in s.codes)]
    for j, k in enumerate(own):
        writer = next((s for s in program.steps if program.outputs[k] in s.writes), None)
        if k in replaced and writer is not None and writer.level > max(fallible, default=-1):
            i = replaced[k]
            if i is None or i == program.overwrites[k]:
                yield j, i


def _times(array: np.ndarray, held: Sequence) -> int:
    return sum([x is array for x in held])


# What getrefcount counts for an array that only a list refers to.
(_ALONE,) = map(getrefcount, [np.empty(0)])
