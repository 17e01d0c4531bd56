"""`torch.serialization`: what scripts name when they load whole modules.  Nothing unpickles."""

from __future__ import annotations


class safe_globals:
    """Accepted for PyTorch's sake: loading never runs code, so no class needs to be declared."""

    def __init__(self, safe_globals=()):
        self.names = list(safe_globals)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        return None


def add_safe_globals(safe_globals) -> None:
    """Accepted for PyTorch's sake: loading never runs code, so no class needs to be declared."""
