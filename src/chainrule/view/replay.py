"""A recorded step once more, node by node, and where its first non-finite value was made.

A result that is not finite is followed from users to inputs along non-finite elements, down to
what made them of finite ones.  NaN and infinity are told apart: a NaN that came of infinities
(inf - inf, 0 * inf) is blamed on the node that made the infinity; but if the infinity was given -
the -inf of an attention mask - on the node that made the NaN.  A -inf that no path leads to, since
it was masked, is nobody's fault.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import ChainruleError
from ..graph import Node
from ..scope import Scope
from .labels import is_number
from .places import places_in
from .trail import Graph

Places = np.ndarray  # truth values in the shape of a node: which of its elements are meant
GRADIENT = "_backward"  # ends the label of a vjp's scope (autodiff.py)


@dataclass
class Found:
    """The node that made a non-finite value, and at which places."""

    node: Node
    places: Places
    became: Node | None = None  # where its infinity turned into the NaN that was seen
    forward: Node | None = None  # the node whose vjp it is part of


class Replay:
    """Values of a graph: those that are not finite, and what these were computed from.

    The others are dropped after their last user, so that this needs little more memory than the
    step itself.  A value that the program has computed is taken as it is.
    """

    def __init__(self, graph: Graph, losses: int, keep: Collection[Node] = ()):
        self.graph = graph
        self.losses = losses  # how many of the roots are; the others are gradients
        self.values: dict[Node, np.ndarray] = {}
        self._stays = False
        self._place = {n: i for i, n in enumerate(graph.order)}
        waiting = Counter(x for inputs in graph.inputs.values() for x in inputs)
        kept = {*keep, *graph.roots}
        with np.errstate(all="ignore"):
            for node in graph.order:
                inputs = graph.inputs[node]
                value = self._value(node, inputs)
                if value is not None:
                    self.values[node] = value
                    if not is_finite(value):
                        kept.update((node, *inputs))
                for x in inputs:
                    waiting[x] -= 1
                    if not waiting[x] and x not in kept:
                        self.values.pop(x, None)

    def _value(self, node: Node, inputs: Sequence[Node]) -> np.ndarray | None:
        known = self.graph.known(node)
        if known is not None or node.op is None:
            return known
        given = [self.values.get(x) for x in inputs]
        if any(x is None for x in given):
            return None
        try:
            return np.asarray(node.op.eval(*given, **node.attrs))
        except ChainruleError:  # it refuses what is not finite: what came before is to blame
            if not node.dtype.is_floating_point:
                return None
            return np.full(node.shape, np.nan, node.dtype.np)

    # ------------------------------------------------------------------ the search
    def find(self, roots: Sequence[Node], are_gradients: bool = False) -> Found | None:
        """The first that made what is not finite in these nodes; None if they all are.

        `are_gradients`: of finite losses, so that what is not finite in the forward pass came to
        no harm there, and the derivative that made something of it is to be named.
        """
        self._stays = are_gradients
        bad = {n: self.values[n] for n in roots
               if n in self.values and not is_finite(self.values[n])}
        if not bad:
            return None
        nans = {n: np.isnan(v) for n, v in bad.items() if np.isnan(v).any()}
        if nans:
            found = [f for node, places, _ in self._back(nans, np.isnan)
                     for f in self._before(node, places)]
        else:
            infinite = {n: np.isinf(v) for n, v in bad.items()}
            found = [Found(node, places) for node, places, _ in self._back(infinite, np.isinf)]
        for f in found:
            f.forward = self._forward(f.node)
        return min(found, key=self._when)

    def _back(
        self, starts: dict[Node, Places], is_bad: Callable[[np.ndarray], np.ndarray]
    ) -> list[tuple[Node, Places, bool]]:
        """Follow bad elements down to those that were made of others, or (True) given."""
        found: list[tuple[Node, Places, bool]] = []
        reached = dict(starts)
        for node in reversed(self.graph.order):
            if node not in reached:
                continue
            made, inputs = reached[node], self.graph.inputs[node]
            given = not inputs
            for x, places in zip(inputs, self._places(node, made)):
                bad = places & is_bad(self.values[x]) if _can_be_bad(self.values.get(x)) else None
                if bad is None or not bad.any():
                    continue
                if is_number(x):  # it has no line of its own
                    given = True
                elif not self._is_apart(node, x):
                    reached[x] = reached[x] | bad if x in reached else bad
                    made = made & ~_onto(node, bad)
            if made.any():
                found.append((node, made, given))
        return found

    def _places(self, node: Node, places: Places) -> list[Places]:
        """The elements of each input that those of a node came of; nothing if nobody knows."""
        inputs = self.graph.inputs[node]
        values = [self.values[x] for x in inputs if x in self.values]
        known = len(values) == len(inputs) > 0
        return places_in(node, inputs, values, places) if known else []

    def _is_apart(self, node: Node, x: Node) -> bool:
        """Whether this is the step from a derivative to a forward value that did no harm."""
        computed = bool(self.graph.inputs[x])
        return self._stays and computed and self.is_forward(x) and not self.is_forward(node)

    def _before(self, node: Node, places: Places) -> list[Found]:
        """Who made a NaN: those who made the infinities that it came of, if anybody did."""
        infinite: dict[Node, Places] = {}
        for x, reached in zip(self.graph.inputs[node], self._places(node, places)):
            if _can_be_bad(self.values.get(x)):
                bad = reached & np.isinf(self.values[x])
                if bad.any() and not (is_number(x) or self._is_apart(node, x)):
                    infinite[x] = infinite[x] | bad if x in infinite else bad
        makers = [Found(n, p, became=node)
                  for n, p, given in self._back(infinite, np.isinf) if not given]
        return makers or [Found(node, places)]

    # ------------------------------------------------------------------ forward and backward
    def is_forward(self, node: Node) -> bool:
        """Whether a loss was made from this node."""
        return self.losses > 0 and self._place[node] < self.graph.ends[self.losses - 1]

    def _when(self, found: Found) -> tuple[int, int, int]:
        """When it is computed: forward in the graph's order, then backward in reverse, then what
        is done with gradients."""
        place = self._place[found.node]
        if self.is_forward(found.node):
            return 0, place, 0
        if found.forward is not None:
            return 1, -self._place[found.forward], place
        return 2, place, 0

    def _forward(self, node: Node) -> Node | None:
        """The node whose vjp has recorded this one: of the same line, op and scope; among several
        the one that it refers to most."""
        scope = gradient_scope(node)
        if scope is None:
            return None
        outside = self._entering(node, scope)
        name, outer = scope.label.removesuffix(GRADIENT), _path(scope.parent)
        alike = [n for n in self.graph.order
                 if n.name == name and n.site == node.site and _path(n.scope) == outer]
        return max(alike, default=None, key=lambda n: len(
            outside & {n, *self.graph.inputs[n]}))

    def _entering(self, node: Node, scope: Scope) -> set[Node]:
        """What a vjp has computed a node from."""
        found, stack = set(), [node]
        while stack:
            for x in self.graph.inputs[stack.pop()]:
                if x not in found:
                    found.add(x)
                    if gradient_scope(x) is scope:
                        stack.append(x)
        return found


def gradient_scope(node: Node) -> Scope | None:
    """The scope of the vjp that has recorded a node."""
    scope = node.scope
    while scope is not None and scope.kind != "gradient":
        scope = scope.parent
    return scope


def _path(scope: Scope | None) -> str:
    return scope.path if scope is not None else ""


def is_finite(value: np.ndarray) -> bool:
    """Whether no element is infinite or NaN.

    One reduction: a sum of squares is finite only if all elements are.  What overflows in it is
    looked at again.
    """
    if not _can_be_bad(value):
        return True
    if value.dtype.char in "fd":
        flat = value.ravel(order="K")
        with np.errstate(all="ignore"):
            if np.isfinite(np.dot(flat, flat)):
                return True
    return bool(np.isfinite(value).all())


def _can_be_bad(value: np.ndarray | None) -> bool:
    return value is not None and value.dtype.kind in "fV"


def _onto(node: Node, bad: Places) -> Places:
    """The elements of a node that bad elements of an input account for."""
    if node.op is not None and node.op.kind == "elementwise":
        return np.broadcast_to(bad, node.shape)
    return np.ones((), bool)
