"""Warnings that point at the line of the user's program, however deep the library notices."""

from __future__ import annotations

import functools
import warnings
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from .scope import current_site

# By file, as Python keeps it: which lines have been warned of, so that a loop is told once.
_seen: defaultdict[str, dict] = defaultdict(dict)


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn of `message` at the user's line that is being executed now."""
    site = current_site()
    warnings.warn_explicit(
        message, category, site.filename, site.line, registry=_seen[site.filename]
    )


def old_name(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """`function` under the name that it had before, which PyTorch still has; FutureWarning."""

    @functools.wraps(function)
    def renamed(*args: Any, **kwargs: Any) -> Any:
        warn(f"{name} is the old name of {name}_", FutureWarning)
        return function(*args, **kwargs)

    return renamed
