"""What is concluded from a graph that is shown: its equations, findings, the origin of a NaN.

The graph is a copy (keep.py): it may be computed, and kept, as one likes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..graph import Node
from ..tensor import Tensor
from .equations import derived, local_rules
from .labels import Names
from .lint.finding import Finding, Findings
from .lint.linter import examine
from .nan import origin_of


def findings_of(
    output: Node, names: Names, order: Sequence[Node], met: Iterable[Finding] = ()
) -> list[dict[str, Any]]:
    """What the linter finds in the graph, and has `met` while it was trained, as plain data."""
    found = Findings(met)
    for each in examine(output, names):
        found.add(each)
    return [each.data(order) for each in found]


def equations_of(output: Node, names: Names, order: Sequence[Node]) -> list[dict[str, Any]]:
    """The equations of the graph, each with the node that it, or whose gradient it, is about."""
    number = {node: i for i, node in enumerate(order)}
    tensors = {name: Tensor._from_node(node) for node, name in names.nodes.items()}
    found = derived(output, {**names.variables, **tensors})
    return [
        {"text": e.text, "latex": e.latex, "part": part, "node": number[e.node]}
        for part, equations in (("forward", found.forward), ("backward", found.backward))
        for e in equations if e.node in number]


def mark_rules(order: Sequence[Node], nodes: list[dict[str, Any]], names: Names) -> None:
    """Write the local formula of every operator beside it."""
    for node, facts in zip(order, nodes):
        rules = local_rules(node, names.nodes)
        if rules:
            facts["rules"] = {str(i): text for i, text in rules.items()}


def mark_origin(output: Node, order: Sequence[Node], nodes: list[dict[str, Any]]) -> None:
    """Where the loss or a gradient is not finite, tell it at the node that this came from."""
    number = {node: i for i, node in enumerate(order)}
    looked = [nodes[number[output]].get("value"), *[n.get("gradient") for n in nodes]]
    if not any(facts and (facts.get("nan") or facts.get("inf")) for facts in looked):
        return
    origin = origin_of(Tensor._from_node(output))
    if origin is not None and origin.node in number:
        nodes[number[origin.node]]["origin"] = str(origin)
