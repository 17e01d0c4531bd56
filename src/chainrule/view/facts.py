"""The numbers for a drawing, computed aside: no node of the user's graph is changed.

Values are not kept in the nodes, gradients are not accumulated, hooks are not called; what the
program prints afterwards is what it would have printed without the drawing.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from ..autodiff import is_leaf
from ..backprop import BackProp
from ..errors import GradError
from ..graph import Node, is_pending, toposort
from ..interpreter import count_users, evaluate
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
    known = iter(evaluate_aside([*order, *gradients.values(), *shares.values()]))
    # Each zip ends with its keys, and leaves the next values to the next.
    return Facts(dict(zip(order, known)), dict(zip(gradients, known)), dict(zip(shares, known)))


def evaluate_aside(nodes: list[Node]) -> list[np.ndarray]:
    """The values of `nodes`, in a table of their own."""
    found: dict[int, np.ndarray] = {}
    visit_aside(nodes, lambda places, value, seconds: found.update(dict.fromkeys(places, value)))
    return [found[i] for i in range(len(nodes))]


def visit_aside(
    nodes: list[Node], visit: Callable[[list[int], np.ndarray, float], object]
) -> None:
    """Compute `nodes`, and show each value once: visit(its places in `nodes`, value, seconds).

    A value is dropped after its last user, so that a large graph needs no more memory than its
    training step.  Equal nodes are computed once, and are one visit.  What has a value already is
    only shown, and took no time.
    """
    # A gradient that is a single share of its node is recorded twice, and computed once.
    places: dict[Node, list[int]] = defaultdict(list)
    for i, node in enumerate(share(nodes)):
        places[node].append(i)
    for node in [n for n in places if n.value is not None]:
        visit(places[node], node.value, 0.0)
    order = toposort(places, enter=is_pending)
    waiting = count_users(order)
    values: Values = {}
    with np.errstate(all="ignore"):
        for node in order:
            inputs = [values[x] if x.value is None else x.value for x in node.inputs]
            start = time.perf_counter()
            values[node] = value = evaluate(node, inputs)
            seconds = time.perf_counter() - start
            if node in places:
                visit(places[node], value, seconds)
            for x in (*node.inputs, node):
                if x in values:
                    waiting[x] -= x is not node
                    if not waiting[x]:
                        del values[x]


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
