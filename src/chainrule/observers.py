"""Who looks on while a program trains: the linter, the report, the search for a NaN's origin.

An observer is told of each backward pass, each zero_grad and each optimizer step.  It may look at
everything and must change nothing.  While there is one that needs it, compiled steps are recorded
in every call.  Without one, this costs a glance at an empty list.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from .managed import watching


class Observer:
    """What may be observed; each method does nothing unless a subclass says otherwise."""

    #: Whether compiled steps must be recorded in every call.  An observer that can do without is
    #: told before and after each call of one, and of what goes on inside only where that is no
    #: other than it would be without observers.
    needs_recording = True

    def backward(self, tensors: Sequence[Any]) -> None:
        """A backward pass from these tensors begins: the graph behind them is still whole."""

    def passed(self, tensors: Sequence[Any]) -> None:
        """The backward pass has been recorded: the gradients are in `.grad` of the leaves."""

    def zeroed(self, owner: Any) -> None:
        """An optimizer or a module has cleared its gradients."""

    def stepping(self, optimizer: Any) -> None:
        """An optimizer is about to record its updates."""

    def stepped(self, optimizer: Any) -> None:
        """The updates are recorded and computed."""

    def forwarded(self, call: tuple[Any, Any]) -> None:
        """(a module that no other one has called, what it has returned)."""

    def calling(self, compiled: Any) -> None:
        """A compiled function is about to be called, and may skip its recording."""

    def called(self, call: tuple[Any, Any]) -> None:
        """(the compiled function, what it has returned)."""

    def logged(self, entry: tuple[str, Any, int | None]) -> None:
        """(name, value, step): the user's program reports a number."""


observers: list[Observer] = []


@contextmanager
def observed(*new: Observer) -> Iterator[None]:
    """Let these look on while the code inside runs."""
    observers.extend(new)
    try:
        yield
    finally:
        for observer in new:
            observers.remove(observer)


def tell(event: str, subject: Any) -> None:
    """Tell every observer of one event.

    Not inside of a call that is watched (compiled/watch.py): to look is no part of the step.
    """
    if watching.watcher is None:
        for observer in list(observers):
            getattr(observer, event)(subject)
