"""Division with a remainder: rounded down (floor_divide, remainder) or towards zero (fmod)."""

from __future__ import annotations

from ..values import Builder, Value
from .common import INF, scale, two_product, with_sign
from .rounding import floor, trunc

#: What a kernel returns when it divided an integer by zero.
DIVISION_BY_ZERO = 2


def floor_divide(b: Builder, x: Value, y: Value) -> Value:
    x, y = b.like(x, y), b.like(y, x)
    if x.floating:
        return _float_floor_divide(b, x, y)
    if x.elem == "bool":
        _refuse_zero(b, y)
        return x
    quotient, rest = _integer_division(b, x, y)
    return quotient - b.cast(_wrong_side(b, rest, y), x.elem)


def remainder(b: Builder, x: Value, y: Value) -> Value:
    x, y = b.like(x, y), b.like(y, x)
    if x.floating:
        rest = fmod(b, x, y)
        zero = b.compare("eq", rest, 0.0)
        rest = b.select(_wrong_side(b, rest, y), rest + y, rest)
        return b.select(zero, with_sign(b, b.like(0.0, x), y), rest)
    rest = _integer_rest(b, x, y)
    return b.select(_wrong_side(b, rest, y), rest + y, rest) if x.elem != "bool" else rest


def fmod(b: Builder, x: Value, y: Value) -> Value:
    x, y = b.like(x, y), b.like(y, x)
    return _float_fmod(b, x, y) if x.floating else _integer_rest(b, x, y)


def _wrong_side(b: Builder, rest: Value, y: Value) -> Value:
    """Whether a remainder is not 0 and on the other side of 0 than the divisor."""
    return b.compare("ne", rest, 0) & (b.compare("lt", rest, 0) ^ b.compare("lt", y, 0))


# --------------------------------------------------------------------------- integers
def _refuse_zero(b: Builder, y: Value) -> None:
    zero = b.compare("eq", y, 0)
    if b.active is not None and zero.lanes > 1:
        zero = zero & b.active
    b.leave(b.any(zero), DIVISION_BY_ZERO)


def _integer_rest(b: Builder, x: Value, y: Value) -> Value:
    if x.elem == "bool":
        _refuse_zero(b, y)
        return b.number(False, "bool", x.lanes)
    return _integer_division(b, x, y)[1]


def _integer_division(b: Builder, x: Value, y: Value) -> tuple[Value, Value]:
    """The quotient towards zero and its rest; leaves the kernel at a divisor of 0."""
    _refuse_zero(b, y)
    # The processor traps where a lane that does not count is 0, and at the smallest integer
    # divided by -1: that quotient is the negative, modulo the width.
    y = b.select(b.compare("eq", y, 0), 1, y)
    if x.elem.startswith("u"):
        quotient = b.whole_quotient(x, y)
        return quotient, x - quotient * y
    negated = b.compare("eq", y, -1)
    quotient = b.whole_quotient(x, b.select(negated, 1, y))
    quotient = b.select(negated, -x, quotient)
    return quotient, x - quotient * y


# --------------------------------------------------------------------------- floats
def _float_floor_divide(b: Builder, x: Value, y: Value) -> Value:
    """From the exact rest, as NumPy does: (x - rest) / y is close to a whole number."""
    rest = fmod(b, x, y)
    near = (x - rest) / y
    near = b.select(_wrong_side(b, rest, y), near - 1.0, near)
    down = floor(b, near)
    down = b.select(b.compare("gt", near - down, 0.5), down + 1.0, down)
    zero = with_sign(b, b.like(0.0, x), x / y)
    down = b.select(b.compare("eq", near, 0.0), zero, down)
    return b.select(b.compare("eq", y, 0.0), x / y, down)


def _float_fmod(b: Builder, x: Value, y: Value) -> Value:
    """x - y trunc(x / y), exactly: at once where the quotient has few digits, else, which is
    rare, by y 2^n with smaller and smaller n."""
    short = x.elem == "float32"  # in float64, where quotients of 29 digits have exact products
    size, step = b.cast(b.abs(x), "float64"), b.cast(b.abs(y), "float64")
    digits, highest = (28, 252) if short else (51, 2046)
    result = b.variable(_rest(b, size, step, short))
    far = b.compare("ge", size, step * 2.0**digits) & b.compare("lt", size, INF)
    far = far & b.compare("gt", step, 0.0)
    with b.when(b.any(far)):
        left = b.variable(size)
        with b.loop(0, -(-highest // digits) + 1) as i:
            n = b.max(b.cast(highest - i * digits, "float64"), 0.0)
            lifted = scale(b, step, b.splat(n, x.lanes))
            here = b.compare("lt", lifted, INF) & b.compare("le", lifted, left.get())
            left.set(b.select(here, _rest(b, left.get(), lifted, short), left.get()))
        result.set(b.select(far, left.get(), result.get()))
    infinite = b.compare("eq", step, INF) & b.compare("lt", size, INF)
    rest = b.select(infinite, size, result.get())
    return with_sign(b, b.cast(rest, x.elem), x)


def _rest(b: Builder, x: Value, y: Value, short: bool) -> Value:
    """x - y trunc(x / y), of numbers that are not negative."""
    n = trunc(b, x / y)
    if short:
        rest = x - n * y
    elif b.target.fma:
        rest = b.fma(-n, y, x)
    else:  # smaller first, for no part of the product may be infinite
        large = b.compare("gt", x, 2.0**900)
        factor = b.select(large, b.like(2.0**-200, x), 1.0)
        product, lost = two_product(b, n, y * factor)
        rest = (x * factor - product) - lost
        rest = b.select(large, rest * 2.0**200, rest)
    # The quotient may have been rounded up to the next whole number.
    return b.select(b.compare("lt", rest, 0.0), rest + y, rest)
