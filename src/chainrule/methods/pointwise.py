"""Mathematics on each element: arithmetic, powers, exponentials, trigonometry, rounding."""

from __future__ import annotations

import numpy as np

from .. import dtypes
from ..errors import ArgumentError, DTypeError
from ..ops import elementwise as ew
from ..ops import logic as lg
from ..ops import special
from ..ops.op import Elementwise, common_dtype
from ..scope import composite
from ..tensor import Tensor, apply
from .create import as_tensor
from .logic import against, eq, isfinite, isnan, le, logical_and, logical_or, signbit, where
from .operands import NUMBERS, binary, operand, operands, unary
from .register import into, method, written_back

__all__ = [
    "abs", "absolute", "acos", "acosh", "add", "addcdiv", "addcmul", "arccos", "arcsin", "arctan",
    "arctan2", "asin", "asinh", "atan", "atan2", "atanh", "ceil", "clamp", "clamp_max",
    "clamp_min", "clip", "clone", "copysign", "cos", "cosh", "deg2rad", "detach", "digamma", "div",
    "divide", "erf", "erfc", "erfinv", "exp", "exp2", "expm1", "fix", "float_power", "floor",
    "floor_divide", "fmax", "fmin", "fmod", "frac", "heaviside", "hypot", "lerp", "lgamma", "log",
    "log10", "log1p", "log2", "logaddexp", "logit", "maximum", "minimum", "mul", "multiply",
    "nan_to_num", "neg", "negative", "pow", "rad2deg", "reciprocal", "relu", "relu_", "remainder",
    "round", "rsqrt", "rsub", "sgn", "sigmoid", "sign", "sin", "sinc", "sinh", "sqrt", "square",
    "sub", "subtract", "tan", "tanh", "true_divide", "trunc", "xlogy",
]

abs = absolute = unary(ew.abs_, "abs", "|x|", "absolute")
neg = negative = unary(ew.neg, "neg", "-x", "negative")
reciprocal = unary(ew.reciprocal, "reciprocal", "1 / x")
sign = sgn = unary(ew.sign, "sign", "-1, 0 or 1", "sgn")
exp = unary(ew.exp, "exp", "e^x")
expm1 = unary(ew.expm1, "expm1", "e^x - 1, exact near 0")
log = unary(ew.log, "log", "ln x")
log1p = unary(ew.log1p, "log1p", "ln(1 + x), exact near 0")
log2 = unary(ew.log2, "log2", "log2 x")
log10 = unary(ew.log10, "log10", "log10 x")
sqrt = unary(ew.sqrt, "sqrt", "sqrt(x)")
rsqrt = unary(ew.rsqrt, "rsqrt", "1 / sqrt(x)")
sin = unary(ew.sin, "sin", "sin x")
cos = unary(ew.cos, "cos", "cos x")
tan = unary(ew.tan, "tan", "tan x")
asin = arcsin = unary(ew.asin, "asin", "asin x", "arcsin")
acos = arccos = unary(ew.acos, "acos", "acos x", "arccos")
atan = arctan = unary(ew.atan, "atan", "atan x", "arctan")
sinh = unary(ew.sinh, "sinh", "sinh x")
cosh = unary(ew.cosh, "cosh", "cosh x")
tanh = unary(ew.tanh, "tanh", "tanh x")
asinh = unary(ew.asinh, "asinh", "asinh x")
acosh = unary(ew.acosh, "acosh", "acosh x")
atanh = unary(ew.atanh, "atanh", "atanh x")
sigmoid = unary(ew.sigmoid, "sigmoid", "1 / (1 + e^-x)")
relu = unary(ew.relu, "relu", "max(x, 0)")
erf = unary(special.erf, "erf", "2 / sqrt(pi) times the integral of e^-t^2 from 0 to x")
erfinv = unary(special.erfinv, "erfinv", "the inverse of erf")
lgamma = unary(special.lgamma, "lgamma", "ln |Gamma(x)|")
digamma = unary(special.digamma, "digamma", "the derivative of lgamma")
floor = unary(ew.floor, "floor", "the largest integer <= x")
ceil = unary(ew.ceil, "ceil", "the smallest integer >= x")
trunc = fix = unary(ew.trunc, "trunc", "x without its fraction", "fix")
relu_ = written_back(relu, "relu_")


@method()
def clone(input: Tensor, *, memory_format=None) -> Tensor:
    """A copy that gradients pass through."""
    return Tensor._from_node(ew.clone(input.node))


def detach(input: Tensor) -> Tensor:
    """The same values, through which no gradient passes."""
    return input.detach()


@method(inplace=True)
@composite()
def round(input: Tensor, *, decimals: int = 0) -> Tensor:
    """The nearest integer, ties to even; or the nearest multiple of 10^-decimals.

    >>> import chainrule as torch
    >>> torch.tensor([0.5, 1.5, 2.5]).round()
    tensor([0., 2., 2.])
    """
    if not decimals:
        return apply(ew.round_, input)
    scale = 10.0**decimals
    return apply(ew.round_, input * scale) / scale

# --------------------------------------------------------------------------- two operands
mul = multiply = binary(ew.mul, "mul", "a b", "multiply")
atan2 = arctan2 = binary(ew.atan2, "atan2", "the angle of the point (b, a)", "arctan2")
maximum = binary(ew.maximum, "maximum", "the larger of a and b; NaN where either is")
minimum = binary(ew.minimum, "minimum", "the smaller of a and b; NaN where either is")
fmod = binary(ew.fmod, "fmod", "a - b trunc(a / b)")
remainder = binary(ew.remainder, "remainder", "a - b floor(a / b)")
floor_divide = binary(ew.floor_divide, "floor_divide", "floor(a / b)")


@method(inplace=True)
def add(input, other, *, alpha=1, out=None) -> Tensor:
    """a + alpha b, elementwise with broadcasting; a or b may be a number.

    Raises RuntimeError where the shapes do not broadcast.

    >>> import chainrule as torch
    >>> torch.add(torch.tensor([1.0, 2.0]), torch.tensor([[10.0], [20.0]]), alpha=2)
    tensor([[21., 22.],
            [41., 42.]])
    """
    return _scaled(ew.add, input, other, alpha, out)


@method("subtract", inplace=True)
def sub(input, other, *, alpha=1, out=None) -> Tensor:
    """a - alpha b, elementwise with broadcasting; raises RuntimeError for bool tensors."""
    return _scaled(ew.sub, input, other, alpha, out)


subtract = sub


def _scaled(op: Elementwise, input, other, alpha, out) -> Tensor:
    if alpha != 1:
        other = other * alpha
    result = Tensor._from_node(op.binary(*operands(input, other, op.name)))
    return into(out, result)


@method(inplace=True)
def rsub(input, other, *, alpha=1) -> Tensor:
    """b - alpha a."""
    return sub(other, input, alpha=alpha)


@method("divide", "true_divide", inplace=True)
def div(input, other, *, rounding_mode: str | None = None, out=None) -> Tensor:
    """a / b, in floating point; rounding_mode "floor" or "trunc" rounds the quotient.

    Raises ValueError for another rounding_mode.

    >>> import chainrule as torch
    >>> x = torch.tensor([7, -7])
    >>> x / 2, torch.div(x, 2, rounding_mode="trunc")
    (tensor([ 3.5000, -3.5000]), tensor([ 3, -3]))
    """
    if rounding_mode is None:
        input, other = (float(x) if isinstance(x, int) else x for x in (input, other))
    a, b = operands(input, other, "div")
    if rounding_mode is None:
        result = ew.div(a, b)
    elif rounding_mode == "floor":
        result = ew.floor_divide(a, b)
    elif rounding_mode == "trunc":
        quotient = ew.trunc(ew.div(a, b))
        common = common_dtype((a.spec, b.spec))
        result = quotient if common.is_floating_point else ew.cast(quotient, dtype=common)
    else:
        raise ArgumentError(
            f"div requires rounding_mode None, 'trunc' or 'floor', got {rounding_mode!r}"
        )
    found = Tensor._from_node(result)
    return into(out, found)


divide = true_divide = div


@method(inplace=True)
def pow(input, exponent, *, out=None) -> Tensor:
    """a^b; a number as exponent is part of the graph's structure, so that x^2 is x x.

    Raises RuntimeError for integers to the power of a negative integer.

    >>> import chainrule as torch
    >>> torch.tensor([1.0, 2.0, 3.0]) ** 2
    tensor([1., 4., 9.])
    """
    if isinstance(exponent, NUMBERS) and isinstance(input, Tensor):
        node = input.node
        number = exponent if isinstance(exponent, (int, float)) else exponent.item()
        if isinstance(number, bool):
            number = int(number)
        if isinstance(number, int) and number < 0 and not node.dtype.is_floating_point:
            raise DTypeError(
                f"pow requires exponents >= 0 for integers, got {number} (Integers to negative "
                "integer powers are not allowed)",
                hint="convert the base first: x.float() ** -1",
            )
        if isinstance(number, float) and not node.dtype.is_floating_point:
            node = ew.cast(node, dtype=dtypes.default_dtype())
        if node.dtype is dtypes.bool_:
            node = ew.cast(node, dtype=dtypes.int64)
        result = Tensor._from_node(ew.power(node, exponent=number))
    else:
        result = Tensor._from_node(ew.pow_(*operands(input, exponent, "pow")))
    return into(out, result)


def float_power(input, exponent) -> Tensor:
    """a^b in float64."""
    base = input.double() if isinstance(input, Tensor) else input
    return pow(base, exponent.double() if isinstance(exponent, Tensor) else float(exponent))


@method(inplace=True)
@composite("PowBackward0")
def square(input: Tensor) -> Tensor:
    """x^2."""
    return pow(input, 2)


@method("clip", inplace=True)
@composite("ClampBackward1")
def clamp(input: Tensor, min=None, max=None, *, out=None) -> Tensor:
    """min(max(x, low), high); the gradient is 1 where low <= x <= high, else 0.

    `min` and `max` are numbers or tensors that broadcast; raises ValueError when both are missing.

    >>> import chainrule as torch
    >>> torch.tensor([-2.0, 0.5, 3.0]).clamp(0, 1)
    tensor([0.0000, 0.5000, 1.0000])
    """
    if min is None and max is None:
        raise ArgumentError("clamp requires min or max, got neither")
    node = input.node
    if min is not None:
        low = against(operand(min, "clamp"), node)
        node = lg.where(lg.lt(node, low), low, node)
    if max is not None:
        high = against(operand(max, "clamp"), node)
        node = lg.where(lg.gt(node, high), high, node)
    result = Tensor._from_node(node)
    return into(out, result)


clip = clamp


@method(inplace=True)
@composite("ClampMinBackward0")
def clamp_min(input: Tensor, min) -> Tensor:
    """max(x, min)."""
    return clamp(input, min=min)


@method(inplace=True)
@composite("ClampMaxBackward0")
def clamp_max(input: Tensor, max) -> Tensor:
    """min(x, max)."""
    return clamp(input, max=max)


@method()
@composite()
def fmax(input: Tensor, other: Tensor) -> Tensor:
    """The larger of a and b; the other one where one is NaN."""
    return where(isnan(input), other, where(isnan(other), input, maximum(input, other)))


@method()
@composite()
def fmin(input: Tensor, other: Tensor) -> Tensor:
    """The smaller of a and b; the other one where one is NaN."""
    return where(isnan(input), other, where(isnan(other), input, minimum(input, other)))


@method(inplace=True)
@composite("LerpBackward0")
def lerp(input: Tensor, end: Tensor, weight) -> Tensor:
    """a + weight (b - a); `weight` is a number or a tensor that broadcasts.

    >>> import chainrule as torch
    >>> torch.lerp(torch.zeros(2), torch.ones(2), 0.25)
    tensor([0.2500, 0.2500])
    """
    return input + weight * (end - input)


@method(inplace=True)
@composite("AddcmulBackward0")
def addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value=1) -> Tensor:
    """x + value a b."""
    product = tensor1 * tensor2
    return input + (product if value == 1 else value * product)


@method(inplace=True)
@composite("AddcdivBackward0")
def addcdiv(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value=1) -> Tensor:
    """x + value a / b."""
    return input + (tensor1 / tensor2 if value == 1 else value * tensor1 / tensor2)


# --------------------------------------------------------------------------- composites
@method(inplace=True)
@composite("Exp2Backward0")
def exp2(input: Tensor) -> Tensor:
    """2^x."""
    return apply(ew.exp, input * float(np.log(2.0)))


@method(inplace=True)
@composite("ErfcBackward0")
def erfc(input: Tensor) -> Tensor:
    """1 - erf(x)."""
    return 1 - erf(input)


@method(inplace=True)
@composite("FracBackward0")
def frac(input: Tensor) -> Tensor:
    """x - trunc(x)."""
    return input - trunc(input)


@method(inplace=True)
@composite("LogitBackward0")
def logit(input: Tensor, eps: float | None = None) -> Tensor:
    """ln(x / (1 - x)), the inverse of sigmoid."""
    x = input * 1.0 if eps is None else clamp(input * 1.0, eps, 1 - eps)
    return log(x / (1 - x))


@method()
@composite()
def hypot(input: Tensor, other: Tensor) -> Tensor:
    """sqrt(a^2 + b^2)."""
    return sqrt(input * input + other * other)


@method()
@composite("LogaddexpBackward0")
def logaddexp(input: Tensor, other: Tensor) -> Tensor:
    """ln(e^a + e^b), without overflow.

    >>> import chainrule as torch
    >>> torch.logaddexp(torch.tensor(1000.0), torch.tensor(1000.0))
    tensor(1000.6932)
    """
    top = maximum(input, other).detach()
    top = where(isfinite(top), top, 0.0)
    return top + log(exp(input - top) + exp(other - top))


@method()
@composite("XlogyBackward0")
def xlogy(input: Tensor | float, other: Tensor | float) -> Tensor:
    """x ln y, and 0 where x is 0, whatever ln y is; NaN where y is NaN."""
    input, other = as_tensor(input), as_tensor(other)
    # d/dx is ln y also at x = 0: only where that is infinite, x = 0 must be set apart.
    apart = logical_and(eq(input, 0), logical_or(le(other, 0), eq(other, float("inf"))))
    return where(apart, 0.0, input * log(where(apart, 1.0, other)))


@method()
@composite("SincBackward0")
def sinc(input: Tensor) -> Tensor:
    """sin(pi x) / (pi x), and 1 at 0."""
    scaled = input * float(np.pi)
    zero = eq(scaled, 0)
    safe = where(zero, 1.0, scaled)
    return where(zero, 1.0, sin(safe) / safe)


@method()
def deg2rad(input: Tensor) -> Tensor:
    """Degrees in radians."""
    return input * float(np.pi / 180)


@method()
def rad2deg(input: Tensor) -> Tensor:
    """Radians in degrees."""
    return input * float(180 / np.pi)


@method()
@composite()
def copysign(input: Tensor, other) -> Tensor:
    """|a| with the sign of b."""
    size = abs(input * 1.0)
    return where(signbit(as_tensor(other)), -size, size)


@method()
@composite()
def heaviside(input: Tensor, values: Tensor) -> Tensor:
    """0 below zero, 1 above, `values` at zero."""
    return where(eq(input, 0), values, (input > 0).to(input.dtype))


@method(inplace=True)
@composite("NanToNumBackward0")
def nan_to_num(input: Tensor, nan=0.0, posinf=None, neginf=None) -> Tensor:
    """x with NaN and infinities replaced: by 0, by the largest and the least finite number."""
    if not input.dtype.is_floating_point:
        return clone(input)
    info = np.finfo(input.dtype.np) if input.dtype is not dtypes.bfloat16 else None
    top = float(info.max) if info is not None else 3.3895313892515355e38
    x = where(isnan(input), float(nan), input)
    x = where(input == float("inf"), top if posinf is None else posinf, x)
    return where(input == float("-inf"), -top if neginf is None else neginf, x)
