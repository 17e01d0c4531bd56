"""What a function does to the objects that it can reach, undone.

Arrays that nodes have as values are never written to, so it is enough to remember what Python
objects refer to: the attributes of tensors, modules, optimizers and schedulers, lists and dicts,
globals and closures, what nodes know, and where random streams stand.  What is outside - files,
iterators, other libraries' objects, NumPy arrays of the user's - stays as the function leaves it.
"""

from __future__ import annotations

import random
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from ..compiled import Compiled
from ..graph import Node
from ..random import default_generator, stream
from ..twister import Twister

_CONTAINERS = (list, dict, set, deque)
_PLAIN = (str, bytes, int, float, complex, bool, type(None), type, np.ndarray, CodeType)
_OTHERS = frozenset(sys.stdlib_module_names) | {"numpy", "builtins"}
_GONE = object()


@contextmanager
def undone(*roots: Any) -> Iterator[None]:
    """Undo what the code inside does to the objects that `roots` lead to."""
    walk = _Walk()
    for x in (*roots, default_generator, stream()):
        walk.visit(x)
    walk.foreign_streams()
    try:
        yield
    finally:
        for restore in walk.restores:
            restore()


class _Walk:
    """Visits objects and collects what restores them."""

    def __init__(self) -> None:
        self.restores: list[Callable[[], Any]] = []
        self._kept: dict[int, Any] = {}  # what was visited; held, so that no other has its id

    def visit(self, x: Any) -> None:
        stack = [x]
        while stack:
            x = stack.pop()
            if isinstance(x, _PLAIN) or id(x) in self._kept:
                continue
            self._kept[id(x)] = x
            stack += self._remember(x)

    def _remember(self, x: Any) -> list[Any]:
        """See to it that x can be restored; what it leads to."""
        if isinstance(x, Compiled):
            return [x._function]  # while something is shown, it only calls that
        if isinstance(x, _CONTAINERS):
            return self._container(x)
        if isinstance(x, (tuple, frozenset)):
            return list(x)
        if isinstance(x, Node):
            return self._node(x)
        if isinstance(x, Twister):
            self.restores.append(partial(x.set_state, x.get_state()))
            return []
        if isinstance(x, np.random.Generator):
            self.restores.append(partial(setattr, x.bit_generator, "state", x.bit_generator.state))
            return []
        if isinstance(x, random.Random):
            self.restores.append(partial(x.setstate, x.getstate()))
            return []
        if isinstance(x, FunctionType):
            return self._function(x)
        if isinstance(x, MethodType):
            return [x.__self__, x.__func__]
        if isinstance(x, partial):
            return [x.func, x.args, x.keywords]
        if isinstance(x, CellType):
            return self._cell(x)
        return self._object(x)

    def _container(self, x: Any) -> list[Any]:
        saved = list(x.items()) if isinstance(x, dict) else list(x)

        def restore() -> None:
            if not _same(list(x.items()) if isinstance(x, dict) else list(x), saved):
                x.clear()
                (x.extend if isinstance(x, (list, deque)) else x.update)(saved)

        self.restores.append(restore)
        return [*x.keys(), *x.values()] if isinstance(x, dict) else saved

    def _node(self, x: Node) -> list[Any]:
        call = x.call
        if call is None:
            names, inputs = ("value", "inputs", "freed", "depth"), list(x.inputs)
        else:  # promised, and not recorded yet
            names, inputs = ("value", "call", "freed", "depth"), list(call.inputs)
            self.restores += [partial(setattr, call, "inputs", call.inputs), partial(_unfill, x)]
        self.restores += [partial(setattr, x, name, getattr(x, name)) for name in names]
        return inputs

    def _cell(self, x: CellType) -> list[Any]:
        try:
            content = x.cell_contents
        except ValueError:  # nothing yet
            return []
        self.restores.append(partial(setattr, x, "cell_contents", content))
        return [content]

    def _function(self, x: FunctionType) -> list[Any]:
        if _is_foreign(x.__module__):
            return []
        names = set(_names(x.__code__))
        found = self._entries(x.__globals__, names)
        for module in [m for m in found if isinstance(m, ModuleType)]:
            if not _is_foreign(module.__name__):
                found += self._entries(vars(module), names)
        found = [m for m in found if not isinstance(m, ModuleType)]
        return [*found, *(x.__closure__ or ()), x.__defaults__, x.__kwdefaults__, x.__dict__]

    def _entries(self, table: dict[str, Any], names: set[str]) -> list[Any]:
        saved = {name: table.get(name, _GONE) for name in names}

        def restore() -> None:
            for name, value in saved.items():
                if table.get(name, _GONE) is not value:
                    if value is _GONE:
                        del table[name]
                    else:
                        table[name] = value

        self.restores.append(restore)
        return [value for value in saved.values() if value is not _GONE]

    def _object(self, x: Any) -> list[Any]:
        """Attributes, and for objects of the user's classes what their methods lead to."""
        kind = type(x)
        own = (kind.__module__ or "").partition(".")[0]
        if own in _OTHERS or isinstance(x, ModuleType):
            return []
        found: list[Any] = []
        attributes = getattr(x, "__dict__", None)
        if type(attributes) is dict:
            self._kept[id(attributes)] = attributes
            found += self._container(attributes)
        for cls in kind.__mro__:
            for name in _slots(cls):
                if hasattr(x, name):
                    self.restores.append(partial(_set, x, name, getattr(x, name)))
                    found.append(getattr(x, name))
            if not _is_foreign(cls.__module__):
                found += [f for f in vars(cls).values() if isinstance(f, FunctionType)]
        return found

    def foreign_streams(self) -> None:
        """The random streams of Python and NumPy."""
        self.restores.append(partial(random.setstate, random.getstate()))
        numpy = sys.modules.get("numpy.random")
        if numpy is not None:
            self.restores.append(partial(numpy.set_state, numpy.get_state(legacy=False)))


def _is_foreign(module: str | None) -> bool:
    """Whether this is no module of the user's."""
    return (module or "").partition(".")[0] in _OTHERS | {__name__.partition(".")[0]}


def _names(code: CodeType) -> Iterator[str]:
    """The names that code looks up, those of the functions written in it included."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _slots(cls: type) -> tuple[str, ...]:
    found = cls.__dict__.get("__slots__", ())
    names = (found,) if isinstance(found, str) else tuple(found)
    return tuple([n for n in names if n not in ("__dict__", "__weakref__")])


def _set(x: Any, name: str, value: Any) -> None:
    if getattr(x, name, _GONE) is not value:
        object.__setattr__(x, name, value)


def _unfill(promise: Node) -> None:
    """Take from a promise what it was given when it was recorded."""
    for name in ("op", "inputs", "attrs", "scope"):
        with suppress(AttributeError):  # it was not
            delattr(promise, name)


def _same(a: list, b: list) -> bool:
    """Whether two lists of objects, or of pairs, hold the same ones."""
    if len(a) != len(b):
        return False
    return all(x is y or (type(x) is type(y) is tuple and len(x) == len(y)
                          and all(map(_is, x, y))) for x, y in zip(a, b))


def _is(x: Any, y: Any) -> bool:
    return x is y
