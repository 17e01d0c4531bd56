"""`torch.compile` and what it makes of a function."""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable
from types import MethodType, SimpleNamespace
from typing import Any

from .. import config
from ..managed import Managed, watching
from ..nn.module import Module
from ..tensor import Tensor
from ..warning import warn
from .recording import Recording
from .replay import MISS, Replay
from .survey import Survey
from .tree import build, flatten, opaque
from .watch import watched

MOST_PROGRAMS = 16  # of one function: argument shapes, modes, values of Python's numbers
PATIENCE = 8  # recordings in a row that agree with none before


class Compiled:
    """A function that skips recording where it may.  See `compile`."""

    def __init__(self, function: Callable):
        functools.update_wrapper(self, function)
        self._function = function
        self._replays: list[Replay] = []
        self._last: list[tuple[Recording, Survey]] = []  # the last recording of each structure
        self._lock = threading.RLock()
        self._fruitless = 0
        self._is_warned = False

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if watching.watcher is not None or watching.mapped:
            return self._function(*args, **kwargs)
        arguments: list[Tensor] = []
        structure = flatten((args, kwargs), arguments) if args or kwargs else ()
        with self._lock:
            for i, replay in enumerate(self._replays):
                result = replay(structure, arguments)
                if result is not MISS:
                    if i:
                        self._replays.insert(0, self._replays.pop(i))
                    return result
            if self._fruitless >= PATIENCE or config.anomaly or sys.getprofile() is not None:
                return self._function(*args, **kwargs)
            return self._record(args, kwargs, structure, arguments)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else MethodType(self, instance)

    def _record(self, args, kwargs, structure: Any, arguments: list[Tensor]) -> Any:
        before = self._recorded_before(structure)
        moved = None if before is None else before[1].changed()
        with watched() as watcher:
            result = self._function(*args, **kwargs)
        recording = Recording(watcher, arguments, structure, result)
        leaves: list[Any] = []
        structure_of_result = flatten(result, leaves)
        if any(isinstance(x, Managed) for x in leaves):
            plain = [x.plain() if isinstance(x, Managed) else x for x in leaves]
            result = build(structure_of_result, iter(plain))
        roots = [(self.__name__, self._function)]
        roots += [("an argument", x) for x in opaque(structure)]
        survey = Survey(roots, watcher.codes)
        self._settle(before, recording, survey, moved)
        return result

    def _recorded_before(self, structure: Any) -> tuple[Recording, Survey] | None:
        for pair in self._last:
            if pair[0].structure == structure:
                self._last.remove(pair)
                return pair
        return None

    def _settle(self, before, recording: Recording, survey: Survey, moved: str | None) -> None:
        """Make a replay of two recordings that agree, or remember this one and why not."""
        reason = recording.refusal or survey.refusal
        if reason is None and before is not None:
            reason = moved or before[1].changed() or before[0].difference(recording)
            if reason is None and not before[1].same(survey):
                reason = "it looks at other things in the next recording"
            if reason is None:
                self._fruitless = 0
                self._replays.insert(0, Replay(recording, survey, self._function))
                del self._replays[MOST_PROGRAMS:]
                return
        if reason is not None:
            self._fruitless += 1
            if self._fruitless > 1 and not self._is_warned:
                self._is_warned = True
                warn(f"{self.__name__} is recorded in every call, since {reason}")
        self._last.append((recording, survey))
        del self._last[:-MOST_PROGRAMS]


def compile(model: Any = None, **options: Any) -> Any:
    """A function or module that does the same, without recording it in every call where possible.

    >>> import chainrule as torch
    >>> f = torch.compile(lambda x: torch.sigmoid(2 * x + 1).sum())
    >>> [round(f(torch.tensor([x])).item(), 4) for x in (0.0, 1.0, 2.0)]
    [0.7311, 0.9526, 0.9933]
    """
    if model is None:
        return compile
    if isinstance(model, (Module, Compiled)):
        return model
    return Compiled(model)


def _same(function: Callable | None = None, **options: Any) -> Callable:
    return function if function is not None else lambda f: f


compiler = SimpleNamespace(
    disable=_same, is_compiling=lambda: False, reset=lambda: None, allow_in_graph=_same
)
