"""Graph -> graph: simplification, common subexpressions, batching.

No pass knows a device; each returns new nodes and leaves the old ones as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from .errors import GradError
from .graph import Node, is_pending, record, toposort
from .ops import elementwise as ew
from .ops import logic
from .ops import movement as mv
from .ops.movement import expand, reshape
from .ops.op import Op
from .scope import Frame, context


@contextmanager
def recorded_as(node: Node) -> Iterator[None]:
    """Record what follows where `node` was recorded, and without history if it has none."""
    saved = context.now
    context.now = _frame(saved, node)
    try:
        yield
    finally:
        context.now = saved


def _frame(saved: Frame, node: Node) -> Frame:
    return Frame(saved.grad_enabled and node.requires_grad, node.scope, node.site)


def rebuild(outputs: Sequence[Node], make: Callable[[Node, list[Node]], Node]) -> list[Node]:
    """Map every node that is still to be computed, inputs first; `make(node, new_inputs)`."""
    new: dict[Node, Node] = {}
    saved = context.now
    try:  # recorded_as, written out: a quarter of the time of a pass
        for node in toposort(outputs, enter=is_pending):
            context.now = _frame(saved, node)
            new[node] = make(node, [new.get(x, x) for x in node.inputs])
    finally:
        context.now = saved
    return [new.get(n, n) for n in outputs]


def again(node: Node, inputs: Sequence[Node]) -> Node:
    """The same application on other inputs; the node itself when nothing changed."""
    if all(a is b for a, b in zip(inputs, node.inputs)):
        return node
    return record(node.op, tuple(inputs), node.attrs, node.spec, node.op.differentiable)


def rewrite(outputs: Sequence[Node]) -> list[Node]:
    """Simplify, then compute equal things once.  Nodes that nothing needs fall away by
    themselves: what is not reached from the outputs is not part of the graph."""
    return share(simplify(outputs))


# --------------------------------------------------------------------------- simplify
def simplify(outputs: Sequence[Node]) -> list[Node]:
    """Remove what does nothing: x * 1, --x, reshape of reshape, detach, clone ...

    Only rules that keep every bit of the result: not x + 0, since -0.0 + 0 is 0.0.
    """
    return rebuild(outputs, _simpler)


def _simpler(node: Node, inputs: list[Node]) -> Node:
    rule = _RULES.get(node.op)
    found = rule(node, *inputs) if rule is not None else None
    return found if found is not None and found.spec is node.spec else again(node, inputs)


def _is_number(x: Node, number: float) -> bool:
    """Whether x is a constant of the graph; scalar leaves are arguments."""
    return x.op is ew.constant and x.attrs["value"] == number


def _one_factor(node: Node, a: Node, b: Node) -> Node | None:
    return a if _is_number(b, 1.0) else b if _is_number(a, 1.0) else None


def _by_one(node: Node, a: Node, b: Node) -> Node | None:
    return a if _is_number(b, 1.0) else None


def _pending(x: Node, op: Op) -> bool:
    """Whether x is an application of op that can be left out: it is not computed yet."""
    return x.op is op and x.value is None


def _twice(op: Op) -> Callable[[Node, Node], Node | None]:
    return lambda node, x: x.inputs[0] if _pending(x, op) else None


def _pass(node: Node, x: Node, *others: Node) -> Node:
    return x


def _cast(node: Node, x: Node) -> Node | None:
    return x if x.dtype is node.dtype else None


def _reshape(node: Node, x: Node) -> Node | None:
    if x.spec is node.spec:
        return x
    if _pending(x, reshape):
        inner = x.inputs[0]
        return inner if inner.spec is node.spec else reshape(inner, shape=node.shape)
    return None


def _permute(node: Node, x: Node) -> Node | None:
    axes = node.attrs["axes"]
    if axes == tuple(range(len(axes))):
        return x
    if _pending(x, mv.permute):
        inner = tuple(x.attrs["axes"][a] for a in axes)
        return x.inputs[0] if inner == tuple(range(len(inner))) else mv.permute(
            x.inputs[0], axes=inner)
    return None


def _whole(node: Node, x: Node) -> Node | None:
    return x if x.spec is node.spec else None


_RULES: dict = {
    ew.mul: _one_factor,
    ew.div: _by_one,
    ew.neg: _twice(ew.neg),
    logic.logical_not: _twice(logic.logical_not),
    ew.clone: _pass,
    ew.detach: _pass,
    ew.cast: _cast,
    expand: _whole,
    mv.slice_: _whole,
    reshape: _reshape,
    mv.permute: _permute,
    ew.reattach: lambda node, x, y: y if y.spec is node.spec else None,
}


# --------------------------------------------------------------------------- share
def share(outputs: Sequence[Node]) -> list[Node]:
    """Compute equal applications (same op, attrs and inputs) once."""
    known: dict[tuple, Node] = {}

    def make(node: Node, inputs: list[Node]) -> Node:
        key = (node.op, tuple(node.attrs.items()), tuple(inputs))
        return known.setdefault(key, again(node, inputs))

    return rebuild(outputs, make)


# --------------------------------------------------------------------------- batch
def batch(outputs: Sequence[Node], batched: Mapping[Node, Node]) -> list[tuple[Node, bool]]:
    """The graph of one example, for all examples at once.

    `batched` gives, for a node of one example, the node that holds all of them with a leading
    axis.  Each kind supplies its rule (`Op.batch`); what depends on no example stays as it is.
    The results come with a flag: whether they have the leading axis.
    """
    new: dict[Node, tuple[Node, bool]] = {k: (v, True) for k, v in batched.items()}
    # What has a value does not depend on an example: examples have none.
    for node in toposort(outputs, enter=lambda x: x not in batched and x.value is None):
        inputs = [new.get(x, (x, False)) for x in node.inputs]
        if any(flag for _, flag in inputs):
            new[node] = (_batched(node, inputs), True)
    return [new.get(n, (n, False)) for n in outputs]


def _batched(node: Node, inputs: list[tuple[Node, bool]]) -> Node:
    if node.op.batch is None:
        raise GradError(
            f"vmap requires ops with a batching rule, got {node.name}", site=node.where
        )
    with recorded_as(node):
        return node.op.batch([f for _, f in inputs], *[x for x, _ in inputs], **node.attrs)


def with_axis(node: Node, n: int) -> Node:
    """The node repeated n times along a new leading axis."""
    return expand(reshape(node, shape=(1, *node.shape)), shape=(n, *node.shape))
