"""What the parameters and the values of a distribution must satisfy."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Constraint(NamedTuple):
    """A condition on arrays: `holds` gives a truth value for each element, or each event."""

    rule: str
    holds: Callable[[np.ndarray], np.ndarray]

    def __repr__(self) -> str:
        return self.rule


def _on_simplex(p: np.ndarray) -> np.ndarray:
    return (p >= 0).all(-1) & (abs(p.sum(-1) - 1) < 1e-6)


real = Constraint("a real number", lambda x: x == x)  # not NaN
real_vector = Constraint("real numbers", lambda x: (x == x).all(-1))
positive = Constraint("> 0", lambda x: x > 0)
nonnegative = Constraint(">= 0", lambda x: x >= 0)
unit_interval = Constraint("between 0 and 1", lambda x: (x >= 0) & (x <= 1))
boolean = Constraint("0 or 1", lambda x: (x == 0) | (x == 1))
simplex = Constraint("numbers >= 0 that sum to 1", _on_simplex)


def integer_interval(low: int, high: int) -> Constraint:
    """The integers low ... high."""
    return Constraint(
        f"an integer from {low} to {high}", lambda x: (x >= low) & (x <= high) & (x % 1 == 0)
    )


def interval(low: np.ndarray, high: np.ndarray) -> Constraint:
    """Between low and high, both included."""
    return Constraint("between low and high", lambda x: (x >= low) & (x <= high))
