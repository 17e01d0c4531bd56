"""Numbers that are read when the program has computed them, or else worked out beside it."""

from __future__ import annotations

import math
import weakref

import numpy as np

from ...graph import Node
from ..facts import visit_aside


class Late:
    """The number in a node; until it is settled the node is not kept alive for it.

    `copy` is a copy of the graph behind it (keep.py), for a node that nobody keeps.
    """

    def __init__(
        self, name: str, node: Node | None = None, copy: Node | None = None,
        value: float | None = None,
    ):
        self.name, self.value = name, value
        self._node = None if node is None else weakref.ref(node)
        self._copy = copy

    def is_lost(self) -> bool:
        """Whether the program has let go of the number before anybody knew it."""
        node = None if self._node is None else self._node()
        return self.value is None and (node is None or node.value is None)

    def settle(self) -> float | None:
        """The number, or None where nobody knows it any more; lets go of everything."""
        node = None if self._node is None else self._node()
        if self.value is None and node is not None and node.value is not None:
            self.value = number(node.value)
        elif self.value is None and self._copy is not None:
            self.value = number(value_aside(self._copy))
        self._node = self._copy = None
        return self.value


def number(array: np.ndarray) -> float:
    """The one element of an array; NaN if there are more or fewer."""
    return float(array.reshape(-1)[0]) if array.size == 1 else math.nan


def value_aside(copy: Node) -> np.ndarray:
    """What a copied graph computes; nobody else learns of it."""
    found: list[np.ndarray] = []
    visit_aside([copy], lambda places, value, seconds: found.append(value))
    return found[0]
