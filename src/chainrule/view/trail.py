"""The way back from values to what they were computed from, when the graph has let go of it.

A run drops the inputs of the nodes that it gives values to, and backward those of the nodes that
it frees.  A trail holds these tuples of inputs: not the nodes themselves.  So no node has one
reference more than it would have, and what a run keeps and what it drops - which reference counts
decide (interpreter.py) - is the same as if nobody looked.  What is only promised (template.py) is
not recorded for this: its call is held.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..graph import Node


class Trail:
    """What was below some nodes when they were added.  Whoever adds them holds them."""

    def __init__(self, older: Trail | None = None) -> None:
        # By id: each node here is referred to by the inputs of one of its users, or was added.
        self._inputs: dict[int, tuple[Node, ...]] = {}
        self._promised: dict[int, tuple[Any, int]] = {}  # a call's twin, and the place in it
        self._leaves: dict[int, Any] = {}
        self._older = older

    def add(self, roots: Iterable[Node]) -> None:
        """Hold what is below these nodes now."""
        known, promised = self._inputs, self._promised
        stack = list(roots)
        while stack:
            node = stack.pop()
            key = id(node)
            if key in known or key in promised:
                continue
            if node.owner is not None:
                self._leaves[id(node.owner)] = node.owner
            found = self._older.promised(node) if self._older else None
            if found is not None:
                promised[key] = found
                stack += found[0].inputs
            elif node.call is None:
                known[key] = self._older.inputs(node) if self._older else node.inputs
                stack += known[key]
            elif node.value is None:
                self._add_call(node)
                stack += node.call.inputs

    def _add_call(self, node: Node) -> None:
        call = node.call
        twin = call.twin()
        self._promised[id(node)] = twin, node.place  # type: ignore[attr-defined]
        for known in call.promises:
            # What an earlier call has promised may be a part of this one now (repeat.py).
            promise = known()
            if promise is not None and promise.call is call and id(promise) in self._promised:
                self._promised[id(promise)] = twin, promise.place

    def only(self, roots: Iterable[Node]) -> Trail:
        """The part of it that is below these nodes."""
        found = Trail(self)
        found.add(roots)
        found._older = None
        return found

    def leaves(self) -> list[Any]:
        """Weak references to the tensors whose gradients are gathered here."""
        return list(self._leaves.values())

    def inputs(self, node: Node) -> tuple[Node, ...]:
        """What the node was computed from, when it was added or now."""
        return self._inputs.get(id(node)) or node.inputs

    def promised(self, node: Node) -> tuple[Any, int] | None:
        """The call that the node was promised by, and its place in it."""
        return self._promised.get(id(node))

    def graph(self, roots: Iterable[Node]) -> Graph:
        """Everything that these nodes were made from, as far as it is known."""
        return Graph(self, list(roots))


class Graph:
    """A whole graph: the nodes in order, inputs before users, and the inputs of each.

    What was promised is recorded aside: it consists of nodes of its own, and `of` maps the user's
    nodes to these.  `known` are the values that nodes have.
    """

    def __init__(self, trail: Trail, roots: list[Node]):
        self._trail = trail
        self._asides: dict[int, list[Node]] = {}  # by id of the twin, which the trail holds
        self._original: dict[Node, Node] = {}
        self._stands_for: dict[Node, Node] = {}
        self.inputs: dict[Node, tuple[Node, ...]] = {}
        self.order: list[Node] = []
        self.ends: list[int] = []  # of what each root needs, and those before it
        self.roots = [self._walk(root) for root in roots]

    def of(self, node: Node) -> Node:
        """The node that stands for this one here."""
        return self._stands_for.get(node, node)

    def original(self, node: Node) -> Node:
        """The user's node that this one stands for; the node itself if it is no part of a call."""
        return self._original.get(node, node)

    def users(self) -> dict[Node, list[Node]]:
        """For every node, those that it is an input of."""
        found: dict[Node, list[Node]] = {n: [] for n in self.order}
        for node, inputs in self.inputs.items():
            for x in inputs:
                found[x].append(node)
        return found

    def known(self, node: Node) -> np.ndarray | None:
        """The value that the program has computed."""
        return self.original(node).value

    def _walk(self, root: Node) -> Node:
        stack = [root]
        while stack:
            node = stack[-1]
            waiting = () if node in self._stands_for else self._below(node)
            waiting = [x for x in waiting if x not in self._stands_for]
            if waiting:
                stack += reversed(waiting)
                continue
            stack.pop()
            if node not in self._stands_for:
                self._settle(node)
        self.ends.append(len(self.order))
        return self._stands_for[root]

    def _below(self, node: Node) -> Sequence[Node]:
        """The inputs of a node; of what a call has promised, the node that stands for it."""
        found = self._trail.promised(node)
        if found is None:
            return self._trail.inputs(node)
        twin, place = found
        inside = self._asides.get(id(twin))
        if inside is None:
            inside = self._asides[id(twin)] = twin.aside()
        return (inside[place],)

    def _settle(self, node: Node) -> None:
        below = tuple([self._stands_for[x] for x in self._below(node)])
        if self._trail.promised(node) is None:
            self._stands_for[node] = node
            self.inputs[node] = below
            self.order.append(node)
        else:
            (self._stands_for[node],) = below
            self._original[below[0]] = node
