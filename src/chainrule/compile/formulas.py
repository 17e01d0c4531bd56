"""The managed numbers of a call, and what was decided by them, worked out anew."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from types import MethodType
from typing import Any

import numpy as np

from ..tensor import Tensor
from .recording import Recording
from .watch import Call


class Stale(Exception):
    """The call is not one that the program is for."""


class Formulas:
    """Reads what the formulas are made of, in the order of the recording, and evaluates them."""

    def __init__(self, recording: Recording, places: dict[int, int]):
        watcher = recording.watcher
        self.leaves: list[tuple[int, np.dtype]] = []  # where the numbers go
        texts = []
        for place, i in places.items():
            formula = None if place < 0 else recording.number_of(watcher.tape[place])
            if formula is not None:
                texts.append(formula)
                self.leaves.append((i, watcher.tape[place].spec.dtype.np))
        self._last: tuple = (None,) * len(texts)
        lines: list[str] = []
        known: dict[str, Any] = {"Stale": Stale, "inf": math.inf, "nan": math.nan}
        for k, action in enumerate(watcher.actions):
            known[f"x{k}"] = action
            lines += _reading(k, action, known)
        lines += [
            f"if {'not ' * outcome}({text}): raise Stale"
            for text, outcome in watcher.decisions.items()
        ]
        lines.append(f"return ({''.join(f'{text}, ' for text in texts)})")
        exec("def evaluate():\n" + "".join(f"    {line}\n" for line in lines), known)
        self.evaluate: Callable[[], tuple] = known["evaluate"]

    def work_out(self, values: list) -> None:
        """Put the numbers into `values`; raises Stale where a decision would be another one."""
        numbers = self.evaluate()
        if numbers != self._last or 0.0 in numbers:  # 0.0 and -0.0 are equal, and not the same
            for (i, dtype), now, was in zip(self.leaves, numbers, self._last):
                if now != was or now == 0.0:
                    values[i] = np.array(now, dtype)
            self._last = numbers


def _reading(k: int, action: Any, known: dict[str, Any]) -> list[str]:
    """The lines that take an action, or give r{k} its value."""
    if isinstance(action, Call):
        known[f"x{k}"] = partial(action.function, *action.args, **action.kwargs)
        return [f"x{k}()"]
    if type(action) is MethodType and action.__func__ is Tensor.item:
        tensor: Any = action.__self__
        known[f"x{k}"] = tensor
        if tensor._base is None:
            known[f"y{k}"] = action
            return [f"v{k} = x{k}._node.value",
                    f"r{k} = v{k}.item() if v{k} is not None else y{k}()"]
        known[f"x{k}"] = action
    test = f"if type(r{k}) is not float: raise Stale"
    if type(action) is partial:  # of an option
        known[f"x{k}"], name = action.args
        return [f"r{k} = x{k}[{name!r}]", test]
    return [f"r{k} = x{k}()", test]
