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
from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import is_
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from .. import scope
from ..handle import Handle
from ..managed import Table, changes
from ..nn.module import Module
from ..optim import Optimizer
from ..optim.schedule import LRScheduler
from ..random import Generator
from .tree import PLAIN
from .watch import _is_library

# Modules whose types, where they are written in C, do not change or do not matter.
_STATELESS = {
    "builtins", "_thread", "_weakref", "weakref", "collections.abc", "datetime", "decimal", "enum",
    "fractions", "functools", "numpy", "operator", "pathlib", "re", "types", "typing", "uuid",
}
_GONE = object()  # what is not there
_MOST = 100_000  # objects of one survey
_SHOWN_BY_SCHEDULERS = ("get_last_lr", "get_lr", "last_epoch", "base_lrs", "state_dict")
_FEW = 16  # items of a dict that are looked at one by one
_SMALL = 4096  # bytes of a NumPy array that is compared


class Survey:
    """The state that a recording may depend on: `changed()` says what has changed, or None."""

    def __init__(self, roots: Iterable[tuple[str, Any]], codes: dict[CodeType, dict]):
        self.refusal: str | None = None
        self._slots = Slots()
        self._module_slots = Slots()  # compared only when `changes` has moved
        self._seen: dict[int, Any] = {}
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
        #: Whether every place has the very object that it had; False says nothing.
        self.holds = self._slots.is_same(self._count)
        found = [x for x in self._seen.values() if isinstance(x, Handle)]
        self.tensors = set(map(id, found))
        #: Also those that one of the tensors found is a view of.
        self.storages = {id(base) for x in found for base in _bases(x)}
        self.containers = {key for key, x in self._seen.items() if isinstance(x, (list, dict))}
        del self._stack, self._seen

    # ------------------------------------------------------------------ comparing
    def changed(self) -> str | None:
        """The first thing that is not what it was."""
        found, count = self._slots.changed(), changes.count
        if found is None and self._count != count:
            found = self._module_slots.changed()
            if found is None:
                self._count = self._slots.count(count)
        return found

    def same(self, other: Survey) -> bool:
        """Whether both looked at the same places."""
        return self._slots.names == other._slots.names

    # ------------------------------------------------------------------ walking
    def _slot(self, name: str, read: Callable[[], Any], in_module: bool = False) -> Any:
        return (self._module_slots if in_module else self._slots).add(name, read)

    def _look(self, name: str, table: dict, key: Any, in_module: bool = False) -> None:
        """Remember table[key] and go on there."""
        slots = self._module_slots if in_module else self._slots
        self._stack.append((name, slots.add_item(name, table, key)))

    def _visit(self, name: str, x: Any) -> None:
        kind = type(x)
        if kind in PLAIN or x is _GONE or id(x) in self._seen:
            return
        self._seen[id(x)] = x
        if len(self._seen) > _MOST:
            self.refusal = f"it can look at more than {_MOST} objects, through {name}"
        elif kind.__module__ == f"{__package__}.api":  # a compiled function, and what it was given
            self._stack.append((name, x.__wrapped__))
            for attribute in sorted(self._names & vars(x).keys()):
                if not attribute.startswith("_"):
                    self._look(f"{name}.{attribute}", vars(x), attribute)
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
        elif _is_opaque(x):
            self.refusal = f"it can look at {name}, a {kind.__name__}, which cannot be compared"
        elif not isinstance(x, Generator):
            self._visit_attributes(name, x)
            self._visit_class(name, kind)

    def _visit_tensor(self, name: str, x: Handle) -> None:
        where = f"a hook of {name}"
        for hook in self._slot(where, functools.partial(_hooks_of, x), True):
            self._stack.append((where, hook))
        for attribute in sorted(self._names & x.__dict__.keys()):
            if not attribute.startswith("_"):
                self._look(f"{name}.{attribute}", x.__dict__, attribute)

    def _visit_function(self, name: str, x: FunctionType) -> None:
        own = scope.is_own(x.__code__.co_filename)
        if not own and x.__code__ not in self._codes:
            return
        for variable, cell in zip(x.__code__.co_freevars, x.__closure__ or ()):
            self._stack.append((variable, self._slots.add_cell(variable, cell)))
        for given in (*(x.__defaults__ or ()), *(x.__kwdefaults__ or {}).values()):
            self._stack.append((f"a default of {x.__name__}", given))
        if not own:
            for attribute in ("__code__", "__defaults__"):
                read = functools.partial(getattr, x, attribute)
                where = f"{x.__name__}.{attribute}"
                self._slots.add(where, read, f"x{{0}}.{attribute} is w{{0}}", x)
            self._visit_attributes(name, x)

    def _visit_items(self, name: str, x: Any) -> None:
        if not isinstance(x, (tuple, frozenset)):
            self._slots.add_items(name, x)
        for i, item in enumerate(x):
            self._stack.append((f"{name}[{i}]", item))

    def _visit_dict(self, name: str, x: dict) -> None:
        if len(x) <= _FEW and all(type(key) is str for key in x):
            self._slots.add(name, lambda: _Items(x), f"len(x{{0}}) == {len(x)}", x)
            for key in x:
                self._look(f"{name}[{key!r}]", x, key)
            return
        self._slots.add_items(name, x)
        for key, item in x.items():
            self._stack.append((f"{name}[{_named(key)}]", item))

    def _visit_array(self, name: str, x: np.ndarray) -> None:
        if x.nbytes > _SMALL or x.dtype.hasobject:
            self.refusal = f"it can look at {name}, a NumPy array: pass a tensor"
        else:
            self._slot(name, lambda: (x.dtype.str, x.shape, x.tobytes()))

    def _visit_class(self, name: str, x: type) -> None:
        tables = [
            (cls.__name__, vars(cls)) for cls in x.__mro__
            if not (cls.__module__ == "builtins" or _is_ours(cls.__module__) or _of_library(cls))
        ]
        for n, (label, table) in enumerate(tables):
            for attribute in sorted(table):
                found = _function_of(table[attribute])
                if attribute in self._names or self._has_run(found):
                    self._slots.add_item(f"{label}.{attribute}", table, attribute)
                    self._stack.append((f"{label}.{attribute}", found))
                    for above, shadow in tables[:n]:
                        self._slots.add_absent(f"{above}.{attribute}", shadow, attribute)

    def _has_run(self, x: Any) -> bool:
        """Whether x is a function that was called, or one of our decorators may have called."""
        if not isinstance(x, FunctionType):
            return False
        return x.__code__ in self._codes or scope.is_own(x.__code__.co_filename)

    def _visit_attributes(self, name: str, x: Any) -> None:
        table = getattr(x, "__dict__", None)
        # Our own methods may read any attribute, the user's code those that it names.
        everything = self._names.everything or _is_ours(type(x).__module__)
        if isinstance(table, dict):
            # sorted: a walk in the same order finds the same places in the same order
            names = table.keys() if everything else self._names & table.keys()
            for attribute in sorted(names):
                self._look(f"{name}.{attribute}", table, attribute)
            if "__wrapped__" in table:
                self._stack.append((name, table["__wrapped__"]))
            if not isinstance(x, ModuleType):  # a new attribute may hide one of the class
                self._slots.add(name, functools.partial(len, table), f"len(x{{0}}) == {len(table)}",
                                table)
        for cls in type(x).__mro__:
            slots = cls.__dict__.get("__slots__", ())
            for attribute in (slots,) if isinstance(slots, str) else slots:
                if attribute in self._names or everything:
                    read = functools.partial(getattr, x, attribute, _GONE)
                    where = f"{name}.{attribute}"
                    self._stack.append((where, self._slot(where, read)))

    def _visit_module(self, name: str, x: Module) -> None:
        own = any(c is not Module and _is_ours(c.__module__) for c in type(x).__mro__)
        for key, value in x.__dict__.items():
            where = f"{name}.{key}"
            if key in ("_parameters", "_buffers", "_modules") or key.endswith("_hooks"):
                self._module_slots.add_item(where, x.__dict__, key)
                counted = not isinstance(value, dict) or isinstance(value, Table)
                self._slot(where, functools.partial(_items_of, value), counted)
                inside = value.items() if isinstance(value, dict) else enumerate(value)
                self._stack += [(f"{name}.{k}", v) for k, v in inside]
            elif key != "_non_persistent_buffers_set" and (
                own or key in self._names or self._names.everything
            ):
                self._look(where, x.__dict__, key, True)
        self._slot(f"an attribute of {name}", lambda: len(x.__dict__), True)
        self._visit_class(name, type(x))

    def _visit_optimizer(self, name: str, x: Optimizer) -> None:
        own = _is_ours(type(x).update.__module__) and _is_ours(type(x).step.__module__)
        managed = own and self._names.isdisjoint(("param_groups", "state_dict", "defaults"))
        for attribute in ("state", "_step_pre_hooks", "_step_post_hooks"):
            self._look(f"{name}.{attribute}", x.__dict__, attribute)
        # Not from here into the groups: who gets at them elsewhere may read the managed options.
        self._slots.add_item(f"{name}.param_groups", x.__dict__, "param_groups")
        self._slots.add_items(f"{name}.param_groups", x.param_groups)
        for i, group in enumerate(x.param_groups):
            where = f"{name}.param_groups[{i}]"
            self._slots.add(where, functools.partial(_Items, group), f"len(x{{0}}) == {len(group)}",
                            group)
            for option, value in group.items():
                if not (managed and _is_managed(value)):
                    self._look(f"{where}[{option!r}]", group, option)
        self._visit_class(name, type(x))
        if not own:
            self._visit_attributes(name, x)


class Slots:
    """Places where Python keeps something, and what was there.

    `is_same` is the fast answer: whether every place has the very object that it had.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self._reads: list[Callable[[], Any]] = []
        self._was: list[Any] = []
        self._tests: list[str] = []
        self._known: dict[str, Any] = {"is_": is_}

    def add(self, name: str, read: Callable[[], Any], test: str = "x{0}() is w{0}",
            x: Any = None) -> Any:
        """Remember what read() gives.  The text `test` sees from x{0} whether it is w{0} still."""
        was, number = read(), len(self.names)
        self.names.append(name)
        self._reads.append(read)
        self._was.append(was)
        self._tests.append(test.format(number))
        self._known[f"x{number}"] = read if x is None else x
        self._known[f"w{number}"] = was.items if type(was) is _Items else was
        return was

    def add_absent(self, name: str, table: Mapping, key: str) -> None:
        if key not in table:
            read = functools.partial(table.get, key, _GONE)
            self.add(name, read, f"{key!r} not in x{{0}}", table)

    def add_item(self, name: str, table: Mapping, key: Any) -> Any:
        read = functools.partial(table.get, key, _GONE)
        if type(key) is str and key.isidentifier():
            return self.add(name, read, f"x{{0}}[{key!r}] is w{{0}}", table)
        return self.add(name, read)

    def add_cell(self, name: str, cell: CellType) -> Any:
        read = functools.partial(_contents, cell)
        return self.add(name, read, "x{0}.cell_contents is w{0}", cell)

    def add_items(self, name: str, x: Any) -> None:
        if isinstance(x, dict):
            test = "all(map(is_, [*x{0}, *x{0}.values()], w{0}))"
            read = lambda: _Items((*x, *x.values()))  # noqa: E731
        elif isinstance(x, list) and len(x) <= _FEW:
            test = " and ".join(f"x{{0}}[{i}] is w{{0}}[{i}]" for i in range(len(x)))
            read = functools.partial(_Items, x)
        else:
            test, read = "all(map(is_, x{0}, w{0}))", functools.partial(_Items, x)
        size = f"len(x{{0}}) == {len(x)}"
        self.add(name, read, f"{size} and {test}" if len(x) else "not x{0}", x)

    def is_same(self, count: int) -> Callable[[], bool]:
        """A function of all the tests, while `changes` has counted to this."""
        tests = " and ".join(["changes.count == count", *self._tests])
        self._known |= {"changes": changes, "count": count}
        lines = ["try:", f"    return {tests}",
                 "except (KeyError, IndexError, ValueError):",  # what was there is gone
                 "    return False"]
        exec("def is_same():\n" + "".join(f"    {line}\n" for line in lines), self._known)
        return self._known["is_same"]

    def count(self, count: int) -> int:
        self._known["count"] = count
        return count

    def changed(self) -> str | None:
        """The first place that has something else; equal numbers and texts are the same."""
        for i, (read, was) in enumerate(zip(self._reads, self._was)):
            now = read()
            if now is was:
                continue
            if not _equal(now, was):
                return f"{self.names[i]} has changed" if type(now) not in PLAIN else \
                    f"{self.names[i]} has changed from {was!r} to {now!r}"
            self._was[i] = now
            self._known[f"w{i}"] = now.items if type(now) is _Items else now
        return None


class _Items:
    """The items of a container; equal to another's if they are the same objects."""

    __slots__ = ("items",)

    def __init__(self, items: Iterable[Any]):
        self.items = tuple(items)


def _hooks_of(x: Handle) -> tuple:
    return (*(x.__dict__.get("_hooks") or ()), *(x.__dict__.get("_after_grad") or ()))


def _items_of(table: Any) -> _Items:
    return _Items((*table, *table.values()) if isinstance(table, dict) else table)


def _is_managed(x: Any) -> bool:
    """Whether an option is read anew in every step (managed.Options)."""
    return type(x) is float or (type(x) is tuple and all(type(y) is float for y in x))


def _named(key: Any) -> str:
    return repr(key) if type(key) in PLAIN else type(key).__name__


def _bases(x: Handle) -> Iterator[Handle]:
    base: Handle | None = x
    while base is not None:
        yield base
        base = base._base


def _function_of(x: Any) -> Any:
    """The function behind a method of any kind."""
    return getattr(x, "fget", None) or getattr(x, "__func__", None) or x


def _is_opaque(x: Any) -> bool:
    """Whether an object has a state that only C code knows."""
    kind = type(x)
    if hasattr(x, "__dict__") or any("__slots__" in vars(cls) for cls in kind.__mro__):
        return False
    return kind in (bytearray, memoryview) or kind.__module__ not in _STATELESS


def _contents(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not assigned yet
        return _GONE


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
