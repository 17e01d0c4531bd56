"""One watched call as data: what goes into its graph, what comes out, what is bound anew.

Two recordings of a function agree when everything in them is equal but the values of tensors, of
random numbers and of the numbers that the framework manages.  Then a third need not be made.
"""

from __future__ import annotations

import re
import weakref
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..autodiff import is_leaf
from ..autograd.function import custom, once
from ..graph import COMPUTED, NO_ATTRS, Node
from ..handle import Handle
from ..scope import Site
from ..tensor import Tensor
from .survey import Survey
from .tree import constants, containers, flatten
from .watch import Call, Draw, Step, Watcher


class Source(NamedTuple):
    """Where a value from outside comes from: a tensor, the gradient of one, or an argument."""

    kind: str  # "tensor", "gradient" of a tensor, "argument"
    what: Any  # the tensor, or the position of the argument

    def same(self, other: Source) -> bool:
        if self.kind != other.kind:
            return False
        return self.what == other.what if type(self.what) is int else self.what is other.what


class Binding(NamedTuple):
    """What a call does to a tensor from outside: it gets the value of a node."""

    source: Source
    place: int
    requires_grad: bool


class GradBinding(NamedTuple):
    """What a call does to the gradient of a tensor: a new one, or (place None) none."""

    owner: Source
    place: int | None


class Result(NamedTuple):
    """A tensor or number that is returned, and how it is found or made."""

    storage: int | Source  # that of a new tensor (by its number), or of a tensor from outside
    views: tuple = ()  # the movement ops that lead from the storage to it
    is_number: bool = False


class Recording:
    """What a Watcher has noted, put in order."""

    def __init__(
        self, watcher: Watcher, survey: Survey, arguments: list[Tensor], structure: Any, result: Any
    ):
        self.watcher = watcher
        self.program: Any = None  # what computed the values of its outputs, if one did
        self.survey = survey
        self.structure = structure
        # An argument that Python can also reach otherwise is that tensor, always.
        self.pinned = [(i, x) for i, x in enumerate(arguments) if id(x) in survey.tensors]
        self.arguments = {
            id(x): i for i, x in enumerate(arguments) if id(x) not in survey.tensors
        }
        self.refusal = watcher.refusal or survey.refusal
        self._grad_owners = {
            id(grad): owner for owner, grad, _ in watcher.grads.values() if grad is not None
        }
        self._numbered: dict[tuple, int] = {}
        self._first: dict[Any, int] = {}  # of leaves that are one number: the first
        self._draws = {id(draw.array): i for i, draw in enumerate(watcher.draws)}
        self.sources: list[list[Source]] = self._find_sources()
        self.bindings = list(self._bindings())
        self._new_grads: dict[int, Tensor] = {}  # by id of the gradient: whose it is
        self.grad_bindings = list(self._grad_bindings())
        self.storages: list[tuple[int, Node | None]] = []  # of new results: place, how it looked
        self.result_structure, self.results = self._find_results(result)
        # What a number out of a tensor may have been made into, unseen, is another object in the
        # next recording.
        self.constants = list(constants(result)) if watcher.items else []
        if any(id(x) in survey.containers for x in containers(result)):
            self.refuse("it returns a list or dict that it also reaches otherwise")
        self.outputs = [
            *[b.place for b in self.bindings],
            *[g.place for g in self.grad_bindings if g.place is not None],
            *[place for place, _ in self.storages],
        ]
        self._same_values = self._find_same_values()
        self._check_draws()
        self._check_decisions()
        self._check_arguments(arguments)
        self.order = self._reach()
        self._check_sources()

    def refuse(self, reason: str) -> None:
        self.refusal = self.refusal or reason

    def release(self) -> None:
        """Let go of the values that it began with: it may wait long for one that agrees."""
        watcher = self.watcher
        watcher.outside = [_without_value(node) for node in watcher.outside]
        watcher.handles = {
            key: (handle, _without_value(node)) for key, (handle, node) in watcher.handles.items()}
        watcher.grads = {key: (owner, grad if grad is None else _GONE, is_read)
                         for key, (owner, grad, is_read) in watcher.grads.items()}

    # ------------------------------------------------------------------ what goes in
    def source_of(self, handle: Handle) -> Source:
        position = self.arguments.get(id(handle))
        if position is not None:
            return Source("argument", position)
        owner = self._grad_owners.get(id(handle))
        if owner is None:
            return Source("tensor", handle)
        position = self.arguments.get(id(owner))
        return Source("gradient", owner if position is None else position)

    def _find_sources(self) -> list[list[Source]]:
        """For each node from outside, the tensors that were bound to it."""
        holders: dict[Node, list[Source]] = {}
        for handle, node in self.watcher.handles.values():
            holders.setdefault(node, []).append(self.source_of(handle))
        return [holders.get(node, []) for node in self.watcher.outside]

    def _find_same_values(self) -> dict[int, int]:
        """The places of known arrays: a leaf made from one of them stands for that node."""
        found = {}
        for node, place in self.watcher.places.items():
            if node.value is not None and (place < 0 or node.op is not None):
                found[id(node.value)] = place
        return found | {key: place for key, (_, place) in self.watcher.taken_over.items()}

    def _reach(self) -> list[int]:
        """The places that the outputs depend on, inputs before users."""
        order: list[int] = []
        done: set[int] = set()
        stack = [self.resolve(p) for p in reversed(self.outputs)]
        while stack:
            place = stack[-1]
            if place in done:
                stack.pop()
                continue
            inputs = [] if place < 0 else self.inputs_of(place)
            waiting = [x for x in inputs if x not in done]
            if waiting:
                stack.extend(reversed(waiting))
            else:
                stack.pop()
                done.add(place)
                order.append(place)
        return order

    def inputs_of(self, place: int) -> list[int]:
        return [self.resolve(x) for x in self.watcher.tape[place].inputs]

    def resolve(self, place: int) -> int:
        """The place that holds the same value: gates of the user's own only add a derivative."""
        while place >= 0:
            step = self.watcher.tape[place]
            if step.op is None:
                same = self._same_values.get(id(step.node.value), place)
                if same == place:
                    return self._first.setdefault(self._identity(step, place), place)
                place = same
            elif step.op is custom or step.op is once:
                place = step.inputs[-1]
            else:
                break
        return place

    def _identity(self, step: Step, place: int) -> Any:
        """What numbers have in common that may be one leaf."""
        formula = self.number_of(step)
        if formula is not None:
            return step.spec, formula
        if step.node.value.shape or self.draw_of(step) is not None:
            return place
        return step.spec, step.node.value.tobytes()

    # ------------------------------------------------------------------ what comes out
    def _bindings(self) -> Iterator[Binding]:
        for handle, before in self.watcher.handles.values():
            node = handle.__dict__["_node"]
            if node is before or handle._base is not None:
                continue  # a view follows the tensor that it is a view of
            place = self.watcher.places.get(node)
            if place is None:
                continue  # bound by a call that is made in every step
            if node.requires_grad and not is_leaf(node):
                self.refuse(f"it leaves a tensor with a history, recorded at {node.where}")
            elif before.requires_grad != node.requires_grad or before.spec is not node.spec:
                self.refuse("it changes the shape, dtype or requires_grad of a tensor from outside")
            else:
                yield Binding(self.source_of(handle), place, node.requires_grad)

    def _grad_bindings(self) -> Iterator[GradBinding]:
        for owner, before, _ in self.watcher.grads.values():
            grad = owner.__dict__.get("_grad")
            if grad is before:
                continue
            source = self.source_of(owner)
            if grad is None:
                yield GradBinding(source, None)
            elif self.watcher.is_inside(grad) and not grad.node.requires_grad:
                self._new_grads[id(grad)] = owner
                yield GradBinding(source, self.watcher.places[grad.node])
            else:
                self.refuse("it sets a gradient that has a history or is another tensor")

    def _find_results(self, result: Any) -> tuple[Any, list[Result]]:
        leaves: list[Any] = []
        structure = flatten(result, leaves)
        return structure, [self._result(x) for x in leaves]

    def _result(self, leaf: Any) -> Result:
        if not isinstance(leaf, Tensor):
            _, node = self.watcher.items[id(leaf)]
            return Result(self._storage(None, node), is_number=True)
        root, views = leaf, []
        while root._base is not None and self.watcher.is_inside(root):
            views.append(root._step)
            root = root._base
        views.reverse()
        if id(root) in self._new_grads:
            owner = self.source_of(self._new_grads[id(root)])
            return Result(Source("gradient", owner.what), tuple(views))
        if not self.watcher.is_inside(root):
            return Result(self.source_of(root), tuple(views))
        node = root.node
        if node.requires_grad and not node.freed:
            self.refuse(f"it returns a tensor with a history, recorded at {node.where}")
        return Result(self._storage(root, node), tuple(views))

    def _storage(self, root: Tensor | None, node: Node) -> int:
        """The number of a new tensor among the results: the views of one share it."""
        key = (id(root), root is None)
        if root is None or key not in self._numbered:
            self._numbered[key] = len(self.storages)
            self.storages.append((self.watcher.places[node], None if root is None else node))
            return len(self.storages) - 1
        return self._numbered[key]

    def _check_sources(self) -> None:
        """What comes from outside must be the value of a tensor that Python would find again."""
        for place in self.order:
            if place >= 0:
                continue
            node, sources = self.watcher.outside[-place - 1], self.sources[-place - 1]
            if not sources:
                self.refuse(
                    f"it goes on with a value that no tensor holds, recorded at {node.where}"
                )
            elif any(s.kind == "tensor" and id(s.what) not in self.survey.storages
                     for s in sources):
                self.refuse(f"none of its variables leads to a tensor made at {node.where}")

    def _check_arguments(self, arguments: list[Tensor]) -> None:
        """An argument may not be a part of what is written to: the next one may be none."""
        bound = {id(b.source.what) for b in self.bindings if b.source.kind == "tensor"}
        bound |= {id(arguments[b.source.what]) for b in self.bindings
                  if b.source.kind == "argument"}
        if any(x._base is not None and id(x._storage()) in bound for x in arguments):
            self.refuse("it writes to a tensor that an argument is a view of")

    # ------------------------------------------------------------------ agreement
    def number_of(self, step: Step) -> str | None:
        """The formula of a leaf that is a managed number."""
        found = self.watcher.numbers.get(id(step.node.value))
        return None if found is None else found[1].formula

    def formula_at(self, place: int) -> str | None:
        return None if place < 0 else self.number_of(self.watcher.tape[place])

    def draw_of(self, step: Step) -> int | None:
        """Which draw made a leaf."""
        return self._draws.get(id(step.node.value))

    def _check_draws(self) -> None:
        """Every draw must have become a leaf as it is, needed or not, or be harmless."""
        leaves = {self.draw_of(s) for s in self.watcher.tape if s.op is None}
        for i, draw in enumerate(self.watcher.draws):
            if i not in leaves and draw.name not in ("manual_seed", "seed", "get_state"):
                self.refuse(f"it works on random numbers of {draw.name}() outside of the graph")

    def _check_decisions(self) -> None:
        """What is decided after a schedule has moved on comes too late to record instead."""
        first = self.watcher.first_call()
        for text in self.watcher.decisions:
            if any(int(k) > first for k in re.findall(r"\br(\d+)", text)):
                self.refuse("a schedule moves on before an optimizer has stepped")

    def difference(self, other: Recording) -> str | None:
        """Where two recordings do not agree, in words; None where they do."""
        if len(self.order) != len(other.order):
            return f"its graph has {len(self.order)} nodes in one recording and " \
                f"{len(other.order)} in the next"
        mine = {p: i for i, p in enumerate(self.order)}
        theirs = {p: i for i, p in enumerate(other.order)}
        for p, q in zip(self.order, other.order):
            if (p < 0) is not (q < 0):
                return "a tensor from outside is one that is made inside in the next recording"
            found = (
                self._other_source(other, p, q) if p < 0
                else self._other_step(other, p, q, mine, theirs)
            )
            if found:
                return found
        return self._other_effects(other, mine, theirs)

    def _other_source(self, other: Recording, p: int, q: int) -> str | None:
        ours, others = self.sources[-p - 1], other.sources[-q - 1]
        if len(ours) != len(others) or not all(a.same(b) for a, b in zip(ours, others)):
            return "another tensor from outside enters it"
        return None

    def _other_step(self, other: Recording, p: int, q: int, mine, theirs) -> str | None:
        a, b = self.watcher.tape[p], other.watcher.tape[q]
        where = f"at {Site(*a.site)}"
        if a.op is not b.op or a.spec is not b.spec:
            names = [f"{'leaf' if s.op is None else s.op.name} {s.spec!r}" for s in (a, b)]
            return f"{names[0]} {where} is {names[1]} in the next recording"
        if a.op is not None:
            if [mine[x] for x in self.inputs_of(p)] != [theirs[x] for x in other.inputs_of(q)]:
                return f"{a.op.name} {where} has other inputs in the next recording"
            return None if same_attrs(a.attrs, b.attrs) else \
                f"{a.op.name} {where} has other attributes in the next recording"
        if self.number_of(a) != other.number_of(b) or self.draw_of(a) != other.draw_of(b):
            return f"the leaf {where} has another origin in the next recording"
        if self.number_of(a) is None and self.draw_of(a) is None:
            if not same_bits(a.node.value, b.node.value):
                return f"{_shown(a.node.value)} {where} is {_shown(b.node.value)} in the next"
        return None

    def _other_effects(self, other: Recording, mine, theirs) -> str | None:
        def places(r: Recording, index: dict) -> list[int]:
            return [index[r.resolve(p)] for p in r.outputs]

        if places(self, mine) != places(other, theirs):
            return "its results are other nodes in the next recording"
        if len(self.bindings) != len(other.bindings) or not all(
            a.source.same(b.source) and a.requires_grad == b.requires_grad
            for a, b in zip(self.bindings, other.bindings)
        ):
            return "it writes to other tensors in the next recording"
        if len(self.grad_bindings) != len(other.grad_bindings) or not all(
            a.owner.same(b.owner) and (a.place is None) == (b.place is None)
            for a, b in zip(self.grad_bindings, other.grad_bindings)
        ):
            return "it sets other gradients in the next recording"
        if [(i, id(x)) for i, x in self.pinned] != [(i, id(x)) for i, x in other.pinned]:
            return "an argument is a tensor that it also reaches otherwise"
        if (
            self.result_structure != other.result_structure
            or not all(map(same_result, self.results, other.results))
            or len(self.constants) != len(other.constants)
            or not all(a is b for a, b in zip(self.constants, other.constants))
        ):
            return "it returns something else in the next recording"
        if not same_draws(self.watcher.draws, other.watcher.draws):
            return "it draws other random numbers in the next recording"
        if not same_actions(self.watcher.actions, other.watcher.actions):
            return "it reads other managed numbers in the next recording"
        if self.watcher.decisions != other.watcher.decisions:
            return "its managed numbers decide otherwise in the next recording"
        return None

    # ------------------------------------------------------------------ the graph
    def graph(self) -> tuple[list[Node], dict[int, Node]]:
        """(outputs, node at each place): the recorded graph once more, with nothing computed.

        A leaf has its recorded value if that is a constant, else none.
        """
        nodes: dict[int, Node] = {}
        for place in self.order:
            step = self.watcher.tape[place] if place >= 0 else None
            if step is None:
                old = self.watcher.outside[-place - 1]
                nodes[place] = _leaf(old.spec, old.site, old.scope)
            elif step.op is None:
                node = nodes[place] = _leaf(step.spec, step.site, step.scope)
                if self.number_of(step) is None and self.draw_of(step) is None:
                    node.value = step.node.value
            else:
                inputs = tuple([nodes[x] for x in self.inputs_of(place)])
                depth = 1 + max((x.depth for x in inputs), default=0)
                nodes[place] = Node(step.op, inputs, step.attrs, step.spec, False, step.site,
                                    step.scope, max(depth, 1))
        return [nodes[self.resolve(p)] for p in self.outputs], nodes


_GONE = object()  # a gradient that was there


def _without_value(like: Node) -> Node:
    node = _leaf(like.spec, like.site, like.scope)
    node.requires_grad = like.requires_grad
    return node


def _leaf(spec, site, scope) -> Node:
    return Node(None, (), NO_ATTRS, spec, False, site, scope, COMPUTED)


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return a is b or (a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes())


def same_attrs(a: dict, b: dict) -> bool:
    if a is b:
        return True
    if a.keys() != b.keys():
        return False
    return all(_same_attr(x, b[name]) for name, x in a.items())


def _same_attr(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return isinstance(a, np.ndarray) and isinstance(b, np.ndarray) and same_bits(a, b)
    return a is b or (type(a) is type(b) and repr(a) == repr(b) and a == b)


def same_draws(a: Sequence[Draw], b: Sequence[Draw]) -> bool:
    return len(a) == len(b) and all(
        x.generator is y.generator and x.name == y.name
        and same_attrs(dict(enumerate(x.args)), dict(enumerate(y.args)))
        and same_attrs(x.kwargs, y.kwargs)
        for x, y in zip(a, b)
    )


def same_result(a: Result, b: Result) -> bool:
    if isinstance(a.storage, Source) and isinstance(b.storage, Source):
        return a.storage.same(b.storage) and a.views == b.views
    return a == b


def same_actions(a: Sequence, b: Sequence) -> bool:
    return len(a) == len(b) and all(
        isinstance(x, Call) == isinstance(y, Call)
        and (not isinstance(x, Call) or (x.args == y.args and x.kwargs == y.kwargs))
        for x, y in zip(a, b)
    )


def _shown(value: np.ndarray) -> str:
    return f"the number {value.item():.6g}" if value.size == 1 else \
        f"a constant of shape {value.shape}"


def new_leaf(like: Node, requires_grad: bool, owner: Handle | None, value: np.ndarray) -> Node:
    """A leaf for a tensor that was bound to a node like this one."""
    node = Node(None, (), NO_ATTRS, like.spec, requires_grad, like.site, like.scope, COMPUTED)
    node.value = value
    if requires_grad and owner is not None:
        node.owner = weakref.ref(owner)
        node.hooks = owner._hooks
    return node
