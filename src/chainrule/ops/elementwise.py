"""Elementwise ops: meaning, lowering and derivative of each on a few lines.

In every row `ct` is the cotangent d(loss)/d(out), and the vjp gives d(loss)/d(input) per input.
"""

from __future__ import annotations

import numpy as np

from ..dtypes import float64
from ..errors import ArgumentError
from ..graph import Node, record
from ..shapes import spec
from .logic import bitwise_and, bitwise_or, eq, ge, gt, le, lt, where
from .op import (
    Elementwise,
    Op,
    apart,
    between,
    cast,
    elementwise,
    nondifferentiable,
    normal,
    register,
    scalar,
)

__all__ = ["cast"]


# --------------------------------------------------------------------------- arithmetic
add = elementwise(
    "add",
    eval=np.add,
    emit=lambda b, x, y: b.add(x, y),
    vjp=lambda ct, out, x, y: (ct, ct),
    sample=normal((2, 3), (3,)),
)
sub = elementwise(
    "sub",
    result="difference",
    eval=np.subtract,
    emit=lambda b, x, y: b.sub(x, y),
    vjp=lambda ct, out, x, y: (ct, -ct),
    sample=normal((2, 3), (2, 1)),
)
mul = elementwise(
    "mul",
    eval=np.multiply,
    emit=lambda b, x, y: b.mul(x, y),
    vjp=lambda ct, out, x, y: (ct * y, ct * x),
    sample=normal((2, 3), (3,)),
)
div = elementwise(
    "div",
    result="floating",
    eval=np.divide,
    emit=lambda b, x, y: b.div(x, y),
    vjp=lambda ct, out, x, y: (ct / y, -ct * out / y),
    sample=between(0.5, 2, (2, 3), (3,)),
)
neg = elementwise(
    "neg",
    result="number",
    eval=np.negative,
    emit=lambda b, x: b.neg(x),
    vjp=lambda ct, out, x: (-ct,),
    sample=normal((2, 3)),
)
reciprocal = elementwise(
    "reciprocal",
    result="floating",
    eval=lambda x: np.divide(x.dtype.type(1), x),
    emit=lambda b, x: b.div(b.const(1.0), x),
    vjp=lambda ct, out, x: (-ct * out * out,),
    sample=between(0.5, 2),
)
abs_ = elementwise(
    "abs",
    eval=np.abs,
    emit=lambda b, x: b.abs(x),
    vjp=lambda ct, out, x: (ct * sign(x),),
    sample=apart((2, 3)),
)


def _power(x, exponent):
    if exponent == 2:
        return x * x
    if x.dtype.kind in "iu":
        return np.power(x, int(exponent)).astype(x.dtype, copy=False)
    return np.power(x, x.dtype.type(exponent))


def _power_vjp(ct, out, x, *, exponent):
    if exponent == 0:
        return (fill(ct, value=0.0),)
    if exponent == 1:
        return (ct,)
    return (ct * (exponent * (x if exponent == 2 else power(x, exponent=exponent - 1))),)


power = elementwise(  # x^n with a number n fixed in the graph: squares, roots
    "power",
    eval=_power,
    emit=lambda b, x, exponent: b.mul(x, x) if exponent == 2 else b.power(x, exponent),
    vjp=_power_vjp,
    sample=between(0.5, 2, exponent=3),
)


def _pow(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    if x.dtype.kind != "i" or not (y < 0).any():
        return np.power(x, y)
    # Of the integers, only 1 and -1 have an inverse: the others' is rounded to 0.
    inverse = np.where(abs(x) == 1, np.where(y % 2, x, 1), 0)
    return np.where(y < 0, inverse, np.power(x, np.maximum(y, 0))).astype(x.dtype)


# log(0) in the derivative of the exponent is met by 0^y = 0, as PyTorch defines it.
pow_: Elementwise = elementwise(
    "pow",
    eval=_pow,
    emit=lambda b, x, y: b.math("pow", x, y),
    vjp=lambda ct, out, x, y: (
        ct * where(eq(y, 0.0), 0.0, y * pow_(x, y - 1)),
        ct * where(eq(x, 0.0) & (y >= 0.0), 0.0, out * log(x)),
    ),
    sample=between(0.5, 2, (2, 3), (3,)),
)


def _checked_division(name: str, function):
    """Integers have no infinity: dividing them by zero is refused when the values are known."""

    def divide(x, y):
        if y.dtype.kind in "iu" and not y.all():
            raise ArgumentError(f"{name} requires integers not to be divided by zero, got a "
                                "divisor 0 (ZeroDivisionError)")
        return function(x, y)

    return divide


floor_divide = elementwise(
    "floor_divide",
    result="number",
    eval=_checked_division("floor_divide", np.floor_divide),
    emit=lambda b, x, y: b.math("floor_divide", x, y),
    vjp=nondifferentiable,
    sample=between(0.5, 2, (2, 3), (3,)),
)
remainder = elementwise(  # of the sign of y: x - y floor(x/y)
    "remainder",
    result="number",
    eval=_checked_division("remainder", np.remainder),
    emit=lambda b, x, y: b.math("remainder", x, y),
    vjp=lambda ct, out, x, y: (ct, -ct * floor(x / y)),
    sample=lambda rng: ((rng.uniform(2.1, 2.9, (2, 3)), rng.uniform(0.95, 1.05, (3,))), {}),
)
fmod = elementwise(  # of the sign of x: x - y trunc(x/y)
    "fmod",
    result="number",
    eval=_checked_division("fmod", np.fmod),
    emit=lambda b, x, y: b.math("fmod", x, y),
    vjp=lambda ct, out, x, y: (ct, -ct * trunc(x / y)),
    sample=lambda rng: ((rng.uniform(2.1, 2.9, (2, 3)), rng.uniform(0.95, 1.05, (3,))), {}),
)


def _share(ct, x, y, out):
    # A tie is shared by halves, so that the sum of both cotangents stays ct.
    tie = eq(x, y)
    half = where(tie, 0.5, 1.0)
    return ct * where(eq(x, out), half, 0.0), ct * where(eq(y, out), half, 0.0)


maximum = elementwise(
    "maximum",
    eval=np.maximum,
    emit=lambda b, x, y: b.max(x, y),
    vjp=lambda ct, out, x, y: _share(ct, x, y, out),
    sample=apart((2, 3), (3,)),
)
minimum = elementwise(
    "minimum",
    eval=np.minimum,
    emit=lambda b, x, y: b.min(x, y),
    vjp=lambda ct, out, x, y: _share(ct, x, y, out),
    sample=apart((2, 3), (3,)),
)


# --------------------------------------------------------------------------- exp and log
exp = elementwise(
    "exp",
    result="floating",
    eval=np.exp,
    emit=lambda b, x: b.math("exp", x),
    vjp=lambda ct, out, x: (ct * out,),
    sample=between(-3, 3),
)
expm1 = elementwise(
    "expm1",
    result="floating",
    eval=np.expm1,
    emit=lambda b, x: b.math("expm1", x),
    vjp=lambda ct, out, x: (ct * (out + 1),),
    sample=between(-3, 3),
)
log: Elementwise = elementwise(
    "log",
    result="floating",
    eval=np.log,
    emit=lambda b, x: b.math("log", x),
    vjp=lambda ct, out, x: (ct / x,),
    sample=between(0.5, 3),
)
log1p = elementwise(
    "log1p",
    result="floating",
    eval=np.log1p,
    emit=lambda b, x: b.math("log1p", x),
    vjp=lambda ct, out, x: (ct / (x + 1),),
    sample=between(-0.5, 3),
)
log2 = elementwise(
    "log2",
    result="floating",
    eval=np.log2,
    emit=lambda b, x: b.math("log2", x),
    vjp=lambda ct, out, x: (ct / (x * float(np.log(2))),),
    sample=between(0.5, 3),
)
log10 = elementwise(
    "log10",
    result="floating",
    eval=np.log10,
    emit=lambda b, x: b.math("log10", x),
    vjp=lambda ct, out, x: (ct / (x * float(np.log(10))),),
    sample=between(0.5, 3),
)
sqrt = elementwise(
    "sqrt",
    result="floating",
    eval=np.sqrt,
    emit=lambda b, x: b.math("sqrt", x),
    vjp=lambda ct, out, x: (ct / (2 * out),),
    sample=between(0.5, 3),
)
rsqrt = elementwise(
    "rsqrt",
    result="floating",
    eval=lambda x: np.divide(x.dtype.type(1), np.sqrt(x)),
    emit=lambda b, x: b.div(b.const(1.0), b.math("sqrt", x)),
    vjp=lambda ct, out, x: (ct * (-0.5 * out * out * out),),
    sample=between(0.5, 3),
)


def _sigmoid(x):
    # exp(-|x|) never overflows; both branches share it.
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + e), e / (1 + e)).astype(x.dtype, copy=False)
sigmoid = elementwise(
    "sigmoid",
    result="floating",
    eval=_sigmoid,
    emit=lambda b, x: b.math("sigmoid", x),
    vjp=lambda ct, out, x: (ct * (out * (1 - out)),),
    sample=between(-3, 3),
)
tanh = elementwise(
    "tanh",
    result="floating",
    eval=np.tanh,
    emit=lambda b, x: b.math("tanh", x),
    vjp=lambda ct, out, x: (ct * (1 - out * out),),
    sample=between(-2, 2),
)
relu = elementwise(
    "relu",
    result="number",
    eval=lambda x: np.maximum(x, x.dtype.type(0)),
    emit=lambda b, x: b.max(x, b.const(0.0)),
    vjp=lambda ct, out, x: (where(out > 0.0, ct, 0.0),),
    sample=apart((2, 3)),
)


# --------------------------------------------------------------------------- trigonometry
sin = elementwise(
    "sin",
    result="floating",
    eval=np.sin,
    emit=lambda b, x: b.math("sin", x),
    vjp=lambda ct, out, x: (ct * cos(x),),
    sample=between(-3, 3),
)
cos: Elementwise = elementwise(
    "cos",
    result="floating",
    eval=np.cos,
    emit=lambda b, x: b.math("cos", x),
    vjp=lambda ct, out, x: (-ct * sin(x),),
    sample=between(-3, 3),
)
tan = elementwise(
    "tan",
    result="floating",
    eval=np.tan,
    emit=lambda b, x: b.math("tan", x),
    vjp=lambda ct, out, x: (ct * (1 + out * out),),
    sample=between(-1, 1),
)
asin = elementwise(
    "asin",
    result="floating",
    eval=np.arcsin,
    emit=lambda b, x: b.math("asin", x),
    vjp=lambda ct, out, x: (ct * rsqrt(1 - x * x),),
    sample=between(-0.8, 0.8),
)
acos = elementwise(
    "acos",
    result="floating",
    eval=np.arccos,
    emit=lambda b, x: b.math("acos", x),
    vjp=lambda ct, out, x: (-ct * rsqrt(1 - x * x),),
    sample=between(-0.8, 0.8),
)
atan = elementwise(
    "atan",
    result="floating",
    eval=np.arctan,
    emit=lambda b, x: b.math("atan", x),
    vjp=lambda ct, out, x: (ct / (1 + x * x),),
    sample=between(-2, 2),
)
atan2 = elementwise(
    "atan2",
    result="floating",
    eval=np.arctan2,
    emit=lambda b, y, x: b.math("atan2", y, x),
    vjp=lambda ct, out, y, x: (ct * x / (x * x + y * y), -ct * y / (x * x + y * y)),
    sample=between(0.5, 2, (2, 3), (3,)),
)
sinh = elementwise(
    "sinh",
    result="floating",
    eval=np.sinh,
    emit=lambda b, x: b.math("sinh", x),
    vjp=lambda ct, out, x: (ct * cosh(x),),
    sample=between(-2, 2),
)
cosh: Elementwise = elementwise(
    "cosh",
    result="floating",
    eval=np.cosh,
    emit=lambda b, x: b.math("cosh", x),
    vjp=lambda ct, out, x: (ct * sinh(x),),
    sample=between(-2, 2),
)
asinh = elementwise(
    "asinh",
    result="floating",
    eval=np.arcsinh,
    emit=lambda b, x: b.math("asinh", x),
    vjp=lambda ct, out, x: (ct * rsqrt(x * x + 1),),
    sample=between(-2, 2),
)
acosh = elementwise(
    "acosh",
    result="floating",
    eval=np.arccosh,
    emit=lambda b, x: b.math("acosh", x),
    vjp=lambda ct, out, x: (ct * rsqrt(x * x - 1),),
    sample=between(1.5, 3),
)
atanh = elementwise(
    "atanh",
    result="floating",
    eval=np.arctanh,
    emit=lambda b, x: b.math("atanh", x),
    vjp=lambda ct, out, x: (ct / (1 - x * x),),
    sample=between(-0.8, 0.8),
)


# --------------------------------------------------------------------------- steps
def _flat(name: str, function) -> Elementwise:
    """A step function: flat almost everywhere, so its cotangent is zero (PyTorch agrees)."""
    return elementwise(
        name,
        eval=lambda x: x if x.dtype.kind in "iu" else function(x),
        emit=lambda b, x: b.math(name, x),
        vjp=lambda ct, out, x: (fill(ct, value=0.0),),
        sample=between(0.1, 0.4),
    )


floor: Elementwise = _flat("floor", np.floor)
ceil = _flat("ceil", np.ceil)
trunc: Elementwise = _flat("trunc", np.trunc)
round_ = _flat("round", np.round)
sign: Elementwise = elementwise(
    "sign",
    eval=lambda x: x if x.dtype == bool else np.sign(x),
    emit=lambda b, x: b.math("sign", x),
    vjp=lambda ct, out, x: (fill(ct, value=0.0),),
    sample=apart((2, 3)),
)


# --------------------------------------------------------------------------- gates
constant: Op = register(  # of no input; only for numbers of ours, the user's are scalar leaves
    Op(
        "constant",
        "elementwise",
        infer=lambda value, like: like,
        eval=lambda value, like: np.broadcast_to(np.asarray(value, like.dtype.np), like.shape),
        vjp=nondifferentiable,
        emit=lambda b, value, like: b.const(value),
        batch=lambda flags, value, like: constant(value=value, like=like),
        sample=lambda rng: ((), {"value": 1.0, "like": spec((2, 3), float64)}),
    )
)


def fill(x: Node, value: float) -> Node:
    """`value` in the shape and dtype of x, of which no value is needed for that."""
    return record(constant, (), {"value": value, "like": x.spec}, x.spec, False)


clone = elementwise(  # a gate that changes nothing: its own place in the graph
    "clone",
    eval=lambda x: x,
    emit=lambda b, x: x,
    vjp=lambda ct, out, x: (ct,),
    sample=normal((2, 3)),
)
detach = elementwise(  # lets the value through and stops the gradient
    "detach",
    eval=lambda x: x,
    emit=lambda b, x: x,
    vjp=nondifferentiable,
    sample=normal((2, 3)),
)
reattach = elementwise(  # the value of y with the history of x: a write that autograd must not see
    "reattach",
    eval=lambda x, y: np.broadcast_to(y, np.broadcast_shapes(x.shape, y.shape)),
    emit=lambda b, x, y: y,
    vjp=lambda ct, out, x, y: (ct, None),
    sample=lambda rng: ((v := rng.standard_normal((2, 3)), v), {}),
)
overwrite = elementwise(  # y in the place of x: x still has a gradient, and it is zero
    "overwrite",
    eval=lambda x, y: np.broadcast_to(y, np.broadcast_shapes(x.shape, y.shape)),
    emit=lambda b, x, y: y,
    vjp=lambda ct, out, x, y: (fill(ct, value=0.0), ct),
    sample=normal((2, 3), (2, 3)),
)


def _operator(op: Elementwise, reflected: bool = False):
    def operate(a: Node, b):
        other = b if isinstance(b, Node) else scalar(b, a)
        return op.binary(other, a) if reflected else op.binary(a, other)

    return operate


def _give_nodes_operators() -> None:
    """So that a vjp reads like its formula.  graph.py itself knows no op."""
    for name, op in {
        "add": add, "sub": sub, "mul": mul, "truediv": div, "and": bitwise_and, "or": bitwise_or,
    }.items():
        setattr(Node, f"__{name}__", _operator(op))
        setattr(Node, f"__r{name}__", _operator(op, reflected=True))
    for name, op in {"lt": lt, "le": le, "gt": gt, "ge": ge}.items():
        setattr(Node, f"__{name}__", _operator(op))
    setattr(Node, "__neg__", lambda a: neg.unary(a))  # noqa: B010 - mypy knows no operator of Node


_give_nodes_operators()
