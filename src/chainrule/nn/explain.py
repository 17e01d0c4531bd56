"""Why a module refused its input: both layers and both shapes, looked up only after a failure."""

from __future__ import annotations

import itertools
import re
import sys
from types import CodeType, FrameType
from typing import Any

from ..errors import ShapeError
from ..scope import Scope, context
from ..tensor import Tensor

_FARTHEST = 1000  # nodes walked back in search of the layer that made the input


class RefusedInput(ShapeError):
    """A module called with an input of the wrong size."""


def refusal(module: Any, args: tuple, error: ShapeError, call: CodeType) -> ShapeError:
    """`error` in the words of the modules, where the input breaks the module's rule.

    `call` is the code of Module.__call__, by which the modules being called are found.
    """
    if isinstance(error, RefusedInput) or not args or not isinstance(args[0], Tensor):
        return error
    broken = module._broken_rule(*args)
    if broken is None:
        return error
    rule, hint = broken
    scope = context.now.scope
    producer = _producer(args[0], scope, call)
    return RefusedInput(
        f"{module._get_name()} requires {rule}, got input {tuple(args[0].shape)}"
        f"{producer and ' from '}{producer} into {scope.module if scope else ''}: {_brief(module)}",
        hint=hint,
    )


def _producer(input: Tensor, here: Scope | None, call: CodeType) -> str:
    """`Net.fc1: Linear(784, 500)`, the last module with parameters that the input went through."""
    root = _outermost_module(call)
    nearest = ""
    node = input.node
    for _ in range(_FARTHEST):
        path = node.scope.module if node.scope is not None else ""
        # The same outermost scope means the same call, so the path leads to the same module.
        if path and _outermost(node.scope) is _outermost(here):
            maker = root.get_submodule(path.partition(".")[2])
            if maker._parameters and node.scope is not here:
                return f"{path}: {_brief(maker)}"
        nearest = nearest or path
        if not node.inputs:
            break
        node = node.inputs[0]
    return nearest


def _brief(module: Any) -> str:
    """The module with the sizes that its repr starts with."""
    settings = re.split(r", (?![^()]*\))", module.extra_repr())  # not inside of (3, 3)
    values = [setting.rpartition("=")[2] for setting in settings]
    sizes = itertools.takewhile(re.compile(r"\d+|\([\d, ]+\)").fullmatch, values)
    return f"{module._get_name()}({', '.join(sizes)})"


def _outermost(scope: Scope | None) -> Scope | None:
    while scope is not None and scope.parent is not None:
        scope = scope.parent
    return scope


def _outermost_module(call: CodeType) -> Any:
    found = None
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code is call:
            found = frame.f_locals["self"]
        frame = frame.f_back
    return found
