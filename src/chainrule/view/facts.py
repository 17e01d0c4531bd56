"""The numbers for a drawing, computed aside: no node of the user's graph is changed.

Values are not kept in the nodes, gradients are not accumulated, hooks are not called; what the
program prints afterwards is what it would have printed without the drawing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from ..autodiff import is_leaf, seed, vjp
from ..errors import GradError
from ..graph import Node, toposort
from ..history import why
from ..interpreter import evaluate
from ..ops.elementwise import add
from ..scope import set_grad_mode

Values = dict[Node, np.ndarray]


@dataclass
class Facts:
    """What is known: values, gradients, and what each (user, input) adds to a gradient."""

    values: Values = field(default_factory=dict)
    gradients: Values = field(default_factory=dict)
    shares: dict[tuple[Node, int], np.ndarray] = field(default_factory=dict)


def evaluate_aside(nodes: Iterable[Node]) -> Values:
    """The values of `nodes`, in a table of their own."""
    wanted = list(nodes)
    values: Values = {}
    with np.errstate(all="ignore"):
        for node in toposort(wanted, enter=lambda n: n.value is None):
            inputs = [values[x] if x.value is None else x.value for x in node.inputs]
            values[node] = evaluate(node, inputs)
    return {n: values[n] if n.value is None else n.value for n in wanted}


def facts_of(output: Node, order: list[Node], backward: bool | None) -> Facts:
    """Values of all nodes of `order`; gradients of `output` if it has any (or `backward` asks)."""
    recorded: dict[Node, Node] = {}
    shares: dict[tuple[Node, int], Node] = {}
    if backward and not output.requires_grad:
        raise GradError(
            "backward=True requires a tensor that requires grad, got one that does not",
            hint=why(output, has_gradient=False),
        )
    if backward or (backward is None and differentiable(output, order)):
        recorded, shares = _record_gradients(output, order)
    known = evaluate_aside([*order, *recorded.values(), *shares.values()])
    return Facts(
        {node: known[node] for node in order},
        {node: known[ct] for node, ct in recorded.items()},
        {use: known[ct] for use, ct in shares.items()},
    )


def stages(output: Node, order: list[Node], facts: Facts) -> Iterator[Facts]:
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


def differentiable(output: Node, order: list[Node]) -> bool:
    return output.requires_grad and not any(node.freed for node in order)


def _record_gradients(output: Node, order: list[Node]) -> tuple[dict, dict]:
    """The cotangent of every node, and of every (user, input) by itself.  Hooks stay silent."""
    saved = set_grad_mode(False)
    try:
        cts, shares = {output: seed(output)}, {}
        for node in reversed(order):
            if node not in cts or is_leaf(node):
                continue
            for i, (x, ct) in enumerate(zip(node.inputs, vjp(node, cts[node]))):
                if ct is not None and x.requires_grad:
                    shares[node, i] = ct
                    cts[x] = add(cts[x], ct) if x in cts else ct
        return cts, shares
    finally:
        set_grad_mode(saved.grad_enabled)
