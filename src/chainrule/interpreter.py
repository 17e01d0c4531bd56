"""The NumPy tier: runs a graph node by node.  It is the definition of what every op means."""

from __future__ import annotations

import sys
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import TypeAlias

import numpy as np

from . import config
from .autodiff import saved_by
from .errors import AnomalyError, ChainruleError
from .graph import COMPUTED, Node, Survey, backlog, is_pending, leaf, survey, toposort
from .holders import out_of_memory
from .memo import Memo
from .ops.op import ALL_OPS
from .recognise import RUN, Mark, glance
from .scope import context, enter

_running = threading.RLock()


def run(*outputs: Node) -> list[np.ndarray]:
    """Compute the values of `outputs` and keep those that somebody can still ask for.

    Kept are the outputs, what a handle or another graph still refers to, and the values that a
    coming backward pass needs; everything else is dropped as soon as its last user is computed.
    """
    pending = [n for n in outputs if n.value is None]
    if pending:
        # One thread at a time: a run lets go of edges that another one would still follow.
        with _running:
            # Each once: what was also written in place is no other graph.
            if _later:
                pending += _held()
            pending = [n for n in dict.fromkeys(pending) if n.value is None]
            if pending:
                _run(pending)
    return [n.value for n in outputs]


_later: list[weakref.ref[Node]] = []


def run_later(*nodes: Node) -> None:
    """Compute these together with whatever is run next, if somebody still holds them then."""
    for node in nodes:
        if node.value is None:
            _later.append(weakref.ref(node))


def _held() -> list[Node]:
    found = []
    while _later:
        node = _later.pop()()
        if node is not None:
            found.append(node)
    return found


def kept(*outputs: Node) -> list[Node]:
    """The nodes that `run(*outputs)` would give values to, were it called now."""
    for call in survey(outputs).calls:
        call.record()
    found = survey(outputs)
    plan = _plan(found, list(outputs), _references(found.pending), ())
    return [found.order[i] for i in plan.wanted]


def evaluate(node: Node, inputs: Sequence[np.ndarray]) -> np.ndarray:
    """The value of one node from the values of its inputs."""
    try:
        value = node.op.eval(*inputs, **node.attrs)
    except ChainruleError as error:
        raise _relocated(error, node) from None
    except MemoryError as error:
        raise out_of_memory(node.name, node.nbytes, node, error) from None
    if type(value) is not np.ndarray:
        value = np.asarray(value)
    if config.anomaly:
        _check_nan(node, value, inputs)
    return value


def span(value: np.ndarray) -> str:
    """The range of the elements, as text: `[0 .. 3]`."""
    return f"[{value.min():.6g} .. {value.max():.6g}]"


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
        ranges = ", ".join(span(v) for v in inputs if v.size)
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


_plans = Memo(4096, 1_000_000)
_MOST_NODES = 10_000  # of a graph whose plan is worth remembering
_depth = attrgetter("depth")


def _run(outputs: list[Node]) -> None:
    # Shallow first: what only they need is dropped before the deep ones are begun.
    outputs.sort(key=_depth)
    seen = glance(outputs, RUN)
    plan = None if seen is None else _plans.get(seen.key)
    if seen is not None and plan is not None and plan.program is not None:
        order, calls = seen.order, seen.calls
    else:
        mark = None if seen is None else seen.mark()
        del seen  # it refers to nodes, and references are counted
        plan, found = _planned(outputs, mark)
        _choose_tier(plan, found)
        order, calls = found.order, found.calls
    backlog.add(plan.nbytes)
    _compute(plan, order)
    for call in calls:
        call.release()
    for i in plan.freed:
        order[i].freed = True
    for i in plan.released:
        order[i].inputs = ()


def _planned(outputs: list[Node], mark: Mark | None) -> tuple[Plan, Survey]:
    """The plan for a graph, to be remembered by its mark too."""
    while True:
        found = survey(outputs)
        plan = _plan_for(found, outputs, mark)
        if plan is not None:
            return plan, found
        mark = None
        del found


def _plan_for(found: Survey, outputs: list[Node], mark: Mark | None) -> Plan | None:
    """The plan; None if calls had to be recorded, so that the graph is another one now."""
    calls, plan = found.inner, None  # a coming backward pass needs values from inside of these
    if not calls:
        counts, call_counts = _references(found.pending), _references(found.calls)
        key = (found.key, counts, call_counts, *found.live)
        plan = _plans.get(key)
        if plan is None:
            plan = _plan(found, outputs, counts, call_counts)
            _remember(key, plan, found)
        calls = [found.calls[i] for i in plan.outside]
        if mark is not None and not calls and key in _plans and mark.is_of(found.order):
            _plans.remember(mark.key, mark.parts, plan)
    for call in calls:
        call.record()
    return None if calls else plan


def _remember(key: tuple, plan: Plan, found: Survey) -> None:
    known = set(ALL_OPS)  # others hold functions of the user's in their attrs, each time new ones
    if len(found.order) <= _MOST_NODES and all(n.call or n.op in known for n in found.pending):
        _plans.remember(key, found.key, plan)


def _choose_tier(plan: Plan, found: Survey) -> None:
    """Give the plan a program, if the compiled tier shall run it and has one."""
    make = None if config.anomaly else compiled()
    if make is None:
        plan.program = None
    elif plan.program is None:
        plan.program = make(found.key, found.order, plan.wanted)


def _compute(plan: Plan, order: list[Node]) -> None:
    """Give the wanted nodes their values."""
    values = None if plan.program is None else plan.program(order)
    if values is None:
        _interpret([order[i] for i in plan.wanted])
    else:
        for i, value in zip(plan.wanted, values):
            node = order[i]
            node.value = value
            node.depth = COMPUTED


def compiled() -> Callable | None:
    """How the compiled tier makes a program for a survey's key and order, and the places of the
    wanted nodes: a function of another such order that gives their values, or None.

    Set from above, since no tier knows the other.
    """
    return None


def _interpret(wanted: list[Node]) -> None:
    order = toposort(sorted(wanted, key=_depth), enter=is_pending)
    waiting = count_users(order)
    keep = set(wanted)
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


def count_users(order: list[Node]) -> dict[Node, int]:
    """How many edges lead from each node of `order` to another one of it."""
    count = dict.fromkeys(order, 0)
    for node in order:
        for x in node.inputs:
            if x in count:
                count[x] += 1
    return count


# --------------------------------------------------------------------------- plans
@dataclass(slots=True)
class Plan:
    """What is to be done with the values of a graph like one before.

    It follows from the key of the graph, from what can be differentiated, and from how often each
    node is referred to.  The numbers are places in the survey's order, or among its calls.
    """

    wanted: list[int]
    outside: list[int]  # calls with results that are no part of this run, but may be of another
    freed: list[int]
    released: list[int]
    nbytes: int  # of the values that are kept since somebody refers to them
    program: Callable | None = None


def _plan(found: Survey, outputs: list[Node], counts: Counts, call_counts: Counts) -> Plan:
    users = Counter(x for n in found.pending if n.call is None for x in n.inputs)
    users.update(x for call in found.calls for x in call.inputs)
    results = Counter(n.call for n in found.pending)
    keep = set(outputs)
    for node in found.pending:
        if is_live(node):
            keep.update(saved_by(node))
    nbytes = 0
    # A node that is referred to from outside of this run (a handle, another graph) keeps its
    # value: whoever refers to it may ask.  Reference counts tell, without a table of handles.
    for node, count in zip(found.pending, counts):
        if count > _UNREFERRED + 1 + users[node]:  # 1: two lists of the survey hold it
            keep.add(node)
            nbytes += node.nbytes
    outside = [i for i, count in enumerate(call_counts)
               if count > _UNREFERRED + results[found.calls[i]]]
    wanted = [i for i, n in enumerate(found.order) if n in keep and n.value is None]
    return Plan(wanted, outside, *_settled(found.order, keep), nbytes)


def _settled(order: list[Node], known: set[Node]) -> tuple[list[int], list[int]]:
    """What nobody can need any more once these are known: the right to be differentiated where
    every path to a leaf has been freed, and inputs."""
    freed: dict[Node, int] = {}
    released = []
    pending = [(node.depth, i) for i, node in enumerate(order) if node.value is None]
    for _, i in sorted(pending):  # inputs before users
        node = order[i]
        if is_live(node):
            below = [x.freed or x in freed for x in node.inputs if x.requires_grad]
            if below and all(below):
                freed[node] = i
        if node in known and (not is_live(node) or node in freed):
            released.append(i)
    return list(freed.values()), released


def is_live(node: Node) -> bool:
    """Whether a backward pass may come through this node."""
    return node.requires_grad and not node.freed and node.owner is None and node.op is not None


Counts: TypeAlias = tuple[int, ...]


def _references(objects: list) -> Counts:
    return tuple(map(sys.getrefcount, objects))


# What _references counts for what only its list refers to.
(_UNREFERRED,) = _references([leaf(0.0)])
