"""PyTorch's `torch.utils`: `data`, `checkpoint` and `tensorboard`.

The last two are loaded when they are first asked for.
"""

from __future__ import annotations

import importlib

from .. import data

__all__ = ["checkpoint", "data", "tensorboard"]


def __getattr__(name: str):
    if name in ("checkpoint", "tensorboard"):
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
