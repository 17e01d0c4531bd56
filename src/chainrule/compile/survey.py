"""What Python's own state a recorded function could have looked at, and whether it is the same.

The walk starts at the function and at the globals of all code that ran, and follows closures,
containers, modules, optimizers and other objects - the latter only along attributes whose names
occur in that code.  Everything on the way is remembered: numbers and strings by value, all else by
identity.  The values of tensors are not state in this sense: they are read anew in every step.
"""

from __future__ import annotations

import functools
import sys
from collections import deque
from collections.abc import Callable, Iterable
from types import (
    BuiltinFunctionType,
    CellType,
    CodeType,
    FunctionType,
    MethodType,
    ModuleType,
)
from typing import Any

import numpy as np

from .. import scope
from ..handle import Handle
from ..managed import changes
from ..nn.module import Module
from ..optim import Optimizer
from ..optim.schedule import LRScheduler
from ..random import Generator
from .tree import PLAIN
from .watch import _is_library

_GONE = object()  # what is not there
_MOST = 100_000  # objects of one survey
_SHOWN_BY_SCHEDULERS = ("get_last_lr", "get_lr", "last_epoch", "base_lrs", "state_dict")
_SMALL = 4096  # bytes of a NumPy array that is compared


class Survey:
    """The state that a recording may depend on: `changed()` says what has changed, or None."""

    def __init__(self, roots: Iterable[tuple[str, Any]], codes: dict[CodeType, dict]):
        self.refusal: str | None = None
        # (how to read it, what it was, its name); modules' are read only when `changes` moves.
        self._slots: list[tuple[Callable[[], Any], Any, str]] = []
        self._module_slots: list[tuple[Callable[[], Any], Any, str]] = []
        self._seen: dict[int, Any] = {}
        self.tensors: set[int] = set()  # ids of the tensors met
        self._codes = codes
        self._names = _names_in(codes)
        self._stack: list[tuple[str, Any]] = list(roots)
        for code, variables in codes.items():
            for name in code.co_names:
                if name in variables:
                    self._look(f"the global {name}", variables, name)
        while self._stack and self.refusal is None:
            self._visit(*self._stack.pop())
        self._count = changes.count
        del self._stack

    # ------------------------------------------------------------------ comparing
    def changed(self) -> str | None:
        """The first thing that is not what it was."""
        found = _first_change(self._slots)
        if found is None and self._count != changes.count:
            count = changes.count
            found = _first_change(self._module_slots)
            if found is None:
                self._count = count
        return found

    def quick(self) -> bool:
        """Whether every object is the same one; False says nothing."""
        if self._count != changes.count:
            return False
        for read, was, _ in self._slots:
            if read() is not was:
                return False
        return True

    def same(self, other: Survey) -> bool:
        """Whether both looked at the same places."""
        return [s[2] for s in self._slots] == [s[2] for s in other._slots]

    # ------------------------------------------------------------------ walking
    def _slot(self, name: str, read: Callable[[], Any], in_module: bool = False) -> Any:
        was = read()
        (self._module_slots if in_module else self._slots).append((read, was, name))
        return was

    def _look(self, name: str, table: dict, key: Any, in_module: bool = False) -> None:
        """Remember table[key] and go on there."""
        found = self._slot(name, functools.partial(table.get, key, _GONE), in_module)
        self._stack.append((name, found))

    def _visit(self, name: str, x: Any) -> None:
        kind = type(x)
        if kind in PLAIN or x is _GONE or id(x) in self._seen:
            return
        self._seen[id(x)] = x
        if len(self._seen) > _MOST:
            self.refusal = f"it can look at more than {_MOST} objects, through {name}"
        elif isinstance(x, Handle):
            self._visit_tensor(name, x)
        elif isinstance(x, Module):
            self._visit_module(name, x)
        elif isinstance(x, Optimizer):
            self._visit_optimizer(name, x)
        elif isinstance(x, LRScheduler) and self._names.isdisjoint(_SHOWN_BY_SCHEDULERS):
            self._stack.append((name, x.optimizer))
        elif kind is FunctionType:
            self._visit_function(name, x)
        elif kind is MethodType:
            self._stack += [(name, x.__self__), (name, x.__func__)]
        elif kind is functools.partial:
            self._stack += [(name, x.func), (name, x.args), (name, x.keywords)]
        elif isinstance(x, (list, tuple, set, frozenset, deque)):
            self._visit_items(name, x)
        elif isinstance(x, dict):
            self._visit_dict(name, x)
        elif isinstance(x, np.ndarray):
            self._visit_array(name, x)
        elif isinstance(x, type):
            self._visit_class(name, x)
        elif isinstance(x, ModuleType):
            if not _is_ours(x.__name__):
                self._visit_attributes(name, x)
        elif kind.__module__.startswith(("numpy.random", "random")):
            self.refusal = f"it can draw random numbers from {name}"
        elif hasattr(kind, "__next__"):
            self.refusal = f"it can advance {name}, a {kind.__name__}"
        elif kind is not BuiltinFunctionType and not isinstance(x, Generator):
            self._visit_attributes(name, x)
            self._visit_class(name, kind)

    def _visit_tensor(self, name: str, x: Handle) -> None:
        self.tensors.add(id(x))
        where = f"a hook of {name}"
        for hook in self._slot(where, functools.partial(_hooks_of, x), True):
            self._stack.append((where, hook))

    def _visit_function(self, name: str, x: FunctionType) -> None:
        own = scope._is_own(x.__code__.co_filename)
        if not own and x.__code__ not in self._codes:
            return
        for variable, cell in zip(x.__code__.co_freevars, x.__closure__ or ()):
            found = self._slot(variable, functools.partial(_contents, cell))
            self._stack.append((variable, found))
        for given in (*(x.__defaults__ or ()), *(x.__kwdefaults__ or {}).values()):
            self._stack.append((f"a default of {x.__name__}", given))
        if not own:
            self._slot(f"the defaults of {x.__name__}", lambda: x.__defaults__)
            self._slot(f"the code of {x.__name__}", lambda: x.__code__)
            self._visit_attributes(name, x)

    def _visit_items(self, name: str, x: Any) -> None:
        if not isinstance(x, (tuple, frozenset)):
            self._slot(name, lambda: _Items(x))
        for i, item in enumerate(x):
            self._stack.append((f"{name}[{i}]", item))

    def _visit_dict(self, name: str, x: dict) -> None:
        self._slot(name, lambda: _Items((*x, *x.values())))
        for key, item in x.items():
            self._stack.append((f"{name}[{key!r}]", item))

    def _visit_array(self, name: str, x: np.ndarray) -> None:
        if x.nbytes > _SMALL or x.dtype.hasobject:
            self.refusal = f"it can look at {name}, a NumPy array: pass a tensor"
        else:
            self._slot(name, lambda: (x.dtype.str, x.shape, x.tobytes()))

    def _visit_class(self, name: str, x: type) -> None:
        for cls in x.__mro__:
            if cls.__module__ == "builtins" or _is_ours(cls.__module__) or _of_library(cls):
                continue
            table = vars(cls)
            for attribute in self._names & table.keys():
                where = f"{cls.__name__}.{attribute}"
                found = self._slot(where, functools.partial(table.get, attribute, _GONE))
                if isinstance(found, (staticmethod, classmethod, property)):
                    found = getattr(found, "fget", None) or getattr(found, "__func__", None)
                self._stack.append((where, found))

    def _visit_attributes(self, name: str, x: Any) -> None:
        table = getattr(x, "__dict__", None)
        # Our own methods may read any attribute, the user's code those that it names.
        everything = self._names.everything or _is_ours(type(x).__module__)
        if isinstance(table, dict):
            # sorted: a walk in the same order finds the same places in the same order
            for attribute in sorted(table if everything else self._names & table.keys()):
                self._look(f"{name}.{attribute}", table, attribute)
            if "__wrapped__" in table:
                self._stack.append((name, table["__wrapped__"]))
        for cls in type(x).__mro__:
            slots = cls.__dict__.get("__slots__", ())
            for attribute in (slots,) if isinstance(slots, str) else slots:
                if attribute in self._names or everything:
                    read = functools.partial(getattr, x, attribute, _GONE)
                    where = f"{name}.{attribute}"
                    self._stack.append((where, self._slot(where, read)))

    def _visit_module(self, name: str, x: Module) -> None:
        own = any(c is not Module and _is_ours(c.__module__) for c in type(x).__mro__)
        for key in x.__dict__:
            value, where = x.__dict__[key], f"{name}.{key}"
            if key in ("_parameters", "_buffers", "_modules"):
                self._slot(where, functools.partial(_items_of, value), True)
                self._stack += [(f"{name}.{k}", v) for k, v in value.items()]
            elif key.startswith("_") and key.endswith("hooks"):
                self._slot(where, functools.partial(_items_of, value), True)
                self._stack += [(where, hook) for hook in value]
            elif own or key in self._names or self._names.everything:
                self._look(where, x.__dict__, key, True)
        self._slot(f"an attribute of {name}", lambda: len(x.__dict__), True)
        self._visit_class(name, type(x))

    def _visit_optimizer(self, name: str, x: Optimizer) -> None:
        own = _is_ours(type(x).update.__module__) and _is_ours(type(x).step.__module__)
        managed = own and self._names.isdisjoint(("param_groups", "state_dict", "defaults"))
        self._slot(f"{name}.param_groups", lambda: x.param_groups)
        self._slot(f"{name}.param_groups", lambda: _Items(x.param_groups))
        for i, group in enumerate(x.param_groups):
            where = f"{name}.param_groups[{i}]"
            free = _floats(group) if managed else frozenset()
            self._slot(where, functools.partial(_group_items, group, free))
            self._stack.append((where, group["params"]))
            self._stack += [(where, v) for v in group.values()]
        self._slot(f"{name}.state", lambda: x.state)
        for p, state in x.state.items():
            self._slot(f"{name}.state", functools.partial(x.state.get, p, _GONE))
            self._stack.append((f"{name}.state", state))
        self._slot(f"{name}.state", lambda: len(x.state))
        for hooks in (x._step_pre_hooks, x._step_post_hooks):
            self._stack.append((f"a hook of {name}", hooks))
        self._visit_class(name, type(x))
        if not own:
            self._visit_attributes(name, x)


class _Items:
    """The items of a container; equal to another's if they are the same objects."""

    __slots__ = ("items",)

    def __init__(self, items: Iterable[Any]):
        self.items = tuple(items)


def _hooks_of(x: Handle) -> tuple:
    return (*(x.__dict__.get("_hooks") or ()), *(x.__dict__.get("_after_grad") or ()))


def _items_of(table: Any) -> _Items:
    return _Items((*table, *table.values()) if isinstance(table, dict) else table)


def _floats(group: dict) -> frozenset:
    def is_float(x):
        return type(x) is float or (type(x) is tuple and all(type(y) is float for y in x))

    return frozenset(name for name, x in group.items() if is_float(x))


def _group_items(group: dict, free: frozenset) -> _Items:
    """What is in a parameter group, but for the values of the managed numbers in it."""
    return _Items(type(x) if name in free else x for name, x in group.items())


def _contents(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not assigned yet
        return _GONE


def _first_change(slots: list[tuple[Callable[[], Any], Any, str]]) -> str | None:
    for read, was, name in slots:
        now = read()
        if now is not was and not _equal(now, was):
            return f"{name} has changed" if type(now) not in PLAIN else \
                f"{name} has changed from {was!r} to {now!r}"
    return None


def _equal(a: Any, b: Any) -> bool:
    if type(a) is not type(b):
        return False
    if type(a) in PLAIN:
        return a == b or repr(a) == repr(b) if type(a) is not float else repr(a) == repr(b)
    if type(a) is _Items:
        a, b = a.items, b.items
    elif type(a) is not tuple:
        return False
    return len(a) == len(b) and all(x is y or _equal(x, y) for x, y in zip(a, b))


class _Names(set):
    """Names of attributes; `everything` when code asks for attributes by names it makes up."""

    everything = False


def _names_in(codes: Iterable[CodeType]) -> _Names:
    names = _Names()
    for code in codes:
        names.update(code.co_names)
        names.update(c for c in code.co_consts if type(c) is str and c.isidentifier())
    names.everything = not names.isdisjoint(("getattr", "vars", "__dict__", "locals"))
    return names


def _is_ours(module: str) -> bool:
    return module == "chainrule" or module.startswith("chainrule.")


def _of_library(cls: type) -> bool:
    module = sys.modules.get(cls.__module__)
    return _is_library(getattr(module, "__file__", None) or "<frozen")
