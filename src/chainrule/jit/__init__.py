"""`torch.jit`: TorchScript's markers, which do nothing to an ordinary function."""

from __future__ import annotations

from typing import Any, Final

__all__ = ["Final", "export", "ignore", "is_scripting", "is_tracing", "script", "unused"]


def _unchanged(function: Any = None, *args: Any, **kwargs: Any) -> Any:
    """The function or module itself."""
    return function if callable(function) else lambda f: f


script = export = ignore = unused = _unchanged


def is_scripting() -> bool:
    """False: functions run as Python."""
    return False


def is_tracing() -> bool:
    """False: functions run as Python."""
    return False
