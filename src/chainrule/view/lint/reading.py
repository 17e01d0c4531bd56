"""A graph as the rules read it: its nodes in order, their users, their values computed aside."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np

from ...graph import Node, toposort, users
from ...interpreter import evaluate
from ...scope import Scope
from ...shapes import size
from ..labels import Names
from ..picture import forward_order, inputs_of

MOST_BYTES = 1 << 29  # of the values of a graph that is computed to be looked at

# Ops of one input that only arrange its elements anew, or leave some out.
_MOVES = {"reshape", "permute", "slice", "expand", "flip", "cast", "clone", "detach", "gather",
          "take"}


class Reading:
    """The graph of one loss; made of copied nodes (keep.py), or of the user's own."""

    def __init__(self, output: Node, names: Names):
        self.output, self.names = output, names
        self.order = forward_order(output)  # not what an update has made the leaves from

    @cached_property
    def users(self) -> dict[Node, list[Node]]:
        return users(self.order)

    @cached_property
    def values(self) -> dict[Node, np.ndarray]:
        """The value of every node; none at all where that would take too much memory."""
        order = toposort([self.output])
        if sum(n.nbytes for n in order) > MOST_BYTES:
            return {n: n.value for n in order if n.value is not None}
        found: dict[Node, np.ndarray] = {}
        with np.errstate(all="ignore"):
            for node in order:
                value = node.value
                found[node] = evaluate(node, [found[x] for x in node.inputs]) \
                    if value is None else value
        return found

    @cached_property
    def tracked(self) -> set[Node]:
        """The nodes that a gradient may reach from the output."""
        found = {self.output} if self.output.requires_grad else set()
        for node in reversed(self.order):
            if node in found:
                found.update(x for x in inputs_of(node) if x.requires_grad)
        return found

    def leaves(self) -> list[Node]:
        """The leaves that gather a gradient, in the order of their use."""
        return [n for n in self.order if n.owner is not None and n in self.tracked]

    @cached_property
    def heights(self) -> dict[Node, int]:
        """How many contractions with a parameter there are on the way to the output, at most."""
        height = dict.fromkeys(self.order, 0)
        for node in reversed(self.order):
            step = height[node] + is_layer(node)
            for x in inputs_of(node):
                height[x] = max(height[x], step)
        return height

    def called(self, node: Node) -> str:
        """`sigmoid at train.py:12, in Net.act` or `x at train.py:3`."""
        name = self.names.nodes.get(node)
        module = node.scope.module if node.scope else ""
        what = name or innermost(node) or node.name
        return f"{what} at {node.where}" + (f", in {module}" if module else "")


def is_layer(node: Node) -> bool:
    """Whether this is a product with something that is trained."""
    return node.name == "contract" and any(_is_weight(x) for x in node.inputs)


def _is_weight(node: Node) -> bool:
    node = origin(node)
    return node.owner is not None and node.requires_grad


def functions(node: Node) -> Iterator[Scope]:
    """The composite functions that a node was recorded in, the innermost first."""
    scope = node.scope
    while scope is not None:
        if scope.kind == "function":
            yield scope
        scope = scope.parent


def within(node: Node, *labels: str) -> Scope | None:
    """The outermost composite function of one of these names around a node."""
    found = None
    for scope in functions(node):
        if scope.label in labels:
            found = scope
    return found


def innermost(node: Node) -> str:
    """The name of the innermost composite function around a node, or nothing."""
    return next((scope.label for scope in functions(node)), "")


def entering(nodes: list[Node]) -> dict[Node, Node]:
    """For what enters a part of the graph from outside, the first node there that reads it."""
    inside = set(nodes)
    found: dict[Node, Node] = {}
    for node in nodes:
        for x in node.inputs:
            if x not in inside:
                found.setdefault(x, node)
    return found


def groups(reading: Reading, *labels: str) -> Iterator[tuple[Scope, list[Node]]]:
    """The calls of composite functions of these names, and the nodes of each."""
    found: dict[Scope, list[Node]] = {}
    for node in reading.order:
        scope = within(node, *labels)
        if scope is not None and node.op is not None:
            found.setdefault(scope, []).append(node)
    yield from found.items()


def origin(node: Node) -> Node:
    """Where the elements of a node come from, through ops that only move them."""
    while node.op is not None and node.owner is None and node.name in _MOVES and node.inputs:
        node = node.inputs[0]
    return node


def number(node: Node) -> float | None:
    """The number that a constant is."""
    if node.op is None and node.value is not None and size(node.shape) == 1:
        return float(node.value.reshape(-1)[0])
    return None
