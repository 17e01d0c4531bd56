"""One more call without recording: collect the leaves, run the program, bind its outputs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from .. import config, dtypes
from ..autodiff import is_leaf
from ..graph import Node
from ..interpreter import run
from ..scope import context
from ..tensor import Tensor
from .program import Program, runner
from .recording import Recording, Result, Source, new_leaf
from .tree import build
from .watch import Call

MISS = object()  # what a replay gives when the call must be recorded


class Stale(Exception):
    """The call is not one that the program is for."""


class Surroundings:
    """What else a recording depends on: the thread's and the process' modes."""

    def __init__(self) -> None:
        self.modes = _modes()

    def changed(self) -> bool:
        return _modes() != self.modes


def _modes() -> tuple:
    return (context.now.grad_enabled, dtypes.default_dtype())


class Formulas:
    """The managed numbers of a call, and what was decided by them, worked out anew."""

    def __init__(self, recording: Recording, texts: list[str]):
        self.actions = recording.watcher.actions
        decisions = recording.watcher.decisions
        names = ", ".join(f"r{i}" for i in range(len(self.actions)))
        tests = " and ".join(
            f"({text})" if outcome else f"not ({text})" for text, outcome in decisions.items()
        )
        values = "".join(f"{text}, " for text in texts)
        known = {"__builtins__": {}, "inf": math.inf, "nan": math.nan}
        self._numbers = eval(f"lambda {names}: ({values})", known)
        self._decided = eval(f"lambda {names}: {tests or 'True'}", known)

    def __call__(self) -> tuple[float, ...]:
        """The numbers; raises Stale where a decision would be another one.

        A call among the actions is made on the way: raises before the first one, or not at all.
        """
        found = []
        for action in self.actions:
            value = action.function(*action.args, **action.kwargs) if isinstance(action, Call) \
                else action()
            found.append(value)
        for value in found:
            if type(value) is not float and value is not None:
                raise Stale
        if not self._decided(*found):
            raise Stale
        return self._numbers(*found)


class Replay:
    """What two recordings that agree have become."""

    def __init__(self, recording: Recording):
        self.survey = recording.survey
        self.structure = recording.structure
        self.surroundings = Surroundings()
        watcher = recording.watcher
        outputs, nodes = recording.graph()
        leaves = [(p, n) for p, n in nodes.items() if n.op is None and n.value is None]
        self.program: Program = runner(outputs, [n for _, n in leaves])
        self.values: list[Any] = [None] * len(leaves)
        texts: list[str] = []
        self.inputs: list[tuple[int, list[Source], Node]] = []  # (position, sources, like)
        self.numbers: list[tuple[int, np.dtype]] = []
        self.drawn: dict[int, list[int]] = {}  # draw -> positions
        for position, (place, node) in enumerate(leaves):
            if place < 0:
                old = watcher.outside[-place - 1]
                self.inputs.append((position, recording.sources[-place - 1], old))
                continue
            step = watcher.tape[place]
            draw, formula = recording.draw_of(step), recording.number_of(step)
            if draw is not None:
                self.drawn.setdefault(draw, []).append(position)
            else:
                texts.append(formula)
                self.numbers.append((position, step.spec.dtype.np))
        self.draws = [d._replace(array=None) for d in watcher.draws]
        self.formulas = Formulas(recording, texts)
        self.flags = [
            (recording.source_of(handle), node.spec, node.requires_grad)
            for handle, node in watcher.handles.values()
        ]
        self.grad_reads = [
            (recording.source_of(owner), grad is None)
            for owner, grad, is_read in watcher.grads.values() if is_read
        ]
        self.bindings = recording.bindings
        self.grad_bindings = recording.grad_bindings
        self.storages = recording.storages
        self.results = recording.results
        self.pinned = recording.pinned
        given = recording.arguments
        self.known = {key for key in watcher.handles if key not in given}
        self.result_structure = recording.result_structure

    # ------------------------------------------------------------------ before
    def __call__(self, structure: Any, arguments: list[Tensor]) -> Any:
        """The result of the call, or MISS."""
        if structure != self.structure or self.surroundings.changed() or config.anomaly:
            return MISS
        if self.survey.changed() is not None:
            return MISS
        try:
            self._check(arguments)
            self._collect(arguments)
            numbers = self.formulas()
        except Stale:
            return MISS
        for (position, dtype), value in zip(self.numbers, numbers):
            self.values[position] = np.array(value, dtype)
        self._draw()
        outputs = iter(self.program(self.values))
        return self._bind(arguments, outputs)

    def _find(self, source: Source, arguments: list[Tensor]) -> Tensor:
        kind, what = source
        if kind == "tensor":
            return what
        if kind == "argument":
            return arguments[what]
        owner = arguments[what] if type(what) is int else what
        return owner._grad

    def _check(self, arguments: list[Tensor]) -> None:
        self._check_identities(arguments)
        for source, is_none in self.grad_reads:
            if (self._find(source, arguments)._grad is None) is not is_none:
                raise Stale
        for source, spec, requires_grad in self.flags:
            node = self._find(source, arguments).node
            if node.spec is not spec or node.requires_grad is not requires_grad or (
                requires_grad and not is_leaf(node)
            ):
                raise Stale

    def _check_identities(self, arguments: list[Tensor]) -> None:
        """No argument may be, or share the values of, a tensor with another role in the graph."""
        for i, tensor in self.pinned:
            if arguments[i] is not tensor:
                raise Stale
        known = self.known.difference([id(x) for _, x in self.pinned])
        for x in arguments:
            if id(x) in known:
                raise Stale
            if x._base is not None:
                root = x._storage()
                bound = [self._find(b.source, arguments) for b in self.bindings]
                if any(tensor is root or tensor is x for tensor in bound):
                    raise Stale

    def _collect(self, arguments: list[Tensor]) -> None:
        found = []
        for position, sources, _ in self.inputs:
            node = self._find(sources[0], arguments).node
            for other in sources[1:]:  # bound to one node then, and now as well
                if self._find(other, arguments).node is not node:
                    raise Stale
            found.append((position, node))
        run(*[node for _, node in found])
        for position, node in found:
            self.values[position] = node.value

    def _draw(self) -> None:
        for i, (generator, name, args, kwargs, _) in enumerate(self.draws):
            array = getattr(generator, name)(*args, **kwargs)
            for position in self.drawn.get(i, ()):
                self.values[position] = array

    # ------------------------------------------------------------------ after
    def _bind(self, arguments: list[Tensor], outputs: Iterator[np.ndarray]) -> Any:
        for source, _, requires_grad in self.bindings:
            handle = self._find(source, arguments)
            node = new_leaf(handle._node, requires_grad, handle)
            node.value = next(outputs)
            handle._node = node
            handle._version += 1
        for owner, place in self.grad_bindings:
            handle = self._find(owner, arguments)
            if place is None:
                handle._grad = None
            else:
                node = new_leaf(handle._node, False, None)
                node.value = next(outputs)
                handle._grad = Tensor._from_node(node)
        made = [_made(like, next(outputs)) for _, like in self.storages]
        results = [self._returned(r, arguments, made) for r in self.results]
        return build(self.result_structure, iter(results))

    def _returned(self, result: Result, arguments: list[Tensor], made: list) -> Any:
        storage, views, is_number = result
        tensor = made[storage] if type(storage) is int else self._find(storage, arguments)
        if is_number:
            return tensor.item()
        for op, attrs in views:
            tensor = tensor._view(op, **attrs)
        return tensor


def _made(like: Node | None, value: np.ndarray) -> Any:
    """A new tensor; the array itself where only a number is wanted."""
    return value if like is None else Tensor._from_node(_finished(like, value))


def _finished(like: Node, value: np.ndarray) -> Node:
    """A node like one of the recording, whose history has been freed, with another value."""
    node = Node(like.op, (), like.attrs, like.spec, like.requires_grad, like.site, like.scope,
                like.depth)
    node.value, node.lost, node.freed = value, like.lost, like.freed
    return node
