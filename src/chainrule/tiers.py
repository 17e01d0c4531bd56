"""Which tier computes: the interpreter what is new, the jit what was seen before."""

from __future__ import annotations

from collections.abc import Callable

from . import config, interpreter, recognise
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


_WORTH = 64  # glances before the walk is compiled: a script without a loop does without
_glances = 0
_walkers: list[Callable | None] = []


def _walker() -> Callable | None:
    """The native walk, once there is a loop that it is worth compiling for."""
    global _glances
    if config.jit == "0" or config.anomaly or not _loaded or watching.watcher is not None:
        return None
    if not _walkers:
        _glances += 1
        if _glances < _WORTH:
            return None
        from .jit.walk import native_walk

        _walkers.append(native_walk())
    return _walkers[0]


interpreter.compiled = _compute
recognise.walker = _walker
