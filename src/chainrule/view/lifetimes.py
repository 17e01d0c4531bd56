"""From when to when each array of a step is needed: the memory of forward and backward.

The step is counted in gates: the forward ones in their order, then the backward ones in the
reverse order.  A value lives from its gate to its last use: the last forward gate that reads it or
the last backward gate that refers to it (what is kept for backward).  A gradient lives from the
first backward gate that adds to it to the gate that it belongs to; of a leaf, to the end.  This is
what the mathematics needs, one gate at a time; fused kernels need less.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..graph import Node
from .picture import inputs_of, is_source

Life = tuple[Node, str, int, int]  # whose value or gradient, the first and the last step


def lifetimes(
    order: Sequence[Node], forward: Sequence[Node], backward: Sequence[Node],
    saved: Mapping[Node, Sequence[Node]], gradients: Mapping[Node, Any],
) -> dict[str, Any]:
    """The memory of a step as a page holds it.  `saved`: for whom each value is kept."""
    number = {node: i for i, node in enumerate(order)}
    start = {node: i for i, node in enumerate(forward)}
    back = {node: len(forward) + i for i, node in enumerate(backward)}
    end = max(len(forward) + len(backward) - 1, 0)
    last: dict[Node, int] = {}
    for node in forward:
        uses = [back[owner] for owner in saved.get(node, ()) if owner in back]
        last[node] = max([start[node], *uses])
        for x in inputs_of(node):
            if x in last:
                last[x] = max(last[x], start[node])
    arrays: list[Life] = [(node, "value", start[node], last[node]) for node in forward]
    arrays += _gradients(order, back, gradients, end)
    return {
        "steps": len(forward) + len(backward),
        "fixed": sum(node.nbytes for node in order if is_source(node)),
        "arrays": [{"node": number[n], "what": what, "bytes": n.nbytes, "from": a, "to": b}
                   for n, what, a, b in arrays],
    }


def _gradients(
    order: Sequence[Node], back: Mapping[Node, int], gradients: Mapping[Node, Any], end: int
) -> list[Life]:
    first: dict[Node, int] = {}
    for node in sorted(back, key=back.__getitem__):
        for x in node.inputs:
            if x in gradients:
                first.setdefault(x, back[node])
    return [(node, "gradient", first.get(node, back.get(node, end)), back.get(node, end))
            for node in order if node in gradients and (node in first or node in back)]
