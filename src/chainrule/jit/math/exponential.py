"""exp, log and what follows from them: one reduction, one polynomial each."""

from __future__ import annotations

from collections.abc import Sequence
from math import frexp, ldexp

from ..values import Builder, Value
from .common import (
    FORMATS,
    INF,
    NAN,
    at_least,
    at_most,
    horner,
    nearest,
    nearest_power,
    power_of_two,
    reduced,
    scale,
    with_sign,
)

LOG2E = 1.4426950408889634
LN2 = 0.6931471805599453
# ln 2 in two parts: the product of the first with a whole number is exact.
LN2_PARTS = {
    "float32": (0.693115234375, 3.1946184945309415e-05),
    "float64": (0.6931471803691238, 1.9082149292705877e-10),
}

# exp(r) on |r| <= ln(2) / 2, error 2^-28 and 2^-57.6
EXP = {
    "float32": (1.0, 1.0, 0.49999994, 0.166665196, 0.0416682325, 0.00836882275, 0.00138238352),
    "float64": (
        1.0, 1.0, 0.50000000000000111, 0.16666666666666433, 0.041666666666526027,
        0.0083333333334814266, 0.001388888894461875, 0.00019841269534413643,
        2.4801492134665754e-5, 2.7557561599374358e-6, 2.7630578733465725e-7,
        2.5007927828544701e-8,
    ),
}
# (exp(r) - 1 - r) / r^2 on the same, error in expm1(r) 2^-26 and 2^-60
_EXPM1 = {
    "float32": (0.49999997, 0.166665435, 0.0416675434, 0.00836655125, 0.0013860797),
    "float64": (
        0.5, 0.16666666666666677, 0.041666666666666505, 0.0083333333333215891,
        0.0013888888888963183, 0.00019841269886248603, 2.480158717132428e-5,
        2.7557244067296718e-6, 2.7557403367996919e-7, 2.5109093164857996e-8,
        2.0875198600827471e-9,
    ),
}
# ((exp(2 r) - 1) / 2 - r) / r^2 on half of the same, error in the numerator the same
_TANH = {
    "float32": (0.99999994, 0.666661739, 0.333340347, 0.13386482, 0.0443545505),
    "float64": (
        1.0, 0.66666666666666707, 0.33333333333333204, 0.13333333333314543, 0.044444444444682187,
        0.012698412727199106, 0.0031746031579295078, 0.00070546544812279599,
        0.00014109390524414422, 2.5711711400814588e-5, 4.275240673449466e-6,
    ),
}
# (tanh(x) - x) / x^3 of x^2 on |x| <= 0.3, error in tanh(x) 2^-26
_TANH_NEAR = (-0.333330631, 0.133149147, -0.050372798)
# (log(1 + f) - f) / f^2 on -1/4 <= f <= 1/2, error in log(1 + f) 2^-27.6
_LOG = (
    -0.5, 0.333334506, -0.250001013, 0.199908137, -0.16647099, 0.144786075, -0.131631956,
    0.104658023, -0.0450845584,
)
# (log((1 + s) / (1 - s)) - 2 s) / s^3 of s^2 on |s| <= 1/5, error in the log 2^-62
_LOG_RATIO = (
    0.66666666666666596, 0.40000000000056435, 0.28571428555895406, 0.22222224288276229,
    0.18181666389152237, 0.15391094689598811, 0.13173895073459546, 0.13841010126139713,
)
# Below the first exp is 0, above the second infinite.
_RANGE = {"float32": (-104.0, 89.0), "float64": (-746.0, 710.0)}


# --------------------------------------------------------------------------- exp
def exp(b: Builder, x: Value) -> Value:
    low, high = _RANGE[x.elem]
    return bounded_exp(b, at_least(b, at_most(b, x, high), low))


def bounded_exp(b: Builder, x: Value) -> Value:
    """exp of a number in its range."""
    n = nearest(b, x, LOG2E)
    r = reduced(b, x, n, LN2_PARTS[x.elem])
    return scale(b, horner(b, r, EXP[x.elem]), n)


def sigmoid(b: Builder, x: Value) -> Value:
    """1 / (1 + exp(-x)): with e = exp(-|x|), which never overflows, 1 or e over 1 + e."""
    e = bounded_exp(b, at_least(b, -b.abs(x), _RANGE[x.elem][0]))
    top = b.select(b.compare("ge", x, 0.0), 1.0, e)
    # top / (1 + e) = top - top e / (1 + e): the second term's error is a small part of the sum.
    return b.fma(-top, e / (e + 1.0), top)


def expm1(b: Builder, x: Value) -> Value:
    low, high = {"float32": (-18.0, 89.0), "float64": (-38.0, 710.0)}[x.elem]
    bounded = at_least(b, at_most(b, x, high), low)
    # Half of it first: 2^n itself may be infinite where the result is not.
    n, power = nearest_power(b, bounded, LOG2E, -1)
    r = reduced(b, bounded, n, LN2_PARTS[x.elem])
    q = b.fma(r * r, horner(b, r, _EXPM1[x.elem]), r)
    half = b.fma(power, q, power - 0.5)
    # The sum of a zero and 0 has lost its sign.
    return with_sign(b, half + half, x)


def tanh(b: Builder, x: Value) -> Value:
    """With E = expm1(2 |x|) / 2, E / (E + 1)."""
    size = b.abs(x)
    bounded = at_most(b, size, 10.0 if x.elem == "float32" else 20.0)
    n, power = nearest_power(b, bounded, 2 * LOG2E)
    parts = [part / 2 for part in LN2_PARTS[x.elem]]
    if x.elem == "float32" and b.target.fma:
        parts = [LN2 / 2]  # n is small
    r = reduced(b, bounded, n, parts)
    q = b.fma(r * r, horner(b, r, _TANH[x.elem]), r)
    half = b.fma(power, q, b.fma(power, 0.5, b.like(-0.5, x)))
    result = half / (half + 1.0)
    if x.elem == "float32":  # where E + 1 has lost digits of E, a polynomial
        square = x * x
        near = b.fma(size * square, horner(b, square, _TANH_NEAR), size)
        result = b.select(b.compare("lt", size, 0.3), near, result)
    return with_sign(b, result, x)


# --------------------------------------------------------------------------- log
def split(b: Builder, x: Value) -> tuple[Value, Value]:
    """m and e where x = m 2^e and 3/4 <= m < 3/2, of a positive finite number."""
    if b.splits_floats(x):
        m = b.mantissa(x)
        return m, b.exponent(x) - b.exponent(m)
    form = FORMATS[x.elem]
    tiny = b.compare("lt", x, 2.0 ** (1 - form.bias))
    whole = b.bitcast(b.select(tiny, x * 2.0 ** (form.digits + 1), x), form.whole)
    lowest = (form.bias << form.digits) - (1 << (form.digits - 1))  # 3/4
    above = whole - lowest
    m = b.bitcast((above & ((1 << form.digits) - 1)) + lowest, x.elem)
    return m, _exponent(b, above, x) - b.select(tiny, b.like(form.digits + 1, x), 0.0)


def _exponent(b: Builder, above: Value, like: Value) -> Value:
    """The exponent at the top of those bits, as a number."""
    form = FORMATS[like.elem]
    if like.elem == "float32":
        return b.cast(above >> form.digits, "float32")
    # Few hosts convert int64: put it into the lowest bits of a large number.
    lifted = (b.bitcast(above, "uint64") + (form.bias + 1 << form.digits)) >> form.digits
    return b.bitcast(b.bitcast(lifted, "int64") | 0x4330 << 48, "float64") - (
        2.0**52 + form.bias + 1)


def _log1p(b: Builder, f: Value, ratio: Sequence[float] = _LOG_RATIO) -> Value:
    """log(1 + f) where -1/4 <= f <= 1/2; in float64 to as many digits as `ratio` has"""
    if f.elem == "float32":
        return b.fma(f * f, horner(b, f, _LOG), f)
    s = f / (f + 2.0)
    z = s * s
    return f - s * (f - z * horner(b, z, ratio))


def _finish_log(b: Builder, y: Value, x: Value) -> Value:
    """The log of what is no positive finite number is -inf, inf or NaN."""
    if b.splits_floats(x):
        return y  # from its exponent and mantissa, it is that already
    special = b.select(b.compare("eq", x, 0.0), -INF, b.select(b.compare("lt", x, 0.0), NAN, x))
    return b.select(b.compare("gt", x, 0.0) & b.compare("lt", x, INF), y, special)


def log(b: Builder, x: Value, ratio: Sequence[float] = _LOG_RATIO) -> Value:
    m, e = split(b, x)
    return _finish_log(b, _with_exponent(b, _log1p(b, m - 1.0, ratio), e), x)


def _with_exponent(b: Builder, y: Value, e: Value) -> Value:
    """y + e ln 2"""
    if y.elem == "float32" and b.target.fma:
        return b.fma(e, LN2, y)
    high, low = LN2_PARTS[y.elem]
    return b.fma(e, high, b.fma(e, low, y))


def _log1p_times(b: Builder, f: Value, factor: tuple[float, float], more: Value) -> Value:
    """log(1 + f) times the sum of the factor's parts, plus `more`, where -1/4 <= f <= 1/2."""
    high, low = factor
    if f.elem != "float32":
        return b.fma(_log1p(b, f), high + low, more)
    # Not the rounded log times the factor: a second rounding and the factor's own would count.
    rest = b.fma(f * f * horner(b, f, _LOG), high, f * low)
    if b.target.fma:
        return b.fma(f, high, rest) + more
    # Products of 12 bits with 12 are exact.
    top, short = b.bitcast(b.bitcast(f, "int32") & -4096, "float32"), _short(high)
    return (more + top * short) + (rest + (f * (high - short) + (f - top) * short))


def _short(x: float) -> float:
    """x to 12 bits."""
    m, e = frexp(x)
    return ldexp(round(m * 4096), e - 12)


def log2(b: Builder, x: Value) -> Value:
    m, e = split(b, x)
    return _finish_log(b, _log1p_times(b, m - 1.0, _LOG2_E, e), x)


def log10(b: Builder, x: Value) -> Value:
    m, e = split(b, x)
    high, low = _LOG10_2_PARTS[x.elem]
    y = _log1p_times(b, m - 1.0, _LOG10_E, e * low)
    return _finish_log(b, b.fma(e, high, y), x)


# The logs of e in two parts: the nearest float32, and what it lacks.
_LOG2_E = (1.4426950216293335, 1.9259629911266175e-08)
_LOG10_E = (0.4342944920063019, -1.0103050052231683e-08)


# log10(2) in two parts, like ln 2
_LOG10_2_PARTS = {
    "float32": (0.301025390625, 4.605038981195214e-06),
    "float64": (0.3010299955494702, 1.1451100898021838e-10),
}


def log1p(b: Builder, x: Value) -> Value:
    """With 1 + x = m 2^e, m - 1 is (2^-e - 1) + 2^-e x, which loses nothing."""
    more = x + 1.0
    m, e = split(b, more)
    small = power_of_two(b, -e)
    f = b.fma(small, x, small - 1.0)
    f = b.select(b.compare("lt", b.abs(e), 100.0), f, m - 1.0)  # 2^-e may be no number
    y = _finish_log(b, _with_exponent(b, _log1p(b, f), e), more)
    return with_sign(b, y, x)  # -0.0 is kept
