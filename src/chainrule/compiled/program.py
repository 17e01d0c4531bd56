"""The recorded graph as a program: from the values of its leaves to those of its outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np

from .. import config
from ..graph import Node, toposort
from ..interpreter import evaluate
from ..warning import warn

Values: TypeAlias = Sequence[np.ndarray]


class Program(Protocol):
    """A function from the values of leaves to those of outputs, to be called again and again.

    The leaves are `values` and then `numbers`.  `alone` says that nobody will ask for the values
    that the outputs replace any more, so that their arrays may be written to.
    """

    #: How many calls were complete when this one began; set to None before it, by the caller.
    begun: int | None

    def __call__(self, values: Values, numbers: tuple[float, ...], alone: bool) -> Values: ...

    def release(self) -> None:
        """Hold no values of the last call's leaves: the next call will have others."""

    def outputs_of_interrupted(self, values: Values) -> Values | None:
        """After a KeyboardInterrupt: what the call gave, if it has written to arrays; or None."""


def runner(
    outputs: Sequence[Node], leaves: Sequence[Node], numbers: Sequence[Node],
    replaced: Mapping[int, int | None],
) -> Program:
    """The graph as a program of `leaves` and `numbers`; other leaves keep the value they have.

    `replaced[k]`: output k becomes the value of what leaf replaced[k] is the value of, or (None) of
    what output k of the last call is the value of.
    """
    interpreted = Interpreted(outputs, leaves, numbers)
    if config.jit == "0":
        return interpreted
    try:
        return Native(outputs, leaves, numbers, replaced, interpreted)
    except Exception as error:
        if config.jit == "1":
            raise
        warn(f"compile: a graph is interpreted, since it could not be compiled: "
             f"{type(error).__name__}: {error}")
        return interpreted


class Native:
    """The jit's program, whose arrays stay where they are if all of it is native."""

    def __init__(self, outputs, leaves, numbers, replaced, interpreted: Interpreted):
        from ..jit.program import Fault
        from ..jit.program import Program as Compiled
        from ..jit.resident import Resident

        constants = [n for n in toposort(outputs) if n.op is None and n.value is not None]
        self._known = [n.value for n in constants]
        self._interpreted, self._fault = interpreted, Fault
        self.begun: int | None = None
        self._program = Compiled(outputs, [*leaves, *constants, *numbers])
        self._resident = Resident(self._program, self._known, len(numbers), replaced) \
            if Resident.fits(self._program) else None

    def __call__(self, values: Values, numbers: tuple[float, ...], alone: bool) -> Values:
        try:
            if self._resident is not None:
                self.begun = self._resident.completed
                return self._resident(values, numbers, alone)
            arrays = self._interpreted.arrays(numbers)
            return self._program.run([*values, *self._known, *arrays])
        except self._fault:  # the interpreter tells the same error, with the user's line
            return self._interpreted(values, numbers, False)

    def release(self) -> None:
        if self._resident is not None:
            self._resident.release()

    def outputs_of_interrupted(self, values: Values) -> Values | None:
        if self._resident is None or self.begun is None:
            return None
        return self._resident.outputs_of_interrupted(values, self.begun)


class Interpreted:
    """The interpreter, node by node."""

    begun: int | None = None

    def __init__(self, outputs: Sequence[Node], leaves: Sequence[Node], numbers: Sequence[Node]):
        order = toposort(outputs)
        place = {node: i for i, node in enumerate(order)}
        last = {place[x]: i for i, node in enumerate(order) for x in node.inputs}
        self._dtypes = [x.dtype.np for x in numbers]
        self._given = [(place[x], i) for i, x in enumerate([*leaves, *numbers]) if x in place]
        self._known = {place[x]: x.value for x in order if x.op is None and x.value is not None}
        self._results = [place[x] for x in outputs]
        self._steps = []
        for i, node in enumerate(order):
            if node.op is not None:
                inputs = [place[x] for x in node.inputs]
                gone = {x for x in inputs if last[x] == i}.difference(self._results)
                self._steps.append((i, node, inputs, gone))

    def arrays(self, numbers: tuple[float, ...]) -> list[np.ndarray]:
        return [np.array(x, dtype) for x, dtype in zip(numbers, self._dtypes)]

    def __call__(self, values: Values, numbers: tuple[float, ...], alone: bool) -> Values:
        leaves = [*values, *self.arrays(numbers)]
        found: dict[int, Any] = dict(self._known)
        found.update((place, leaves[i]) for place, i in self._given)
        with np.errstate(all="ignore"):
            for i, node, inputs, gone in self._steps:
                found[i] = evaluate(node, [found[x] for x in inputs])
                for x in gone:
                    del found[x]
        return [found[i] for i in self._results]

    def release(self) -> None:
        pass

    def outputs_of_interrupted(self, values: Values) -> Values | None:
        return None
