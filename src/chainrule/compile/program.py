"""The recorded graph as a program: from the values of its leaves to those of its outputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from .. import config
from ..graph import Node, toposort
from ..interpreter import evaluate
from ..warning import warn

Program: TypeAlias = Callable[[Sequence[np.ndarray]], Sequence[np.ndarray]]


def runner(outputs: Sequence[Node], leaves: Sequence[Node]) -> Program:
    """A function from the values of `leaves` to those of `outputs`: the graph, to be run again.

    Other leaves keep the value that they have.  Nothing is recorded, no node gets a value.
    """
    interpreted = _interpreted(outputs, leaves)
    if config.jit == "0":
        return interpreted
    try:
        return _native(outputs, leaves, interpreted)
    except Exception as error:
        if config.jit == "1":
            raise
        warn(f"compile: a graph is interpreted, since it could not be compiled: "
             f"{type(error).__name__}: {error}")
        return interpreted


def _native(outputs: Sequence[Node], leaves: Sequence[Node], interpreted: Program) -> Program:
    from ..jit.program import Fault
    from ..jit.program import Program as Native
    from ..jit.resident import Resident

    constants = [n for n in toposort(outputs) if n.op is None and n.value is not None]
    known = [n.value for n in constants]
    native = Native(outputs, [*leaves, *constants])
    run = Resident(native) if Resident.fits(native) else native.run

    def program(values: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
        try:
            return run([*values, *known])
        except Fault:  # the interpreter finds the same error, and tells it with the user's line
            return interpreted(values)

    return program


def _interpreted(outputs: Sequence[Node], leaves: Sequence[Node]) -> Program:
    order = toposort(outputs)
    place = {node: i for i, node in enumerate(order)}
    given = [(place[x], i) for i, x in enumerate(leaves) if x in place]
    known = {place[x]: x.value for x in order if x.op is None and x.value is not None}
    last = {place[x]: i for i, node in enumerate(order) for x in node.inputs}
    results = [place[x] for x in outputs]
    steps = []
    for i, node in enumerate(order):
        if node.op is not None:
            inputs = [place[x] for x in node.inputs]
            gone = {x for x in inputs if last[x] == i} - set(results)
            steps.append((i, node, inputs, gone))

    def program(values: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
        found = dict(known)
        found.update((at, values[i]) for at, i in given)
        with np.errstate(all="ignore"):
            for i, node, inputs, gone in steps:
                found[i] = evaluate(node, [found[x] for x in inputs])
                for x in gone:
                    del found[x]
        return [found[i] for i in results]

    return program
