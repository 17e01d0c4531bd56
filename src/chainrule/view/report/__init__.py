"""The training report: one HTML page, a log in JSON lines and TensorBoard's events of one run."""

from __future__ import annotations

from typing import Any

from ...observers import observers, tell
from .writer import Report, reported

__all__ = ["Report", "log", "reported"]


def log(step: int | None = None, **values: Any) -> None:
    """Add numbers of your own to the report that looks on, if one does; else do nothing.

    `step` is the number of training steps so far unless you count in another way.  A value is a
    number or a tensor of one element, which is not computed earlier for this.

    >>> import chainrule as torch
    >>> torch.view.log(accuracy=0.9)  # nobody looks on
    """
    for name, value in values.items() if observers else ():
        tell("logged", (name, value, step))
