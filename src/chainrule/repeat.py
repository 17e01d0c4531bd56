"""Back-propagation through a graph like one before: found, and not recorded anew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from . import config, dtypes
from .autodiff import backpropagate, is_leaf
from .graph import Node
from .managed import watching
from .ops.op import ALL_OPS
from .template import Template

_MOST_PASSES = 1024
_MOST_NODES = 10_000  # of a graph worth remembering


class Pass(NamedTuple):
    """What a back-propagation has recorded; the numbers are places in the forward graph."""

    template: Template
    leaves: list[int]
    freed: list[int]


_passes: dict[tuple, Pass] = {}


def gradients_of(
    outputs: Sequence[Node], cotangents: Sequence[Node | None], free: bool
) -> dict[Node, Node]:
    """`backpropagate` to the leaves, without create_graph: their gradients are promised."""
    found = None if config.anomaly or watching.watcher is not None else _forward(outputs)
    if found is None or len(found[1]) > _MOST_NODES:
        return backpropagate(outputs, cotangents, free=free)
    key, order = found
    inputs = order
    full = (free, dtypes.default_dtype(), *key)
    if any(cotangents):
        inputs = list(dict.fromkeys([*order, *[ct for ct in cotangents if ct is not None]]))
        full += tuple([ct and (inputs.index(ct), ct.spec) for ct in cotangents])
    known = _passes.get(full)
    if known is None:
        cts = backpropagate(outputs, cotangents, free=free)
        known = _recorded(order, inputs, cts)
        if known is None:
            return cts
        if len(_passes) >= _MOST_PASSES:
            _passes.pop(next(iter(_passes)))
        _passes[full] = known
    for i in known.freed:
        node = order[i]
        node.freed = True
        if node.value is not None:
            node.inputs = ()
    results = known.template.call(inputs, order)
    return dict(zip([order[i] for i in known.leaves], results))


def _forward(outputs: Sequence[Node]) -> tuple[list, list[Node]] | None:
    """The key and the nodes of the tracked graph, the outputs first; None if its back-propagation
    may be another one each time, or an error."""
    order = list(dict.fromkeys(outputs))
    number = dict(zip(order, range(len(order))))
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
        put(node.op)
        if node.attrs:
            put(tuple(node.attrs.items()))
        for x in node.inputs:
            i = number.get(x)
            if i is None:
                number[x] = i = count
                count += 1
                push(x)
            put(i)
    return key, order


def _recorded(order: list[Node], inputs: list[Node], cts: dict[Node, Node]) -> Pass | None:
    """What was recorded; None if another time something else may be."""
    place = {n: i for i, n in enumerate(order)}
    leaves = [n for n in cts if n.owner is not None]
    template = Template(inputs, [cts[n] for n in leaves], order)
    ops = {n.op for n in order if n.requires_grad and not is_leaf(n)}
    ops.update(step.op for step in template.steps if step.op is not None)
    if not ops <= set(ALL_OPS) or any(s.op and s.value is not None for s in template.steps):
        return None
    return Pass(template, [place[n] for n in leaves], [place[n] for n in order if n.freed])
