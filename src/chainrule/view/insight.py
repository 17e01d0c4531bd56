"""What is concluded from a graph that is shown: findings of the linter, and the origin of a NaN.

The graph is a copy (keep.py): it may be computed, and kept, as one likes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..graph import Node
from ..tensor import Tensor
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


def mark_origin(output: Node, order: Sequence[Node], nodes: list[dict[str, Any]]) -> None:
    """Where the loss or a gradient is not finite, tell it at the node that this came from."""
    shown = [nodes[order.index(output)], *nodes]
    looked = [shown[0].get("value"), *[n.get("gradient") for n in nodes]]
    if not any(facts and (facts.get("nan") or facts.get("inf")) for facts in looked):
        return
    origin = origin_of(Tensor._from_node(output))
    number = {node: i for i, node in enumerate(order)}
    if origin is not None and origin.node in number:
        nodes[number[origin.node]]["origin"] = str(origin)
