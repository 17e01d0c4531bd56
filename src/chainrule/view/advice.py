"""What usually helps against a NaN, by where it came from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..graph import Node

_FORWARD = {
    "log": "log needs values above 0: clamp them, log(x.clamp(min=1e-12)), or let log_softmax, "
           "logsigmoid or binary_cross_entropy_with_logits take the logarithm",
    "sqrt": "sqrt needs values that are not negative: clamp them, sqrt(x.clamp(min=0))",
    "rsqrt": "rsqrt needs values above 0: rsqrt(x + eps)",
    "div": "add a small number to the denominator: x / (y + eps)",
    "reciprocal": "add a small number to the denominator: 1 / (x + eps)",
    "pow": "a negative number has only integer powers, and 0 none below 0",
    "power": "a negative number has only integer powers, and 0 none below 0",
    "exp": "exp overflows: subtract the maximum first, as softmax and logsumexp do",
    "acos": "acos needs values in [-1, 1]: clamp them",
    "asin": "asin needs values in [-1, 1]: clamp them",
    "atanh": "atanh needs values in (-1, 1): clamp them",
    "acosh": "acosh needs values from 1 on: clamp them",
    "log1p": "log1p needs values above -1: clamp them",
}
_BACKWARD = {
    "sqrt": "the slope of sqrt is infinite at 0: sqrt(x + eps)",
    "rsqrt": "the slope of rsqrt is infinite at 0: rsqrt(x + eps)",
    "power": "the slope of a power below 1 is infinite at 0: (x + eps) ** p",
    "pow": "the slope of a power below 1 is infinite at 0: (x + eps) ** p",
    "log": "the slope of log is infinite at 0: log(x + eps)",
    "div": "add a small number to the denominator: x / (y + eps)",
    "acos": "the slope of acos is infinite at -1 and 1: clamp inside of them",
    "asin": "the slope of asin is infinite at -1 and 1: clamp inside of them",
}


def advice(
    node: Node, maker: Node, phase: str, inputs: Sequence[Any], masked: Node | None,
    became: Node | None,
) -> str | None:
    """One sentence, or None where there is no rule of thumb."""
    if masked is not None:
        return (f"choose before the operation, not only after it: give {node.name} an input that "
                f"is safe where its result is not used, {node.name}(torch.where(mask, x, 1.0))")
    if not inputs and node.scope is not None and node.scope.label == "optimizer_step":
        return ("an update has made it, of finite gradients: lower the learning rate, or clip the "
                "gradients")
    if not inputs:
        return "look at where these values come from: torch.isfinite(x).all()"
    if maker.name == "div" and maker.scope is not None and maker.scope.label == "nll_loss":
        return "this is a mean of nothing: every target is ignored, or has the weight 0"
    if _is_masked_row(maker, inputs):
        return ("where everything along an axis is -inf, there is no softmax: leave at least one "
                "place unmasked, or mask the result")
    if maker.dtype.itemsize == 2 and all(i.there[-3:] not in ("nan", "inf") for i in inputs):
        most = {"float16": "65504", "bfloat16": "3.39e38"}[maker.dtype.name]
        if maker.name not in _FORWARD or maker.name == "exp":
            return f"{maker.dtype} ends at {most}: scale before, or compute this in float32"
    found = (_BACKWARD if phase == "backward" else _FORWARD).get(node.name)
    return found


def _is_masked_row(maker: Node, inputs: Sequence[Any]) -> bool:
    """Whether it is x - max(x) of nothing but -inf."""
    return maker.name == "sub" and all(i.there == f"{-np.inf:.6g}" for i in inputs)
