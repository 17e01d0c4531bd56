"""Expressions: small immutable trees, simplified while they are made.

An expression stands for an array.  Its kinds:

    number     data: the value, a Fraction or a float
    symbol     data: what it is called
    gradient   data: of which symbol it is the gradient
    add        a + b + ..., broadcast
    mul        data: a number c; c a b ..., elementwise, broadcast
    power      data: a number p; a^p, elementwise
    contract   data: labels; out[o] = sum over labels not in o of a[la] b[lb]
    reduce     data: (name, axes); axes are kept with length 1
    reshape, permute, expand    data: shape or axes
    call       data: (name, attrs); any other function
    index, at, big    what is written with indices: see indices.py

Equal expressions are the same object, so `is` compares them.  Every rule keeps the value, but for
what happens at 0/0 and beyond.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from math import inf
from typing import Any, TypeAlias

Number: TypeAlias = "Fraction | float"
Shape: TypeAlias = "tuple[int, ...]"
ONE, ZERO = Fraction(1), Fraction(0)

COMPARISONS = {"gt": ">", "lt": "<", "ge": "≥", "le": "≤", "eq": "=", "ne": "≠"}
OPPOSITE = {"gt": "le", "le": "gt", "lt": "ge", "ge": "lt", "eq": "ne", "ne": "eq"}
# Functions of each element; all others treat their arguments as a whole.
ELEMENTWISE = frozenset("""
    exp expm1 log log1p log2 log10 sigmoid tanh sin cos tan asin acos atan atan2 sinh cosh asinh
    acosh atanh abs sign floor ceil trunc round erf erfinv lgamma digamma polygamma relu max min
    where not and or pow mod fmod floor_divide isnan isinf isfinite
    """.split()) | COMPARISONS.keys()


_LONGEST_NAME = 6  # what a longer one counts for
_WIDTHS = {"number": 0, "symbol": 0, "gradient": 5, "reduce": 8, "contract": 2, "expand": 0}


class Expr:
    """One expression; made by an Algebra only."""

    __slots__ = ("kind", "args", "data", "shape", "width", "graded")
    width: int
    graded: bool  # whether there is a gradient in it

    def __init__(self, kind: str, args: tuple[Expr, ...], data: Any, shape: Shape):
        self.kind, self.args, self.data, self.shape = kind, args, data, shape
        # About how many characters it takes to write it.
        own = _WIDTHS.get(kind, 4)
        if kind in ("number", "symbol", "gradient"):
            own += min(len(str(data)), _LONGEST_NAME)
        self.width = own + sum([x.width for x in args])
        self.graded = kind == "gradient" or any([x.graded for x in args])

    def __repr__(self) -> str:
        inside = ", ".join(map(repr, self.args))
        return f"{self.kind}[{self.data}]({inside})" if self.args else f"{self.kind}[{self.data}]"


def number_of(value: float) -> Number:
    """A Fraction where the number is a whole one or an even part of one, else a float."""
    if value == value and abs(value) != inf:
        exact = Fraction(value)
        if exact.denominator in (1, 2, 4, 8):
            return exact
    return float(value)


@cache
def broadcast(shapes: tuple[Shape, ...]) -> Shape:
    rank = max(map(len, shapes), default=0)
    padded = [(1,) * (rank - len(s)) + s for s in shapes]
    return tuple([next((n for n in ns if n != 1), 1) for ns in zip(*padded)])


def aligned(shape: Shape, rank: int) -> Shape:
    return (1,) * (rank - len(shape)) + shape


def split(x: Expr) -> tuple[Number, tuple[Expr, ...]]:
    """A term as a number times factors."""
    if x.kind == "mul":
        return x.data, x.args
    return (x.data, ()) if x.kind == "number" else (ONE, (x,))


def size_of(x: Expr) -> Number:
    """The absolute value of a term's number."""
    coef = split(x)[0]
    return coef if coef >= 0 else -coef


def bare(x: Expr) -> Expr:
    """What is stretched to x."""
    return x.args[0] if x.kind == "expand" else x


def is_number(x: Expr, value: Number | None) -> bool:
    """Whether x is this number everywhere (None: any number)."""
    x = bare(x)
    return x.kind == "number" and (value is None or x.data == value)


def is_truth(x: Expr) -> bool:
    """Whether x is 1 where something holds and 0 elsewhere."""
    return x.kind == "call" and x.data[0] in COMPARISONS


def is_scatter(x: Expr) -> bool:
    """Whether x is zero but where something was added."""
    return x.kind == "call" and x.data[0] == "scatter_add" and is_number(x.args[0], 0)
