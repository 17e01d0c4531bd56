"""A graph that was met before is recognised at a glance.

What is to be done with a graph - which values to keep, which program to run, which gradients to
promise - follows from its structure, from what may be differentiated, and from how often its nodes
are referred to.  `graph.survey` and `repeat` find all that out in Python, once.  From then on it
is enough to see that the graph is such a one again: `glance` gives all of it as one key of bytes,
read by native code (jit/walk.py), and whoever remembers something by that key need not ask again.

The key says at least as much as the longer way would look at, so that two graphs with one key are
the same to it; what it names by address outlives all keys.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from .graph import Node

RUN, BACKWARD = False, True


class Glance(NamedTuple):
    """A graph as it was met: nodes in the canonical order of `graph.survey`, and calls."""

    key: Any
    order: list[Node]
    calls: list[Any]
    words: bytes  # what makes the key long

    def mark(self) -> Mark:
        """What is kept of a graph that is looked at the longer way: no reference to its nodes."""
        return Mark(self.key, self.words[::8], [*map(id, self.order)])


_new_glance: Callable[[tuple], Glance] = partial(tuple.__new__, Glance)  # half as long


class Mark(NamedTuple):
    """A key, and whose it was: it is remembered only if the longer way met the same nodes."""

    key: Any
    parts: bytes
    met: list[int]

    def is_of(self, order: list[Node]) -> bool:
        return self.met == [*map(id, order)]


def glance(outputs: list[Node], mode: bool) -> Glance | None:
    """Look at the part of a graph that is not computed yet (RUN), or at the part that
    back-propagation would pass (BACKWARD); None if it has to be looked at the longer way."""
    walk = walker()
    if walk is None:
        return None
    order: list[Node] = []
    calls: list[Any] = []
    attrs: list[dict] = []
    words = walk(outputs, order, calls, attrs, mode)
    if not words:
        return None
    key = (mode, words, *[tuple(a.items()) for a in attrs]) if attrs else (mode, words)
    return _new_glance((key, order, calls, words))


def walker() -> Callable[[list, list, list, list, bool], bytes] | None:
    """What walks graphs natively: (outputs, order, calls, attrs, mode) -> the bytes of the key.

    It fills in the three lists; of no bytes it may have filled them in half.
    Set from above: it comes with the compiled tier.
    """
    return None
