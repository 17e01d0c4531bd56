"""Which tier computes: the interpreter what is new, the jit what was seen before."""

from __future__ import annotations

from collections.abc import Callable

from . import config, interpreter


def _compute() -> Callable | None:
    """The jit's way to make programs, loaded when it is first wanted; None when it is off."""
    if config.jit == "0":
        return None
    from .jit.tier import make

    return make


interpreter.compiled = _compute
