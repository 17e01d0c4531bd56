"""One more call without recording: fetch the leaves, run the program, bind its outputs.

Where nothing has changed since the last replay there is nothing to fetch, and the nodes that it
made get the new values: unless somebody else holds one of them, which reference counts tell, since
a node that was seen must not change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from sys import getrefcount
from typing import Any

import numpy as np

from .. import config, dtypes
from ..autodiff import is_leaf
from ..graph import COMPUTED, Node
from ..interpreter import run
from ..scope import context
from ..tensor import Tensor
from .formulas import Stale, formulas
from .program import Program, runner
from .recording import Recording, Result, Source, new_leaf
from .tree import Like, build

MISS = object()  # what a replay gives when the call must be recorded


def modes() -> tuple:
    """What a recording depends on besides Python's objects."""
    return context.now.grad_enabled, dtypes.default_dtype()


class Replay:
    """What two recordings that agree have become."""

    def __init__(self, recording: Recording, program: Program | None = None):
        """`program` is that of an earlier recording that agrees with this one, if there is one."""
        self.structure, self.survey, self.modes = recording.structure, recording.survey, modes()
        outputs, nodes = recording.graph()
        leaves = {p: n for p, n in nodes.items() if n.op is None and n.value is None}
        texts = {p: recording.formula_at(p) for p in leaves}
        numbers = {p: text for p, text in texts.items() if text is not None}
        self.places = {p: i for i, p in enumerate(p for p in leaves if p not in numbers)}
        self.values: list[Any] = [None] * len(self.places)
        self.outside = Outside(recording, self.places)
        self.numbers = formulas(recording, list(numbers.values()))
        self.draws = list(self._draws(recording))
        self.effects = Effects(recording, self.outside)
        self.program = program or runner(
            outputs, [leaves[p] for p in self.places], [leaves[p] for p in numbers],
            self.effects.replaced(self.outside),
        )
        self.number_places = list(numbers)
        self.results, self.result_structure = recording.results, recording.result_structure
        self.storages = [like and _finished(like, None) for _, like in recording.storages]
        self.is_simple = isinstance(self.result_structure, Like) and not self.results[0].views \
            and type(self.results[0].storage) is int

    def _draws(self, recording: Recording) -> Iterable[tuple[Callable, list[int]]]:
        """Each draw, and which leaves it makes."""
        made: dict[int | None, list[int]] = {}
        for place, i in self.places.items():
            if place >= 0:
                made.setdefault(recording.draw_of(recording.watcher.tape[place]), []).append(i)
        for i, (generator, name, args, kwargs, _) in enumerate(recording.watcher.draws):
            yield partial(getattr(generator, name), *args, **kwargs), made.get(i, [])

    def finish(self, recording: Recording) -> None:
        """Give what the recording bound or returned its values, which have been put off."""
        watcher = recording.watcher
        run(*[watcher.outside[-p - 1] for p in self.places if p < 0])
        leaves = {p: watcher.outside[-p - 1] if p < 0 else watcher.tape[p].node
                  for p in (*self.places, *self.number_places)}
        numbers = tuple([leaves[p].value.item() for p in self.number_places])
        outputs = self.program([leaves[p].value for p in self.places], numbers, False)
        nodes = {place: node for node, place in watcher.places.items()}
        for place, value in zip(recording.outputs, outputs):
            node = nodes.get(place)
            if node is not None and node.value is None:
                node.value, node.depth, node.inputs = value, COMPUTED, ()
        self.program.release()

    def __call__(self, structure: Any, arguments: list[Tensor]) -> Any:
        """The result of the call, or MISS."""
        if structure != self.structure or modes() != self.modes or config.anomaly:
            return MISS
        if not self.survey.holds() and self.survey.changed() is not None:
            return MISS
        values, outside = self.values, self.outside
        try:
            settled = outside.settled()
            if not settled:
                outside.fetch(arguments, values)
            if arguments:
                outside.take(arguments, values)
            numbers = self.numbers()
        except Stale:
            return MISS
        for draw, positions in self.draws:
            array = draw()
            for i in positions:
                values[i] = array
        alone = settled and self.effects.are_alone()
        outputs: Any = None
        self.program.begun = None
        try:
            outputs = self.program(values, numbers, alone)
            self.effects.apply(outputs, arguments, values, alone)
        except KeyboardInterrupt:  # before the call, or after all of it, but nothing in between
            if outputs is None:
                outputs = self.program.outputs_of_interrupted(values)
            if outputs is not None:
                self.effects.apply(outputs, arguments, values, alone)
            raise
        return self._result(outputs, arguments)

    def _result(self, outputs: Sequence[np.ndarray], arguments: list[Tensor]) -> Any:
        if self.is_simple:
            return _made(self.storages[0], outputs[-1])
        new = outputs[len(outputs) - len(self.storages) :]
        made = [_made(like, value) for like, value in zip(self.storages, new)]
        found = [self._returned(r, arguments, made) for r in self.results]
        return build(self.result_structure, iter(found))

    def _returned(self, result: Result, arguments: list[Tensor], made: list) -> Any:
        storage, views, is_number = result
        tensor = made[storage] if isinstance(storage, int) else find(storage, arguments)
        if is_number:
            return tensor.item()
        for op, attrs in views:
            tensor = tensor._view(op, **attrs)
        return tensor


def _made(like: Node | None, value: np.ndarray) -> Any:
    """A new tensor; where only a number is wanted, the array itself."""
    return value if like is None else Tensor._from_node(_finished(like, value))


def find(source: Source, arguments: list[Tensor]) -> Any:
    """The tensor that a source names now; None for a gradient that is not there."""
    kind, what = source
    tensor = arguments[what] if type(what) is int else what
    return tensor._grad if kind == "gradient" else tensor


def _finished(like: Node, value: np.ndarray | None) -> Node:
    """A node like one of the recording, whose history has been freed, with another value."""
    node = Node(like.op, (), like.attrs, like.spec, like.requires_grad, like.site, like.scope,
                like.depth)
    node.value, node.lost, node.freed = value, like.lost, like.freed
    return node


class Outside:
    """The tensors from outside that a call reads or writes, and the nodes they are bound to."""

    def __init__(self, recording: Recording, places: dict[int, int]):
        watcher = recording.watcher
        self.sources: list[Source] = []
        self.likes: list[tuple] = []  # (spec, requires_grad) of each
        self.nodes: list[Any] = []
        self.given: list[tuple[int, bool, list[int]]] = []  # (argument, requires_grad, leaves)
        feeds: dict[tuple, list[int]] = {}
        self.same: list[list[Source]] = []  # tensors that are bound to one node
        for k, sources in enumerate(recording.sources):
            if -k - 1 in places:
                feeds[_key(sources[0])] = [places[-k - 1]]
                if len(sources) > 1:
                    self.same.append(sources)
        for handle, node in watcher.handles.values():
            source = recording.source_of(handle)
            leaves = feeds.get(_key(source), [])
            if source.kind == "argument":
                self.given.append((source.what, node.requires_grad, leaves))
            else:
                self.sources.append(source)
                self.likes.append((node.spec, node.requires_grad))
                self.nodes.append(None)
        self.feeds = [feeds.get(_key(source), []) for source in self.sources]
        self.number = {_key(source): i for i, source in enumerate(self.sources)}
        self.grads = [  # whose gradient was looked at, and whether there was none
            (recording.source_of(owner), grad is None)
            for owner, grad, is_read in watcher.grads.values() if is_read
        ]
        self.pinned = recording.pinned
        self.known = {key for key in watcher.handles if key not in recording.arguments}
        self.known.difference_update([id(x) for _, x in self.pinned])
        self.written = [b.source for b in recording.bindings]
        self._names: dict[str, Any] = {}
        self.are_views = [find(s, []) is not None and find(s, [])._base is not None
                          if type(s.what) is not int else False for s in self.sources]
        #: Whether every tensor is bound to the node that it was bound to.
        self.settled: Callable[[], bool] = self._settled_test()

    # ------------------------------------------------------------------ fetching
    def fetch(self, arguments: list[Tensor], values: list) -> None:
        """Put the values of all tensors but the arguments into `values`; raises Stale."""
        for source, was_none in self.grads:
            if (find(source, arguments)._grad is None) is not was_none:
                raise Stale
        for i, source in enumerate(self.sources):
            tensor = find(source, arguments)
            node = tensor.node
            if (node.spec, node.requires_grad) != self.likes[i] or _has_history(node):
                raise Stale
            if (tensor._base is not None) is not self.are_views[i]:
                raise Stale
            self.nodes[i] = self._names[f"n{i}"] = node
            self._names[f"x{i}"], self._names[f"s{i}"] = tensor, tensor._storage()
        for sources in self.same:
            if len({find(source, arguments).node for source in sources}) > 1:
                raise Stale
        run(*self.nodes)
        self._names["is_fetched"] = True
        for node, leaves in zip(self.nodes, self.feeds):
            for i in leaves:
                values[i] = node.value

    def take(self, arguments: list[Tensor], values: list) -> None:
        """Put the values of the arguments into `values`; raises Stale."""
        for i, tensor in self.pinned:
            if arguments[i] is not tensor:
                raise Stale
        if not self.known.isdisjoint(map(id, arguments)):
            raise Stale  # an argument has another role in the graph as well
        for x in arguments:
            if x._base is not None:
                written = [find(source, arguments) for source in self.written]
                if any(tensor is x or tensor is x._storage() for tensor in written):
                    raise Stale
        for position, requires_grad, leaves in self.given:
            node = arguments[position].node
            if requires_grad and _has_history(node):
                raise Stale
            if node.value is None:
                run(node)
            for i in leaves:
                values[i] = node.value

    def _settled_test(self) -> Callable[[], bool]:
        tests = []
        for i, (kind, what) in enumerate(self.sources):
            tests.append(f"x{i}._node is n{i}")
            if self.are_views[i]:
                tests.append(f"x{i}._seen == s{i}._version")
            if kind == "gradient":
                self._names[f"p{i}"] = what
                tests.append("False" if type(what) is int else f"p{i}._grad is x{i}")
            self._names[f"n{i}"] = self._names[f"x{i}"] = None
        for i, (owner, was_none) in enumerate(self.grads):
            self._names[f"o{i}"] = owner.what
            tests.append("False" if type(owner.what) is int else
                         f"o{i}._grad is {'' if was_none else 'not '}None")
        tests += ["False"] * any(s.kind == "argument" for group in self.same for s in group)
        # Before the first fetch there is nothing that could be settled.
        text = " and ".join(["is_fetched", *tests])
        self._names["is_fetched"] = False
        return eval(f"lambda: {text}", self._names)

    # ------------------------------------------------------------------ binding
    def rebound(self, i: int, node: Node, values: list) -> None:
        """Tensor i has been bound to a node that was made for it."""
        self.nodes[i] = self._names[f"n{i}"] = node
        for leaf in self.feeds[i]:
            values[leaf] = node.value


def _key(source: Source) -> tuple:
    what = source.what
    return source.kind, what if type(what) is int else id(what), type(what) is int


def _has_history(node: Node) -> bool:
    return node.requires_grad and not is_leaf(node)


class Effects:
    """What a call does to the tensors from outside."""

    def __init__(self, recording: Recording, outside: Outside):
        self.outside = outside
        self.bindings = [(b.source, b.requires_grad) for b in recording.bindings]
        self.grads = [g.owner for g in recording.grad_bindings if g.place is not None]
        self.cleared = [g.owner for g in recording.grad_bindings if g.place is None]
        self.is_fixed = all(
            type(s.what) is not int and s.kind == "tensor"
            for s in (*(s for s, _ in self.bindings), *self.grads)
        )
        self.numbers = [outside.number.get(_key(s)) for s, _ in self.bindings]
        self._made: list[Any] = []  # nodes and gradients of the last replay
        self._counts: list[int] = []
        self._names: dict[str, Any] = {}
        self._is_in_place, self._assign = self._generated(outside)

    def _generated(self, outside: Outside) -> tuple[Callable, Callable]:
        """Whether the gradients made last are where they were put; and writing new values."""
        count = len(self.bindings)
        tests = [
            f"p{k}._grad is g{k} and g{k}._node is n{count + k}" for k in range(len(self.grads))
        ]
        lines = [f"n{k}.value = o[{k}]" for k in range(count + len(self.grads))]
        lines += [f"x{k}._version += 1" for k in range(count)]
        lines += [
            f"values[{leaf}] = o[{k}]"
            for k, i in enumerate(self.numbers) if i is not None for leaf in outside.feeds[i]
        ]
        text = "".join(f"    {line}\n" for line in lines or ["pass"])
        exec(f"def assign(o, values):\n{text}", self._names)
        return eval(f"lambda: {' and '.join(tests) or 'True'}", self._names), self._names["assign"]

    def replaced(self, outside: Outside) -> dict[int, int | None]:
        """For each output that is bound to a tensor from outside: the leaf that was its value, or
        None if it was not read."""
        if not self.is_fixed:
            return {}
        leaves = [[] if i is None else outside.feeds[i] for i in self.numbers]
        leaves += [[] for _ in self.grads]
        return {k: found[0] if found else None for k, found in enumerate(leaves)}

    def are_alone(self) -> bool:
        """Whether nobody but the tensors has the nodes and gradients that the last replay made."""
        return (
            bool(self._counts) and self._is_in_place()
            and list(map(getrefcount, self._made)) == self._counts
        )

    def apply(
        self, outputs: Sequence[np.ndarray], arguments: list[Tensor], values: list, alone: bool
    ) -> None:
        """Give the tensors their new values."""
        if alone:
            self._assign(outputs, values)
        else:
            self._bind(outputs, arguments, values)
            if self.is_fixed:
                self._counts = list(map(getrefcount, self._made))
        for source in self.cleared:
            tensor = arguments[source.what] if type(source.what) is int else source.what
            tensor._grad = None

    def _bind(self, outputs: Sequence[np.ndarray], arguments: list[Tensor], values: list) -> None:
        """Make new nodes for everything: somebody may hold the old ones."""
        nodes, grads, names = [], [], self._names
        for k, (source, requires_grad) in enumerate(self.bindings):
            tensor = find(source, arguments)
            node = new_leaf(tensor._node, requires_grad, tensor, outputs[k])
            tensor._node = node
            tensor._version += 1
            nodes.append(node)
            names[f"n{k}"], names[f"x{k}"] = node, tensor
            i = self.numbers[k]
            if i is not None:
                self.outside.rebound(i, node, values)
        for k, source in enumerate(self.grads, len(nodes)):
            owner = arguments[source.what] if type(source.what) is int else source.what
            node = new_leaf(owner._node, False, None, outputs[k])
            owner._grad = Tensor._from_node(node)
            nodes.append(node)
            grads.append(owner._grad)
            names[f"n{k}"] = node
            names[f"p{len(grads) - 1}"], names[f"g{len(grads) - 1}"] = owner, owner._grad
        self._made = [*nodes, *grads]
