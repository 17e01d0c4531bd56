"""Forms that have a name: exp(a) / sum exp(a) is softmax(a), and its logarithm log_softmax(a).

Both hold for every array a, and neither changes when what is constant along the axis is taken
from a - which is how a program keeps the exponentials from overflowing.  What stands at the place
of the largest element is the largest element.  And numbers: 0.7071... is 1/√2.
"""

from __future__ import annotations

from fractions import Fraction
from math import pi, sqrt
from typing import Any

from .expression import Expr, number_of


def softmax_of(algebra: Any, factors: list[Expr]) -> list[Expr]:
    """The factors, with exp(a) and 1 / sum exp(a) taken together."""
    for total in factors:
        if total.kind == "power" and total.data == -1:
            a, axes = _summed_exp(total.args[0])
            exp = next((f for f in factors if a is not None and _is_exp(f, a)), None)
            if a is not None and exp is not None:
                found = _normalised(algebra, "softmax", a, axes)
                rest = [f for f in factors if f is not total and f is not exp]
                return [*rest, found]
    return factors


def log_of_softmax(algebra: Any, terms: list[Expr]) -> Expr | None:
    """a - log sum exp(a), if that is what the terms are."""
    for term in terms:
        if term.kind != "mul" or term.data != -1 or len(term.args) != 1:
            continue
        (log,) = term.args
        if log.kind != "call" or log.data[0] != "log":
            continue
        a, axes = _summed_exp(log.args[0])
        if a is not None and algebra.add(*[t for t in terms if t is not term]) is a:
            return _normalised(algebra, "log_softmax", a, axes)
    return None


def shifted_back(algebra: Any, terms: list[Expr]) -> list[Expr]:
    """m + log sum exp(a - m) as log sum exp(a), for an m that is constant along the axes."""
    for log in terms:
        if log.kind != "call" or log.data[0] != "log":
            continue
        a, axes = _summed_exp(log.args[0])
        if a is None or a.kind != "add":
            continue
        shifts = [t for t in terms if t is not log and algebra.neg(t) in a.args]
        if shifts and all(_is_constant(t, axes, len(a.shape)) for t in shifts):
            whole = algebra.expand(algebra.add(a, *shifts), a.shape)
            total = algebra.reduce("sum", algebra.call("exp", [whole]), axes)
            return [*[t for t in terms if t not in shifts and t is not log],
                    algebra.call("log", [total])]
    return terms


def _is_exp(x: Expr, a: Expr) -> bool:
    return x.kind == "call" and x.data[0] == "exp" and x.args[0] is a


def _summed_exp(x: Expr) -> tuple[Expr | None, tuple[int, ...]]:
    """For a sum of exp(a) along axes: a and the axes."""
    if x.kind == "reduce" and x.data[0] == "sum":
        (inner,) = x.args
        if inner.kind == "call" and inner.data[0] == "exp":
            return inner.args[0], x.data[1]
    return None, ()


def _normalised(algebra: Any, name: str, a: Expr, axes: tuple[int, ...]) -> Expr:
    terms = list(a.args) if a.kind == "add" else [a]
    rank = len(a.shape)

    kept = [t for t in terms if not _is_constant(t, axes, rank)]
    if kept and len(kept) < len(terms):
        inner = algebra.add(*kept)
        if inner.shape == a.shape:
            a = inner
    return algebra.call(name, [a], (("axis", axes),), a.shape)


def _is_constant(x: Expr, axes: tuple[int, ...], rank: int) -> bool:
    """Whether x, stretched to `rank` axes, is the same all along the given ones."""
    shape = (1,) * (rank - len(x.shape)) + x.shape
    return all(shape[axis] == 1 for axis in axes)


def extreme_of(algebra: Any, x: Expr, index: Expr, axis: int) -> Expr | None:
    """max x, if the index says where x is largest."""
    if index.kind == "reduce" and index.args[0] is x and index.data[1] == (axis,):
        name = {"argmax": "max", "argmin": "min"}.get(index.data[0])
        if name is not None:
            return algebra.reduce(name, x, (axis,))
    return None


def is_sum_of_exp(x: Expr) -> bool:
    """Whether x is a sum of exponentials, which is never zero."""
    return _summed_exp(x)[0] is not None


def constant(algebra: Any, value: float, precision: float) -> Expr:
    """A number, as a root or a multiple of π if it is one."""
    exact = number_of(value)
    if isinstance(exact, Fraction) or len(repr(value)) < 9 or value in (_INF, -_INF):
        return algebra.number(exact)
    square, sign = value * value, 1 if value > 0 else -1
    for factor, power in ((1.0, 0), (1 / pi, 1), (pi, -1)):
        for size, root in ((value * factor, 1), (square * factor, 2)):
            near = Fraction(size).limit_denominator(64)
            simple = precision < 1e-12 or near.denominator <= 12 or near.numerator == 1
            if near and simple and abs(float(near) - size) <= 2 * precision * abs(size):
                return _rooted(algebra, near, root, power, sign)
    return algebra.number(exact)


_INF = float("inf")


def _rooted(algebra: Any, near: Fraction, root: int, power: int, sign: int) -> Expr:
    """sign (near π^power)^(1/root)."""
    pi_ = algebra.make("symbol", (), "π", ())
    parts = [algebra.power(pi_, Fraction(power, root))]
    if root == 1:
        return algebra.mul(algebra.number(near), *parts)
    parts.append(algebra.root(near))
    return algebra.mul(algebra.number(Fraction(sign)), *parts)


def square_root(value: Fraction) -> Fraction | None:
    """The root of a fraction, if it is one."""
    top, bottom = (round(sqrt(n)) for n in (value.numerator, value.denominator))
    found = Fraction(top, bottom)
    return found if found * found == value else None
