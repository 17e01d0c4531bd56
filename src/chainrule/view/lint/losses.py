"""Mistakes in what a loss is given: values that are squashed, no logarithms, or broadcast.

A class that is scored by values in [a, b] gets at most the share 1 / (1 + (C - 1) e^(a - b)) of the
probability, so that cross-entropy stays above

    log(1 + (C - 1) e^(a - b)),        for a sigmoid and C = 10:  log(1 + 9 / e) = 1.4612

and binary cross-entropy with logits z in [a, b] stays above  min over z of log(1 + e^z) - y z.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from ...graph import Node
from .bounds import Bounds, bounds_of
from .finding import Finding, finding
from .reading import Reading, entering, groups, innermost, origin, within

LEAST_FLOOR = 0.02  # a lower bound of a loss that is worth a word
_CROSS_ENTROPY = ("cross_entropy", "soft_cross_entropy")
_WITH_LOGITS = "binary_cross_entropy_with_logits"
_DISTANCES = ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")


def loss_rules(reading: Reading) -> Iterator[Finding]:
    """What is wrong with the inputs of the losses in a graph."""
    for scope, nodes in groups(reading, *_CROSS_ENTROPY):
        yield from _cross_entropy(reading, scope.label, nodes)
    for _, nodes in groups(reading, _WITH_LOGITS):
        yield from _binary(reading, nodes)
    for _, nodes in groups(reading, "nll_loss"):
        if within(nodes[0], *_CROSS_ENTROPY) is None:
            yield from _nll(reading, nodes)
    for _, nodes in groups(reading, "kl_div"):
        yield from _kl_div(reading, nodes)
    yield from _broadcast(reading)


# --------------------------------------------------------------------------- cross-entropy
def _cross_entropy(reading: Reading, label: str, nodes: list[Node]) -> Iterator[Finding]:
    inner = [n for n in nodes if within(n, "log_softmax") is not None]
    given = [x for x in entering(inner) if x.dtype.is_floating_point]
    if len(given) != 1 or not given[0].ndim:
        return
    (logits,), last = given, nodes[-1]
    classes = logits.shape[0 if logits.ndim == 1 else 1]
    if classes == 1:
        yield _single(reading, "cross_entropy", last, logits)
        return
    source = origin(logits)
    if within(source, "log_softmax") is not None and source.name == "sub":
        yield finding(
            "log_softmax twice", last.site,
            f"cross_entropy at {last.where} is given {reading.called(source)}, and takes "
            "log_softmax itself.",
            "log_softmax of log_softmax is itself: the loss is the same, and computed twice.",
            "hand cross_entropy the values before log_softmax, or keep it and use nll_loss.",
            (source, last))
        return
    bounds = bounds_of(logits)
    if bounds is not None:
        floor = math.log(1 + (classes - 1) * math.exp(-bounds.width))
        if floor > LEAST_FLOOR:
            yield _squashed(reading, last, bounds, classes, floor)


def _squashed(
    reading: Reading, last: Node, bounds: Bounds, classes: int, floor: float
) -> Finding:
    return finding(
        f"{bounds.what} before cross_entropy", last.site,
        f"cross_entropy at {last.where} is given {reading.called(bounds.by)}, as its {classes} "
        f"logits: they lie in [{bounds.low:g}, {bounds.high:g}].",
        f"Its softmax can then give the right class at most {math.exp(-floor):.3g} of the "
        f"probability: the loss cannot fall below log(1 + {classes - 1} e^-{bounds.width:g}) = "
        f"{floor!r}, and its gradient has to pass {bounds.what} as well.",
        f"hand cross_entropy the values before {bounds.what}: it takes log_softmax itself.",
        (bounds.by, last))


def _single(reading: Reading, name: str, last: Node, x: Node) -> Finding:
    return finding(
        "one class", last.site,
        f"{name} at {last.where} is given {tuple(x.shape)} logits: a single class.",
        "The softmax of one number is always 1: the loss is 0 and there is no gradient.",
        "for two classes from one number, use binary_cross_entropy_with_logits.", (x, last))


# --------------------------------------------------------------------------- two classes
def _binary(reading: Reading, nodes: list[Node]) -> Iterator[Finding]:
    given, last = entering(nodes), nodes[-1]
    for x in given:
        bounds = bounds_of(x) if x.requires_grad else None
        if bounds is None:
            continue
        targets = [t for t in given if t is not x and t.shape == x.shape and not t.requires_grad]
        floor = _binary_floor(bounds, reading.values.get(targets[0]) if targets else None)
        if floor > LEAST_FLOOR:
            yield finding(
                f"{bounds.what} before {_WITH_LOGITS}", last.site,
                f"{_WITH_LOGITS} at {last.where} is given {reading.called(bounds.by)}, as its "
                f"logits: they lie in [{bounds.low:g}, {bounds.high:g}].",
                f"It takes the sigmoid itself, so the probabilities lie between "
                f"{_sigmoid(bounds.low):.3g} and {_sigmoid(bounds.high):.3g}, and with these "
                f"targets the loss cannot fall below {floor:.4g} an element.",
                f"hand it the values before {bounds.what}.", (bounds.by, last))


def _binary_floor(bounds: Bounds, target: np.ndarray | None) -> float:
    """The mean over the targets of the least log(1 + e^z) - y z for z within the bounds."""
    y = np.array([0.0, 1.0]) if target is None else np.clip(target.astype(np.float64), 0, 1)
    with np.errstate(divide="ignore"):
        z = np.clip(np.log(y) - np.log1p(-y), bounds.low, bounds.high)
    return float((np.logaddexp(0, z) - y * z).mean()) if y.size else 0.0


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


# --------------------------------------------------------------------------- log-probabilities
def _nll(reading: Reading, nodes: list[Node]) -> Iterator[Finding]:
    last = nodes[-1]
    for x in entering(nodes):
        value = reading.values.get(x)
        if not x.requires_grad or value is None or not value.size:
            continue
        axis = 0 if x.ndim == 1 else 1
        totals = np.exp(np.minimum(value.astype(np.float64), 50)).sum(axis)
        if np.abs(totals - 1).max() <= 0.05:
            continue
        source = origin(x)
        probabilities = within(source, "softmax") is not None
        yield finding(
            "nll_loss without log-probabilities", last.site,
            f"nll_loss at {last.where} is given {reading.called(source)}: over the classes, e^x "
            f"adds up to between {totals.min():.3g} and {totals.max():.3g}, not to 1.",
            "nll_loss only picks -x[y]. " + (
                "Of probabilities that is not their logarithm: confident mistakes cost hardly more "
                "than others." if probabilities else
                "It falls without bound when all values grow, whatever the classes are."),
            "use log_softmax(x, dim=1) before nll_loss, or cross_entropy on the raw values.",
            (source, last))


def _kl_div(reading: Reading, nodes: list[Node]) -> Iterator[Finding]:
    last = nodes[-1]
    for x in entering(nodes):
        value = reading.values.get(x)
        if x.requires_grad and value is not None and value.size and value.max() > 1e-4:
            yield finding(
                "kl_div without log-probabilities", last.site,
                f"kl_div at {last.where} is given {reading.called(origin(x))}, up to "
                f"{value.max():.3g}: no logarithm of a probability is above 0.",
                "kl_div computes y (log y - x) with x as it is: it is no divergence then, and can "
                "be negative.",
                "hand it log_softmax(x, dim=1) first, and probabilities second.", (x, last))


# --------------------------------------------------------------------------- broadcasting
def _broadcast(reading: Reading) -> Iterator[Finding]:
    for node in reading.order:
        if node.name not in ("sub", "mul") or len(node.inputs) != 2:
            continue
        x, y = node.inputs
        if not _is_spread(x, y, node) or _is_meant(x, y, node):
            continue
        # A prediction and a target, or what weights it; and all is added up in the end.
        if x.requires_grad == y.requires_grad or not _adds_up(reading, node):
            continue
        name = innermost(node)
        what = f"{name or node.name} at {node.where}"
        yield finding(
            "broadcast loss", node.site,
            f"{what} takes {tuple(x.shape)} ({reading.called(origin(x))}) and {tuple(y.shape)} "
            f"({reading.called(origin(y))}): the result is {tuple(node.shape)}.",
            "Every element of one meets every element of the other, not only its own: " + (
                "it is best to predict the same for all." if node.name == "sub" else
                "after the mean, each is weighted by the mean of all."),
            "give both one shape: x.squeeze(-1), or y.unsqueeze(-1).",
            (x, y, node))


def _is_spread(x: Node, y: Node, out: Node) -> bool:
    """Whether the same numbers of elements, in other places, have become a table."""
    a, b, c = ([n for n in node.shape if n != 1] for node in (x, y, out))
    return a == b and len(c) > len(a) > 0


def _is_meant(x: Node, y: Node, out: Node) -> bool:
    """Whether the axis was put there on the line that broadcasts: s[:, None] - t."""
    if innermost(out) in _DISTANCES:
        return False
    return any(n.name == "reshape" and n.inputs and n.ndim > n.inputs[0].ndim
               and n.where.code is out.where.code and n.where.line == out.where.line
               for n in (x, y))


def _adds_up(reading: Reading, node: Node) -> bool:
    """Whether only operations on single elements come between here and a sum over all."""
    for _ in range(20):
        users = [u for u in reading.users[node] if u.requires_grad]
        if len(set(users)) != 1 or not node.requires_grad:
            return False
        user = users[0]
        if user.name == "sum":
            return user.ndim <= max(node.ndim - 2, 0)
        if user.op.kind != "elementwise" or user.shape != node.shape:
            return False
        node = user
    return False
