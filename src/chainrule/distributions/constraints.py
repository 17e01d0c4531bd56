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


def _is_positive_definite(m: np.ndarray) -> np.ndarray:
    mirrored = np.swapaxes(m, -1, -2)
    symmetric = np.isclose(m, mirrored, atol=1e-6).all((-2, -1))
    return symmetric & (np.linalg.eigvalsh((m + mirrored) / 2) > 0).all(-1)


def _is_lower_cholesky(m: np.ndarray) -> np.ndarray:
    positive = (np.diagonal(m, axis1=-2, axis2=-1) > 0).all(-1)
    return positive & (np.tril(m) == m).all((-2, -1))


real = Constraint("a real number", lambda x: x == x)  # not NaN
real_vector = Constraint("real numbers", lambda x: (x == x).all(-1))
positive = Constraint("> 0", lambda x: x > 0)
nonnegative = Constraint(">= 0", lambda x: x >= 0)
unit_interval = Constraint("between 0 and 1", lambda x: (x >= 0) & (x <= 1))
boolean = Constraint("0 or 1", lambda x: (x == 0) | (x == 1))
positive_definite = Constraint("symmetric and positive-definite", _is_positive_definite)
lower_cholesky = Constraint("lower triangular with a positive diagonal", _is_lower_cholesky)
simplex = Constraint("numbers >= 0 that sum to 1", _on_simplex)


def integer_interval(low: int, high: int) -> Constraint:
    """The integers low ... high."""
    return Constraint(
        f"an integer from {low} to {high}", lambda x: (x >= low) & (x <= high) & (x % 1 == 0)
    )


def interval(low: np.ndarray, high: np.ndarray) -> Constraint:
    """Between low and high, both included."""
    return Constraint("between low and high", lambda x: (x >= low) & (x <= high))
