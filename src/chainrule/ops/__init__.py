"""All ops, one file per kind.  Importing this package makes the whole table known."""

from . import (
    contraction,
    elementwise,
    indexing,
    library,
    linear_algebra,
    logic,
    movement,
    reduction,
    special,
)
from .op import ALL_OPS, Op

__all__ = [
    "ALL_OPS", "Op", "contraction", "elementwise", "indexing", "library", "linear_algebra",
    "logic", "movement", "reduction", "special",
]
