"""Powers: with an exponent that is fixed in the graph, and with one that is not."""

from __future__ import annotations

from ..values import Builder, Number, Value
from .common import (
    INF,
    NAN,
    at_least,
    at_most,
    horner,
    nearest,
    nearest_power,
    quick_two_sum,
    reduced,
    scale,
    two_product,
    two_sum,
    with_sign,
)
from .exponential import EXP, LN2, LN2_PARTS, LOG2E, log, split
from .rounding import trunc

# Up to these exponents, powers are products: beyond, they would lose too many bits.
_LARGEST, _SMALLEST = {"float32": 4, "float64": 8}, {"float32": -2, "float64": -4}


def power(b: Builder, x: Value, exponent: Number) -> Value:
    """x to a number that is fixed in the graph."""
    if not x.floating:
        return _whole_power(b, x, int(exponent))
    if exponent == 0.5:
        return b.sqrt(x)
    if exponent == -0.5:  # inf of -0.0, and 0 of -inf
        return 1.0 / b.select(b.compare("eq", x, -INF), INF, b.sqrt(x + 0.0))
    if exponent != int(exponent) if abs(exponent) < INF else True:
        return pow_(b, x, b.like(exponent, x))
    if _SMALLEST[x.elem] <= exponent <= _LARGEST[x.elem]:
        return product(b, x if exponent >= 0 else 1.0 / x, abs(int(exponent)))
    if x.elem == "float32" and abs(exponent) <= 64:
        wide = product(b, b.cast(x, "float64"), abs(int(exponent)))
        return b.cast(wide if exponent > 0 else 1.0 / wide, "float32")
    return pow_(b, x, b.like(exponent, x))


def product(b: Builder, x: Value, n: int) -> Value:
    """x^n of a whole n >= 0, by squaring."""
    if n < 2:
        return x if n else b.like(1, x)
    half = product(b, x, n // 2)
    return half * half * x if n % 2 else half * half


def _whole_power(b: Builder, x: Value, n: int) -> Value:
    if n >= 0:
        return product(b, x, n)
    # Of the integers, only 1 and -1 have an inverse: the others' is rounded to 0.
    return b.select(b.compare("eq", b.abs(x), 1), x if n % 2 else b.like(1, x), 0)


# --------------------------------------------------------------------------- x to the y
def pow_(b: Builder, x: Value, y: Value) -> Value:
    """x^y with C's special values; of integers, modulo their width."""
    x, y = b.like(x, y), b.like(y, x)
    if not x.floating:
        return _integer_pow(b, x, y)
    size = b.abs(x)
    if x.elem == "float32":
        result = _float32_pow(b, size, y)
    else:
        result = _float64_pow(b, size, y)
    whole = b.compare("eq", trunc(b, y), y)
    odd = whole & b.compare("ne", trunc(b, y * 0.5), y * 0.5)
    result = b.select(odd, with_sign(b, result, x), result)
    impossible = b.compare("lt", x, 0.0) & b.compare("gt", x, -INF) & b.compare("ne", whole, True)
    result = b.select(impossible, NAN, result)
    result = b.select(b.compare("ne", x, x) | b.compare("ne", y, y), NAN, result)
    turned = b.compare("eq", x, -1.0) & b.compare("eq", b.abs(y), INF)
    one = b.compare("eq", y, 0.0) | b.compare("eq", x, 1.0) | turned
    return b.select(one, 1.0, result)


# As _LOG_RATIO and EXP in exponential.py, with errors of 2^-42 and 2^-29.
_SHORT_LOG_RATIO = (
    0.66666666710630773, 0.3999998454989373, 0.28573189621123601, 0.22134955138571505,
    0.20124220844831581,
)
_SHORT_EXP = (
    1.0, 1.000000033736367, 0.4999999475785914, 0.16666426695090461, 0.041667864452530283,
    0.0083744509270776007, 0.0013851642166063992,
)


def _float32_pow(b: Builder, x: Value, y: Value) -> Value:
    """x^y of x >= 0, in float64 with the digits of a float32."""
    exponent = b.cast(y, "float64") * log(b, b.cast(x, "float64"), _SHORT_LOG_RATIO)
    exponent = at_least(b, at_most(b, exponent, 150.0), -150.0)
    n, factor = nearest_power(b, exponent, LOG2E)
    r = b.fma(n, -LN2, exponent)
    return b.cast(factor * horner(b, r, _SHORT_EXP), "float32")


def _float64_pow(b: Builder, x: Value, y: Value) -> Value:
    """x^y of x >= 0, the log and its product with y being kept in two numbers each."""
    high, low = _two_logs(b, x)
    y = at_least(b, at_most(b, y, 1e30), -1e30)  # beyond, x^y is 0, 1 or infinite anyway
    product, lost = two_product(b, y, high)
    near = b.compare("lt", b.abs(product), 1000.0)
    lost = b.select(near, b.fma(y, low, lost), 0.0)
    product = at_least(b, at_most(b, product, 710.0), -746.0)
    n = nearest(b, product, LOG2E)
    r = reduced(b, product, n, LN2_PARTS["float64"]) + lost
    return scale(b, horner(b, r, EXP["float64"]), n)


def _two_logs(b: Builder, x: Value) -> tuple[Value, Value]:
    """log(x) in two numbers, to about 2^-65: 2 atanh(s) + e ln 2 with s = f / (2 + f)."""
    m, e = split(b, x)
    f = m - 1.0
    d, d_low = quick_two_sum(b, b.like(2.0, f), f)
    s = f / d
    p, p_low = two_product(b, s, d)
    s_low = ((f - p) - p_low - s * d_low) / d
    z, z_low = two_product(b, s, s)
    z_low = b.fma(s + s, s_low, z_low)
    cube, cube_low = two_product(b, s, z)
    cube_low = cube_low + b.fma(s, z_low, s_low * z)
    third, third_low = two_product(b, cube, b.like(2 / 3, x))
    third_low = third_low + b.fma(cube_low, 2 / 3, cube * _TWO_THIRDS_LOW)
    third_low = b.fma(cube * z, horner(b, z, _LOG_RATIO_TAIL), third_low)
    high, low = two_sum(b, e * LN2_PARTS["float64"][0], s + s)
    low = low + b.fma(e, LN2_PARTS["float64"][1], s_low + s_low + third_low)
    high, more = two_sum(b, high, third)
    high, low = quick_two_sum(b, high, low + more)
    known = b.compare("gt", x, 0.0) & b.compare("lt", x, INF)
    edge = b.select(b.compare("eq", x, 0.0), -INF, x)
    return b.select(known, high, edge), b.select(known, low, 0.0)


# 2/3 - float(2/3), and (log((1 + s) / (1 - s)) - 2 s - 2/3 s^3) / s^5 of s^2 on |s| <= 1/5
_TWO_THIRDS_LOW = 3.700743415417188e-17
_LOG_RATIO_TAIL = (
    0.39999999999999719, 0.2857142857157875, 0.22222222191008534, 0.18181821546628149,
    0.15384405649178204, 0.13341172187152639, 0.11591950551849087, 0.12573906511607646,
)


def _integer_pow(b: Builder, x: Value, y: Value) -> Value:
    if x.elem == "bool":
        return x | b.bits("logical_not", y)
    signed = not x.elem.startswith("u")
    result = b.variable(b.like(1, x))
    base, rest = b.variable(x), b.variable(y)
    with b.loop(0, int("".join(c for c in x.elem if c.isdigit()))):
        factor = b.select(b.compare("ne", rest.get() & 1, 0), base.get(), 1)
        result.set(result.get() * factor)
        base.set(base.get() * base.get())
        rest.set(b.bitcast(b.bitcast(rest.get(), f"u{x.elem.lstrip('u')}") >> 1, x.elem))
    if not signed:
        return result.get()
    odd = b.compare("ne", y & 1, 0)
    inverse = b.select(b.compare("eq", b.abs(x), 1), b.select(odd, x, 1), 0)
    return b.select(b.compare("lt", y, 0), inverse, result.get())
