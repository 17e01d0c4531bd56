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
from collections.abc import Iterator, Mapping, Sequence
from operator import is_
from sys import getrefcount
from typing import Any

import numpy as np

from .. import config
from .program import ALONE, Fault, Program, address
from .threads import Table


class Side:
    """One table of addresses, and the arrays in it."""

    def __init__(self, program: Program, leaves: int):
        self.table: Any = program._addresses.copy()
        self.words = self.table.data
        self.start = self.table.ctypes.data
        self.leaves: list[np.ndarray | None] = [None] * leaves
        self.copies: list[np.ndarray | None] = [None] * leaves  # of those that are not contiguous
        self.outputs: list[np.ndarray] = []
        # Some of the outputs once more, and how many references each had when it was ours alone.
        self.swapped: list[np.ndarray] = []
        self.fixed: list[np.ndarray] = []
        self.swapped_counts: list[int] = []
        self.fixed_counts: list[int] = []


class Resident:
    """Runs a program whose steps are all native (`fits`), and keeps its arrays.

    Its leaves are arrays, then those of `constants`, then `numbers` numbers.  `replaced[k]` is the
    leaf whose place output k takes, or None if it takes that of output k of the last run.
    """

    @staticmethod
    def fits(program: Program) -> bool:
        return len(program.segments) == 1 and isinstance(program.segments[0], Table)

    def __init__(
        self, program: Program, constants: Sequence[np.ndarray], numbers: int,
        replaced: Mapping[int, int | None],
    ):
        self._program = program
        self._table: Any = program.segments[0]
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
        self._fixed_leaves = {i for _, i in self._fixed if i is not None}
        fixed = {j for j, _ in self._fixed}
        self._swapped = [j for j in range(len(self._own)) if j not in fixed]
        always = len(program.leaves) - numbers
        arrays = always - len(constants)
        self._constants = [np.ascontiguousarray(x).reshape(x.shape) for x in constants]
        self._sides = Side(program, arrays), Side(program, arrays)
        self._cells = [np.zeros((), n.dtype.np) for n in program.leaves[always:]]
        self._numbers: Sequence[float | None] = [None] * len(self._cells)
        for side in self._sides:
            self._renew(side)
            for slot, array in zip(self._leaf_slots[arrays:], [*self._constants, *self._cells]):
                side.words[slot] = address(array)
        self._turn = 0

    def _new(self, side: Side, j: int) -> np.ndarray:
        array = np.empty(self._specs[j].shape, self._specs[j].dtype.np)
        side.words[self._slots[j]] = address(array)
        return array

    # ------------------------------------------------------------------ running
    def __call__(
        self, values: Sequence[np.ndarray], numbers: Sequence[float], alone: bool
    ) -> list[np.ndarray]:
        """The values of the outputs from those of the leaves; raises Fault.

        `alone`: the caller will give what takes the place of the replaced arrays to whoever has
        them now.
        """
        turn = self._turn
        side, other = self._sides[turn], self._sides[1 - turn]
        self._turn = 1 - turn
        moved, changed = False, []
        if not all(map(is_, values, side.leaves)):
            changed = [i for i, x in enumerate(values) if x is not side.leaves[i]]
        if list(map(getrefcount, side.swapped)) != side.swapped_counts:
            moved = self._free(side, other)
        if not (
            alone and list(map(getrefcount, side.fixed)) == side.fixed_counts
            and self._fixed_leaves.isdisjoint(changed)
        ):
            self._fix(side, other, values, alone)
            moved = True
        if changed:
            self._enter(side, other, values, changed)
            moved = True
        if numbers != self._numbers or 0.0 in numbers:  # 0.0 and -0.0 are equal, and not the same
            for cell, number in zip(self._cells, numbers):
                cell[()] = number
            self._numbers = numbers
        if moved:
            for slot, base, start in self._program._moving:
                side.words[slot] = side.words[base] + start
        workers = 1 if self._program.work < ALONE else config.get_num_threads()
        fault = self._table.run(side.start, workers)
        if fault is not None:
            raise Fault(fault)
        return self._outputs(side, values)

    def _outputs(self, side: Side, values: Sequence[np.ndarray]) -> list[np.ndarray]:
        outputs = side.outputs
        if len(outputs) == len(self._from):
            return outputs.copy()
        leaves = [*values, *self._constants, *[cell.copy() for cell in self._cells]]
        return [outputs[j] if j is not None else leaves[i]
                for i, j in zip(self._passed, self._from)]

    @property
    def completed(self) -> int:
        """How many runs have ended."""
        return self._table.completed

    def outputs_of_interrupted(
        self, values: Sequence[np.ndarray], before: int
    ) -> list[np.ndarray] | None:
        """After a KeyboardInterrupt: what the run gave, or None if it did not take place; `before`
        it so many were completed."""
        if self._table.completed > before:
            return self._outputs(self._sides[1 - self._turn], values)
        for side in self._sides:  # it may have been while addresses were entered
            self._renew(side)
        return None

    def release(self) -> None:
        """Hold no leaf of the last runs."""
        for side in self._sides:
            side.leaves, side.copies = [None] * len(side.leaves), [None] * len(side.copies)

    def _renew(self, side: Side) -> None:
        """New arrays for all outputs; whatever was known of the leaves and numbers is forgotten."""
        side.leaves, side.copies = [None] * len(side.leaves), [None] * len(side.copies)
        side.outputs = [self._new(side, j) for j in range(len(self._own))]
        side.swapped = [side.outputs[j] for j in self._swapped]
        side.fixed = [side.outputs[j] for j, _ in self._fixed]
        side.swapped_counts = [0] * len(self._swapped)
        side.fixed_counts = [0] * len(self._fixed)
        self._numbers = [None] * len(self._cells)

    # ------------------------------------------------------------------ arrays
    def _free(self, side: Side, other: Side) -> bool:
        """Have arrays for the swapped outputs that nobody holds but the two sides."""
        moved = False
        counts = list(map(getrefcount, side.swapped))
        for n, (j, count) in enumerate(zip(self._swapped, counts)):
            if count != side.swapped_counts[n]:
                if not _is_free(side.outputs[j], count, other):
                    side.outputs[j] = side.swapped[n] = self._new(side, j)
                    moved, count = True, 0
                side.swapped_counts[n] = count
        return moved

    def _fix(
        self, side: Side, other: Side, values: Sequence[np.ndarray], alone: bool
    ) -> None:
        """Let the fixed outputs have the arrays that they replace, if nobody else holds them."""
        replaced = [other.outputs[j] if i is None else values[i] for j, i in self._fixed]
        own = list(map(getrefcount, side.fixed))
        counts = list(map(getrefcount, replaced))
        for n, (j, i) in enumerate(self._fixed):
            array = replaced[n]
            if alone and _is_ours(array, counts[n], i is not None, (side, other), values):
                if side.outputs[j] is array:
                    side.fixed_counts[n] = counts[n] - 1  # `replaced` held it as well
                    continue
                side.outputs[j] = side.fixed[n] = array
                side.words[self._slots[j]] = address(array)
            elif not _is_free(side.outputs[j], own[n], other):
                side.outputs[j] = side.fixed[n] = self._new(side, j)
            # The other side has counted what this one held.
            side.fixed_counts[n] = other.fixed_counts[n] = 0

    def _enter(
        self, side: Side, other: Side, values: Sequence[np.ndarray], changed: Sequence[int]
    ) -> None:
        """Put the addresses of the arrays at these places into the table."""
        for i in changed:
            if _times(side.leaves[i], other.outputs):  # the other side has counted this reference
                other.swapped_counts = [0] * len(self._swapped)
                other.fixed_counts = [0] * len(self._fixed)
            value = side.leaves[i] = values[i]
            array = value if value.flags.c_contiguous else np.ascontiguousarray(value)
            side.copies[i] = None if array is value else array
            side.words[self._leaf_slots[i]] = address(array)


def _fixed(
    program: Program, own: list[int], replaced: Mapping[int, int | None]
) -> Iterator[tuple[int, int | None]]:
    """(number among the own outputs, leaf or None) of what may be written in the place of another
    array: after everything that can fail, so that a failing run has changed nothing."""
    fallible = [s.last for s in program.steps
                if any(re.search(r"ret i64 -?[1-9]", code.text) for code in s.codes)]
    for j, k in enumerate(own):
        writer = next((s for s in program.steps if program.outputs[k] in s.writes), None)
        if k in replaced and writer is not None and writer.level > max(fallible, default=-1):
            i = replaced[k]
            if i is None or i in program.overwrites[k]:
                yield j, i


def _is_ours(
    array: np.ndarray, count: int, is_leaf: bool, sides: tuple[Side, Side],
    values: Sequence[np.ndarray],
) -> bool:
    """Whether an array is held by nobody but the two sides, the caller's list, and the node that
    has it as its value - and is read in this run only as the leaf that is replaced."""
    read = _times(array, values)
    lists = [held for s in sides for held in (s.leaves, s.outputs, s.swapped, s.fixed)]
    ours = _LISTED + 1 + read + sum([_times(array, held) for held in lists])
    return count <= ours and read == is_leaf and array.flags.c_contiguous


def _is_free(array: np.ndarray, count: int, other: Side) -> bool:
    """Whether an output of the run before last is held by nobody any more."""
    # Twice in its own side's lists, and perhaps a leaf of the other side.
    return count <= _LISTED + 1 + _times(array, other.leaves)


def _times(array: np.ndarray | None, held: Sequence) -> int:
    return sum([x is array for x in held])


# What getrefcount counts for an array that only a list refers to.
(_LISTED,) = map(getrefcount, [np.empty(0)])
