"""Whether operations are recorded for back-propagation: PyTorch's grad modes.

Each is a context manager and a decorator; the mode belongs to the thread.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from .scope import Frame, context, set_grad_mode


class _GradMode:
    """Sets `mode` inside of a with statement or of a decorated function."""

    mode: bool

    def __init__(self) -> None:
        self._saved: list[Frame] = []

    def __enter__(self):
        self._saved.append(set_grad_mode(self.mode))
        return self

    def __exit__(self, *exc):
        set_grad_mode(self._saved.pop().grad_enabled)

    def __call__(self, function: Callable) -> Callable:
        wrap = _generator_in if inspect.isgeneratorfunction(function) else _function_in
        return functools.wraps(function)(wrap(self.mode, function))


def _function_in(mode: bool, function: Callable) -> Callable:
    def wrapped(*args, **kwargs):
        saved = set_grad_mode(mode)
        try:
            return function(*args, **kwargs)
        finally:
            context.now = saved  # no call: an interrupt may come as one begins

    return wrapped


def _generator_in(mode: bool, function: Callable) -> Callable:
    """The mode holds while the generator runs; while it waits, the caller's does."""

    def wrapped(*args, **kwargs):
        generator = function(*args, **kwargs)
        step, sent = _function_in(mode, generator.send), None
        while True:
            try:
                found = step(sent)
            except StopIteration as end:
                return end.value
            try:
                step, sent = _function_in(mode, generator.send), (yield found)
            except GeneratorExit:
                _function_in(mode, generator.close)()
                raise
            except BaseException as error:
                step, sent = _function_in(mode, generator.throw), error

    return wrapped


class _BareMode(_GradMode):
    """A mode that may decorate without parentheses: `@no_grad`."""

    def __new__(cls, function: Any = None):
        self = object.__new__(cls)
        if not callable(function):
            return self
        _GradMode.__init__(self)
        return self(function)

    def __init__(self, function: Any = None) -> None:
        super().__init__()


class no_grad(_BareMode):
    """Record without a history: no gradient passes through what is computed inside.

    >>> import chainrule as torch
    >>> x = torch.tensor(1.0, requires_grad=True)
    >>> with torch.no_grad():
    ...     y = 2 * x
    >>> y.requires_grad
    False
    """

    mode = False


class enable_grad(_BareMode):
    """Record with a history again, inside of `no_grad`.

    >>> import chainrule as torch
    >>> x = torch.tensor(1.0, requires_grad=True)
    >>> with torch.no_grad(), torch.enable_grad():
    ...     y = 2 * x
    >>> y.requires_grad
    True
    """

    mode = True


class inference_mode(_BareMode):
    """`no_grad` under its newer name; PyTorch's further restrictions do not exist here.

    `inference_mode(False)` switches the history on again.

    >>> import chainrule as torch
    >>> @torch.inference_mode()
    ... def predict(x): return 2 * x
    >>> predict(torch.tensor(1.0, requires_grad=True)).requires_grad
    False
    """

    mode = False

    def __init__(self, mode: Any = True) -> None:
        super().__init__()
        self.mode = mode is False


class set_grad_enabled(_GradMode):
    """Record for back-propagation, or not: as a function, a context manager or a decorator.

    >>> import chainrule as torch
    >>> with torch.set_grad_enabled(False):
    ...     torch.is_grad_enabled()
    False
    """

    def __init__(self, mode: bool):
        super().__init__()
        self.mode = bool(mode)
        self._saved.append(set_grad_mode(self.mode))

    def __enter__(self):
        if not self._saved:
            super().__enter__()
        return self

    def __call__(self, function: Callable) -> Callable:
        if self._saved:  # as a decorator it sets no mode now
            self.__exit__()
        return super().__call__(function)


def is_grad_enabled() -> bool:
    """Whether operations are recorded for back-propagation now.

    >>> import chainrule as torch
    >>> torch.is_grad_enabled()
    True
    """
    return context.now.grad_enabled
