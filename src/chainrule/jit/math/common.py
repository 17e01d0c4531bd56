"""What the elementary functions are made of: formats, polynomials, signs, powers of two.

Every function here and in its neighbours takes and returns vectors of float32 or float64 with any
number of lanes, and writes no branch and no call.  The polynomials are minimax fits: weighted
least squares with 40 digits on Chebyshev nodes, reweighted until the error levels out, each
coefficient in turn rounded to the format and the others fitted again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..values import Builder, Value

INF, NAN = float("inf"), float("nan")


@dataclass(frozen=True)
class Format:
    """The bits of a floating-point number."""

    whole: str  # the integer of the same width
    digits: int  # bits after the leading one
    bias: int  # of the exponent

    @property
    def magic(self) -> float:
        """Added to a small number, it rounds that to a whole one, kept in the lowest bits."""
        return 1.5 * 2.0**self.digits


FORMATS = {"float32": Format("int32", 23, 127), "float64": Format("int64", 52, 1023)}
UNSIGNED = {"float32": "uint32", "float64": "uint64"}


def horner(b: Builder, x: Value, coefficients: Sequence[float]) -> Value:
    """c0 + c1 x + c2 x^2 ..."""
    *rest, last = coefficients
    result = b.like(last, x)
    for c in reversed(rest):
        result = b.fma(result, x, b.like(c, x))
    return result


def at_most(b: Builder, x: Value, bound: float) -> Value:
    """min(x, bound); NaN stays NaN, in one instruction."""
    return b.select(b.compare("lt", bound, x), bound, x)


def at_least(b: Builder, x: Value, bound: float) -> Value:
    return b.select(b.compare("gt", bound, x), bound, x)


def sign_bit(b: Builder, x: Value) -> Value:
    """0.0 or -0.0, as bits."""
    whole = b.bitcast(x, FORMATS[x.elem].whole)
    return whole & (-1 << (FORMATS[x.elem].digits + (8 if x.elem == "float32" else 11)))


def with_sign(b: Builder, magnitude: Value, sign: Value) -> Value:
    """A number that is not negative, or has that sign already, with the sign of another."""
    whole = b.bitcast(magnitude, FORMATS[magnitude.elem].whole)
    return b.bitcast(whole | sign_bit(b, sign), magnitude.elem)


def flip_sign(b: Builder, x: Value, sign: Value) -> Value:
    """x, negated where `sign` is negative."""
    whole = b.bitcast(x, FORMATS[x.elem].whole)
    return b.bitcast(whole ^ sign_bit(b, sign), x.elem)


def nearest(b: Builder, x: Value, factor: float) -> Value:
    """The whole number next to factor * x, which is small (below 2^21, or 2^50)."""
    magic = FORMATS[x.elem].magic
    return b.fma(x, factor, b.like(magic, x)) - magic


def nearest_power(b: Builder, x: Value, factor: float, times: int = 0) -> tuple[Value, Value]:
    """The same, n, and 2^(n + times), which must be a normal number."""
    form = FORMATS[x.elem]
    magic = form.magic + form.bias + times
    lifted = b.fma(x, factor, b.like(magic, x))
    power = b.bitcast(b.bitcast(lifted, form.whole) << form.digits, x.elem)
    return lifted - magic, power


def power_of_two(b: Builder, n: Value) -> Value:
    """2^n of a whole n for which that is a normal number."""
    form = FORMATS[n.elem]
    whole = b.bitcast(n + (form.magic + form.bias), form.whole)
    return b.bitcast(whole << form.digits, n.elem)


def scale(b: Builder, x: Value, n: Value) -> Value:
    """x 2^n, rounded once, also where that overflows or is subnormal."""
    form = FORMATS[x.elem]
    if b.splits_floats(x):
        return b.scalef(x, n)
    # Two factors, because one is not always a normal number.
    whole = b.bitcast(n + (form.magic + 2 * form.bias), UNSIGNED[x.elem])
    half = whole >> 1
    first = b.bitcast(half << form.digits, x.elem)
    second = b.bitcast((whole - half) << form.digits, x.elem)
    return x * first * second


def reduced(b: Builder, x: Value, n: Value, parts: Sequence[float]) -> Value:
    """x - n c, the constant c being given as a sum of parts, the first ones short."""
    for part in parts:
        x = b.fma(n, -part, x)
    return x


def two_sum(b: Builder, x: Value, y: Value) -> tuple[Value, Value]:
    """x + y, and what its rounding lost."""
    total = x + y
    rest = total - x
    return total, (x - (total - rest)) + (y - rest)


def quick_two_sum(b: Builder, x: Value, y: Value) -> tuple[Value, Value]:
    """The same where |x| >= |y|."""
    total = x + y
    return total, y - (total - x)


def two_product(b: Builder, x: Value, y: Value) -> tuple[Value, Value]:
    """x y, and what its rounding lost."""
    product = x * y
    if b.target.fma:
        return product, b.fma(x, y, -product)
    (xh, xl), (yh, yl) = halves(b, x), halves(b, y)
    return product, (xh * yh - product + xh * yl + xl * yh) + xl * yl


def halves(b: Builder, x: Value) -> tuple[Value, Value]:
    """x as the sum of two numbers of half the digits."""
    form = FORMATS[x.elem]
    half = form.digits // 2 + 1
    large = x * (2.0**half + 1)
    high = large - (large - x)
    cut = b.bitcast(b.bitcast(x, form.whole) & (-1 << half), x.elem)
    high = b.select(b.compare("gt", b.abs(x), 2.0 ** (form.bias - half - 1)), cut, high)
    return high, x - high
