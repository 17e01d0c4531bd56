"""`torch.compile`, under which a step keeps its meaning; there is no compiler yet."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any


def compile(model: Any = None, **options: Any) -> Any:
    """`model` itself: a function or module runs the same with or without it.

    PyTorch's options are accepted.  See https://pytorch.org/docs/stable/generated/torch.compile
    """
    if model is None:
        return lambda function: function
    return model


def _same(function: Callable | None = None, **options: Any) -> Callable:
    return function if function is not None else lambda f: f


compiler = SimpleNamespace(
    disable=_same, is_compiling=lambda: False, reset=lambda: None, allow_in_graph=_same
)
