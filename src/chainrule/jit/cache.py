"""Machine code on disk, so that a second process compiles nothing."""

from __future__ import annotations

import hashlib


def key(text: str, target) -> str:
    """What a kernel's machine code depends on."""
    return hashlib.sha256(f"{target}\n{text}".encode()).hexdigest()[:32]


def read(key: str) -> bytes | None:
    """The machine code stored under this key, or None."""
    return None


def write(key: str, code: bytes) -> None:
    """Store it if that is possible."""
