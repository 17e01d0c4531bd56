"""The frames of the user's program, and how to look into them without holding what they hold."""

from __future__ import annotations

import sys
from inspect import CO_OPTIMIZED
from types import FrameType
from typing import Any

from ..scope import is_own

_OURS = 3  # references to a dict that only its frame, `shown` and getrefcount hold


def users_frames() -> list[FrameType]:
    """The frames of the user's program, the innermost first."""
    found = []
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if not is_own(frame.f_code.co_filename):
            found.append(frame)
        frame = frame.f_back
    return found


def variables_in(frame: FrameType) -> dict[str, Any]:
    """The variables that code in a frame sees, locals before globals.

    Before Python 3.13 a frame keeps the dict in which it shows its locals, and with it every
    tensor that was in a variable then, though reference counts decide what a run keeps.  So it is
    emptied, unless the program itself holds it: it is what `locals()` returns.

    >>> def f():
    ...     x = 1
    ...     return variables_in(sys._getframe())["x"]
    >>> f()
    1
    """
    shown = frame.f_locals
    found = {**frame.f_globals, **shown}
    is_copy = frame.f_code.co_flags & CO_OPTIMIZED and type(shown) is dict
    if is_copy and sys.getrefcount(shown) <= _OURS:
        shown.clear()
    return found
