"""The origin of a NaN, in words: node, line, and the inputs that made it."""

from __future__ import annotations

import linecache
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..autodiff import is_leaf
from ..errors import AnomalyError
from ..graph import Node, backlog
from ..interpreter import span
from ..scope import Site, enter, leave
from ..shapes import size
from .advice import advice
from .labels import Names, is_number
from .places import places_in
from .replay import Found, Replay, gradient_scope, is_finite
from .trail import Graph


@dataclass(frozen=True)
class Input:
    """What a node was computed from: its name, its shape, and its values there."""

    name: str
    node: Node
    range: str  # of all its finite elements, and how many are not finite
    there: str  # of those that the non-finite element was made from

    def __str__(self) -> str:
        if size(self.node.shape) == 1:
            return f"{self.name}: {self.node.spec!r} = {self.range}"
        if self.range == self.there:
            return f"{self.name}: {self.node.spec!r}, all {self.range}"
        return f"{self.name}: {self.node.spec!r} in {self.range}, there {self.there}"


@dataclass(frozen=True)
class Origin:
    """The first node that made a non-finite value of finite ones, or was given one.

    `node` is a node of the forward pass; in the phase "backward" the one whose derivative it was,
    and `maker` the node of that derivative.  `index` is the first such element of `maker`, `count`
    how many there are.  str() tells all of it.
    """

    node: Node
    maker: Node
    phase: str
    op: str
    where: Site
    index: tuple[int, ...]
    count: int
    value: float
    inputs: tuple[Input, ...]
    text: str = field(repr=False)
    hint: str | None = field(repr=False)

    def __str__(self) -> str:
        scope = self.node.scope
        return (f"{self.text}\n  recorded at {self.where}" + (f", in {scope.path}" if scope else "")
                + (f"\n  hint: {self.hint}" if self.hint else ""))

    def error(self) -> AnomalyError:
        """The error that tells of it, on the line of the node."""
        saved = enter(self.node.scope, self.node.site)
        try:
            found = AnomalyError(self.text, hint=self.hint)
        finally:
            leave(saved)
        found.origin = self
        return found


def find_origin(
    graph: Graph, losses: Sequence[Node], gradients: Sequence[Node], names: Names
) -> Origin | None:
    """The origin of what is not finite in the losses or else in the gradients, if anything is."""
    depth = backlog.floor, backlog.limit
    try:
        replay = Replay(graph, len(losses))
        losses, gradients = ([graph.of(n) for n in nodes] for nodes in (losses, gradients))
        for roots in ([n] for n in losses):
            found = replay.find(roots)
            if found is not None:
                return _Account(graph, replay, found, roots[0], names).origin()
        found = replay.find(gradients, are_gradients=True)
        if found is None:
            return None
        bad = next(n for n in gradients if not is_finite(replay.values[n]))
        return _Account(graph, replay, found, bad, names).origin()
    finally:
        backlog.floor, backlog.limit = depth


class _Account:
    """Makes sentences of what was found."""

    def __init__(self, graph: Graph, replay: Replay, found: Found, root: Node, names: Names):
        self.graph, self.found, self.root, self.names = graph, found, root, names
        self.maker, self.forward = found.node, found.forward
        self.replay, self.values = replay, replay.values
        if self.forward is not None:  # what its derivative was taken of may have been dropped
            keep = {self.forward, *graph.inputs[self.forward]}
            self.values = Replay(graph, replay.losses, keep).values
        self.index = tuple(int(i) for i in np.argwhere(found.places)[0])
        self.value = self.values[self.maker][self.index].item()

    def origin(self) -> Origin:
        node = self.forward or self.maker
        is_forward = self.forward is None and self.replay.is_forward(self.maker)
        phase = "forward" if is_forward else "backward"
        inputs = tuple([self._input(i) for i in range(len(self.graph.inputs[self.maker]))])
        masked = self._masked()
        lines = [self._head(), *map(str, inputs), *self._story(masked)]
        hint = advice(node, self.maker, phase, inputs, masked, self.found.became)
        return Origin(
            self.graph.original(node), self.maker, phase, "leaf" if is_leaf(node) else node.name,
            node.where, self.index, int(self.found.places.sum()), self.value, inputs,
            "\n  ".join(lines), hint)

    def _head(self) -> str:
        maker, spec = self.maker, self.maker.spec
        count, total = int(self.found.places.sum()), size(spec.shape)
        where = f" at {self.index}, {count} of its {total} elements" if spec.shape else ""
        what = f"{self.value:.6g}{where}"
        if not self.graph.inputs[maker]:
            name = self.names.nodes.get(self.graph.original(maker), "a leaf")
            gone = "" if is_leaf(maker) else f"; what {maker.name} computed it from was let go"
            return f"{name} requires finite values, got {what}{gone}"
        if self.forward is None:
            return f"{maker.name} requires a finite result, got {what}"
        part = "" if maker.name == self.forward.name else f" from its {maker.name}"
        return f"the derivative of {self.forward.name} requires a finite result, got {what}{part}"

    def _story(self, masked: Node | None) -> list[str]:
        lines, site = [], (self.forward or self.maker).where
        became, root = self.found.became, self.root
        if became is not None and became is not root:
            lines.append(f"it becomes nan in {became.name} at {became.where}")
        if masked is not None:
            lines.append(f"{masked.name} at {masked.where} leaves it out of the result, but not "
                         "out of the way back: 0 x inf is nan")
        source = linecache.getline(site.filename, site.line).strip()
        if source:
            lines.append(f"line: {source}")
        return lines

    # ------------------------------------------------------------------ inputs
    def _input(self, i: int) -> Input:
        inputs = self.graph.inputs[self.maker]
        x, value = inputs[i], self.values.get(inputs[i])
        if value is None:
            return Input(self._name(x), x, "unknown", "unknown")
        one = np.zeros(self.maker.shape, bool)
        one[self.index] = True
        values = [self.values[n] for n in inputs if n in self.values]
        if len(values) < len(inputs):
            return Input(self._name(x), x, _range(value), "unknown")
        there = value[places_in(self.maker, inputs, values, one)[i]]
        return Input(self._name(x), x, _range(value), _range(there))

    def _name(self, x: Node) -> str:
        name = self.names.nodes.get(self.graph.original(x))
        if name is not None:
            return name
        scope = gradient_scope(x)
        if is_number(x):
            return "a number"
        if scope is None:
            return f"{'leaf' if x.op is None else x.name} ({x.where})"
        if scope is not gradient_scope(self.maker) and self.forward is not None:
            return "the gradient that arrives"
        return x.name

    # ------------------------------------------------------------------ what is masked
    def _masked(self) -> Node | None:
        """The node that keeps what the origin computes out of the result, but cannot keep its
        derivative out of the gradient."""
        if self.forward is None:
            return None
        below = self.graph.users()
        seen, queue = {self.forward}, [self.forward]
        for node in queue:  # which grows
            for user in below[node]:
                if user in seen or gradient_scope(user) is not None:
                    continue
                if user.name == "where" and node in self.graph.inputs[user][1:]:
                    return user if self._leaves_out(user, node) else None
                seen.add(user)
                queue.append(user)
        return None

    def _leaves_out(self, where: Node, node: Node) -> bool:
        """Whether the element that went wrong is one that the other branch was taken for."""
        condition = self.graph.inputs[where][0]
        values = Replay(self.graph, self.replay.losses, {condition}).values
        chosen = np.broadcast_to(values[condition], where.shape)
        if self.graph.inputs[where][2] is node:
            chosen = ~chosen
        same = len(self.index) == where.ndim and where.shape == self.maker.shape
        return not chosen[self.index] if same else not chosen.all()


def _range(value: np.ndarray) -> str:
    """`[0 .. 3]`, `2`, `[0 .. 3] and 2 nan`."""
    if not value.size:
        return "nothing"
    if value.dtype.kind not in "fV" or is_finite(value):
        low, high = value.min(), value.max()
        return f"{low.item():.6g}" if low == high else span(value)
    nan, finite = int(np.isnan(value).sum()), value[np.isfinite(value)]
    low, high = int((value == -np.inf).sum()), int((value == np.inf).sum())
    if value.size == max(nan, low, high):
        return f"{value.flat[0].item():.6g}"
    counts = [f"{n} {what}" for n, what in ((nan, "nan"), (low, "-inf"), (high, "inf")) if n]
    return " and ".join(([_range(finite)] if finite.size else []) + counts)
