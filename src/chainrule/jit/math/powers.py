"""Powers: with an exponent that is fixed in the graph, and with one that is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .common import INF

if TYPE_CHECKING:
    from ..emit import Builder, Number, Value

# Up to these, powers are products.
_PRODUCTS = {"float32": 5, "float64": 16}


def power(b: Builder, x: Value, exponent: Number) -> Value:
    """x to a number that is fixed in the graph."""
    if not x.floating:
        return _whole_power(b, x, int(exponent))
    size = abs(exponent)
    if size == 0.5:
        return _reciprocal_if(b, _root(b, x), exponent < 0)
    if size != int(size) if size < INF else True:
        return pow_(b, x, b.like(exponent, x))
    size = int(size)
    if size <= _PRODUCTS[x.elem]:
        if exponent == -2:  # its square may be infinite
            return _product(b, 1.0 / x, 2)
        return _reciprocal_if(b, _product(b, x, size), exponent < 0)
    if x.elem == "float32" and size <= 64:
        wide = power_wide(b, b.cast(x, "float64"), size, exponent < 0)
        return b.cast(wide, "float32")
    return pow_(b, x, b.like(exponent, x))


def power_wide(b: Builder, x: Value, size: int, inverse: bool) -> Value:
    return _reciprocal_if(b, _product(b, x, size), inverse)


def _reciprocal_if(b: Builder, x: Value, inverse: bool) -> Value:
    return 1.0 / x if inverse else x


def _root(b: Builder, x: Value) -> Value:
    """Unlike sqrt: 0 of -0.0, and inf of -inf."""
    return b.select(b.compare("eq", x, -INF), INF, b.sqrt(x + 0.0))


def _product(b: Builder, x: Value, n: int) -> Value:
    """x^n by squaring."""
    if n == 0:
        return b.like(1, x)
    result = None
    while True:
        if n & 1:
            result = x if result is None else result * x
        n >>= 1
        if not n:
            return result
        x = x * x


def _whole_power(b: Builder, x: Value, n: int) -> Value:
    if n >= 0:
        return _product(b, x, n)
    # Of the integers, only 1 and -1 have an inverse: the others' is rounded to 0.
    return b.select(b.compare("eq", b.abs(x), 1), x if n % 2 else b.like(1, x), 0)


def pow_(b: Builder, x: Value, y: Value) -> Value:
    raise NotImplementedError
