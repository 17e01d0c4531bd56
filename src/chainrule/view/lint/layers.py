"""Layers that learn badly, seen in the real values: saturated, dead, symmetric, not numbers.

The slope of sigmoid is below 0.007 for |x| > 5, that of tanh below 0.01 for |x| > 3, that of relu
is 0 for x < 0: where this holds for most units and all examples, no gradient comes through.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...graph import Node, toposort
from .finding import Finding, finding
from .reading import Reading, innermost, is_layer

_EDGES = {"sigmoid": 5.0, "tanh": 3.0}  # where the slope is below a hundredth of its largest
_PLAIN = {"", "sigmoid", "tanh", "relu"}  # not inside of a gelu or an LSTM's gates
MOST = 0.9  # of the units
LEAST_EXAMPLES, LEAST_UNITS = 8, 4


def layer_rules(reading: Reading) -> Iterator[Finding]:
    """What is wrong with the values in a graph."""
    hidden = _before_layers(reading)
    for node in reading.order:
        if not node.requires_grad or node.op is None or innermost(node) not in _PLAIN:
            continue
        if node.name in _EDGES and node in hidden:
            yield from _saturated(reading, node)
        elif node.name == "relu":
            yield from _dead(reading, node)


def not_numbers(reading: Reading) -> Iterator[Finding]:
    """The first node that makes a NaN or an infinity, if the loss is one."""
    values = reading.values
    loss = values.get(reading.output)
    if loss is None or loss.dtype.kind != "f" or np.isfinite(loss).all():
        return
    for node in reading.order:
        value = values.get(node)
        if value is None or value.dtype.kind != "f" or not _is_spoilt(reading, node):
            continue
        given = [values[x] for x in node.inputs if x in values and values[x].size]
        ranges = ", ".join(f"[{v.min():.4g} .. {v.max():.4g}]" for v in given)
        what = f"from inputs in {ranges}" if node.inputs else "as a given value"
        infinite = _made_infinity(reading, node)
        if infinite is not None:
            what += f"; the infinity is from {reading.called(infinite)}"
        yield finding(
            "not a number", node.site,
            f"The loss is {float(loss.reshape(-1)[0]):g}. The first to be no finite number is "
            f"{reading.called(node)}, {what}.",
            "Every parameter that the loss depends on becomes NaN with the next step.",
            "keep its inputs where it is defined: a smaller learning rate, clip_grad_norm_, "
            "log_softmax for log(softmax(x)), x + 1e-8 below a logarithm or in a quotient.",
            (node, reading.output))
        return


def _is_spoilt(reading: Reading, node: Node) -> bool:
    """Whether a NaN (or, where the loss has none, an infinity) is here and in no input."""
    test = np.isnan if np.isnan(reading.values[reading.output]).any() else np.isinf

    def has(x: Node) -> bool:
        value = reading.values.get(x)
        return value is not None and value.dtype.kind == "f" and bool(test(value).any())

    return has(node) and not any(has(x) for x in node.inputs)


def _made_infinity(reading: Reading, node: Node) -> Node | None:
    """The first node that makes an infinity which this one is given."""
    def has(x: Node) -> bool:
        value = reading.values.get(x)
        return value is not None and value.dtype.kind == "f" and bool(np.isinf(value).any())

    return next((n for n in toposort([node]) if n is not node and has(n)
                 and not any(map(has, n.inputs))), None)


def _before_layers(reading: Reading) -> set[Node]:
    """The nodes that lead to a product with a parameter."""
    return {n for n in reading.order
            if any(reading.heights[u] > 0 or is_layer(u) for u in reading.users[n])}


def _saturated(reading: Reading, node: Node) -> Iterator[Finding]:
    x, edge = reading.values.get(node.inputs[0]), _EDGES[node.name]
    if x is None or x.size < LEAST_EXAMPLES * LEAST_UNITS:
        return
    share = float((np.abs(x) > edge).mean())
    if share >= MOST:
        yield finding(
            "saturated layer", node.site,
            f"{reading.called(node)}: {share:.0%} of its inputs are beyond +-{edge:g} (from "
            f"{x.min():.3g} to {x.max():.3g}).",
            f"There {node.name} is flat: next to no gradient reaches the layers before it.",
            "scale the inputs (to mean 0 and variance 1), use smaller initial weights or a "
            "normalisation layer, or relu.", (node,))


def _dead(reading: Reading, node: Node) -> Iterator[Finding]:
    y = reading.values.get(node)
    if y is None or y.ndim < 2 or not y.size:
        return
    # Of three axes the last or the middle one may hold the units.
    share = min(_silent(y, axis) for axis in {1, y.ndim - 1 if y.ndim == 3 else 1})
    if share >= MOST:
        yield finding(
            "dead units", node.site,
            f"{reading.called(node)}: {share:.0%} of its units are 0 for every example of the "
            "batch.",
            "relu is flat there: no gradient reaches their weights, and they stay dead.",
            "use a smaller learning rate or smaller initial weights, biases that are not negative, "
            "or leaky_relu.", (node,))


def _silent(y: np.ndarray, axis: int) -> float:
    """The share of units along `axis` that are 0 everywhere; 0 where there are too few to tell."""
    units = y.shape[axis]
    if units < LEAST_UNITS or y.size // units < LEAST_EXAMPLES:
        return 0.0
    return float((y == 0).all(tuple(i for i in range(y.ndim) if i != axis)).mean())
