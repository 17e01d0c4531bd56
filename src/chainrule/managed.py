"""Numbers that the framework itself manages, and the watcher that follows a recording.

A learning rate or a bias correction changes from step to step by the framework's own doing.  While
a step is watched (compiled/), such a number is a `Managed`: it remembers the formula that it came
from, so that a later step can work it out anew, and what was decided by it, so that a later step
in which the decision would be another one is recorded again.  Unwatched it is a plain float.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from operator import getitem
from typing import Any

import numpy as np


class _Watching(threading.local):
    watcher: Any = None
    mapped = 0  # how many vmaps we are inside of: there no tensor has a value


watching = _Watching()


class Changes:
    """Counts what changes Python's own state of modules, tensors and optimizers: attributes,
    tables, hooks.  While the count stands still, a check of them need not be repeated."""

    __slots__ = ("count",)

    def __init__(self):
        self.count = 0


changes = Changes()


class Table(dict):
    """A dict that counts what changes it."""

    __slots__ = ()


def _counted(name: str) -> Callable:
    change = getattr(dict, name)

    @functools.wraps(change)
    def counted(self, *args, **kwargs):
        changes.count += 1
        return change(self, *args, **kwargs)

    return counted


for _name in (
    "__setitem__", "__delitem__", "__ior__", "clear", "pop", "popitem", "setdefault", "update"
):
    setattr(Table, _name, _counted(_name))


class Managed(float):
    """A float that remembers its formula, as the text of a Python expression.

    The formula of a number that came out of a tensor is None: nothing may depend on it.
    """

    __slots__ = ("formula", "watcher")
    formula: str | None
    watcher: Any

    def __new__(cls, value: float, formula: str | None, watcher: Any) -> Managed:
        self = float.__new__(cls, value)
        self.formula, self.watcher = formula, watcher
        return self

    def plain(self) -> float:
        return float.__pos__(self)

    def array(self, dtype: np.dtype) -> np.ndarray:
        """As an array without axes, which enters the graph."""
        array = np.array(self.plain(), dtype)
        self.watcher.enter_number(array, self)
        return array

    def __hash__(self) -> int:
        if self.formula is None:
            self.watcher.used(self)
            return float.__hash__(self)
        return id(self)  # two equal numbers may have different formulas


def managed(read: Callable[[], Any]) -> Any:
    """read(), a number of the framework's own that `read` gives anew in every step."""
    watcher = watching.watcher
    return read() if watcher is None else watcher.managed(read)


class Options(dict):
    """The options of a parameter group while a step is watched: its floats are managed."""

    def __init__(self, group: dict):
        super().__init__(group)
        self._group = group
        self._known: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._known:
            self._known[name] = self._managed(name)
        return self._known[name]

    def _managed(self, name: str) -> Any:
        group, value = self._group, self._group[name]
        if type(value) is float:
            return managed(functools.partial(getitem, group, name))
        if type(value) is tuple and all(type(x) is float for x in value):
            return tuple(managed(_item_reader(group, name, i)) for i in range(len(value)))
        return value


def _item_reader(group: dict, name: str, i: int) -> Callable[[], Any]:
    return lambda: group[name][i]


def options(group: dict) -> dict:
    """`group` as an update rule reads it."""
    return group if watching.watcher is None else Options(group)


# --------------------------------------------------------------------------- arithmetic
def _formula(x: Any) -> str | None:
    return x.formula if isinstance(x, Managed) else f"({x!r})"


def _arithmetic(name: str, symbol: str, reflected: bool) -> Callable:
    compute = getattr(float, name)

    def operate(self, other):
        result = compute(self, other)
        if type(result) is not float:  # a tensor's turn, or a complex power
            if result is not NotImplemented:
                self.watcher.used(self)
            return result
        left, right = _formula(self), _formula(other)
        if left is None or right is None:
            (self if left is None else other).watcher.used(self if left is None else other)
            return result
        text = f"({right} {symbol} {left})" if reflected else f"({left} {symbol} {right})"
        return Managed(result, text, self.watcher)

    return operate


def _decision(name: str, symbol: str) -> Callable:
    compare = getattr(float, name)

    def decide(self, other):
        result = compare(self, other)
        if result is not NotImplemented:
            left, right = _formula(self), _formula(other)
            self.watcher.decide(self, None if left is None or right is None else
                                f"{left} {symbol} {right}", result)
        return result

    return decide


def _use(name: str) -> Callable:
    plain = getattr(float, name)

    def use(self, *args):
        self.watcher.used(self)
        return plain(self, *args)

    return use


for _name, _symbol in {
    "add": "+", "sub": "-", "mul": "*", "truediv": "/", "pow": "**", "mod": "%", "floordiv": "//"
}.items():
    setattr(Managed, f"__{_name}__", _arithmetic(f"__{_name}__", _symbol, False))
    setattr(Managed, f"__r{_name}__", _arithmetic(f"__r{_name}__", _symbol, True))
for _name, _symbol in {
    "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!="
}.items():
    setattr(Managed, f"__{_name}__", _decision(f"__{_name}__", _symbol))
for _name in (
    "__bool__", "__float__", "__int__", "__trunc__", "__round__", "__floor__", "__ceil__",
    "__format__", "__repr__", "__str__", "__neg__", "__abs__", "__pos__", "__divmod__",
    "__rdivmod__", "__reduce_ex__", "is_integer", "as_integer_ratio", "hex",
):
    setattr(Managed, _name, _use(_name))
