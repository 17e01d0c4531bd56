"""A copy of a graph's structure, which stays whole when the program goes on.

Backward frees a graph, and a run drops the inputs of what it has computed.  A copy holds the same
ops, attrs, lines and scopes, and the arrays of the leaves, which never change; it holds no node of
the user's.  So it keeps nothing alive that reference counts decide about (interpreter.py), and the
program computes the same kernels, to the same bits, as if nobody looked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..graph import COMPUTED, Node, toposort
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
    made: dict[Node, Node] = {}
    for node in toposort(outputs):
        inputs = tuple([made[x] for x in node.inputs])
        made[node] = new = _copy(node, inputs)
        if values or node.op is None or not inputs:
            new.value = node.value
    return made


def _copy(node: Node, inputs: tuple[Node, ...]) -> Node:
    # COMPUTED: nobody is to run a copy because it waits for many others.
    new = Node(node.op, inputs, node.attrs, node.spec, node.requires_grad, node.site, node.scope,
               COMPUTED)
    new.lost, new.owner = node.lost, node.owner
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
