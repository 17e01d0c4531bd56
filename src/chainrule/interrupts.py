"""Ctrl-C at a better moment: what must be done as a whole, or not at all."""

from __future__ import annotations

from _signal import SIGINT, getsignal, signal  # the module `signal` takes ten times as long
from collections.abc import Callable
from typing import Any


class uninterrupted:
    """A context in which an interrupt of the main thread waits until its end.

    For what is short and computes nothing: binding the new values of many tensors.

    >>> with uninterrupted():
    ...     pass
    """

    __slots__ = ("_came", "_handler")

    def __enter__(self) -> None:
        self._came: tuple | None = None
        self._handler: Callable[..., Any] | None = None
        handler = getsignal(SIGINT)
        if callable(handler):  # not one of C's, nor none
            try:
                signal(SIGINT, self._wait)
                self._handler = handler
            except ValueError:  # not the main thread, which alone is interrupted
                pass

    def _wait(self, *came: Any) -> None:
        self._came = came

    def __exit__(self, *error: Any) -> None:
        if self._handler is not None:
            signal(SIGINT, self._handler)
            if self._came is not None:
                self._handler(*self._came)
