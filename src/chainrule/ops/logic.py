"""Comparisons, predicates, selection and bits: ops whose result is chosen, not calculated.

Most have no derivative, and say so; what `where` selects keeps its own.
"""

from __future__ import annotations

import numpy as np

from .op import Elementwise, elementwise, nondifferentiable, normal

where: Elementwise = elementwise(
    "where",
    result="select",
    eval=np.where,
    emit=lambda b, c, x, y: b.select(c, x, y),
    vjp=lambda ct, out, c, x, y: (None, where(c, ct, 0.0), where(c, 0.0, ct)),
    sample=lambda rng: (
        (rng.random((2, 3)) < 0.5, rng.standard_normal((2, 3)), rng.standard_normal(3)), {}
    ),
)


# --------------------------------------------------------------------------- comparisons
def _compare(name: str, function) -> Elementwise:
    return elementwise(
        name,
        result="test",
        eval=function,
        emit=lambda b, x, y: b.compare(name, x, y),
        vjp=nondifferentiable,
        sample=normal((2, 3), (3,)),
    )


eq = _compare("eq", np.equal)
ne = _compare("ne", np.not_equal)
lt = _compare("lt", np.less)
le = _compare("le", np.less_equal)
gt = _compare("gt", np.greater)
ge = _compare("ge", np.greater_equal)


# --------------------------------------------------------------------------- predicates
def _predicate(name: str, function) -> Elementwise:
    return elementwise(
        name,
        result="test",
        eval=function,
        emit=lambda b, x: b.math(name, x),
        vjp=nondifferentiable,
        sample=normal((2, 3)),
    )


isnan = _predicate("isnan", np.isnan)
isinf = _predicate("isinf", np.isinf)
isfinite = _predicate("isfinite", np.isfinite)


# --------------------------------------------------------------------------- bits
def _bits(name: str, function, result: str, arity: int) -> Elementwise:
    def sample(rng):
        return tuple(rng.random((2, 3)) < 0.5 for _ in range(arity)), {}

    return elementwise(
        name,
        result=result,
        eval=function,
        emit=lambda b, *xs: b.bits(name, *xs),
        vjp=nondifferentiable,
        sample=sample,
    )


logical_and = _bits("logical_and", np.logical_and, "logical", 2)
logical_or = _bits("logical_or", np.logical_or, "logical", 2)
logical_xor = _bits("logical_xor", np.logical_xor, "logical", 2)
logical_not = _bits("logical_not", np.logical_not, "logical", 1)
bitwise_and = _bits("bitwise_and", np.bitwise_and, "integral", 2)
bitwise_or = _bits("bitwise_or", np.bitwise_or, "integral", 2)
bitwise_xor = _bits("bitwise_xor", np.bitwise_xor, "integral", 2)
bitwise_not = _bits("bitwise_not", np.invert, "integral", 1)


def _shift(name: str, function) -> Elementwise:
    return elementwise(
        name,
        result="shifted",
        eval=function,
        emit=lambda b, x, y: b.bits(name, x, y),
        vjp=nondifferentiable,
        sample=lambda rng: ((rng.integers(1, 9, (2, 3)), rng.integers(0, 3, (3,))), {}),
    )


left_shift = _shift("left_shift", np.left_shift)
right_shift = _shift("right_shift", np.right_shift)
