"""What the passes ask about a graph before they change it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ..graph import Node, is_pending, toposort


def once(outputs: Sequence[Node]) -> set[Node]:
    """The nodes used by exactly one other, once: made into something else, they are gone."""
    uses = Counter(x for n in toposort(outputs, enter=is_pending) for x in n.inputs)
    kept = set(outputs)
    return {n for n, count in uses.items() if count == 1 and n not in kept}
