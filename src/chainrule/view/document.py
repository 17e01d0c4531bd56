"""What every page of ours is put together from: its files, and data that stays data."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

ASSETS = Path(__file__).parent / "assets"


def asset(name: str) -> str:
    """The text of a style sheet or a script."""
    return (ASSETS / name).read_text(encoding="utf-8")


def embedded(data: Any, default: Callable[[Any], Any] | None = None) -> str:
    """JSON without a `<`: nothing in it can end the element that holds it, or open another.

    >>> embedded(["</script>"])
    '["\\\\u003c/script>"]'
    """
    written = json.dumps(data, allow_nan=False, separators=(",", ":"), default=default)
    return written.replace("<", "\\u003c")
