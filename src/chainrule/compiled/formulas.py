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
    evaluates them; before it calls anything it raises Stale where a decision would be another."""
    watcher = recording.watcher
    lines: list[str] = []
    known: dict[str, Any] = {"Stale": Stale, "float": float, "inf": math.inf, "nan": math.nan}
    tests = [
        f"if {'not ' * outcome}({text}): raise Stale" for text, outcome in watcher.decisions.items()
    ]
    for k, action in enumerate(watcher.actions):
        if isinstance(action, Call):
            lines += tests
            tests = []
            known[f"x{k}"] = partial(action.function, *action.args, **action.kwargs)
            lines.append(f"x{k}()")
        else:
            lines += _reading(k, action, known)
            if k > watcher.first_call():  # too late to turn back
                lines.append(f"r{k} = float(r{k})")
            elif not _is_float(action):
                lines.append(f"if type(r{k}) is not float: raise Stale")
    lines += [*tests, f"return ({''.join(f'{text}, ' for text in texts)})"]
    exec("def evaluate():\n" + "".join(f"    {line}\n" for line in lines), known)
    return known["evaluate"]


def _is_float(read: Any) -> bool:
    """Whether a read gives nothing but floats: `item` of a floating-point tensor."""
    return type(read) is MethodType and read.__func__ is Tensor.item


def _reading(k: int, read: Any, known: dict[str, Any]) -> list[str]:
    """The lines that give r{k} its value."""
    known[f"x{k}"] = read
    if _is_float(read):
        tensor: Any = read.__self__
        if tensor._base is None:
            known[f"x{k}"], known[f"y{k}"] = tensor, read
            return [f"v{k} = x{k}._node.value",
                    f"r{k} = v{k}.item() if v{k} is not None else y{k}()"]
    elif type(read) is partial:  # of an option
        known[f"x{k}"], name = read.args
        return [f"r{k} = x{k}[{name!r}]"]
    return [f"r{k} = x{k}()"]
