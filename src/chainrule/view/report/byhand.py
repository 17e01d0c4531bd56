"""Training loops without an optimizer: `w.data -= 0.1 * w.grad`.

Nobody says when the weights change, and nothing need be computed before the program looks.  So
weights and gradients are worked out from copies of their graphs, at each backward pass that is
sampled; how a weight has changed is seen at the next one.
"""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np

from ...graph import Node
from ..keep import copied
from .late import value_aside
from .naming import Parameter, name_of_leaf
from .norms import squared
from .row import Norms


class ByHand:
    """The leaves that require grad of the last backward pass that was looked at."""

    def __init__(self) -> None:
        self.parameters: dict[int, Parameter] = {}
        self._tensors: dict[int, weakref.ref] = {}
        self._weights: dict[int, np.ndarray] = {}
        self._versions: dict[int, int] = {}

    def look(self, copies: dict[Node, Node]) -> None:
        """A backward pass begins: its leaves, from the copy of its graph."""
        owners = [node.owner() for node in copies if node.owner is not None]
        tensors = {id(t): t for t in owners if t is not None}
        self._tensors = {key: weakref.ref(t) for key, t in tensors.items()}
        self._versions = {key: t._version for key, t in tensors.items()} | self._versions
        new = {key: t for key, t in tensors.items() if key not in self.parameters}
        for key, t in new.items():
            name = name_of_leaf(t)
            if any(name == p.name for p in self.parameters.values()):
                name = f"{name} ({len(self.parameters) + 1})"
            self.parameters[key] = Parameter(name, name, tuple(t.shape))

    def has_changed(self) -> bool:
        """Whether weights were written to since this was last asked."""
        now = {key: t._version for key, t in self._alive()}
        before, self._versions = self._versions, now
        return any(before.get(key, version) != version for key, version in now.items())

    def gradients(self) -> dict[Parameter, Norms]:
        """The backward pass is recorded: norms of the weights and of the gradients."""
        found: dict[Parameter, Norms] = {}
        self._weights = {}
        for key, t in self._alive():
            self._weights[key] = weight = _value(t)
            gradient = None if t._grad is None else squared(_value(t._grad))
            found[self.parameters[key]] = Norms(squared(weight), gradient)
        return found

    def updates(self, norms: dict[Parameter, Norms]) -> None:
        """The next pass begins: how the weights have changed since the last."""
        for key, t in self._alive():
            known = norms.get(self.parameters[key])
            if known is not None and key in self._weights:
                known.update = squared(_value(t), self._weights[key])

    def _alive(self) -> list[tuple[int, Any]]:
        found = [(key, ref()) for key, ref in self._tensors.items()]
        return [(key, t) for key, t in found if t is not None]


def _value(tensor: Any) -> np.ndarray:
    node = tensor._node
    return node.value if node.value is not None else value_aside(copied([node])[node])
