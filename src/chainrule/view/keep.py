"""A copy of a graph's structure, which stays whole when the program goes on.

Backward frees a graph, and a run drops the inputs of what it has computed.  A copy holds the same
ops, attrs, lines and scopes, and the arrays of the leaves, which never change; it holds no node of
the user's.  So it keeps nothing alive that reference counts decide about (interpreter.py), and the
program computes the same kernels, to the same bits, as if nobody looked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..autodiff import is_leaf
from ..graph import COMPUTED, Node
from ..observers import Observer
from .labels import Names, users_names


def copied(outputs: Iterable[Node], *, values: bool = True) -> dict[Node, Node]:
    """For every node that `outputs` were made from, its copy.  Nothing of a copy is freed.

    Without `values` only what cannot be computed again has its value.

    >>> import chainrule as torch
    >>> x = torch.tensor(2.0, requires_grad=True)
    >>> y = x * x
    >>> copy = copied([y.node])[y.node]
    >>> y.backward(); y.item(); copy.inputs[0].value.item()
    4.0
    2.0
    """
    graph = _Graph()
    made: dict[Node, Node] = {}
    stack = list(outputs)[::-1]
    while stack:
        node = stack[-1]
        below = () if node in made else graph.below(node)
        waiting = [x for x in below if x not in made]
        if waiting:
            stack += reversed(waiting)
            continue
        stack.pop()
        if node not in made:
            made[node] = new = graph.copy(node, [made[x] for x in below])
            if values or new.op is None or not new.inputs:
                new.value = node.value if node.value is not None else new.value
    return made


class _Graph:
    """What nodes were made from, though it may only be promised (template.py): then it is recorded
    aside, for a promise that is kept is another graph to the program."""

    def __init__(self) -> None:
        self._asides: dict[int, tuple[Any, list[Node]]] = {}  # by id of the call, which is held

    def below(self, node: Node) -> Sequence[Node]:
        """The inputs; of what is promised, the node that stands for it."""
        if node.call is None:
            return node.inputs
        return () if node.value is not None else (self._stand_in(node),)

    def _stand_in(self, promise: Any) -> Node:
        call = promise.call
        if id(call) not in self._asides:
            self._asides[id(call)] = call, call.aside()
        return self._asides[id(call)][1][promise.place]

    def copy(self, node: Any, below: Sequence[Node]) -> Node:
        if node.call is None:
            return _copy(node, node.op, tuple(below), node.attrs, node.scope)
        if node.value is not None:
            step = node.call.template.steps[node.place - node.call.template.first]
            return _copy(node, step.op, (), step.attrs, node.call.scope)
        (same,) = below
        same.requires_grad, same.lost, same.owner = node.requires_grad, node.lost, node.owner
        return same


def _copy(node: Node, op: Any, inputs: tuple[Node, ...], attrs: dict, scope: Any) -> Node:
    # What was let go is a value, however it came about: no gradient passes.
    tracked = node.requires_grad and (bool(inputs) or is_leaf(node))
    # COMPUTED: nobody is to run a copy because it waits for many others.
    new = Node(op, inputs, attrs, node.spec, tracked, node.site, scope, COMPUTED)
    new.lost, new.owner = node.lost, node.owner
    if node.requires_grad and not tracked:
        new.lost = ("backward has freed it", node.site)
    return new


class Keeper(Observer):
    """Keeps a copy of the graph of the last backward pass, and what the user called its nodes."""

    def __init__(self) -> None:
        self.last: Node | None = None
        self.names = Names()

    def backward(self, tensors: Sequence[Any]) -> None:
        node = tensors[0].node
        copies = copied([node])
        self.last, self.names = copies[node], users_names().on(copies)
