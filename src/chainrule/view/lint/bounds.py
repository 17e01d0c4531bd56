"""Bounds of values that follow from how they were made: sigmoid in [0, 1], 3 tanh in [-3, 3]."""

from __future__ import annotations

import math
from typing import NamedTuple

from ...graph import Node
from .reading import number, origin, within


class Bounds(NamedTuple):
    """low <= x <= high for every element x, and the node that squashes it."""

    low: float
    high: float
    by: Node
    what: str

    @property
    def width(self) -> float:
        return self.high - self.low

    def scaled(self, factor: float, shift: float = 0.0) -> Bounds:
        """The bounds of factor x + shift."""
        ends = sorted((factor * self.low + shift, factor * self.high + shift))
        return Bounds(ends[0], ends[1], self.by, self.what)


_RANGES = {
    "sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0), "sin": (-1.0, 1.0), "cos": (-1.0, 1.0),
    "erf": (-1.0, 1.0), "atan": (-math.pi / 2, math.pi / 2),
}
# Composite functions whose values are bounded although no single op's are.
_FUNCTIONS = {"softmax": (0.0, 1.0), "softmin": (0.0, 1.0), "hardsigmoid": (0.0, 1.0)}
_MOST_STEPS = 20


def bounds_of(node: Node) -> Bounds | None:
    """The bounds of a node, through scaling and shifting by constants; None if none are known.

    >>> import chainrule as torch
    >>> b = bounds_of((3 * torch.tensor([0.5]).tanh() + 1).node)
    >>> b.low, b.high, b.what
    (-2.0, 4.0, 'tanh')
    """
    steps: list[tuple[float, float]] = []
    for _ in range(_MOST_STEPS):
        node = origin(node)
        found = _known(node)
        if found is not None:
            for factor, shift in reversed(steps):
                found = found.scaled(factor, shift)
            return found
        step = _affine(node)
        if step is None:
            return None
        node, factor, shift = step
        steps.append((factor, shift))
    return None


def _known(node: Node) -> Bounds | None:
    if node.op is None or node.owner is not None:
        return None
    scope = within(node, *_FUNCTIONS)
    if scope is not None and node.name == "div":
        return Bounds(*_FUNCTIONS[scope.label], node, scope.label)
    if node.name in _RANGES and within(node, "gelu", "silu", "mish") is None:
        return Bounds(*_RANGES[node.name], node, node.name)
    return None


def _affine(node: Node) -> tuple[Node, float, float] | None:
    """(x, a, b) where the node is a x + b with numbers a and b."""
    if node.op is None or not node.inputs or node.owner is not None:
        return None
    if node.name == "neg":
        return node.inputs[0], -1.0, 0.0
    if node.name not in ("add", "sub", "mul", "div"):
        return None
    x, y = node.inputs
    a, b = number(x), number(y)
    if b is not None:
        return {"add": (x, 1.0, b), "sub": (x, 1.0, -b), "mul": (x, b, 0.0),
                "div": (x, 1 / b if b else math.inf, 0.0)}[node.name]
    if a is not None and node.name != "div":
        return {"add": (y, 1.0, a), "sub": (y, -1.0, a), "mul": (y, a, 0.0)}[node.name]
    return None
