"""Compiled steps run without recording: what they did is known from the calls that recorded.

In a call that is recorded the observer hears which losses and which optimizers there are.  Later
calls are programs: nobody is told anything, but afterwards parameters, gradients and results have
their values.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field
from typing import Any

from ...graph import Node
from ...tensor import Tensor
from .late import Late, number


@dataclass
class _Known:
    """What one compiled function does: its optimizers, and where in its result each loss is."""

    optimizers: list[weakref.ref] = field(default_factory=list)
    losses: dict[str, int | None] = field(default_factory=dict)


class Replayed:
    """What is known of compiled functions, and what happens in the call of one."""

    def __init__(self) -> None:
        self._known: weakref.WeakKeyDictionary[Any, _Known] = weakref.WeakKeyDictionary()
        self.begin()

    def begin(self) -> None:
        """A call begins."""
        self.happened = False  # whether anything was heard from inside
        self.optimizers: list[Any] = []
        self.losses: list[tuple[str, weakref.ref[Node], Late]] = []

    def learn(self, compiled: Any, result: Any) -> None:
        """A call that was recorded is over: remember what it did."""
        values = leaves(result)
        known = self._known.setdefault(compiled, _Known())
        if self.optimizers:
            unique = {id(x): x for x in self.optimizers}
            known.optimizers = [weakref.ref(x) for x in unique.values()]
        for name, node, late in self.losses:
            place = next((i for i, x in enumerate(values) if _is(x, node(), late.value)), None)
            if place is not None or name not in known.losses:
                known.losses[name] = place
        self.begin()

    def optimizers_of(self, compiled: Any) -> list[Any]:
        known = self._known.get(compiled)
        found = [ref() for ref in known.optimizers] if known else []
        return [x for x in found if x is not None]

    def losses_of(self, compiled: Any, result: Any) -> tuple[list[Late], list[str]]:
        """The losses in the result of a call, and the names of those that are not in it."""
        known = self._known.get(compiled)
        if known is None:
            return [], []
        values = leaves(result)
        found, unknown = [], []
        for name, place in known.losses.items():
            if place is None or place >= len(values):
                unknown.append(name)
                continue
            x = values[place]
            if not isinstance(x, Tensor):
                found.append(Late(name, value=float(x)))
            elif x._node.value is not None:
                found.append(Late(name, value=number(x._node.value)))
        return found, unknown


def _is(x: Any, node: Node | None, value: float | None) -> bool:
    """Whether something returned is the loss: its node, or the number in it."""
    if isinstance(x, Tensor):
        return node is not None and x._node is node
    return value is not None and x == value


def leaves(tree: Any) -> list[Any]:
    """The tensors and numbers in a result.

    >>> leaves((1.5, {"a": [2, "text"]}))
    [1.5, 2]
    """
    found: list[Any] = []
    stack = [tree]
    while stack:
        x = stack.pop()
        if isinstance(x, (Tensor, float, int)):
            found.append(x)
        elif isinstance(x, dict):
            stack += reversed(list(x.values()))
        elif isinstance(x, (list, tuple)):
            stack += reversed(x)
    return found
