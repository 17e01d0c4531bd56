"""The recorded graph as a program: from the values of its leaves to those of its outputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from ..graph import Node, toposort
from ..interpreter import evaluate

Program: TypeAlias = Callable[[Sequence[np.ndarray]], Sequence[np.ndarray]]


def runner(outputs: Sequence[Node], leaves: Sequence[Node]) -> Program:
    """A function from the values of `leaves` to those of `outputs`: the graph, to be run again.

    Other leaves keep the value that they have.  Nothing is recorded, no node gets a value.
    """
    order = toposort(outputs)
    place = {node: i for i, node in enumerate(order)}
    entries = [place[x] for x in leaves if x in place]
    given = [i for i, x in enumerate(leaves) if x in place]
    known = {place[x]: x.value for x in order if x.op is None and x.value is not None}
    last = {place[x]: i for i, node in enumerate(order) for x in node.inputs}
    results = [place[x] for x in outputs]
    steps = []
    for i, node in enumerate(order):
        if node.op is not None:
            inputs = [place[x] for x in node.inputs]
            gone = {x for x in inputs if last[x] == i} - set(results)
            steps.append((i, node, inputs, gone))

    def program(values: Sequence[np.ndarray]) -> list[np.ndarray]:
        found = dict(known)
        found.update((place, values[i]) for place, i in zip(entries, given))
        with np.errstate(all="ignore"):
            for i, node, inputs, gone in steps:
                found[i] = evaluate(node, [found[x] for x in inputs])
                for x in gone:
                    del found[x]
        return [found[i] for i in results]

    return program
