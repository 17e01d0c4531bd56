"""Errors that state the rule, the facts, the user's line and one hint.

Each subclasses what PyTorch raises in the same place, so scripts that catch that still work.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .scope import Site, context, current_site


class ChainruleError(Exception):
    """`<op> requires <rule>, got <facts>`, then where it was recorded, then at most one hint."""

    def __init__(self, message: str, *, hint: str | None = None, site: Site | None = None):
        self.site = site or current_site()
        scope = context.now.scope
        where = f"\n  recorded at {self.site}" + (f", in {scope.path}" if scope else "")
        super().__init__(message + where + (f"\n  hint: {hint}" if hint else ""))


class ShapeError(ChainruleError, RuntimeError):
    """Shapes that do not fit together."""


class LinAlgError(ChainruleError, RuntimeError):
    """A matrix without what is asked of it: singular, not positive-definite, not finite."""


class DTypeError(ChainruleError, RuntimeError):
    """A dtype that the operation is not defined for."""


class GradError(ChainruleError, RuntimeError):
    """A gradient that does not exist, or no longer exists."""


class AnomalyError(GradError):
    """A value that is not a number, found while detect_anomaly or trace_nan is on."""

    origin: Any = None  # trace_nan: the view.Origin of the value


class DeviceError(ChainruleError, RuntimeError):
    """A device that this machine, or chainrule, does not have."""


class StateError(ChainruleError, RuntimeError):
    """State that does not fit what it is loaded into."""


class OutOfRange(ChainruleError, IndexError):
    """An index or an axis outside of its range."""


class ArgumentError(ChainruleError, ValueError, RuntimeError):
    """An argument whose value is not allowed: PyTorch raises either of the two."""


class ArgumentTypeError(ChainruleError, TypeError):
    """An argument of a type that is not allowed."""


class MissingName(ChainruleError, AttributeError):
    """A name of PyTorch's that chainrule does not have."""


class NameRejected(ChainruleError, KeyError):
    """A name that is taken, or that cannot be one."""

    __str__ = Exception.__str__  # KeyError would show the text as a quoted literal


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that was probably meant."""
    import difflib  # slow to load, and only needed here

    return next(iter(difflib.get_close_matches(name, known, n=1)), None)


def missing_name(owner: str, name: str, known: Iterable[str]) -> AttributeError:
    """The error for a name that `owner` does not have, with the nearest that it has."""
    near = nearest(name, known)
    hint = f"; the nearest name is {near!r}" if near else ""
    return AttributeError(f"{owner} has no attribute {name!r}{hint}")
