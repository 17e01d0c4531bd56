"""Values of a kernel: registers, and how LLVM writes their types and numbers.

`emit.Builder` makes them; here is what they are, with operators, so that code over them reads like
the mathematics.
"""

from __future__ import annotations

import struct
from typing import Any, TypeAlias

LLVM = {
    "float64": "double", "float32": "float", "float16": "half", "bfloat16": "bfloat",
    "int64": "i64", "int32": "i32", "int16": "i16", "int8": "i8", "uint8": "i8", "bool": "i1",
    "uint16": "i16", "uint32": "i32", "uint64": "i64", "ptr": "ptr",
}
BITS = {
    "float64": 64, "float32": 32, "float16": 16, "bfloat16": 16, "int64": 64, "int32": 32,
    "int16": 16, "int8": 8, "uint8": 8, "bool": 1, "uint16": 16, "uint32": 32, "uint64": 64,
}
FLOATING = {"float64", "float32", "float16", "bfloat16"}
UNSIGNED = {"uint8", "uint16", "uint32", "uint64", "bool"}

Number: TypeAlias = int | float | bool
Builder: TypeAlias = Any  # emit.Builder, whose functions the mathematics are


class Value:
    """One register: `elem` (a dtype's name, or "ptr") times `lanes`."""

    __slots__ = ("b", "ref", "elem", "lanes")

    def __init__(self, b: Any, ref: str, elem: str, lanes: int):
        self.b, self.ref, self.elem, self.lanes = b, ref, elem, lanes

    @property
    def type(self) -> str:
        return typed(self.elem, self.lanes)

    @property
    def floating(self) -> bool:
        return self.elem in FLOATING

    def __repr__(self) -> str:
        return f"{self.type} {self.ref}"

    def __add__(self, other):
        return self.b.add(self, other)

    def __radd__(self, other):
        return self.b.add(other, self)

    def __sub__(self, other):
        return self.b.sub(self, other)

    def __rsub__(self, other):
        return self.b.sub(other, self)

    def __mul__(self, other):
        return self.b.mul(self, other)

    def __rmul__(self, other):
        return self.b.mul(other, self)

    def __truediv__(self, other):
        return self.b.div(self, other)

    def __rtruediv__(self, other):
        return self.b.div(other, self)

    def __neg__(self):
        return self.b.neg(self)

    def __and__(self, other):
        return self.b.bits("bitwise_and", self, other)

    def __or__(self, other):
        return self.b.bits("bitwise_or", self, other)

    def __xor__(self, other):
        return self.b.bits("bitwise_xor", self, other)

    def __lshift__(self, other):
        return self.b.bits("left_shift", self, other)

    def __rshift__(self, other):
        return self.b.bits("right_shift", self, other)

    def __lt__(self, other):
        return self.b.compare("lt", self, other)

    def __le__(self, other):
        return self.b.compare("le", self, other)

    def __gt__(self, other):
        return self.b.compare("gt", self, other)

    def __ge__(self, other):
        return self.b.compare("ge", self, other)


Operand: TypeAlias = Value | int | float
Index: TypeAlias = Value | int


def typed(elem: str, lanes: int) -> str:
    return LLVM[elem] if lanes == 1 else f"<{lanes} x {LLVM[elem]}>"


def literal(value: Any, elem: str) -> str:
    """A number as LLVM writes it, every bit of it."""
    if elem == "bool":
        return "true" if value else "false"
    if elem not in FLOATING:
        return str(int(value))
    value = float(value)
    if elem == "float32":
        try:
            value = struct.unpack("f", struct.pack("f", value))[0]
        except OverflowError:
            value = float("inf") if value > 0 else float("-inf")
    elif elem != "float64":
        raise TypeError(f"literal requires float32 or float64, got {elem}")
    return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"


class Variable:
    """A register that is written more than once: an accumulator."""

    __slots__ = ("b", "ref", "elem", "lanes")

    def __init__(self, b: Any, ref: str, elem: str, lanes: int):
        self.b, self.ref, self.elem, self.lanes = b, ref, elem, lanes

    def get(self) -> Value:
        return self.b._emit(f"load {typed(self.elem, self.lanes)}, ptr {self.ref}", self.elem,
                            self.lanes)

    def set(self, value: Operand) -> None:
        value = self.b.like(value, self)
        self.b.line(f"store {value!r}, ptr {self.ref}")


def suffix(x: Value) -> str:
    return vector_suffix(x.elem, x.lanes)


_SHORT = {"double": "f64", "float": "f32", "half": "f16", "bfloat": "bf16"}


def vector_suffix(elem: str, lanes: int) -> str:
    short = _SHORT.get(LLVM[elem], LLVM[elem])
    return short if lanes == 1 else f"v{lanes}{short}"


def conversion(old: str, new: str) -> str:
    if old in FLOATING and new in FLOATING:
        return "fpext" if BITS[new] > BITS[old] else "fptrunc"
    if old in FLOATING:
        return "fptoui" if new in UNSIGNED else "fptosi"
    if new in FLOATING:
        return "uitofp" if old in UNSIGNED else "sitofp"
    if BITS[new] < BITS[old]:
        return "trunc"
    if BITS[new] == BITS[old]:
        return "bitcast"
    return "zext" if old in UNSIGNED else "sext"
