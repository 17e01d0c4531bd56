"""sin, cos, tan, their inverses, and the hyperbolic functions that are no quotient of exp.

An angle is reduced by multiples of pi/2 that are given in several numbers.  Where that is not
enough (an angle of hundreds of thousands), it is multiplied by all the digits of 2/pi that matter.
"""

from __future__ import annotations

from math import inf, pi

from ..values import Builder, Value
from .common import (
    FORMATS,
    NAN,
    at_most,
    flip_sign,
    horner,
    nearest,
    quick_two_sum,
    reduced,
    scale,
    two_product,
    two_sum,
    with_sign,
)
from .exponential import EXP, LN2, LN2_PARTS, LOG2E, log1p
from .rounding import round_

# pi/2 as a sum: of full numbers where a fused multiply-add loses nothing, else of short ones.
# All are positive, so that -0.0 reduced is -0.0.
_FULL = {
    "float32": (1.570796251296997, 7.549789415861596e-08, 5.390302529957765e-15),
    "float64": (1.5707963267948966, 6.123233995736765e-17, 1.0828566739219139e-32),
}
_SHORT = (1.5707963267341256, 6.077100506303966e-11, 2.0222662487111665e-21, 8.4784276603689e-32)
# The digits of 2/pi in base 2^24
_DIGITS = (
    10680707, 7228996, 1387004, 2578385, 16069853, 12639074, 9804092, 4427841, 16666979, 11263675,
    12935607, 2387514, 4345298, 14681673, 3074569, 13734428, 16653803, 1880361, 10960616, 8533493,
    3062596, 8710556, 7349940, 6258241, 3772886, 3769171, 3798172, 8675211, 12450088, 3874808,
    9961438, 366607, 15675153, 9132554, 7151469, 3571407, 2607881, 12013382, 4155038, 6285869,
    7677882, 13102053, 15825725, 473591, 9065106, 15363067, 6271263, 9264392, 5636912, 4652155,
)

# Odd functions: (f(x) - x) / x^3 of x^2; cos: (cos(x) - 1 + x^2 / 2) / x^4 of x^2.
# On |x| <= 1.03 pi/4, errors 2^-27.6, 2^-57; 2^-32.7, 2^-60; 2^-28.5, 2^-56.5
_SIN = {
    "float32": (-0.166666523, 0.00833201502, -0.00019495748),
    "float64": (
        -0.16666666666666666, 0.0083333333333333176, -0.00019841269841250065,
        2.755731921161897e-6, -2.5052104248623379e-8, 1.605828309629652e-10,
        -7.5746055380761525e-13,
    ),
}
_COS = {
    "float32": (0.0416666418, -0.00138871267, 2.44114526e-5),
    "float64": (
        0.041666666666666567, -0.0013888888888869016, 2.4801587286241663e-5,
        -2.7557313405429816e-7, 2.0875593553123838e-9, -1.1352898677866887e-11,
    ),
}
_TAN = {
    "float32": (
        0.333333641, 0.133321896, 0.0541117378, 0.0210221503, 0.0114937332, -0.000726939761,
        0.00477131922,
    ),
    "float64": (
        0.33333333333333476, 0.13333333333311093, 0.053968253980347491, 0.021869488203083976,
        0.0088632409841162395, 0.0035920700116507487, 0.0014562575450187056,
        0.00058784090187982956, 0.00024728620893428127, 7.4788574568695088e-5,
        8.2724707758073478e-5, -4.4682726962938425e-5, 6.4094251733278035e-5,
        -3.172107446355074e-5, 1.1411702402298781e-5,
    ),
}
# On |x| <= 0.55, errors 2^-25.7, 2^-58
_ASIN = {
    "float32": (0.166669369, 0.0748792738, 0.0463728495, 0.0198699702, 0.0492056534),
    "float64": (
        0.16666666666666499, 0.075000000000490508, 0.044642857092395995, 0.030381947065582907,
        0.022372078512063097, 0.017354363382737947, 0.013943283301390165, 0.011755368964469614,
        0.0083961788098571334, 0.014900485038725278, -0.014419746645626898,
        0.055338679373989938, -0.062484261782378224, 0.052984657085375475,
    ),
}
# On |x| <= 0.57, errors 2^-29.5, 2^-58
_ATAN = {
    "float32": (
        -0.333333075, 0.199984193, -0.142530829, 0.107947193, -0.0747470707, 0.0321385786,
    ),
    "float64": (
        -0.33333333333333304, 0.19999999999991327, -0.14285714284849688, 0.11111111067463154,
        -0.090909077811424488, 0.076922821649013054, -0.066663255931669455,
        0.058791215196292462, -0.052410028746696237, 0.046508469638576071,
        -0.039399190206513411, 0.029068778685719825, -0.015807540332447644,
        0.0045092490951689724,
    ),
}
# On |x| <= 1, errors 2^-25, 2^-56
_SINH = {
    "float32": (0.166667178, 0.00833022315, 0.000203766336),
    "float64": (
        0.16666666666666669, 0.0083333333333331389, 0.00019841269841437882,
        2.7557319155283148e-6, 2.5052123406027127e-8, 1.6057239821524651e-10,
        7.759326506102402e-13,
    ),
}


# --------------------------------------------------------------------------- reduction
def _reduced_angle(b: Builder, x: Value, precise: bool = False) -> list[Value]:
    """n and r where x = n pi/2 + r, n modulo 4, and |r| <= pi/4 or hardly more.

    If `precise`, also what the rounding of r has lost.
    """
    limit = 2.0 ** (30 if b.target.fma and x.elem == "float64" else 17)
    small = _small_angle(b, x, precise)
    results = [b.variable(value) for value in small]
    large = b.compare("ge", b.abs(x), limit)
    with b.when(b.any(large)):
        n, r, lost = _large_angle(b, b.cast(x, "float64"))
        if x.elem == "float32":
            lost = r - b.cast(b.cast(r, "float32"), "float64")
        for result, new, old in zip(results, (n, r, lost), small, strict=False):
            result.set(b.select(large, b.cast(new, x.elem), old))
    return [result.get() for result in results]


def _small_angle(b: Builder, x: Value, precise: bool) -> list[Value]:
    if b.target.fma:
        n = nearest(b, x, 2 / pi)
        first, second, third = _FULL[x.elem]
        if not precise:
            return [n, reduced(b, x, n, _FULL[x.elem])]
        product, more = two_product(b, n, b.like(second, x))
        r, lost = two_sum(b, b.fma(n, -first, x), -product)  # the first step is exact
        return [n, r, b.fma(n, -third, lost - more)]
    wide = b.cast(x, "float64")
    n = nearest(b, wide, 2 / pi)
    r = reduced(b, wide, n, _SHORT)
    near = b.cast(r, x.elem)
    rest = [b.cast(r - b.cast(near, "float64"), x.elem)] if precise else []
    return [b.cast(n, x.elem), near, *rest]


def _large_angle(b: Builder, x: Value) -> tuple[Value, Value, Value]:
    """x times one digit of 2/pi after the other, all exactly and modulo 4."""
    lifted = [d * 2.0 ** (256 - 24 * (i + 1)) for i, d in enumerate(_DIGITS)]
    digits = b.table(lifted, "float64")
    x = x * 2.0**-256
    high = b.bitcast(b.bitcast(x, "int64") & (-1 << 24), "float64")
    low = x - high
    total, rest, tail = (b.variable(b.like(0.0, x)) for _ in range(3))
    with b.loop(0, len(_DIGITS)) as i:
        digit = b.load(digits, i, "float64")
        for part in (high, low):
            product = part * digit
            # A part that is infinite or NaN leaves NaN here.
            product = product - round_(b, product * 0.25) * 4.0
            sum_, lost = two_sum(b, total.get(), product)
            total.set(sum_)
            sum_, lost = two_sum(b, rest.get(), lost)
            rest.set(sum_)
            tail.set(tail.get() + lost)
    n = round_(b, total.get())
    turns, low = two_sum(b, total.get() - n, rest.get())
    low = low + tail.get()
    r, lost = two_product(b, turns, b.like(pi / 2, x))
    lost = b.fma(turns, _FULL["float64"][1], b.fma(low, pi / 2, lost))
    return n, *quick_two_sum(b, r, lost)


# --------------------------------------------------------------------------- sin, cos, tan
def _odd(b: Builder, x: Value, coefficients: dict[str, tuple[float, ...]]) -> Value:
    """x + x^3 P(x^2)"""
    z = x * x
    return b.fma(x * z, horner(b, z, coefficients[x.elem]), x)


def _quadrant(b: Builder, n: Value) -> Value:
    """n as an integer, of which the lowest two bits are right."""
    form = FORMATS[n.elem]
    return b.bitcast(n + form.magic, form.whole)


def _wave(b: Builder, x: Value, shift: int) -> Value:
    """sin(x + shift pi/2)"""
    n, r = _reduced_angle(b, x)
    quadrant = _quadrant(b, n) + shift
    z = r * r
    cosine = b.fma(z * z, horner(b, z, _COS[x.elem]), b.fma(z, -0.5, b.like(1.0, z)))
    sine = b.select(b.compare("eq", r, 0.0), r, _odd(b, r, _SIN))  # -0.0 is kept
    value = b.select(b.compare("ne", quadrant & 1, 0), cosine, sine)
    form = FORMATS[x.elem]
    width = 32 if x.elem == "float32" else 64
    return b.bitcast(b.bitcast(value, form.whole) ^ ((quadrant & 2) << (width - 2)), x.elem)


def sin(b: Builder, x: Value) -> Value:
    return _wave(b, x, 0)


def cos(b: Builder, x: Value) -> Value:
    return _wave(b, x, 1)


def tan(b: Builder, x: Value) -> Value:
    n, r, lost = _reduced_angle(b, x, precise=True)
    z = r * r
    more = b.fma(r * z, horner(b, z, _TAN[x.elem]), lost)
    t = with_sign(b, r + more, r)
    turned = b.compare("ne", _quadrant(b, n) & 1, 0)
    q = b.select(turned, -1.0, t) / b.select(turned, t, 1.0)
    rounded = (r - t) + more  # what t has lost, where -1 / t would lose it again
    return b.select(turned, b.fma(q * q, rounded, q), q)


# --------------------------------------------------------------------------- their inverses
def _asin_parts(b: Builder, x: Value) -> tuple[Value, Value]:
    """Whether |x| > 0.55, and then asin(sqrt((1 - |x|) / 2)), else asin(|x|)."""
    size = b.abs(x)
    large = b.compare("gt", size, 0.55)
    z = b.select(large, (1.0 - size) * 0.5, size * size)
    s = b.select(large, b.sqrt(z), size)
    return large, b.fma(s * z, horner(b, z, _ASIN[x.elem]), s)


def asin(b: Builder, x: Value) -> Value:
    large, p = _asin_parts(b, x)
    high, low, _ = _FULL[x.elem]
    return with_sign(b, b.select(large, high - (p + p - low), p), x)


def acos(b: Builder, x: Value) -> Value:
    large, p = _asin_parts(b, x)
    high, low, _ = _FULL[x.elem]
    twice = p + p
    outer = b.select(b.compare("lt", x, 0.0), 2 * high - (twice - 2 * low), twice)
    return b.select(large, outer, high - (flip_sign(b, p, x) - low))


def atan(b: Builder, x: Value) -> Value:
    return atan2(b, x, b.like(1.0, x))


def atan2(b: Builder, y: Value, x: Value) -> Value:
    """The angle of (x, y): of the smaller over the larger one, then mirrored."""
    y, x = b.like(y, x), b.like(x, y)
    height, width = b.abs(y), b.abs(x)
    steep = b.compare("gt", height, width)
    large, small = b.select(steep, height, width), b.select(steep, width, height)
    zeros = b.compare("eq", height + width, 0.0)
    infinities = b.compare("eq", small, inf) & b.compare("eq", large, inf)
    small = b.select(infinities, 1.0, small)
    large = b.select(zeros | infinities, 1.0, large)
    # No sum may overflow, no product lose its bits.
    factor = b.select(b.compare("lt", large, 1e-30), b.like(2.0**60, x), 1.0)
    factor = b.select(b.compare("gt", large, 1e38), 0.25, factor)
    small, large = small * factor, large * factor
    middle = b.compare("gt", small, large * 0.57)  # where the angle has reached 1/2
    t = b.select(middle, small - large, small) / b.select(middle, small + large, large)
    t = _odd(b, t, _ATAN)
    # The angle is eighths * pi/4 + t: mirror it at pi/4, then at pi/2.
    eighths = b.select(middle, b.like(1.0, x), 0.0)
    eighths, t = b.select(steep, 2.0 - eighths, eighths), b.select(steep, -t, t)
    left = b.compare("lt", _one_with_sign(b, x), 0.0)
    eighths, t = b.select(left, 4.0 - eighths, eighths), b.select(left, -t, t)
    high, low, _ = _FULL[x.elem]
    return with_sign(b, b.fma(eighths, high / 2, b.fma(eighths, low / 2, t)), y)


def _one_with_sign(b: Builder, x: Value) -> Value:
    """1 or -1, which is how a comparison sees the sign of a zero."""
    return with_sign(b, b.like(1.0, x), x)


# --------------------------------------------------------------------------- hyperbolic
def _half_exp(b: Builder, x: Value) -> Value:
    """exp(x) / 2 of x >= 0, which is finite a little longer than exp(x)."""
    x = at_most(b, x, 90.0 if x.elem == "float32" else 711.0)
    n = nearest(b, x, LOG2E)
    return scale(b, horner(b, reduced(b, x, n, LN2_PARTS[x.elem]), EXP[x.elem]), n - 1.0)


def sinh(b: Builder, x: Value) -> Value:
    size = b.abs(x)
    half = _half_exp(b, size)
    large = with_sign(b, half - 0.25 / half, x)
    return b.select(b.compare("lt", size, 1.0), _odd(b, x, _SINH), large)


def cosh(b: Builder, x: Value) -> Value:
    half = _half_exp(b, b.abs(x))
    return half + 0.25 / half


def asinh(b: Builder, x: Value) -> Value:
    """log(|x| + sqrt(x^2 + 1)), written as log1p(|x| + x^2 / (1 + sqrt(x^2 + 1)))."""
    size = b.abs(x)
    square = size * size
    near = size + square / (b.sqrt(square + 1.0) + 1.0)
    return with_sign(b, _log1p_or_log2x(b, size, near), x)


def acosh(b: Builder, x: Value) -> Value:
    less = x - 1.0
    near = less + b.sqrt(b.fma(less, less, less + less))
    return b.select(b.compare("lt", x, 1.0), NAN, _log1p_or_log2x(b, x, near))


def _log1p_or_log2x(b: Builder, x: Value, near: Value) -> Value:
    """log1p(near), or log(2 x) of large numbers."""
    large = b.compare("gt", x, 2.0 ** (28 if x.elem == "float32" else 60))
    return log1p(b, b.select(large, x, near)) + b.select(large, b.like(LN2, x), 0.0)


def atanh(b: Builder, x: Value) -> Value:
    """log((1 + |x|) / (1 - |x|)) / 2, written as log1p(2 |x| + 2 |x| |x| / (1 - |x|)) / 2."""
    size = b.abs(x)
    twice, ratio = size + size, size / (1.0 - size)
    inside = b.select(b.compare("lt", size, 0.5), b.fma(twice, ratio, twice), ratio + ratio)
    return with_sign(b, log1p(b, inside) * 0.5, x)
