"""Special functions: the error function, the gamma function and their kin, evaluated by SciPy."""

from __future__ import annotations

import numpy as np

from .elementwise import exp
from .op import Elementwise, between, elementwise


def _quiet(f):
    """SciPy's special functions return float64 for float16 and know no bfloat16."""

    def evaluate(x):
        small = x.dtype.itemsize < 4
        return np.asarray(f(x.astype(np.float32) if small else x)).astype(x.dtype, copy=False)

    return evaluate


@_quiet
def _erf(x):
    from scipy.special import erf

    return erf(x)


@_quiet
def _erfinv(x):
    from scipy.special import erfinv

    return erfinv(x)


@_quiet
def _lgamma(x):
    from scipy.special import gammaln

    return gammaln(x)


@_quiet
def _digamma(x):
    from scipy.special import digamma

    return digamma(x)


def _polygamma(x, n):
    from scipy.special import polygamma

    return _quiet(lambda v: polygamma(n, v))(x)


# --------------------------------------------------------------------------- rows
erf = elementwise(
    "erf",
    result="floating",
    eval=_erf,
    emit=lambda b, x: b.math("erf", x),
    vjp=lambda ct, out, x: (ct * float(2 / np.sqrt(np.pi)) * exp(-(x * x)),),
    sample=between(-2, 2),
)
erfinv = elementwise(
    "erfinv",
    result="floating",
    eval=_erfinv,
    emit=lambda b, x: b.math("erfinv", x),
    vjp=lambda ct, out, x: (ct * float(np.sqrt(np.pi) / 2) * exp(out * out),),
    sample=between(-0.8, 0.8),
)
lgamma = elementwise(
    "lgamma",
    result="floating",
    eval=_lgamma,
    emit=lambda b, x: b.math("lgamma", x),
    vjp=lambda ct, out, x: (ct * digamma(x),),
    sample=between(0.5, 3),
)
digamma: Elementwise = elementwise(
    "digamma",
    result="floating",
    eval=_digamma,
    emit=lambda b, x: b.math("digamma", x),
    vjp=lambda ct, out, x: (ct * polygamma(x, n=1),),
    sample=between(1, 3),
)
polygamma: Elementwise = elementwise(  # the n-th derivative of digamma
    "polygamma",
    result="floating",
    eval=_polygamma,
    emit=lambda b, x, n: b.math("polygamma", x, n),
    vjp=lambda ct, out, x, n: (ct * polygamma(x, n=n + 1),),
    sample=between(1, 3, n=1),
)
