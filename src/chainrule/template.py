"""Templates: what has been recorded before is promised, and recorded when somebody looks.

A training step records the same backward pass and the same update as the step before.  A
`Template` is such a piece of graph, with places for its inputs.  A `Call` stands for one more
recording of it, of which only the results exist: each is a `Promise`, a node like any other whose
op and inputs are filled in - with all the nodes between - for the first who asks for them.  A
graph seen before runs as a program, and nobody asks.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol
from weakref import ref

import numpy as np

from .graph import COMPUTED, Node, backlog
from .scope import Scope, context, locate
from .shapes import Spec

HERE = -1  # the origin of what is recorded on the line of the call itself
_recording = threading.RLock()
_structures: dict[tuple, object] = {}


class Step(NamedTuple):
    """A node of a template.  Places count the inputs first, then the steps."""

    op: Any
    inputs: tuple[int, ...]
    attrs: dict
    spec: Spec
    requires_grad: bool
    origin: int  # the place in `origins` whose line and scope it is recorded under
    scopes: tuple[tuple, ...]  # what encloses it within the scope of its origin, outermost first
    lost: tuple[str | None, int] | None  # (reason, origin), or (None, the input that lost it)
    height: int  # how many steps in a row lead to it
    value: np.ndarray | None  # of a constant


class Origin(Protocol):
    """What has a line and a scope: a node, or a call."""

    @property
    def site(self) -> Any: ...

    @property
    def scope(self) -> Scope | None: ...


class Promise(Node):
    """A node whose `op`, `inputs`, `attrs` and `scope` are filled in when asked for.

    Only calls make promises, and set all that a node has but these four.
    """

    __slots__ = ("call", "place")
    place: int

    def __getattr__(self, name: str) -> Any:
        if name not in Node.__slots__ or self.call is None:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        self.call.fill(self)
        return getattr(self, name)


class Template:
    """The graph between `inputs` and `results`, recorded on the lines of `origins`."""

    __slots__ = ("used", "first", "steps", "origins", "results", "gives_inputs", "promised",
                 "constants", "structure")

    def __init__(
        self, inputs: Sequence[Node], results: Sequence[Node], origins: Sequence[Origin] = ()
    ):
        nodes = between(inputs, results)
        referred = {x for n in nodes for x in n.inputs}.union(results)
        self.used = [i for i, x in enumerate(inputs) if x in referred]
        place = {inputs[i]: k for k, i in enumerate(self.used)}
        self.first = len(place)  # the place of the first step
        describe = _Description(place, origins)
        self.steps = [describe.step(node) for node in nodes]
        self.origins = [i for i in describe.used if i != HERE]
        self.results = [place[node] for node in results]
        self.gives_inputs = any(i < self.first for i in self.results)
        made = [(i, self.steps[i - self.first]) for i in sorted({*self.results}) if i >= self.first]
        self.promised = [(i, s.spec, s.requires_grad, s.origin, s.lost, s.height)
                         for i, s in made if s.op is not None]
        self.constants = [(i, s) for i, s in made if s.op is None]
        self.structure = self._structure()

    def renumber(self, places: Sequence[int]) -> None:
        """Let calls give inputs among others, at these places."""
        self.used = [places[i] for i in self.used]

    def _structure(self) -> object:
        """The same object for all templates whose calls differ at most in their lines."""
        key = tuple([
            (s.op, s.inputs, tuple(s.attrs.items()), s.spec, s.requires_grad,
             s.value is None or s.value.tobytes())
            for s in self.steps
        ])
        return _structures.setdefault((self.first, key), object())

    def call(
        self, inputs: Sequence[Node], origins: Sequence[Origin] = (),
        promised: Sequence[Promise] = (), together: bool = False,
    ) -> list[Node]:
        """The results of one more recording, from other inputs and on other lines.

        The last results may have been `promised` by other calls already.  They, or all if
        `together`, are computed with whatever else of the call is, if somebody holds them.
        """
        given = [inputs[i] for i in self.used]
        found = dict(enumerate(given)) if self.gives_inputs else {}
        call = Call(self, given, origins)
        if promised:
            call.take_over(promised, found)
        call.promise(found)
        if together:
            call.together = tuple(call.promises)
        return [found[i] for i in self.results]

    def __repr__(self) -> str:
        return f"Template({self.first} inputs, {len(self.steps)} steps, " \
            f"{len(self.promised)} results)"


class Call:
    """One more recording of a template, of which nothing exists yet but its results."""

    __slots__ = ("template", "inputs", "sites", "scopes", "promises", "together")

    def __init__(self, template: Template, inputs: list[Node], origins: Sequence[Origin]):
        now = context.now
        self.template, self.inputs = template, inputs
        sites: list[Any] = []
        scopes: list[Scope | None] = []
        for i in template.origins:
            origin = origins[i]
            sites.append(origin.site)
            scopes.append(origin.scope)
        # The last, found at HERE, are those of the call.
        sites.append(now.site or locate())
        scopes.append(now.scope)
        self.sites, self.scopes = sites, scopes
        self.promises: list[ref[Promise]] = []
        self.together: tuple[ref[Promise], ...] = ()  # what is computed with any other result

    def promise(self, found: dict[int, Node]) -> None:
        """Make the results, by their places."""
        inputs, sites, promises, new = self.inputs, self.sites, self.promises, object.__new__
        lowest = backlog.floor
        for x in inputs:
            if x.depth > lowest:
                lowest = x.depth
        for place, spec, requires_grad, origin, lost, height in self.template.promised:
            if place in found:
                continue
            if lost is not None:
                reason, at = lost
                lost = inputs[at].lost if reason is None else (reason, sites[at])
            found[place] = node = new(Promise)
            node.call, node.place, node.spec, node.requires_grad = self, place, spec, requires_grad
            node.site, node.depth, node.lost = sites[origin], lowest + height, lost
            node.value = node.owner = node.hooks = None
            node.freed = False
            promises.append(ref(node))
        for place, step in self.template.constants:
            found[place] = self._node(step, (), {})

    def take_over(self, promised: Sequence[Promise], found: dict[int, Node]) -> None:
        """Make what other calls have promised the last results of this one."""
        for place, promise in zip(self.template.results[-len(promised):], promised):
            found[place] = promise
            promise.call, promise.place = self, place
            self.promises.append(ref(promise))
        self.together = tuple(self.promises)

    @property
    def site(self) -> tuple:
        """The line of the call."""
        return self.sites[HERE]

    @property
    def scope(self) -> Scope | None:
        return self.scopes[HERE]

    @property
    def alive(self) -> int:
        """How many of the results somebody may still ask for."""
        return sum([known() is not None for known in self.promises])

    def fill(self, promise: Promise) -> None:
        """Give a promise what it lacks."""
        with _recording:
            if promise.call is None:  # another thread was here first
                return
            if promise.value is None:
                self.record()
            else:
                step = self.template.steps[promise.place - self.template.first]
                self._complete(promise, step, (), {})

    def record(self) -> None:
        """Record all that this call stands for."""
        self._record({p.place: p for p in [known() for known in self.promises]
                      if p is not None and p.call is self})
        self.inputs = []

    def _record(self, promises: dict[int, Promise]) -> list[Node]:
        nodes = list(self.inputs)
        scopes: dict[tuple, Scope | None] = {}
        for place, step in enumerate(self.template.steps, len(nodes)):
            inputs = tuple([nodes[i] for i in step.inputs])
            promise = promises.get(place)
            if promise is not None:
                self._complete(promise, step, inputs, scopes)
            nodes.append(promise or self._node(step, inputs, scopes))
        return nodes

    def twin(self) -> Call:
        """The same call, which stays whole when this one is recorded or released.

        It promises nothing, and refers to no node that this one does not refer to.
        """
        twin: Call = object.__new__(Call)
        twin.template, twin.inputs = self.template, self.inputs
        twin.sites, twin.scopes = self.sites, self.scopes
        twin.promises, twin.together = [], ()
        return twin

    def aside(self) -> list[Node]:
        """All nodes that this call stands for, as nodes of their own, by their places."""
        return self._record({})

    def _node(self, step: Step, inputs: tuple[Node, ...], scopes: dict) -> Node:
        depth = COMPUTED if step.op is None else 1 + max(
            [x.depth for x in inputs], default=backlog.floor)
        node = Node(step.op, inputs, step.attrs, step.spec, step.requires_grad,
                    self.sites[step.origin], self._scope(step, scopes), depth)
        node.value = step.value
        if step.lost is not None:
            reason, at = step.lost
            node.lost = self.inputs[at].lost if reason is None else (reason, self.sites[at])
        return node

    def _complete(self, promise: Promise, step: Step, inputs: tuple, scopes: dict) -> None:
        promise.op, promise.attrs = step.op, step.attrs
        promise.inputs = () if promise.value is not None else inputs
        promise.scope = self._scope(step, scopes)
        promise.call = None

    def _scope(self, step: Step, scopes: dict) -> Scope | None:
        """The scope of a step; those of one origin share theirs."""
        scope = self.scopes[step.origin]
        for i, label in enumerate(step.scopes):
            key = (step.origin, step.scopes[: i + 1])
            found = scopes.get(key)
            scope = scopes[key] = found or Scope(scope, *label)
        return scope

    def release(self) -> None:
        """Let go of the inputs: every result has its value."""
        self.inputs = []

    def __repr__(self) -> str:
        return f"<call of {self.template!r}>"


class _Description:
    """Turns nodes into steps: what is of this recording becomes a place."""

    def __init__(self, place: dict[Node, int], origins: Sequence[Origin]):
        self.place = place
        self.height = dict.fromkeys(place, 0)
        self.here = context.now.scope
        self.losses = {id(x.lost): i for x, i in reversed(place.items()) if x.lost is not None}
        numbered = list(enumerate(origins))[::-1]  # reversed: the first of equals counts
        self.origins = {(id(x.site), x.scope): i for i, x in numbered}
        self.sites = {id(x.site): i for i, x in numbered}
        self.used: dict[int, int] = {HERE: HERE}  # the origins that are needed, renumbered

    def step(self, node: Node) -> Step:
        self.height[node] = 1 + max([self.height[x] for x in node.inputs], default=0)
        inputs = tuple([self.place[x] for x in node.inputs])
        self.place[node] = len(self.place)
        origin, scopes = self._origin(node)
        return Step(node.op, inputs, node.attrs, node.spec, node.requires_grad, origin, scopes,
                    self._lost(node), self.height[node], node.value)

    def _use(self, origin: int) -> int:
        return self.used.setdefault(origin, len(self.used) - 1)

    def _origin(self, node: Node) -> tuple[int, tuple[tuple, ...]]:
        scope = node.scope
        inner: list[tuple] = []
        while True:
            origin = self.origins.get((id(node.site), scope), HERE)
            if origin != HERE or scope is None or scope is self.here:
                return self._use(origin), tuple(inner[::-1])
            inner.append((scope.label, scope.kind, scope.grad_fn, scope.cls))
            scope = scope.parent

    def _lost(self, node: Node) -> tuple[str | None, int] | None:
        if node.lost is None:
            return None
        at = self.losses.get(id(node.lost))
        if at is not None:
            return None, at
        reason, site = node.lost
        return reason, self._use(self.sites.get(id(site), HERE))


def between(inputs: Sequence[Node], results: Sequence[Node]) -> list[Node]:
    """The nodes that the results need above the inputs, and constants; inputs before users."""
    order: list[Node] = []
    done = set(inputs)
    stack = list(results)[::-1]
    while stack:
        node = stack[-1]
        waiting = [] if node in done else [x for x in node.inputs if x not in done]
        if waiting:
            stack += reversed(waiting)
            continue
        stack.pop()
        if node not in done:
            done.add(node)
            order.append(node)
    return order
