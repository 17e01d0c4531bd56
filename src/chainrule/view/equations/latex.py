"""Equations as LaTeX, for a document that loads amsmath."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .expression import Number
from .names import GREEK
from .text import number_text
from .writing import ATOM, Dialect, Written

_GREEK = {sign: name for name, sign in GREEK.items() if name not in ("lam", "lamb", "lamda",
          "lambda_", "lmbda", "eps")} | {"λ": "lambda", "ε": "epsilon", "π": "pi"}  # fmt: skip
_SIGNS = {">": ">", "<": "<", "≥": r"\ge", "≤": r"\le", "=": "=", "≠": r"\ne"}
_BIG = {"sum": r"\sum", "max": r"\max", "min": r"\min", "prod": r"\prod"}
_KNOWN = frozenset("exp log tanh sin cos tan sinh cosh max min".split())
_SUBSCRIPT = re.compile(r"([A-Za-z])_?(\d+)$")


class Latex(Dialect):
    hadamard = r"\odot"

    def __init__(self, output: str):
        self.output = output

    def number(self, value: Number) -> str:
        text = number_text(value).replace("∞", r"\infty")
        if "/" in text:
            top, bottom = text.lstrip("-").split("/")
            return ("-" if text[0] == "-" else "") + rf"\frac{{{top}}}{{{bottom}}}"
        mantissa, e, exponent = text.partition("e")
        return rf"{mantissa} \cdot 10^{{{exponent}}}" if e else text

    def symbol(self, name: str) -> str:
        return symbol(name)

    def gradient(self, name: str) -> str:
        return rf"\frac{{\partial {symbol(self.output)}}}{{\partial {symbol(name)}}}"

    def paren(self, inside: str) -> str:
        return rf"\left({inside}\right)"

    def raised(self, base: str, exponent: Number) -> str:
        return f"{base}^{{{self.number(exponent)}}}"

    def root(self, inside: str) -> str:
        return rf"\sqrt{{{inside}}}"

    def transposed(self, base: str) -> str:
        return rf"{base}^{{\top}}"

    def fraction(self, top: str, bottom: str, alone: bool) -> Written:
        bare = bottom if alone else bottom[len(r"\left("):-len(r"\right)")]
        return rf"\frac{{{top}}}{{{bare}}}", ATOM

    def call(self, name: str, args: Sequence[str], attrs: tuple) -> str:
        inside = ", ".join(args)
        if attrs:
            inside += r";\ " + ", ".join(
                f"{_word(key)}={_escaped(str(value))}" for key, value in attrs)
        sign = rf"\{name}" if name in _KNOWN else r"\sigma" if name == "sigmoid" else _word(name)
        return rf"{sign}\left({inside}\right)"

    def element(self, array: str, index: Sequence[str]) -> str:
        # Doubly raised or lowered signs need braces.
        return rf"{{{array}}}_{{{','.join(index)}}}" if index else array

    def big(self, name: str, letters: Sequence[tuple], body: str) -> str:
        below = ",".join(k if n is None else f"{k}<{n}" for k, n in letters)
        return rf"{_BIG[name]}_{{{below}}} {body}"

    def array(self, body: str, letters: Sequence[tuple]) -> str:
        below = ",".join(k if n is None else f"{k}<{n}" for k, n in letters)
        return rf"\left({body}\right)_{{{below}}}"

    def truth(self, left: str, sign: str, right: str) -> str:
        return rf"\left[{left} {_SIGNS[sign]} {right}\right]"

    def norm(self, inside: str, of_matrix: bool) -> str:
        return rf"\lVert {inside} \rVert" + ("_F" if of_matrix else "")

    def absolute(self, inside: str) -> str:
        return rf"\left|{inside}\right|"

    def equation(self, left: str, right: str) -> str:
        return f"{left} &= {right}"


def symbol(name: str) -> str:
    """W1 as W_1, lam as λ, fc1.weight as W with fc1 below; words upright."""
    path, _, last = name.rpartition(".")
    if path and last in ("weight", "bias"):
        return rf"{'W' if last == 'weight' else 'b'}_{{{_word(path)}}}"
    if path:
        found = _SUBSCRIPT.match(last)
        if found:
            return rf"{found.group(1)}_{{{found.group(2)},\,{_word(path)}}}"
        return _word(name)
    if name in _GREEK:
        return "\\" + _GREEK[name]
    found = _SUBSCRIPT.match(name)
    if found:
        return f"{found.group(1)}_{{{found.group(2)}}}"
    return name if len(name) == 1 else _word(name)


def _word(text: str) -> str:
    return rf"\mathrm{{{_escaped(text)}}}"


def _escaped(text: str) -> str:
    for sign, name in _GREEK.items():
        text = text.replace(sign, name)
    text = re.sub(r"([_#$%&])", r"\\\1", text)
    return re.sub(r"[\\^~{}](?![_#$%&])", " ", text)


def block(lines: Sequence[str]) -> str:
    """Aligned at their equals signs."""
    return "\\begin{align*}\n" + " \\\\\n".join(lines) + "\n\\end{align*}"

