"""Whether operations are recorded for back-propagation: PyTorch's grad modes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from .scope import Frame, context, set_grad_mode


class set_grad_enabled:
    """Record for back-propagation, or not: as a function, a context or a decorator."""

    def __init__(self, mode: bool):
        self.mode = bool(mode)
        self._saved = [set_grad_mode(self.mode)]

    def __enter__(self):
        if not self._saved:
            self._saved.append(set_grad_mode(self.mode))
        return self

    def __exit__(self, *exc):
        set_grad_mode(self._saved.pop().grad_enabled)


class _GradMode:
    """A context manager and decorator that sets one grad mode."""

    mode = False

    def __init__(self, function_or_mode: Any = None):
        self._saved: list[Frame] = []

    def __new__(cls, function_or_mode: Any = None):
        self = object.__new__(cls)
        self._saved = []
        return self(function_or_mode) if callable(function_or_mode) else self

    def __enter__(self):
        self._saved.append(set_grad_mode(self.mode))
        return self

    def __exit__(self, *exc):
        set_grad_mode(self._saved.pop().grad_enabled)

    def __call__(self, function: Callable) -> Callable:
        @functools.wraps(function)
        def wrapped(*args, **kwargs):
            with type(self)():
                return function(*args, **kwargs)

        return wrapped


class no_grad(_GradMode):
    """Record without a history: no gradient passes through what is computed inside."""


class inference_mode(_GradMode):
    """`no_grad` under its newer name; PyTorch's further restrictions do not exist here."""

    def __init__(self, mode: Any = True):
        super().__init__(mode)
        self.mode = not mode if isinstance(mode, bool) else False


class enable_grad(_GradMode):
    """Record with a history again, inside of `no_grad`."""

    mode = True


def is_grad_enabled() -> bool:
    return context.now.grad_enabled
