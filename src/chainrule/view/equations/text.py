"""Equations as plain text, in a notation that can be read back.

    a + b, a - b          elementwise, broadcast as NumPy does
    a ⊙ b, a / b          elementwise
    a b                   side by side: a scalar times b, else the product of matrices; vectors are
                          columns, aᵀ is a row; arrays of more axes are stacks of matrices
    aᵀ                    the last two axes exchanged
    a², a^p, √a           elementwise
    f(a, b; key=value)    a function: its name and the parenthesis touch
    [a > b]               1 where it holds, 0 elsewhere
    |a|, ‖a‖              absolute values; the root of the sum of all squares
    sum(a), sum_rows(a), sum_columns(a)    of all elements; over the rows (one number for each
                          column); over the columns
    a[i,j], a[i]          an element; with fewer indices than axes, a part.  Outside of a, and at an
                          index that is no whole number, it is 0
    Σ_{i,k<3} a           a sum over indices, of the product that follows.  An index runs over the
                          axis that it stands for, or up to its bound; max_{i} and the like too
    (a)_{i,j}             the array with these elements
    dJ/dx                 the gradient of J for x, of x's shape

From loose to tight: + -, then ⊙ / Σ, then side by side, then the rest.  A left side with indices,
z[i,j] = ..., says what each element is; else the right side is stretched to the left one's shape,
and may lack axes of length 1 or have more of them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

from .expression import Number
from .writing import PRODUCT, Dialect, Written

_EXPONENT = re.compile(r"e\+?(-?)0*")
_RAISED = {2: "²", 3: "³"}
_BIG = {"sum": "Σ"}


class Text(Dialect):
    hadamard = "⊙"

    def __init__(self, output: str):
        self.output = output

    def number(self, value: Number) -> str:
        return number_text(value)

    def symbol(self, name: str) -> str:
        return name

    def gradient(self, name: str) -> str:
        return f"d{self.output}/d{name}"

    def paren(self, inside: str) -> str:
        return f"({inside})"

    def raised(self, base: str, exponent: Number) -> str:
        sign = _RAISED.get(exponent)  # type: ignore[call-overload]
        if sign:
            return base + sign
        text = self.number(exponent)
        return f"{base}^{text}" if text.isdigit() else f"{base}^({text})"

    def root(self, inside: str) -> str:
        return f"√{inside}" if inside.isalnum() else f"√({inside})"

    def transposed(self, base: str) -> str:
        return f"{base}ᵀ"

    def fraction(self, top: str, bottom: str, alone: bool) -> Written:
        return f"{top} / {bottom}", PRODUCT

    def call(self, name: str, args: Sequence[str], attrs: tuple) -> str:
        inside = ", ".join(args)
        if attrs:
            inside += "; " + ", ".join(f"{key}={_attr(value)}" for key, value in attrs)
        return f"{name}({inside})"

    def element(self, array: str, index: Sequence[str]) -> str:
        return f"{array}[{','.join(index)}]"

    def big(self, name: str, letters: Sequence[tuple], body: str) -> str:
        return f"{_BIG.get(name, name)}_{self._letters(letters)} {body}"

    def _letters(self, letters: Sequence[tuple]) -> str:
        if len(letters) == 1 and letters[0][1] is None and len(letters[0][0]) == 1:
            return letters[0][0]
        return "{" + ",".join(k if n is None else f"{k}<{n}" for k, n in letters) + "}"

    def array(self, body: str, letters: Sequence[tuple]) -> str:
        return f"({body})_{{{','.join(k if n is None else f'{k}<{n}' for k, n in letters)}}}"

    def truth(self, left: str, sign: str, right: str) -> str:
        return f"[{left} {sign} {right}]"

    def norm(self, inside: str, of_matrix: bool) -> str:
        return f"‖{inside}‖" if "‖" not in inside else f"norm({inside})"

    def absolute(self, inside: str) -> str:
        return f"|{inside}|" if "|" not in inside else f"abs({inside})"

    def equation(self, left: str, right: str) -> str:
        return f"{left} = {right}"


def number_text(value: Number) -> str:
    """A number as short as it can be said: 3, 1/2, 0.1, 1.5e-7, -∞."""
    if isinstance(value, Fraction):
        return str(value)
    if value in (float("inf"), float("-inf")):
        return "∞" if value > 0 else "-∞"
    short = _EXPONENT.sub(r"e\1", f"{value:.12g}")
    if len(short) > 8:
        near = Fraction(value).limit_denominator(1000)
        if near and abs(float(near) - value) < 1e-15 * abs(value):
            return str(near)
    return short


def _attr(value: object) -> str:
    if isinstance(value, tuple):
        return "×".join(map(_attr, value)) if value else "()"
    return str(value).replace(" ", "")



def laid_out(lines: Sequence[str], width: int = 100) -> list[str]:
    """Lines two columns in; those that are too long go on below their right side."""
    found = []
    for line in lines:
        left, sign, _ = line.partition(" = ")
        found += _wrapped("  " + line, width, " " * (2 + min(len(left + sign), 24)) if sign else "")
    return found


def _wrapped(line: str, width: int, indent: str) -> list[str]:
    found = []
    while len(line) > width:
        start = len(indent) + 30
        cut = max(line.rfind(sign, start, width) for sign in (" + ", " - ", " ⊙ ", " / "))
        if cut < 0:
            cut = line.rfind(" ", start, width)
        if cut < 0:
            break
        found.append(line[:cut])
        line = indent + line[cut + 1:]
    return [*found, line]
