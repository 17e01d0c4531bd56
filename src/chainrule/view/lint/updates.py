"""Sizes of gradients and updates: out of band, vanishing with depth, the same for every unit.

    ratio = |w_new - w_old| / |w_old|  over all weights of an optimizer; about 1e-3 is healthy.

A ratio alone is no mistake: it counts where the loss does not fall (too large), or where the rate
is not being scheduled (too small), and at several looks in a row.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...tensor import Tensor
from ..labels import norm
from .finding import Finding, finding, stand_in
from .reading import Reading

HIGH, LOW = 0.1, 1e-7
APART = 1e-5  # gradients of layers that differ by this factor
STEEP = 1e6  # |gradient| / |weight| beyond which hardly any learning rate is small enough
LEAST_LAYERS = 3  # between two weights that are compared
LOOKS = 3  # in a row
SMALLEST = 32  # numbers of a weight that is looked at
EARLY = 3  # steps before the ratio counts


@dataclass
class Before:
    """The weights of an optimizer before a step."""

    weights: list[tuple[Tensor, np.ndarray]]
    rates: tuple[Any, ...]


@dataclass
class Trend:
    """What the last looks at an optimizer's steps have shown."""

    first_rates: tuple[Any, ...] | None = None
    first_loss: float | None = None
    high: int = 0
    low: int = 0
    ratios: list[float] = field(default_factory=list)


def before(optimizer: Any) -> Before:
    """Copies of the weights, and the learning rates; biases and small tensors are left out."""
    weights = []
    for group in optimizer.param_groups:
        for p in group["params"]:
            value = p._node.value
            if value is not None and value.ndim > 1 and value.size >= SMALLEST:
                weights.append((p, value.astype(np.float64)))
    return Before(weights, tuple(group.get("lr") for group in optimizer.param_groups))


def ratio_of(old: Before) -> float | None:
    """|new - old| / |old| over all weights that a gradient has reached."""
    moved = size = 0.0
    for p, w in old.weights:
        new = p._node.value
        if new is None or p._grad is None or new.shape != w.shape:
            continue
        moved += float(np.square(new.astype(np.float64) - w).sum())
        size += float(np.square(w).sum())
    return math.sqrt(moved / size) if size > 0 and math.isfinite(moved) else None


def trend_rules(
    trend: Trend, old: Before, loss: float | None, name: str, step: int, site: Any
) -> Iterator[Finding]:
    """What is wrong with the size of the updates, once it is so for long enough."""
    ratio = ratio_of(old)
    if trend.first_rates is None:
        trend.first_rates, trend.first_loss = old.rates, loss
    if ratio is None or step < EARLY:
        return
    falls = loss is not None and trend.first_loss is not None and loss < 0.9 * trend.first_loss
    trend.high = trend.high + 1 if ratio > HIGH and not falls else 0
    constant = old.rates == trend.first_rates and all(_is_positive(r) for r in old.rates)
    trend.low = trend.low + 1 if ratio < LOW and constant and _has_gradient(old) else 0
    rates = ", ".join(dict.fromkeys(f"{float(r):g}" for r in old.rates if r is not None))
    if trend.high == LOOKS:
        yield finding(
            "learning rate too large", site,
            f"Every step of {name} (lr={rates}) at {site} changes the weights by {ratio:.2g} of "
            "their own size, and the loss is no smaller than it was.",
            "About 0.001 is healthy. Steps of this size jump over what they are to find.",
            "a smaller lr (by 10 or 100), or clip_grad_norm_.")
    if trend.low == LOOKS:
        yield finding(
            "learning rate too small", site,
            f"Every step of {name} (lr={rates}) at {site} changes the weights by only {ratio:.2g} "
            "of their own size.",
            "About 0.001 is healthy; below 6e-8 float32 does not change at all. So nothing is "
            "learned.", "a larger lr.")


def _is_positive(rate: Any) -> bool:
    return rate is not None and float(rate) > 0


def _has_gradient(old: Before) -> bool:
    return any(p._grad is not None and p._grad._node.value is not None
               and bool(p._grad._node.value.any()) for p, _ in old.weights)


# --------------------------------------------------------------------------- gradients by depth
@dataclass
class Depths:
    """The weights of a loss in the order of their use, and how many layers follow on each."""

    weights: list[tuple[Tensor, int]]
    site: Any


def depths_of(reading: Reading) -> Depths:
    found = [(n.owner(), reading.heights[n]) for n in reading.leaves() if n.ndim > 1]
    return Depths([(p, h) for p, h in found if p is not None], reading.output.site)


def depth_rules(
    depths: Depths, gradients: dict[int, np.ndarray], names: dict[int, str]
) -> Iterator[Finding]:
    """Gradients that differ by orders of magnitude from layer to layer, or not from unit to unit.

    `gradients`: by id of the parameter.
    """
    sizes = [(p, height, float(np.linalg.norm(gradients[id(p)].astype(np.float64))))
             for p, height in depths.weights if id(p) in gradients]
    if not sizes or not all(math.isfinite(s) for _, _, s in sizes):
        return
    yield from _by_depth(sizes, depths.site, names)
    for p, height, _ in sizes:
        if height > 1 and _is_symmetric(p, gradients[id(p)]):
            yield finding(
                "equal units", p._node.site,
                f"All {p.shape[0]} units of {_called(p, names)} have the same weights, and the "
                "same gradient.",
                "They stay equal for ever: a layer of equal units computes what one unit does.",
                "initialise the weight at random, as nn.Linear does; only biases may be constant.",
                [stand_in(p._node)])


def _by_depth(
    sizes: list[tuple[Tensor, int, float]], site: Any, names: dict[int, str]
) -> Iterator[Finding]:
    near = min(sizes, key=lambda s: s[1])
    far = max(sizes, key=lambda s: s[1])
    steep = [(p, g, g / w) for p, _, g in sizes if (w := _size(p)) and g / w > STEEP]
    if len(steep) == len(sizes):
        p, g, ratio = steep[0]
        yield finding(
            "exploding gradients", site,
            f"The gradient of {_called(p, names)} has the norm {g:.2g}, {ratio:.2g} times that of "
            "the weight itself, and it is so in all layers.",
            "A step of any usual learning rate throws the weights far away.",
            "initial weights of variance 2 / inputs, normalisation layers, inputs and targets of "
            "variance 1; or clip_grad_norm_.", [stand_in(p._node)])
    if far[1] - near[1] < LEAST_LAYERS or near[2] == 0:
        return
    ratio = far[2] / near[2]
    if APART < ratio < 1 / APART:
        return
    word = "vanishing" if ratio < 1 else "exploding"
    yield finding(
        f"{word} gradients", site,
        f"The gradient of {_called(far[0], names)} has the norm {far[2]:.2g}, that of "
        f"{_called(near[0], names)}, {far[1] - near[1]} layers later, {near[2]:.2g}: a factor of "
        f"{ratio:.1g}.",
        "With one learning rate for all, " + (
            "the first layers learn nothing." if ratio < 1 else "the first layers jump about."),
        "relu in the place of sigmoid or tanh, initial weights of variance 2 / inputs, "
        "normalisation layers, residual connections; or clip_grad_norm_ where they explode.",
        [stand_in(far[0]._node), stand_in(near[0]._node)])


def _size(p: Tensor) -> float:
    value = p._node.value
    return 0.0 if value is None else norm(value)


def _is_symmetric(p: Tensor, gradient: np.ndarray) -> bool:
    value = p._node.value
    if value is None or p.ndim != 2 or p.shape[0] < 2:
        return False
    return bool((value == value[:1]).all()) and bool((gradient == gradient[:1]).all())


def _called(p: Tensor, names: dict[int, str]) -> str:
    return names.get(id(p)) or f"a weight of shape {tuple(p.shape)}"


