"""The error function, the gamma function and their kin.

Their float32 is computed in float64, except for erf, which networks use.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import wraps
from math import factorial, pi

from ..values import Builder, Value
from .common import FORMATS, INF, NAN, at_most, horner, with_sign
from .exponential import bounded_exp, log
from .powers import product
from .rounding import round_


def _in_float64(function: Callable) -> Callable:
    @wraps(function)
    def compute(b: Builder, x: Value, *attrs) -> Value:
        return b.cast(function(b, b.cast(x, "float64"), *attrs), x.elem)

    return compute


# --------------------------------------------------------------------------- erf
# erf(x) / x - 1 of x^2: |x| <= 0.9, error 2^-26; |x| <= 1, error 2^-56
_ERF = {
    "float32": (
        0.128379151, -0.376125187, 0.112821229, -0.0267787315, 0.00501207262, -0.000609205686,
    ),
    "float64": (
        0.12837916709551259, -0.37612638903183748, 0.11283791670954885, -0.026866170645077833,
        0.005223977624828036, -0.00085483269814038408, 0.00012055331132192489,
        -1.4925595754402093e-5, 1.6461008200554061e-6, -1.6350393360637347e-7,
        1.466030995718439e-8, -1.1374884995076058e-9, 5.9605686009866629e-11,
    ),
}
# -log2(1 - erf(x)) on [0.9, 4], -log(1 - erf(x)) of x - 3 on [1, 6]: errors in erf the same
_ERF_FAR = (
    0.000242868759, 1.62705553, 0.918983519, 0.150184602, -0.0321840756, 0.00441994937,
    -0.000285692629,
)
_ERF_FAR_FROM_3 = (
    10.720363041980846, 6.3037536890032211, 0.95739421882183418, 0.0074118918784950565,
    -0.0013533104349923275, 0.00024569159365256903, -4.3082801678161225e-5,
    7.1154002414428102e-6, -1.0675350620536145e-6, 1.3834828720226874e-7,
    -1.1197085251713633e-8, -2.0138538526877282e-9, -5.7640070742845352e-10,
    -4.2600885185257878e-10, 2.5226625331827447e-10, 1.5096772432554445e-10,
    4.6836440213590445e-11, 4.9261779107409167e-12,
)
# 2^r on |r| <= 1/2, error 2^-23, of which 1 - 2^r has a small part
_EXP2 = (1.0, 0.693147004, 0.240222409, 0.0555070415, 0.00967162941, 0.0013272824)


def erf(b: Builder, x: Value) -> Value:
    """Near 0 an odd polynomial, then 1 - exp(-g(|x|)), then 1."""
    size = b.abs(x)
    near = b.fma(x, horner(b, x * x, _ERF[x.elem]), x)
    if x.elem == "float32":
        far, edge = _erf_far(b, at_most(b, size, 4.0)), 0.9
    else:
        g = horner(b, at_most(b, size, 6.0) - 3.0, _ERF_FAR_FROM_3)
        far, edge = 1.0 - bounded_exp(b, -g), 1.0
    return b.select(b.compare("lt", size, edge), near, with_sign(b, far, x))


def _erf_far(b: Builder, x: Value) -> Value:
    form = FORMATS["float32"]
    g = horner(b, x, _ERF_FAR)
    lifted = (form.magic + form.bias) - g  # the whole part in its lowest bits
    r = ((form.magic + form.bias) - lifted) - g
    power = b.bitcast(b.bitcast(lifted, form.whole) << form.digits, "float32")
    return b.fma(-power, horner(b, r, _EXP2), b.like(1.0, x))


# erfinv(x) / x with w = -log(1 - x^2): of w - 3.125 for w <= 6.25, of sqrt(w) - 3.25 up to 16,
# of sqrt(w) - 5 up to 38 (which no float64 reaches); errors 2^-55.7, 2^-52, 2^-51
_ERFINV_NEAR = (
    1.6536545626831027, 0.24015818242558834, -0.0060336708714269884, -0.00074070253415458155,
    0.00018673420802048623, -1.388252339412269e-5, -1.365469177174284e-6, 4.2347881702659607e-7,
    -2.9070389990220095e-8, -4.1126605774819992e-9, 1.0512226251012409e-9,
    -5.4142974014068841e-11, -1.2978526664302369e-11, 2.6305110029449496e-12,
    -8.0787228981664792e-14, -4.0017240708191037e-14, 6.5323869634711862e-15,
    -3.9722471036103392e-17, -1.233432637476772e-16, 1.5533906321714296e-17,
    6.8830354553870247e-19, -3.482979987723376e-19, 1.6833571255539877e-20,
    3.2109858650024849e-21, -3.0529480448790278e-22,
)
_ERFINV_MIDDLE = (
    3.0838856104922203, 1.0052589676941595, 0.0053709145535985594, -0.0037512085075852423,
    0.002491442095707621, -0.0016882755556368746, 0.00095328938701813473,
    -0.00035503752456852902, 2.4031044020133442e-5, 6.8284875740251135e-5,
    -4.7317889297979441e-5, 1.2475224944985383e-5, 2.922423916726582e-6,
    -4.0137191613079419e-6, 1.5045280686172112e-6, 1.8092828905181385e-8,
    -2.768613972317607e-7, 9.0816341579218471e-8, 2.8771406878060385e-9,
)
_ERFINV_FAR = (
    4.8499064014085853, 1.0103004648645253, -0.00013871931847747821, -0.00021503011898437889,
    7.5995280009986992e-5, -1.9681781216425934e-5, 4.5260389311563168e-6,
    -9.9296930485214595e-7, 2.290964311620224e-7, -6.7741650342452892e-8,
    2.8956254578395177e-8, -1.492498150398735e-8, 7.8373787191878829e-9,
    -3.810572170076065e-9, 1.374319979225688e-9, -2.5046966621937473e-10,
    5.4675841276252552e-12,
)


@_in_float64
def erfinv(b: Builder, x: Value) -> Value:
    size = b.abs(x)
    w = -log(b, (1.0 - size) * (1.0 + size))
    root = b.sqrt(w)
    ratio = b.select(b.compare("lt", w, 16.0), horner(b, root - 3.25, _ERFINV_MIDDLE),
                     horner(b, root - 5.0, _ERFINV_FAR))
    ratio = b.select(b.compare("lt", w, 6.25), horner(b, w - 3.125, _ERFINV_NEAR), ratio)
    # As SciPy has it, 0.0 of -0.0.
    return b.select(b.compare("eq", size, 1.0), with_sign(b, b.like(INF, x), x), ratio * x + 0.0)


# --------------------------------------------------------------------------- gamma and its kin
# lgamma(2 + u) / u on |u| <= 1/2, error 2^-55
_LGAMMA = (
    0.42278433509846713, 0.3224670334241132, -0.067352301053198088, 0.020580808427784626,
    -0.0073855510286745087, 0.0028905103307346274, -0.0011927539116750572,
    0.00050966952501701416, -0.000223154759232925, 9.9457506812898743e-5,
    -4.4926224192367046e-5, 2.0507290719990797e-5, -9.4396137296728266e-6,
    4.3742313531385103e-6, -2.0384153384963823e-6, 9.5839187045203539e-7,
    -4.5249105680435743e-7, 2.0199609447651583e-7, -9.2430427337761271e-8,
    6.4677025735117702e-8, -3.3380824075825585e-8,
)
# digamma(x) / (x - root) on [1, 2] around its root, given in two numbers; error 2^-54
_DIGAMMA_ROOT = (1.4616321449683622, 9.549995429965697e-17)
_DIGAMMA = (
    0.9676722454476212, -0.44276316898359208, 0.25849976095564853, -0.1639427054424091,
    0.10782405069170188, -0.072199561256377137, 0.048804288133925726, -0.033161126466275365,
    0.022597649296703402, -0.015424766554150485, 0.010538769804930825, -0.007204515303560536,
    0.0049270581666135691, -0.0033701089582243372, 0.0023029016349506637,
    -0.0015739590747662112, 0.001089986909891087, -0.00075581166602192609,
    0.00047248050505089098, -0.00028248945752815639, 0.00027880033776051091,
    -0.00028011567279887266, 0.00012058191109846329,
)
# sin(pi f) / f of f^2 on |f| <= 1/2, error 2^-54
_SIN_PI = (
    3.1415926535897931, -5.1677127800499694, 2.550164039877294, -0.59926452931873764,
    0.082145886569885793, -0.0073704304787123674, 0.00046629968855965037,
    -2.1903184933782227e-5, 7.6947227398358991e-7,
)
_LOG_PI = 1.1447298858494002
_HALF_LOG_2_PI = 0.9189385332046727
# The Bernoulli numbers B2, B4 ... of Stirling's series
_BERNOULLI = (
    Fraction(1, 6), Fraction(-1, 30), Fraction(1, 42), Fraction(-1, 30), Fraction(5, 66),
    Fraction(-691, 2730), Fraction(7, 6), Fraction(-3617, 510), Fraction(43867, 798),
    Fraction(-174611, 330),
)
_STIRLING = [float(n / (2 * k * (2 * k - 1))) for k, n in enumerate(_BERNOULLI[:8], 1)]
_DIGAMMA_FAR = [float(n / (2 * k)) for k, n in enumerate(_BERNOULLI[:8], 1)]


def _sin_pi(b: Builder, f: Value) -> Value:
    """sin(pi f) where |f| <= 1/2"""
    return f * horner(b, f * f, _SIN_PI)


@_in_float64
def lgamma(b: Builder, x: Value) -> Value:
    """log |gamma(x)|, for x < 1/2 by reflection."""
    mirrored = b.compare("lt", x, 0.5)
    value = _lgamma(b, b.select(mirrored, 1.0 - x, x))
    wave = _sin_pi(b, x - round_(b, x))
    value = b.select(mirrored, _LOG_PI - log(b, b.abs(wave)) - value, value)
    return b.select(b.compare("eq", b.abs(x), INF), x, value)  # as SciPy has it


def _lgamma(b: Builder, x: Value) -> Value:
    """Of x >= 1/2: a polynomial around 2, to which x is brought by gamma(x + 1) = x gamma(x);
    from 8.5 on Stirling's series.  Either way there is one logarithm."""
    low, high = b.compare("lt", x, 1.5), b.compare("ge", x, 8.5)
    near, factor = b.select(low, x + 1.0, x), b.like(1.0, x)
    for _ in range(6):
        step = b.compare("ge", near, 2.5)
        near = b.select(step, near - 1.0, near)
        factor = b.select(step, factor * near, factor)
    logarithm = log(b, b.select(low | high, x, factor))
    u = b.select(low, x - 1.0, near - 2.0)
    value = b.fma(u, horner(b, u, _LGAMMA), b.select(low, -logarithm, logarithm))
    r = 1.0 / x
    far = b.fma(x - 0.5, logarithm - 1.0, b.like(_HALF_LOG_2_PI - 0.5, x))
    return b.select(high, b.fma(r, horner(b, r * r, _STIRLING), far), value)


@_in_float64
def digamma(b: Builder, x: Value) -> Value:
    """lgamma'(x), for x < 0 by reflection."""
    mirrored = b.compare("lt", x, 0.0)
    value = _digamma(b, b.select(mirrored, 1.0 - x, x))
    f = x - round_(b, x)
    value = b.select(mirrored, value - pi * _cot_pi(b, f), value)
    return b.select(mirrored & b.compare("eq", f, 0.0), NAN, value)


def _cot_pi(b: Builder, f: Value) -> Value:
    """cot(pi f) where |f| <= 1/2"""
    return _sin_pi(b, 0.5 - b.abs(f)) / _sin_pi(b, f)


def _digamma(b: Builder, x: Value) -> Value:
    """Of x >= 0: a polynomial around the root; a series for x >= 10, to which x is brought by
    digamma(x + 1) = digamma(x) + 1 / x."""
    u = (x - _DIGAMMA_ROOT[0]) - _DIGAMMA_ROOT[1]
    near = u * horner(b, u, _DIGAMMA)
    # 1 / x + ... + 1 / (x + 9), as one fraction
    above, below = b.like(1.0, x), x
    for k in range(1, 10):
        above, below = b.fma(above, x + float(k), below), below * (x + float(k))
    small = b.compare("lt", x, 10.0)
    far = b.select(small, x + 10.0, x)
    r = 1.0 / far
    z = r * r
    series = log(b, far) - b.fma(z, horner(b, z, _DIGAMMA_FAR), r * 0.5)
    value = b.select(small, series - above / below, series)
    return b.select(b.compare("ge", x, 1.0) & b.compare("le", x, 2.0), near, value)


@_in_float64
def polygamma(b: Builder, x: Value, n: int) -> Value:
    """The n-th derivative of digamma, for x < 0 by reflection."""
    if n == 0:
        return digamma(b, x)
    mirrored = b.compare("le", x, 0.0)
    value = _polygamma(b, b.select(mirrored, 1.0 - x, x), n)
    f = x - round_(b, x)
    wave = horner(b, _cot_pi(b, f), [pi ** (n + 1) * _float(c) for c in _cot_derivative(n)])
    value = b.select(mirrored, (value if n % 2 == 0 else -value) - wave, value)
    pole = INF if n % 2 else -INF
    return b.select(mirrored & b.compare("eq", x, round_(b, x)), pole, value)


def _cot_derivative(n: int) -> list[int]:
    """The coefficients of the n-th derivative of cot as a polynomial of cot."""
    p = [0, 1]
    for _ in range(n):  # cot' = -(1 + cot^2)
        slope = [k * c for k, c in enumerate(p)][1:] + [0, 0]
        p = [-(c + (slope[k - 2] if k >= 2 else 0)) for k, c in enumerate(slope)]
    return p


def _polygamma(b: Builder, x: Value, n: int) -> Value:
    """Of x > 0: (-1)^(n + 1) n! times the sum of 1 / (x + k)^(n + 1), the tail by its series."""
    terms = 10 + n
    small = b.compare("lt", x, float(terms))
    total = b.like(0.0, x)
    for k in range(terms):
        total = total + product(b, 1.0 / (x + float(k)), n + 1)
    far = b.select(small, x + float(terms), x)
    r = 1.0 / far
    tail = [
        float(c * Fraction(factorial(2 * k + n - 1), factorial(2 * k) * factorial(n)))
        for k, c in enumerate(_BERNOULLI, 1)
    ]
    z = r * r
    rest = b.fma(z, horner(b, z, tail), b.fma(r, 0.5, b.like(1.0 / n, x)))
    total = b.fma(product(b, r, n), rest, b.select(small, total, 0.0))
    value = total * _float(factorial(n))
    return value if n % 2 else -value


def _float(n: int) -> float:
    """The nearest float, or infinity."""
    try:
        return float(n)
    except OverflowError:
        return INF if n > 0 else -INF
