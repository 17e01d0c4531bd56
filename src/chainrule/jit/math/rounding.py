"""Steps and questions: rounding to whole numbers, sign, what is NaN, division with a remainder."""

from __future__ import annotations

from ..values import Builder, Value
from .common import FORMATS, INF, with_sign


# --------------------------------------------------------------------------- to whole numbers
def floor(b: Builder, x: Value) -> Value:
    return _rounded(b, "floor", x)


def ceil(b: Builder, x: Value) -> Value:
    return _rounded(b, "ceil", x)


def trunc(b: Builder, x: Value) -> Value:
    return _rounded(b, "trunc", x)


def round_(b: Builder, x: Value) -> Value:
    """To the nearest, a half to the even one."""
    return _rounded(b, "roundeven", x)


def _rounded(b: Builder, how: str, x: Value) -> Value:
    if not x.floating:
        return x
    if b.target.name != "baseline":  # all others have an instruction
        return b.rounded(how, x)
    size = b.abs(x)
    whole = 2.0 ** FORMATS[x.elem].digits  # from here on there are no fractions
    even = (size + whole) - whole
    if how == "trunc":
        even = b.select(b.compare("gt", even, size), even - 1.0, even)
    near = with_sign(b, even, x)
    if how == "floor":
        near = b.select(b.compare("gt", near, x), near - 1.0, near)
    elif how == "ceil":
        # The sum of -1 and 1 would have lost the sign.
        near = with_sign(b, b.abs(b.select(b.compare("lt", near, x), near + 1.0, near)), x)
    return b.select(b.compare("lt", size, whole), near, x)


# --------------------------------------------------------------------------- sign and kind
def sign(b: Builder, x: Value) -> Value:
    if x.elem == "bool":
        return x
    up, down = b.compare("gt", x, 0), b.compare("lt", x, 0)
    if not x.floating:
        return b.cast(up, x.elem) - b.cast(down, x.elem)
    known = b.select(up, b.like(1.0, x), b.select(down, b.like(-1.0, x), 0.0))
    return b.select(b.compare("ne", x, x), x, known)


def isnan(b: Builder, x: Value) -> Value:
    return b.compare("ne", x, x) if x.floating else b.number(False, "bool", x.lanes)


def isinf(b: Builder, x: Value) -> Value:
    if not x.floating:
        return b.number(False, "bool", x.lanes)
    return b.compare("eq", b.abs(x), INF)


def isfinite(b: Builder, x: Value) -> Value:
    return b.compare("lt", b.abs(x), INF) if x.floating else b.number(True, "bool", x.lanes)


def sqrt(b: Builder, x: Value) -> Value:
    return b.sqrt(x)
