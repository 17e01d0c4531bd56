"""How a module is printed: its name, its settings, and its children as indented lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def block(name: str, lines: list[str]) -> str:
    """`name(`, the lines one step further in, `)`; without lines just `name()`."""
    body = "".join("\n  " + line.replace("\n", "\n  ") for line in lines)
    return f"{name}({body}\n)" if lines else f"{name}()"


def unusual(module: Any, defaults: Mapping[str, Any]) -> list[str]:
    """`name=value` for the settings of a module that are not what they are by default."""
    found = {name: getattr(module, name) for name in defaults}
    return [f"{name}={value}" for name, value in found.items() if value != defaults[name]]
