"""Elementwise mathematics, comparison and logic, and Python's operators."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Number
from typing import Any

import numpy as np

from .. import dtypes
from ..devices import device as Device
from ..devices import require_cpu
from ..errors import ArgumentError, ArgumentTypeError
from ..graph import Node, backlog, leaf
from ..ops import elementwise as ew
from ..ops.op import Elementwise, Op, scalar
from ..scope import composite
from ..tensor import Tensor, apply, from_array
from .create import as_tensor
from .register import method

__all__ = [
    "abs", "absolute", "acos", "acosh", "add", "addcdiv", "addcmul", "arccos", "arcsin", "arctan",
    "asin", "asinh", "atan", "atan2", "atanh", "arctan2", "bitwise_and", "bitwise_not",
    "bitwise_or", "bitwise_xor", "ceil", "clamp", "clamp_max", "clamp_min", "clip", "cos", "cosh",
    "deg2rad", "digamma", "div", "divide", "eq", "equal", "erf", "erfc", "erfinv", "exp", "exp2",
    "expm1", "fix", "float_power", "floor", "floor_divide", "fmax", "fmin", "fmod", "frac", "ge",
    "greater", "greater_equal", "gt", "heaviside", "hypot", "allclose", "isclose", "isfinite",
    "isinf", "isnan", "le", "lerp", "less", "less_equal", "lgamma", "log", "log10", "log1p",
    "log2", "logaddexp", "logical_and", "logical_not", "logical_or", "logical_xor", "logit", "lt",
    "maximum", "minimum", "mul", "multiply", "nan_to_num", "ne", "neg", "negative", "not_equal",
    "pow", "rad2deg", "reciprocal", "relu", "remainder", "round", "rsqrt", "rsub", "sigmoid",
    "sign", "sgn", "signbit", "sin", "sinc", "sinh", "sqrt", "square", "sub", "subtract", "tan",
    "tanh", "true_divide", "trunc", "where", "clone", "result_type", "promote_types", "can_cast",
    "is_floating_point", "is_complex", "is_tensor", "bitwise_left_shift", "bitwise_right_shift",
    "xlogy", "isposinf", "isneginf", "copysign", "masked_fill", "detach",
    "relu_", "addcmul_",
]

_NUMBERS = (int, float, np.number, np.bool_, bool)


def _operand(x: Any, name: str) -> Any:
    """What an op takes: a node, or a Python number."""
    if isinstance(x, Tensor):
        return x.node
    if isinstance(x, _NUMBERS) or isinstance(x, Number):
        return x
    if isinstance(x, np.ndarray):
        return as_tensor(x).node
    raise ArgumentTypeError(f"{name} requires tensors or numbers, got {type(x).__name__}")


def _unary(op: Elementwise, name: str, formula: str) -> Callable:
    def function(input: Tensor, *, out: Tensor | None = None) -> Tensor:
        if not isinstance(input, Tensor):
            kind = input.__class__.__name__
            raise ArgumentTypeError(f"{name} requires a Tensor, got {kind}")
        result = Tensor._from_node(op.unary(input.node))
        return result if out is None else out._inplace(result)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"{formula}, elementwise."
    method(inplace=True)(function)
    return function


abs = _unary(ew.abs_, "abs", "|x|")
absolute = _unary(ew.abs_, "absolute", "|x|")
neg = _unary(ew.neg, "neg", "-x")
negative = _unary(ew.neg, "negative", "-x")
reciprocal = _unary(ew.reciprocal, "reciprocal", "1 / x")
sign = _unary(ew.sign, "sign", "-1, 0 or 1")
sgn = _unary(ew.sign, "sgn", "-1, 0 or 1")
exp = _unary(ew.exp, "exp", "e^x")
expm1 = _unary(ew.expm1, "expm1", "e^x - 1, exact near 0")
log = _unary(ew.log, "log", "ln x")
log1p = _unary(ew.log1p, "log1p", "ln(1 + x), exact near 0")
log2 = _unary(ew.log2, "log2", "log2 x")
log10 = _unary(ew.log10, "log10", "log10 x")
sqrt = _unary(ew.sqrt, "sqrt", "sqrt(x)")
rsqrt = _unary(ew.rsqrt, "rsqrt", "1 / sqrt(x)")
sin = _unary(ew.sin, "sin", "sin x")
cos = _unary(ew.cos, "cos", "cos x")
tan = _unary(ew.tan, "tan", "tan x")
asin = arcsin = _unary(ew.asin, "asin", "asin x")
acos = arccos = _unary(ew.acos, "acos", "acos x")
atan = arctan = _unary(ew.atan, "atan", "atan x")
sinh = _unary(ew.sinh, "sinh", "sinh x")
cosh = _unary(ew.cosh, "cosh", "cosh x")
tanh = _unary(ew.tanh, "tanh", "tanh x")
asinh = _unary(ew.asinh, "asinh", "asinh x")
acosh = _unary(ew.acosh, "acosh", "acosh x")
atanh = _unary(ew.atanh, "atanh", "atanh x")
sigmoid = _unary(ew.sigmoid, "sigmoid", "1 / (1 + e^-x)")
relu = _unary(ew.relu, "relu", "max(x, 0)")
erf = _unary(ew.erf, "erf", "2 / sqrt(pi) times the integral of e^-t^2 from 0 to x")
erfinv = _unary(ew.erfinv, "erfinv", "the inverse of erf")
lgamma = _unary(ew.lgamma, "lgamma", "ln |Gamma(x)|")
digamma = _unary(ew.digamma, "digamma", "the derivative of lgamma")
floor = _unary(ew.floor, "floor", "the largest integer <= x")
ceil = _unary(ew.ceil, "ceil", "the smallest integer >= x")
trunc = fix = _unary(ew.trunc, "trunc", "x without its fraction")
isnan = _unary(ew.isnan, "isnan", "whether x is NaN")
isinf = _unary(ew.isinf, "isinf", "whether x is infinite")
isfinite = _unary(ew.isfinite, "isfinite", "whether x is finite")
logical_not = _unary(ew.logical_not, "logical_not", "not x")
bitwise_not = _unary(ew.bitwise_not, "bitwise_not", "the complement of the bits")
clone = _unary(ew.clone, "clone", "a copy that gradients pass through")
relu_ = Tensor.relu_  # type: ignore[attr-defined]


@method()
def clone(input: Tensor, *, memory_format=None) -> Tensor:  # noqa: F811
    """A copy that gradients pass through."""
    return Tensor._from_node(ew.clone(input.node))


def detach(input: Tensor) -> Tensor:
    """The same values, through which no gradient passes."""
    return input.detach()


@method(inplace=True)
@composite()
def round(input: Tensor, *, decimals: int = 0) -> Tensor:
    """The nearest integer, ties to even; or the nearest multiple of 10^-decimals."""
    if not decimals:
        return apply(ew.round_, input)
    scale = 10.0**decimals
    return apply(ew.round_, input * scale) / scale


# --------------------------------------------------------------------------- two operands
def _binary(op: Op, name: str, formula: str, *aliases: str) -> Callable:
    def function(input, other, *, out: Tensor | None = None) -> Tensor:
        result = Tensor._from_node(op(*_two(input, other, name)))
        return result if out is None else out._inplace(result)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"{formula}, elementwise with broadcasting."
    method(*aliases, inplace=True)(function)
    return function


def _two(a: Any, b: Any, name: str) -> tuple[Any, Any]:
    a, b = _operand(a, name), _operand(b, name)
    if not isinstance(a, Node) and not isinstance(b, Node):
        raise ArgumentTypeError(f"{name} requires at least one Tensor, got two numbers")
    return a, b


mul = multiply = _binary(ew.mul, "mul", "a b", "multiply")
atan2 = arctan2 = _binary(ew.atan2, "atan2", "the angle of the point (b, a)", "arctan2")
maximum = _binary(ew.maximum, "maximum", "the larger of a and b; NaN where either is")
minimum = _binary(ew.minimum, "minimum", "the smaller of a and b; NaN where either is")
fmod = _binary(ew.fmod, "fmod", "a - b trunc(a / b)")
remainder = _binary(ew.remainder, "remainder", "a - b floor(a / b)")
floor_divide = _binary(ew.floor_divide, "floor_divide", "floor(a / b)")
eq = _binary(ew.eq, "eq", "a == b")
ne = not_equal = _binary(ew.ne, "ne", "a != b", "not_equal")
lt = less = _binary(ew.lt, "lt", "a < b", "less")
le = less_equal = _binary(ew.le, "le", "a <= b", "less_equal")
gt = greater = _binary(ew.gt, "gt", "a > b", "greater")
ge = greater_equal = _binary(ew.ge, "ge", "a >= b", "greater_equal")
logical_and = _binary(ew.logical_and, "logical_and", "a and b")
logical_or = _binary(ew.logical_or, "logical_or", "a or b")
logical_xor = _binary(ew.logical_xor, "logical_xor", "a xor b")
bitwise_and = _binary(ew.bitwise_and, "bitwise_and", "the bits in both")
bitwise_or = _binary(ew.bitwise_or, "bitwise_or", "the bits in either")
bitwise_xor = _binary(ew.bitwise_xor, "bitwise_xor", "the bits in exactly one")
bitwise_left_shift = _binary(ew.left_shift, "bitwise_left_shift", "a 2^b")
bitwise_right_shift = _binary(ew.right_shift, "bitwise_right_shift", "floor(a / 2^b)")


@method(inplace=True)
def add(input, other, *, alpha=1, out=None) -> Tensor:
    """a + alpha b, elementwise with broadcasting."""
    return _scaled(ew.add, input, other, alpha, out)


@method("subtract", inplace=True)
def sub(input, other, *, alpha=1, out=None) -> Tensor:
    """a - alpha b, elementwise with broadcasting."""
    return _scaled(ew.sub, input, other, alpha, out)


subtract = sub


def _scaled(op: Op, input, other, alpha, out) -> Tensor:
    if alpha != 1:
        other = other * alpha
    result = Tensor._from_node(op(*_two(input, other, op.name)))
    return result if out is None else out._inplace(result)


@method(inplace=True)
def rsub(input, other, *, alpha=1) -> Tensor:
    """b - alpha a."""
    return sub(other, input, alpha=alpha)


@method("divide", "true_divide", inplace=True)
def div(input, other, *, rounding_mode: str | None = None, out=None) -> Tensor:
    """a / b; rounding_mode "floor" or "trunc" rounds the quotient."""
    a, b = _two(input, other, "div")
    if rounding_mode is None:
        result = ew.div(a, b)
    elif rounding_mode == "floor":
        result = ew.floor_divide(a, b)
    elif rounding_mode == "trunc":
        quotient = ew.trunc(ew.div(a, b))
        kind = a if isinstance(a, Node) else b
        floating = kind.dtype.is_floating_point
        result = quotient if floating else ew.cast(quotient, dtype=kind.dtype)
    else:
        raise ArgumentError(
            f"div requires rounding_mode None, 'trunc' or 'floor', got {rounding_mode!r}"
        )
    found = Tensor._from_node(result)
    return found if out is None else out._inplace(found)


divide = true_divide = div


@method(inplace=True)
def pow(input, exponent, *, out=None) -> Tensor:
    """a^b; a number as exponent is part of the graph's structure, so that x^2 is x x."""
    if isinstance(exponent, _NUMBERS) and isinstance(input, Tensor):
        node = input.node
        number = exponent if isinstance(exponent, (int, float)) else exponent.item()
        if isinstance(number, bool) or (number < 0 and not node.dtype.is_floating_point):
            number = _integral_exponent(number, node)
        if isinstance(number, float) and not node.dtype.is_floating_point:
            node = ew.cast(node, dtype=dtypes.default_dtype())
        if node.dtype is dtypes.bool_:
            node = ew.cast(node, dtype=dtypes.int64)
        result = Tensor._from_node(ew.power(node, exponent=number))
    else:
        result = Tensor._from_node(ew.pow_(*_two(input, exponent, "pow")))
    return result if out is None else out._inplace(result)


def _integral_exponent(number, node: Node):
    if isinstance(number, bool):
        return int(number)
    raise ArgumentError(
        f"pow requires exponents >= 0 for integers, got {number} (Integers to negative integer "
        "powers are not allowed)",
        hint="convert the base first: x.float() ** -1",
    )


def float_power(input, exponent) -> Tensor:
    """a^b in float64."""
    base = input.double() if isinstance(input, Tensor) else input
    return pow(base, exponent.double() if isinstance(exponent, Tensor) else float(exponent))


@method(inplace=True)
@composite("PowBackward0")
def square(input: Tensor) -> Tensor:
    """x^2."""
    return apply(ew.power, input, exponent=2)


@method("where", name="_where")
@composite("WhereBackward0")
def where(condition, input=None, other=None, *, out=None):
    """a where the condition holds, else b; with the condition alone, `nonzero(as_tuple=True)`."""
    if input is None:
        return condition.nonzero(as_tuple=True)
    result = Tensor._from_node(
        ew.where(condition.node, *_pair(input, other, condition))
    )
    return result if out is None else out._inplace(result)


def _pair(a, b, condition: Tensor):
    """Two operands of which neither needs to be a tensor."""
    a, b = _operand(a, "where"), _operand(b, "where")
    if isinstance(a, Node) or isinstance(b, Node):
        return _against(a, b), _against(b, a)
    found = dtypes.of_scalar(a if isinstance(a, float) else b if isinstance(b, float) else a)
    return leaf(a, found), leaf(b, found)


def _against(x, other):
    return x if isinstance(x, Node) else leaf(x, dtypes.with_scalar(other.dtype, x))


def _where_method(self, condition, other):
    return where(condition, self, other)


Tensor.where = _where_method  # type: ignore[attr-defined]


@method("clip", inplace=True)
@composite("ClampBackward1")
def clamp(input: Tensor, min=None, max=None, *, out=None) -> Tensor:
    """min(max(x, low), high); the gradient is 1 where low <= x <= high, else 0."""
    if min is None and max is None:
        raise ArgumentError("clamp requires min or max, got neither")
    node = input.node
    if min is not None:
        low = _against(_operand(min, "clamp"), node)
        node = ew.where(ew.lt(node, low), low, node)
    if max is not None:
        high = _against(_operand(max, "clamp"), node)
        node = ew.where(ew.gt(node, high), high, node)
    result = Tensor._from_node(node)
    return result if out is None else out._inplace(result)


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
    """The larger of a and b, ignoring NaN."""
    return where(isnan(input), other, where(isnan(other), input, maximum(input, other)))


@method()
@composite()
def fmin(input: Tensor, other: Tensor) -> Tensor:
    """The smaller of a and b, ignoring NaN."""
    return where(isnan(input), other, where(isnan(other), input, minimum(input, other)))


@method(inplace=True)
@composite("LerpBackward0")
def lerp(input: Tensor, end: Tensor, weight) -> Tensor:
    """a + weight (b - a)."""
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


addcmul_ = Tensor.addcmul_  # type: ignore[attr-defined]


@method(inplace=True)
@composite("MaskedFillBackward0")
def masked_fill(input: Tensor, mask: Tensor, value) -> Tensor:
    """x with `value` where the mask holds."""
    if mask.dtype is not dtypes.bool_:
        raise ArgumentTypeError(
            f"masked_fill requires a bool mask, got {mask.dtype} (masked_fill only supports "
            "boolean masks)",
            hint="compare first: mask == 0",
        )
    value = _operand(value, "masked_fill")
    if not isinstance(value, Node):
        value = leaf(value, input.dtype)
    elif value.dtype is not input.dtype:
        value = ew.cast(value, dtype=input.dtype)
    return Tensor._from_node(ew.where(mask.node, value, input.node))


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
    x = input if eps is None else clamp(input, eps, 1 - eps)
    return log(x / (1 - x))


@method()
@composite()
def hypot(input: Tensor, other: Tensor) -> Tensor:
    """sqrt(a^2 + b^2)."""
    return sqrt(input * input + other * other)


@method()
@composite("LogaddexpBackward0")
def logaddexp(input: Tensor, other: Tensor) -> Tensor:
    """ln(e^a + e^b), without overflow."""
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
def signbit(input: Tensor) -> Tensor:
    """Whether the sign bit is set."""
    return input < 0


@method()
def isposinf(input: Tensor) -> Tensor:
    """Whether x is +infinity."""
    return input == float("inf")


@method()
def isneginf(input: Tensor) -> Tensor:
    """Whether x is -infinity."""
    return input == float("-inf")


@method()
@composite()
def copysign(input: Tensor, other) -> Tensor:
    """|a| with the sign of b."""
    negative_ = other < 0
    return where(negative_ if isinstance(negative_, Tensor) else as_tensor(negative_),
                 -abs(input), abs(input))


@method()
@composite()
def heaviside(input: Tensor, values: Tensor) -> Tensor:
    """0 below zero, 1 above, `values` at zero."""
    return where(eq(input, 0), values, (input > 0).to(input.dtype))


@method(inplace=True)
@composite("NanToNumBackward0")
def nan_to_num(input: Tensor, nan=0.0, posinf=None, neginf=None) -> Tensor:
    """x with NaN and infinities replaced by finite numbers."""
    if not input.dtype.is_floating_point:
        return clone(input)
    info = np.finfo(input.dtype.np) if input.dtype is not dtypes.bfloat16 else None
    top = float(info.max) if info is not None else 3.3895313892515355e38
    x = where(isnan(input), float(nan), input)
    x = where(input == float("inf"), top if posinf is None else posinf, x)
    return where(input == float("-inf"), -top if neginf is None else neginf, x)


# --------------------------------------------------------------------------- comparing tensors
@method()
def isclose(input: Tensor, other: Tensor, rtol=1e-05, atol=1e-08, equal_nan=False) -> Tensor:
    """|a - b| <= atol + rtol |b|, elementwise."""
    a, b = input._value(), other._value()
    wide = np.float64 if input.dtype.is_floating_point else a.dtype
    return from_array(
        np.isclose(a.astype(wide), b.astype(wide), rtol=rtol, atol=atol, equal_nan=equal_nan)
    )


@method()
def allclose(input: Tensor, other: Tensor, rtol=1e-05, atol=1e-08, equal_nan=False) -> bool:
    """Whether all elements are close."""
    return bool(isclose(input, other, rtol, atol, equal_nan).all())


@method()
def equal(input: Tensor, other: Tensor) -> bool:
    """Whether shapes and all values are the same."""
    if input.shape != other.shape:
        return False
    return bool(np.array_equal(input._value(), other._value()))


# --------------------------------------------------------------------------- dtypes
def _dtype_of(x):
    return (bool(x.ndim), x.dtype) if isinstance(x, Tensor) else None


def result_type(tensor1, tensor2) -> dtypes.dtype:
    """The dtype that arithmetic between the two gives."""
    pairs = [p for p in map(_dtype_of, (tensor1, tensor2)) if p]
    if len(pairs) == 2:
        return dtypes.result_type(pairs)
    number = tensor2 if isinstance(tensor1, Tensor) else tensor1
    if not pairs:
        return dtypes.promote(dtypes.of_scalar(tensor1), dtypes.of_scalar(tensor2))
    return dtypes.with_scalar(pairs[0][1], number)


promote_types = dtypes.promote


def can_cast(from_: dtypes.dtype, to: dtypes.dtype) -> bool:
    """Whether promotion may turn one into the other."""
    return dtypes.category(from_) <= dtypes.category(to)


@method()
def is_floating_point(input: Tensor) -> bool:
    """Whether the dtype is a floating-point one."""
    return input.dtype.is_floating_point


@method()
def is_complex(input: Tensor) -> bool:
    """False: chainrule has no complex numbers."""
    return False


def is_tensor(obj: Any) -> bool:
    """Whether obj is a Tensor."""
    return isinstance(obj, Tensor)


def _cast(self: Tensor, dtype: dtypes.dtype) -> Tensor:
    return self if self.dtype is dtype else apply(ew.cast, self, dtype=dtype)


@method()
def to(self: Tensor, *args, dtype=None, device=None, non_blocking=False, copy=False,
       memory_format=None) -> Tensor:
    """This tensor in another dtype; the only device is the CPU."""
    for arg in args:
        if isinstance(arg, dtypes.dtype):
            dtype = arg
        elif isinstance(arg, Tensor):
            dtype = arg.dtype
        elif isinstance(arg, (str, int, Device)) and not isinstance(arg, bool):
            device = arg
    require_cpu(device)
    result = self if dtype is None else _cast(self, dtype)
    return clone(result) if copy and result is self else result


def _casts(name: str, dtype: dtypes.dtype) -> None:
    def convert(self: Tensor, memory_format=None) -> Tensor:
        return _cast(self, dtype)

    convert.__name__ = name
    convert.__doc__ = f"This tensor as {dtype}."
    setattr(Tensor, name, convert)


for _name, _dtype in {
    "float": dtypes.float32, "double": dtypes.float64, "half": dtypes.float16,
    "bfloat16": dtypes.bfloat16, "long": dtypes.int64, "int": dtypes.int32,
    "short": dtypes.int16, "char": dtypes.int8, "byte": dtypes.uint8, "bool": dtypes.bool_,
}.items():
    _casts(_name, _dtype)


@method()
def type_as(self: Tensor, other: Tensor) -> Tensor:
    """This tensor in the dtype of `other`."""
    return _cast(self, other.dtype)


_TYPE_NAMES = {
    "float32": "Float", "float64": "Double", "float16": "Half", "bfloat16": "BFloat16",
    "int64": "Long", "int32": "Int", "int16": "Short", "int8": "Char", "uint8": "Byte",
    "bool": "Bool",
}


@method()
def type(self: Tensor, dtype=None, non_blocking=False):
    """The name of the tensor's type, or this tensor in another dtype."""
    if dtype is None:
        return f"torch.{_TYPE_NAMES[self.dtype.name]}Tensor"
    if isinstance(dtype, str):
        short = dtype.rpartition(".")[2].removesuffix("Tensor")
        named = [n for n, t in _TYPE_NAMES.items() if t == short]
        if not named:
            raise ArgumentError(f"type requires the name of a tensor type, got {dtype!r}")
        dtype = dtypes.by_name(named[0])
    return _cast(self, getattr(dtype, "held", dtype))


# --------------------------------------------------------------------------- Python's operators
def _operator(op: Elementwise, reflected: bool = False) -> Callable:
    """The method behind an operator: the shortest way from a line of the user's to a node."""
    new, binary = object.__new__, op.binary

    def operate(self, other):
        left = self._node if self._base is None else self.node
        if isinstance(other, Tensor):
            right = other._node if other._base is None else other.node
        elif isinstance(other, _NUMBERS):
            right = scalar(other, left)
        elif isinstance(other, np.ndarray):
            right = as_tensor(other).node
        else:
            return NotImplemented
        node = binary(right, left) if reflected else binary(left, right)
        if node.depth > backlog.depth:
            return Tensor._from_node(node)
        result = new(Tensor)
        result._node = node
        return result

    return operate


def _install_operators() -> None:
    for name, op in {
        "add": ew.add, "sub": ew.sub, "mul": ew.mul, "truediv": ew.div, "mod": ew.remainder,
        "floordiv": ew.floor_divide, "and": ew.bitwise_and, "or": ew.bitwise_or,
        "xor": ew.bitwise_xor, "lshift": ew.left_shift, "rshift": ew.right_shift,
    }.items():
        setattr(Tensor, f"__{name}__", _operator(op))
        setattr(Tensor, f"__r{name}__", _operator(op, reflected=True))
    for name, op in {
        "lt": ew.lt, "le": ew.le, "gt": ew.gt, "ge": ew.ge, "eq": ew.eq, "ne": ew.ne,
    }.items():
        setattr(Tensor, f"__{name}__", _operator(op))
    for name, function in {
        "add": add, "sub": sub, "mul": mul, "truediv": div, "mod": remainder,
        "floordiv": floor_divide, "pow": pow, "and": bitwise_and, "or": bitwise_or,
        "xor": bitwise_xor,
    }.items():
        setattr(Tensor, f"__i{name}__", getattr(Tensor, function.__name__ + "_"))
    for name, function in {"neg": neg, "abs": abs, "invert": bitwise_not, "pow": pow}.items():
        setattr(Tensor, f"__{name}__", function)
    Tensor.__pos__ = lambda self: self  # type: ignore[attr-defined]
    Tensor.__rpow__ = lambda self, other: pow(other, self)  # type: ignore[attr-defined]


_install_operators()
