"""How a function becomes a Tensor method: defined once, found under all of PyTorch's names."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ..tensor import Tensor


def method(*aliases: str, inplace: bool = False, name: str | None = None) -> Callable:
    """Make `f(input, ...)` also `Tensor.f`, and `Tensor.f_` that writes the result back."""

    def install(function: Callable) -> Callable:
        for public in (name or function.__name__, *aliases):
            setattr(Tensor, public, function)
            if inplace:
                setattr(Tensor, public + "_", written_back(function, public + "_"))
        return function

    return install


def named(function: Callable, name: str, doc: str) -> Callable:
    """A function made inside another one, under its own name."""
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


def written_back(function: Callable, name: str) -> Callable:
    """The in-place form: compute, then bind the handle to the result."""

    @functools.wraps(function)
    def inplace(self, *args, **kwargs):
        self._check_writable()
        return self._inplace(function(self, *args, **kwargs))

    return named(inplace, name, inplace.__doc__ or "")


def spread(args: tuple) -> tuple:
    """The arguments of f(2, 3), also when they were given as f((2, 3))."""
    return tuple(args[0]) if len(args) == 1 and isinstance(args[0], (tuple, list)) else args


def into(out: Any, result: Any) -> Any:
    """What a function with PyTorch's `out=` returns: `out` with the result written to it.

    An `out` without elements takes the result's shape; several results have an `out` each.
    """
    if out is None:
        return result
    if isinstance(result, tuple):
        return type(result)(*map(into, out, result))
    if not out.numel() and result.numel():
        out.resize_(result.shape)
    out._check_writable()
    return out._inplace(result)
