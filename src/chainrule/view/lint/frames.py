"""What the user's program calls things: the variables of its frames, and what they lead to."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator
from typing import Any

from ...nn.module import Module
from ...scope import is_own
from ...tensor import Tensor
from ..frames import users_frames, variables_in

_CONTAINERS = (list, dict, deque)


def variables() -> list[tuple[str, Any]]:
    """(name, value) of what the user's functions and modules hold now, the outermost first."""
    found: list[tuple[str, Any]] = []
    for frame in reversed(users_frames()):
        found += variables_in(frame).items()
    return [(name, value) for name, value in found if not name.startswith("__")]


def roots_of(found: list[tuple[str, Any]]) -> dict[str, Module]:
    """The modules in variables that are no part of another one, by the variable's name."""
    modules = {id(m): (name, m) for name, m in reversed(found) if isinstance(m, Module)}
    inner = {id(x) for _, m in modules.values() for x in m.modules() if x is not m}
    return {name: m for key, (name, m) in modules.items() if key not in inner}


def tensor_names(found: list[tuple[str, Any]]) -> dict[int, str]:
    """What tensors are called, by id: `net.fc1.weight`, or the variable that holds one."""
    names: dict[int, str] = {}
    for name, root in roots_of(found).items():
        for path, p in root.named_parameters():
            names.setdefault(id(p), f"{name}.{path}")
    for name, value in found:
        if isinstance(value, Tensor):
            names.setdefault(id(value), name)
        elif type(value) in (list, tuple):
            for i, x in enumerate(value[:100]):
                if isinstance(x, Tensor):
                    names.setdefault(id(x), f"{name}[{i}]")
    return names


def containers(found: list[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Lists and deques in variables, in dicts, and in attributes of the user's objects."""
    for name, value in found:
        if type(value) in _CONTAINERS:
            yield from _listed(name, value)
        else:
            own = getattr(value, "__dict__", None)
            if type(own) is dict and _is_users(value):
                for key, inner in list(own.items()):
                    if type(inner) in _CONTAINERS:
                        yield from _listed(f"{name}.{key}", inner)


def _listed(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, dict):
        yield name, value
        return
    for key, inner in list(value.items())[:100]:
        if type(inner) in (list, deque):
            yield f"{name}[{key!r}]", inner


def _is_users(value: Any) -> bool:
    """Whether an object is of a class of the user's: its attributes are named in the program."""
    kind = type(value)
    module = sys.modules.get(kind.__module__ or "")
    path = getattr(module, "__file__", None)
    is_script = kind.__module__ == "__main__"
    return kind is not type and (is_script or path is not None and "site-packages" not in path
                                 and not is_own(path) and "/lib/python" not in path)
