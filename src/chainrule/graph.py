"""The graph: nodes, their order, their structure.  Knows no op.

A node is one recorded application of an op, or a leaf.  It never changes, but for its `value`,
which is computed when somebody asks (interpreter.py), and for what is let go once nobody can
need it any more: `inputs` when the value is known, and the right to be differentiated (`freed`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np

from . import config
from .dtypes import dtype, from_numpy
from .scope import Site, context, locate
from .shapes import Shape, Spec, size, spec


class Node:
    """One recorded application of an op (`op(*inputs, **attrs)`), or a leaf (`op` is None)."""

    __slots__ = (
        "op",  # ops.op.Op, or None for a leaf
        "inputs",  # the nodes the edges come from
        "attrs",  # static keyword data: axis, shape ...
        "spec",  # shape and dtype, known when recorded
        "requires_grad",  # a leaf upstream requires grad and grad mode was on
        "site",  # (code, instruction) of the user's line
        "scope",  # module path and composite function, or None
        "depth",  # how many values in a row are still to be computed below this one (Backlog)
        "value",  # NumPy array, or None while unknown
        "lost",  # why no gradient passes: (reason, site), or None
        "owner",  # weak reference to the leaf Tensor that gathers the gradient
        "hooks",  # functions of the cotangent, or None
        "freed",  # backward has passed and the graph below was let go
        "__weakref__",
    )

    def __init__(self, op, inputs, attrs, spec, requires_grad, site, scope, depth):
        self.op = op
        self.inputs = inputs
        self.attrs = attrs
        self.spec = spec
        self.requires_grad = requires_grad
        self.site = site
        self.scope = scope
        self.depth = depth
        self.value = None
        self.lost = None
        self.owner = None
        self.hooks = None
        self.freed = False

    call: Any = None  # what a node is a result of, if its inputs are not recorded yet: template.py

    @property
    def shape(self) -> Shape:
        return self.spec.shape

    @property
    def dtype(self) -> dtype:
        return self.spec.dtype

    @property
    def ndim(self) -> int:
        return len(self.spec.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the value, known or not."""
        return size(self.spec.shape) * self.spec.dtype.itemsize

    @property
    def name(self) -> str:
        return "leaf" if self.op is None else self.op.name

    @property
    def where(self) -> Site:
        """The line of the user's program that recorded this node."""
        return Site(*self.site)

    def __repr__(self) -> str:
        state = "" if self.value is None else f" = {_short(self.value)}"
        scope = f" in {self.scope.path}" if self.scope else ""
        return f"<{self.name} {self.spec!r}{state} at {self.where}{scope}>"


def _short(value: np.ndarray) -> str:
    return f"{value.item():.6g}" if value.size == 1 else f"array of {value.size}"


NO_ATTRS: dict[str, Any] = {}


class Backlog:
    """When what is recorded must be run, so that a loop which only accumulates holds no graphs.

    The depth of a node counts from a `floor` that sinks as data arrives.  So a node is deep when
    it waits for many others, or when much has come since the first that it waits for.
    """

    __slots__ = ("floor", "limit")

    def __init__(self):
        self.floor, self.limit = 0, config.MAX_PENDING_DEPTH

    def add(self, nbytes: int) -> None:
        """Count an array that may be kept for the sake of nodes that wait."""
        self.floor -= nbytes * config.MAX_PENDING_DEPTH // config.MAX_PENDING_BYTES
        self.limit = self.floor + config.MAX_PENDING_DEPTH


backlog = Backlog()
COMPUTED = -(1 << 62)  # the depth of a node with a value: below every floor


def leaf(value: Any, dtype: dtype | None = None, requires_grad: bool = False) -> Node:
    """A node with a value and no op.  An array is taken over, not copied: never write to it.

    >>> leaf(3.0).spec
    float64[]
    """
    array = np.asarray(value) if dtype is None else np.asarray(value, dtype.np)
    now = context.now
    found = spec(array.shape, dtype or from_numpy(array.dtype))
    node = Node(None, (), NO_ATTRS, found, requires_grad, now.site or locate(), now.scope, COMPUTED)
    node.value = array
    if array.nbytes > 4096:
        backlog.add(array.nbytes)
    return node


def record(op, inputs: tuple[Node, ...], attrs: dict, spec: Spec, differentiable=True) -> Node:
    """Append the node op(*inputs, **attrs).  Nothing is computed."""
    now = context.now
    tracked, depth = False, backlog.floor
    for x in inputs:
        if x.requires_grad:
            tracked = True
        if x.depth > depth:
            depth = x.depth
    smooth = differentiable and spec.dtype.is_floating_point
    requires = tracked and smooth and now.grad_enabled
    site = now.site or locate()
    node = Node(op, inputs, attrs, spec, requires, site, now.scope, depth + 1)
    if not requires:
        explain_loss(node, tracked, differentiable)
    return node


def explain_loss(node: Node, tracked: bool, differentiable: bool) -> None:
    """Remember on an untracked node why no gradient passes through it (`Tensor.why`)."""
    if tracked:
        if not node.spec.dtype.is_floating_point:
            reason = f"{node.name} gives {node.dtype} values"
        elif differentiable:
            reason = "recorded under no_grad()"
        else:
            reason = node.op.name + " stops gradients"
        node.lost = (reason, node.site)
    else:
        for x in node.inputs:
            if x.lost is not None:
                node.lost = x.lost
                return


is_tracked = attrgetter("requires_grad")


def is_pending(node: Node) -> bool:
    """Whether the value is still to be computed."""
    return node.value is None


def toposort(outputs: Iterable[Node], enter: Callable[[Node], bool] | None = None) -> list[Node]:
    """All nodes that `outputs` depend on, inputs before users.

    `enter(node)` False leaves out a node and what lies below it.  Iterative: graphs are deep.
    """
    order: list[Node] = []
    done: set[Node] = set()
    stack = [n for n in outputs if enter is None or enter(n)]
    stack.reverse()
    while stack:
        node = stack[-1]
        if node in done:
            stack.pop()
            continue
        waiting = [x for x in node.inputs if x not in done and (enter is None or enter(x))]
        if waiting:
            # Reversed, so that the first input comes first in the order.
            stack.extend(reversed(waiting))
        else:
            stack.pop()
            done.add(node)
            order.append(node)
    return order


def users(order: Iterable[Node]) -> dict[Node, list[Node]]:
    """For every node of `order`, the nodes of `order` that have it as an input."""
    found: dict[Node, list[Node]] = {n: [] for n in order}
    for n in found:
        for x in n.inputs:
            if x in found:
                found[x].append(n)
    return found


def structural_key(outputs: Iterable[Node]) -> tuple[tuple, list[Node]]:
    """What a compiled program depends on: op, attrs, shapes, dtypes and wiring of the part that
    is not computed yet, in canonical order - no identity, no value.  Returns (key, order); the
    order begins with the outputs.

    Two graphs with equal keys differ at most in the values of their leaves; a node with a value
    counts as a leaf, and what is promised (template.py) is named by the structure of its template.
    """
    found = survey(outputs)
    return found.key, found.order


class Survey(NamedTuple):
    """What is still to be computed of a graph, and the values that it starts from."""

    key: tuple
    order: list[Node]  # as met: the outputs first, then what they refer to
    pending: list[Node]  # the nodes of `order` without a value
    calls: list  # the template.Calls among them
    live: list[tuple]  # which of them can be differentiated: (number, of its inputs ...)
    inner: list  # the calls whose results can be: values of inside will be asked for


def survey(outputs: Iterable[Node]) -> Survey:
    """Walk the graph in canonical order, without recording what is promised."""
    outputs = list(outputs)
    order = list(dict.fromkeys(outputs))
    count = len(order)
    number: dict[Any, int] = dict(zip(order, range(count)))
    pending: list[Node] = []
    calls: list[Any] = []
    live: list[tuple] = []
    inner: dict[Any, None] = {}
    key: list[Any] = [count if count == len(outputs) else tuple([number[n] for n in outputs])]
    push, put, wait = order.append, key.append, pending.append
    for node in order:  # which grows
        if node.value is not None:
            put(node.spec)
            continue
        wait(node)
        call = node.call
        if call is None:
            put(node.op)
            put(node.spec)
            attrs = node.attrs
            if attrs:
                put(tuple(attrs.items()))
            inputs = node.inputs
            if node.requires_grad and not node.freed and node.owner is None:
                live.append((len(pending), *[(x.requires_grad, x.freed) for x in inputs]))
        else:
            put(node.place)  # type: ignore[attr-defined]
            if node.requires_grad and not node.freed and node.owner is None:
                inner[call] = None
            if call in number:
                put(number[call])
                continue
            number[call] = len(calls)
            calls.append(call)
            put(call.template.structure)
            inputs = call.inputs  # many
            new = [x for x in dict.fromkeys(inputs) if x not in number]
            number.update(zip(new, range(count, count + len(new))))
            count += len(new)
            order += new
            key += [number[x] for x in inputs]
            held = [known() for known in call.together]
            new = [x for x in held if x is not None and x not in number]
            number.update(zip(new, range(count, count + len(new))))
            count += len(new)
            order += new
            continue
        for x in inputs:
            i = number.get(x)
            if i is None:
                number[x] = i = count
                count += 1
                push(x)
            put(i)
    return Survey(tuple(key), order, pending, calls, live, list(inner))


def verify(outputs: Iterable[Node]) -> None:
    """Check every node's shape and dtype against its op's rule; raises AssertionError.

    Run after each pass that builds a graph from a graph.
    """
    for n in toposort(outputs):
        if n.op is None:
            assert n.value is not None, f"leaf without value: {n!r}"
        elif n.value is None or n.inputs:
            expected = n.op.infer(*n.inputs, **n.attrs)
            assert expected is n.spec, f"{n!r} must have {expected!r} by its op's rule"
        if n.value is not None:
            assert n.value.shape == n.shape, f"{n!r} has a value of shape {n.value.shape}"
            assert from_numpy(n.value.dtype) is n.dtype, f"{n!r} holds {n.value.dtype}"

