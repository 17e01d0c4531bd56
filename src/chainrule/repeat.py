"""Back-propagation through a graph like one before: found, and not recorded anew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

from . import config, dtypes
from .autodiff import backpropagate, is_leaf
from .graph import Node
from .managed import watching
from .ops.op import ALL_OPS
from .recognise import BACKWARD, glance
from .template import Template, between

_MOST_PASSES = 2048  # each may be found by two keys
_MOST_NODES = 10_000  # of a graph worth remembering


class Pass(NamedTuple):
    """What a back-propagation has recorded; the numbers are places in the forward graph.

    What the forward graph itself only promises - a call in it - is recorded by the same template:
    for its derivative refers to what is inside of it.
    """

    template: Template
    leaves: list[int]
    freed: list[int]
    promised: list[int]


_passes: dict[tuple, Pass] = {}


def gradients_of(
    outputs: Sequence[Node], cotangents: Sequence[Node | None], free: bool
) -> dict[Node, Node]:
    """`backpropagate` to the leaves, without create_graph: their gradients are promised."""
    found = None if config.anomaly or watching.watcher is not None else _forward(outputs)
    if found is None or len(found[1]) > _MOST_NODES:
        return backpropagate(outputs, cotangents, free=free)
    key, order, calls = found
    inputs = order
    full = (free, dtypes.default_dtype(), *key)
    if any(cotangents):
        inputs = list(dict.fromkeys([*order, *[ct for ct in cotangents if ct is not None]]))
        full += tuple([ct and (inputs.index(ct), ct.spec) for ct in cotangents])
    origins = _origins(order, calls)
    known = _passes.get(full)
    if known is None:
        for call in calls:
            call.record()
        cts = backpropagate(outputs, cotangents, free=free)
        known = _recorded(order, inputs, origins, cts)
        if known is None:
            return cts
        _remember(full, known)
        if calls:
            return cts
    results = _promise(known, order, inputs, origins)
    return dict(zip([order[i] for i in known.leaves], results))


def _remember(key: tuple, known: Pass) -> None:
    if len(_passes) >= _MOST_PASSES:
        _passes.pop(next(iter(_passes)))
    _passes[key] = known


Found: TypeAlias = tuple[Pass, list[Node], list[Any]]  # a pass, and the nodes and calls it is for


def recognise(outputs: list[Node], free: bool) -> Found | None:
    """The pass through a graph like this from cotangents of ones, if there was one before."""
    seen = glance(outputs, BACKWARD)
    mark = (free, dtypes.default_dtype(), None if seen is None else seen.key)
    known = None if seen is None else _passes.get(mark)
    if seen is not None and known is not None:
        return known, seen.order, seen.calls
    found = _forward(outputs)
    if found is None:
        return None
    key, order, calls = found
    known = _passes.get((free, dtypes.default_dtype(), *key))
    if known is None:
        return None
    if seen is not None and seen.order == order and seen.calls == calls:
        _remember(mark, known)
    return known, order, calls


def promise_again(found: Found) -> list[Node]:
    """The gradients of the leaves, promised."""
    known, order, calls = found
    return _promise(known, order, order, _origins(order, calls))


def _promise(
    known: Pass, order: list[Node], inputs: list[Node], origins: Sequence[Any]
) -> list[Node]:
    for i in known.freed:
        node = order[i]
        node.freed = True
        if node.value is not None:
            node.inputs = ()
    promised: list[Any] = [order[i] for i in known.promised]
    return known.template.call(inputs, origins, promised)


def _origins(order: list[Node], calls: list[Any]) -> Sequence[Any]:
    """The calls in the place of what they have promised."""
    if not calls:
        return order
    known = set(calls)
    return [n.call if n.call in known and n.value is None else n for n in order]


def _forward(outputs: Sequence[Node]) -> tuple[list, list[Node], list[Any]] | None:
    """The key, the nodes and the calls of the tracked graph, the outputs first; None if its
    back-propagation may be another one each time, or an error."""
    order = list(dict.fromkeys(outputs))
    number: dict[Any, int] = dict(zip(order, range(len(order))))
    calls: dict[Any, int] = {}  # and how many results of each are in the graph
    count = len(order)
    key: list[Any] = [number[n] for n in outputs]
    push, put = order.append, key.append
    for node in order:  # which grows
        if node.hooks or node.freed:
            return None
        put(node.spec)
        if not node.requires_grad or node.owner is not None:
            put(node.requires_grad)
            continue
        call = node.call
        if call is None or node.value is not None:
            put(node.op)
            if node.attrs:
                put(tuple(node.attrs.items()))
            inputs = node.inputs
        else:
            put(node.place)  # type: ignore[attr-defined]
            calls[call] = calls.get(call, 0) + 1
            if call in number:
                put(number[call])
                continue
            number[call] = len(calls)
            put(call.template.structure)
            inputs = call.inputs
        for x in inputs:
            i = number.get(x)
            if i is None:
                number[x] = i = count
                count += 1
                push(x)
            put(i)
    for call, results in calls.items():
        if call.alive > results:  # somebody may ask for a result that is no part of this graph
            call.record()
            return _forward(outputs)
    return key, order, list(calls)


def _recorded(
    order: list[Node], inputs: list[Node], origins: Sequence[Any], cts: dict[Node, Node]
) -> Pass | None:
    """What was recorded; None if another time something else may be."""
    place = {n: i for i, n in enumerate(order)}
    leaves = [n for n in cts if n.owner is not None]
    promised = [n for n, origin in zip(order, origins) if n is not origin]
    known = [n for n in inputs if n not in set(promised)]
    results = [*[cts[n] for n in leaves], *promised]
    template = Template(known, results, origins)
    ops = {n.op for n in order if n.requires_grad and not is_leaf(n)}
    ops.update(step.op for step in template.steps if step.op is not None)
    if not ops <= set(ALL_OPS) or any(s.op and s.value is not None for s in template.steps):
        return None
    template.renumber([inputs.index(n) for n in known])
    # Nobody comes through a promise again if something within its call was freed.
    freed = {n for n in order if n.freed}.union(
        n for n in promised if any(x.freed for x in between(known, [n])))
    return Pass(template, [place[n] for n in leaves], [place[n] for n in order if n in freed],
                [place[n] for n in promised])
