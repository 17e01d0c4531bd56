"""Who looks on while a program trains: the linter, the report, the search for a NaN's origin.

An observer is told of each backward pass, each zero_grad and each optimizer step.  It may look at
everything and must change nothing.  While there is one, compiled steps are recorded in every call.
Without one, this costs a glance at an empty list.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any


class Observer:
    """What may be observed; each method does nothing unless a subclass says otherwise."""

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
    """Tell every observer of one event."""
    for observer in list(observers):
        getattr(observer, event)(subject)
