"""Which tier computes: the interpreter what is new, the jit what was seen before."""

from __future__ import annotations

from collections.abc import Callable

from . import config, interpreter
from .managed import watching

_loaded: list[Callable] = []  # to import again takes a microsecond


def _compute() -> Callable | None:
    """The jit's way to make programs, loaded when it is first wanted; None when it is off."""
    # What torch.compile watches becomes a program of its own soon.
    if config.jit == "0" or (config.jit == "auto" and watching.watcher is not None):
        return None
    if not _loaded:
        from .jit.tier import make

        _loaded.append(make)
    return _loaded[0]


interpreter.compiled = _compute
