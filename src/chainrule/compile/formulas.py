"""The managed numbers of a call, and what was decided by them, worked out anew."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from types import MethodType
from typing import Any

from ..tensor import Tensor
from .recording import Recording
from .watch import Call


class Stale(Exception):
    """The call is not one that the program is for."""


def formulas(recording: Recording, texts: list[str]) -> Callable[[], tuple[float, ...]]:
    """A function that reads what the formulas are made of, in the order of the recording, and
    evaluates them; it raises Stale where a decision would be another one."""
    watcher = recording.watcher
    lines: list[str] = []
    known: dict[str, Any] = {"Stale": Stale, "inf": math.inf, "nan": math.nan}
    for k, action in enumerate(watcher.actions):
        known[f"x{k}"] = action
        lines += _reading(k, action, known)
    lines += [
        f"if {'not ' * outcome}({text}): raise Stale" for text, outcome in watcher.decisions.items()
    ]
    lines.append(f"return ({''.join(f'{text}, ' for text in texts)})")
    exec("def evaluate():\n" + "".join(f"    {line}\n" for line in lines), known)
    return known["evaluate"]


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
