"""The numbers for a drawing, computed aside: no node of the user's graph is changed.

Values are not kept in the nodes, gradients are not accumulated, hooks are not called; what the
program prints afterwards is what it would have printed without the drawing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from ..autodiff import is_leaf
from ..backprop import BackProp
from ..errors import GradError
from ..graph import Node, is_pending, toposort
from ..interpreter import evaluate
from ..rewrite import share
from ..tensor import Tensor

Values = dict[Node, np.ndarray]


@dataclass
class Facts:
    """What is known: values, gradients, and what each (user, input) adds to a gradient."""

    values: Values = field(default_factory=dict)
    gradients: Values = field(default_factory=dict)
    shares: dict[tuple[Node, int], np.ndarray] = field(default_factory=dict)


def facts_of(tensor: Tensor, order: list[Node], backward: bool | None) -> Facts:
    """Values of all nodes of `order`; gradients of `tensor` if it has any (or `backward` asks)."""
    if backward and not tensor.requires_grad:
        raise GradError(
            "backward=True requires a tensor that requires grad, got one that does not",
            hint=tensor.why(),
        )
    gradients: dict[Node, Node] = {}
    shares: dict[tuple[Node, int], Node] = {}
    if backward or (backward is None and tensor.requires_grad and not any(n.freed for n in order)):
        found = BackProp(tensor)
        arriving = {node: found.gradient(node) for node in order}
        gradients = {node: ct.node for node, ct in arriving.items() if ct is not None}
        shares = {(edge.node, edge.index): edge.downstream.node for edge in found.edges()}
    known = iter(_evaluate_aside([*order, *gradients.values(), *shares.values()]))
    # Each zip ends with its keys, and leaves the next values to the next.
    return Facts(dict(zip(order, known)), dict(zip(gradients, known)), dict(zip(shares, known)))


def _evaluate_aside(nodes: list[Node]) -> list[np.ndarray]:
    """The values of `nodes`, in a table of their own."""
    # A gradient that is a single share of its node is recorded twice, and computed once.
    wanted = share(nodes)
    values: Values = {}
    with np.errstate(all="ignore"):
        for node in toposort(wanted, enter=is_pending):
            inputs = [values[x] if x.value is None else x.value for x in node.inputs]
            values[node] = evaluate(node, inputs)
    return [values[n] if n.value is None else n.value for n in wanted]


def stages(order: list[Node], facts: Facts) -> Iterator[Facts]:
    """What is known after each op of the forward pass, then after each op of the backward pass."""
    ops = [node for node in order if not is_leaf(node)]
    values = {node: facts.values[node] for node in order if is_leaf(node)}
    for node in ops:
        values[node] = facts.values[node]
        yield Facts(dict(values))
    shares: dict = {}
    passed: set[Node] = set()
    for node in reversed(ops):
        passed.add(node)
        shares.update((use, ct) for use, ct in facts.shares.items() if use[0] is node)
        # A gradient is whole when all uses of the value have given their share.
        waiting = {n.inputs[i] for n, i in facts.shares if n not in passed}
        whole = {n: ct for n, ct in facts.gradients.items() if n not in waiting}
        yield Facts(values, whole, dict(shares))
