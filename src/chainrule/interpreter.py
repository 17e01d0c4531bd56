"""The NumPy tier: runs a graph node by node.  It is the definition of what every op means."""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Callable, Sequence

import numpy as np

from . import config
from .autodiff import is_leaf, release, saved_by, spent
from .errors import AnomalyError, ChainruleError
from .graph import COMPUTED, Node, backlog, is_pending, leaf, structural_key, toposort
from .scope import context, enter

_running = threading.RLock()


def run(*outputs: Node) -> list[np.ndarray]:
    """Compute the values of `outputs` and keep those that somebody can still ask for.

    Kept are the outputs, what a handle or another graph still refers to, and the values that a
    coming backward pass needs; everything else is dropped as soon as its last user is computed.
    """
    if any(n.value is None for n in outputs):
        # One thread at a time: a run lets go of edges that another one would still follow.
        with _running:
            pending = [n for n in (*outputs, *_held()) if n.value is None]
            if pending:
                _run(pending)
    return [n.value for n in outputs]


_later: list[weakref.ref[Node]] = []


def run_later(*nodes: Node) -> None:
    """Compute these together with whatever is run next, if somebody still holds them then."""
    _later.extend(weakref.ref(n) for n in nodes if n.value is None)


def _held() -> list[Node]:
    found = []
    while _later:
        node = _later.pop()()
        if node is not None:
            found.append(node)
    return found


def evaluate(node: Node, inputs: Sequence[np.ndarray]) -> np.ndarray:
    """The value of one node from the values of its inputs."""
    try:
        value = node.op.eval(*inputs, **node.attrs)
    except ChainruleError as error:
        raise _relocated(error, node) from None
    if type(value) is not np.ndarray:
        value = np.asarray(value)
    if config.anomaly:
        _check_nan(node, value, inputs)
    return value


def _has_nan(value: np.ndarray) -> bool:
    return value.dtype.kind in "fV" and bool(np.isnan(value).any())


def _check_nan(node: Node, value: np.ndarray, inputs: Sequence[np.ndarray]) -> None:
    """Raise AnomalyError at the first node that makes, or is given, a NaN."""
    if not _has_nan(value):
        return
    given = [x for x, v in zip(node.inputs, inputs) if _has_nan(v)]
    if given and given[0].op is None:
        message = f"{node.name} requires inputs without NaN, got data with NaN from " \
            f"{given[0].where}"
    else:
        ranges = ", ".join(f"[{v.min():.6g} .. {v.max():.6g}]" for v in inputs if v.size)
        message = f"{node.name} requires a result without NaN, got NaN from inputs in {ranges}"
    raise _relocated(AnomalyError(message), node)


def _relocated(error: ChainruleError, node: Node) -> ChainruleError:
    """The same error, naming the line that recorded the node and not the one that needed it."""
    saved = context.now
    enter(node.scope, node.site)
    try:
        message, _, rest = str(error).partition("\n  recorded at ")
        _, _, hint = rest.partition("\n  hint: ")
        return type(error)(message, hint=hint or None)
    finally:
        context.now = saved


def _run(outputs: list[Node]) -> None:
    # Shallow first: what only they need is dropped before the deep ones are begun.
    outputs = sorted(outputs, key=lambda n: n.depth)
    compute = None if config.anomaly else compiled()
    if compute is None:
        order = toposort(outputs, enter=is_pending)
        everything, key = order, None
    else:
        key, everything = structural_key(outputs)
        order = [n for n in everything if n.value is None]
    waiting = _count_users(order)
    keep = _kept(order, outputs, waiting, 1 if everything is order else 2)
    if compute is None or not _computed(compute, key, everything, keep):
        _interpret(order, waiting, keep)
    for node in order:
        _settle(node)


def _computed(compute, key, order: list[Node], keep: set[Node]) -> bool:
    """Let the compiled tier compute what is kept, if it has or makes a program for it."""
    wanted = [n for n in order if n in keep]
    values = compute(key, order, wanted)
    if values is None:
        return False
    for node, value in zip(wanted, values):
        node.value = value
        node.depth = COMPUTED
    return True


def compiled():
    """The compiled tier's `compute`, or None: set from above, since no tier knows the other."""
    return None


def _interpret(order: list[Node], waiting: dict[Node, int], keep: set[Node]) -> None:
    values: dict[Node, np.ndarray] = {}
    with np.errstate(all="ignore"):
        for node in order:
            inputs = [x.value if x.value is not None else values[x] for x in node.inputs]
            value = evaluate(node, inputs)
            if node in keep:
                node.value = value
                node.depth = COMPUTED
            else:
                values[node] = value
            for x in node.inputs:
                if x in values:
                    waiting[x] -= 1
                    if not waiting[x]:
                        del values[x]


def _count_users(order: list[Node]) -> dict[Node, int]:
    count = dict.fromkeys(order, 0)
    for node in order:
        for x in node.inputs:
            if x in count:
                count[x] += 1
    return count


def _kept(
    order: list[Node], outputs: list[Node], users: dict[Node, int], lists: int
) -> set[Node]:
    keep = set(outputs)
    for node in order:
        if node.requires_grad and not node.freed and not is_leaf(node):
            keep.update(saved_by(node))
    # A node that is referred to from outside of this run (a handle, another graph) keeps its
    # value: whoever refers to it may ask.  Reference counts tell, without a table of handles.
    for node, found in zip(order, _references(order)):
        # Our own: in one or two lists, as a key of users, as an input of those users, in keep.
        if found > _UNREFERRED + lists + users[node] + (node in keep):
            keep.add(node)
            backlog.add(node.nbytes)
    return keep


def _references(nodes: list[Node]) -> list[int]:
    return [sys.getrefcount(node) for node in nodes]


# What _references counts for a node that nobody but its argument refers to.
(_UNREFERRED,) = _references([leaf(0.0)])


def _settle(node: Node) -> None:
    """Let go of what nobody can need any more."""
    if node.requires_grad and not node.freed and not is_leaf(node):
        node.freed = spent(node)
    release(node)
