"""LLVM IR within a straight line: numbers, arithmetic, lanes.

The first methods of `Arithmetic` (add ... math) are what each op's `emit` speaks to.  A Python
number takes the type of what it meets.  Nothing here may reorder floating-point arithmetic: what
is written is what is computed, and a fused multiply-add is one only where `fma` is called.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import math
from .values import (
    BITS,
    LLVM,
    UNSIGNED,
    Index,
    Number,
    Operand,
    Value,
    Variable,
    conversion,
    literal,
    suffix,
    typed,
)

_COMPARE = {"eq": ("oeq", "eq"), "ne": ("une", "ne"), "lt": ("olt", "lt"), "le": ("ole", "le"),
            "gt": ("ogt", "gt"), "ge": ("oge", "ge")}
_BITS = {"bitwise_and": "and", "bitwise_or": "or", "bitwise_xor": "xor", "logical_and": "and",
         "logical_or": "or", "logical_xor": "xor", "left_shift": "shl"}


class Arithmetic:
    """Writes straight-line code.  `target` tells what its vectors can do (engine.Target)."""

    def __init__(self, target):
        self.target = target
        self.lines: list[str] = []
        self.intrinsics: dict[str, str] = {}
        self.constants: list[str] = []
        self._count = 0
        #: Which lanes of the values at hand count, where not all do: the others raise no error.
        self.active: Value | None = None

    # ------------------------------------------------------------------ text
    def line(self, text: str) -> None:
        self.lines.append(f"  {text}")

    def _fresh(self, hint: str = "v") -> str:
        self._count += 1
        return f"%{hint}{self._count}"

    def _emit(self, text: str, elem: str, lanes: int) -> Value:
        ref = self._fresh()
        self.lines.append(f"  {ref} = {text}")
        return Value(self, ref, elem, lanes)

    def _call(self, name: str, elem: str, lanes: int, *args: Value, extra: str = "") -> Value:
        result = typed(elem, lanes)
        self._declare(name, f"{result} @{name}({', '.join(_bare(a) for a in args)}{_types(extra)})")
        given = ", ".join(map(repr, args))
        return self._emit(f"call {result} @{name}({given}{extra})", elem, lanes)

    def _declare(self, name: str, signature: str) -> None:
        self.intrinsics[name] = f"declare {signature}"

    # ------------------------------------------------------------------ numbers
    def number(self, value: Number, elem: str, lanes: int = 1) -> Value:
        """A constant of a given type."""
        text = literal(value, elem)
        if lanes > 1:
            text = f"splat ({LLVM[elem]} {text})"
        return Value(self, text, elem, lanes)

    def vector(self, values: Sequence[Number], elem: str) -> Value:
        """A constant vector."""
        inner = ", ".join(f"{LLVM[elem]} {literal(v, elem)}" for v in values)
        return Value(self, f"<{inner}>", elem, len(values))

    def table(self, values: Sequence[Number], elem: str) -> Value:
        """The address of numbers that are kept next to the machine code."""
        name = f"@table{len(self.constants)}"
        inner = ", ".join(f"{LLVM[elem]} {literal(v, elem)}" for v in values)
        self.constants.append(f"{name} = private unnamed_addr constant [{len(values)} x "
                              f"{LLVM[elem]}] [{inner}]")
        return Value(self, name, "ptr", 1)

    def iota(self, lanes: int, elem: str = "int64", step: int = 1) -> Value:
        """0, step, 2 step ..."""
        if lanes == 1:
            return self.number(0, elem)
        return self.vector([i * step for i in range(lanes)], elem)

    def const(self, value: Number) -> Number:
        """A constant that takes the type of what it meets."""
        return value

    def like(self, x: Operand, other: Value | Variable) -> Value:
        """x with the type and lanes of `other`."""
        if not isinstance(x, Value):
            return self.number(x, other.elem, other.lanes)
        return x if x.lanes == other.lanes else self.splat(x, other.lanes)

    def _both(self, x: Operand, y: Operand) -> tuple[Value, Value]:
        if not isinstance(x, Value):
            assert isinstance(y, Value), "one operand must have a type"
            return self.like(x, y), y
        if not isinstance(y, Value):
            return x, self.like(y, x)
        if x.lanes != y.lanes:
            return (self.splat(x, y.lanes), y) if x.lanes == 1 else (x, self.splat(y, x.lanes))
        return x, y

    # ------------------------------------------------------------------ what emit speaks to
    def _arithmetic(self, name: str, x: Operand, y: Operand) -> Value:
        x, y = self._both(x, y)
        prefix = "f" if x.floating else ""
        return self._emit(f"{prefix}{name} {x!r}, {y.ref}", x.elem, x.lanes)

    def add(self, x: Operand, y: Operand) -> Any:
        """x + y; of bools, x or y.  Of integers, adding the constant 0 writes nothing, and two
        numbers of Python give a third."""
        if not isinstance(x, Value) and not isinstance(y, Value):
            return x + y
        if _is_int(y, 0):
            return x
        if _is_int(x, 0):
            return y
        x, y = self._both(x, y)
        if x.elem == "bool":
            return self.bits("bitwise_or", x, y)
        return self._arithmetic("add", x, y)

    def sub(self, x: Operand, y: Operand) -> Any:
        if not isinstance(x, Value) and not isinstance(y, Value):
            return x - y
        return x if _is_int(y, 0) else self._arithmetic("sub", x, y)

    def mul(self, x: Operand, y: Operand) -> Any:
        """x y; of bools, x and y.  Of integers, multiplying by the constant 1 writes nothing."""
        if not isinstance(x, Value) and not isinstance(y, Value):
            return x * y
        if _is_int(y, 1):
            return x
        if _is_int(x, 1):
            return y
        x, y = self._both(x, y)
        if x.elem == "bool":
            return self.bits("bitwise_and", x, y)
        return self._arithmetic("mul", x, y)

    def div(self, x: Operand, y: Operand) -> Value:
        return self._arithmetic("div", x, y)

    def neg(self, x: Value) -> Value:
        if x.floating:
            return self._emit(f"fneg {x!r}", x.elem, x.lanes)
        return self._arithmetic("sub", 0, x)

    def abs(self, x: Value) -> Value:
        if x.floating:
            return self._call(f"llvm.fabs.{suffix(x)}", x.elem, x.lanes, x)
        if x.elem in UNSIGNED:
            return x
        return self._call(f"llvm.abs.{suffix(x)}", x.elem, x.lanes, x, extra=", i1 false")

    def max(self, x: Operand, y: Operand) -> Value:
        """The larger; NaN where one is NaN; of 0.0 and -0.0 (which NumPy leaves open), y."""
        return self._extreme("gt", "max", x, y)

    def min(self, x: Operand, y: Operand) -> Value:
        return self._extreme("lt", "min", x, y)

    def _extreme(self, better: str, name: str, x: Operand, y: Operand) -> Value:
        x, y = self._both(x, y)
        if x.floating:
            # One instruction on x86 (y where either is NaN), one test for a NaN in x.
            chosen = self.select(self.compare(better, x, y), x, y)
            return self.select(self.compare("ne", x, x), x, chosen)
        if x.elem == "bool":
            return self.bits("bitwise_or" if name == "max" else "bitwise_and", x, y)
        sign = "u" if x.elem in UNSIGNED else "s"
        return self._call(f"llvm.{sign}{name}.{suffix(x)}", x.elem, x.lanes, x, y)

    def select(self, condition: Value, x: Operand, y: Operand) -> Value:
        x, y = self._both(x, y)
        if condition.lanes != x.lanes:
            if condition.lanes == 1:
                condition = self.splat(condition, x.lanes)
            else:
                x, y = self.splat(x, condition.lanes), self.splat(y, condition.lanes)
        return self._emit(f"select {condition!r}, {x!r}, {y!r}", x.elem, x.lanes)

    def compare(self, name: str, x: Operand, y: Operand) -> Value:
        x, y = self._both(x, y)
        real, whole = _COMPARE[name]
        if x.floating:
            how = f"fcmp {real}"
        else:
            sign = "" if whole in ("eq", "ne") else "u" if x.elem in UNSIGNED else "s"
            how = f"icmp {sign}{whole}"
        return self._emit(f"{how} {x!r}, {y.ref}", "bool", x.lanes)

    def bits(self, name: str, x: Value, *others: Operand) -> Value:
        if name in ("logical_not", "bitwise_not"):
            ones = self.number(True if x.elem == "bool" else -1, x.elem, x.lanes)
            return self._emit(f"xor {x!r}, {ones.ref}", x.elem, x.lanes)
        x, y = self._both(x, *others)
        if name == "right_shift":
            how = "lshr" if x.elem in UNSIGNED else "ashr"
        else:
            how = _BITS[name]
        if how in ("shl", "lshr", "ashr"):
            return self._shift(how, x, y)
        return self._emit(f"{how} {x!r}, {y.ref}", x.elem, x.lanes)

    def _shift(self, how: str, x: Value, y: Value) -> Value:
        """A shift by the width or more, which LLVM leaves open, leaves nothing but the sign."""
        if not y.ref.startswith("%"):
            return self._emit(f"{how} {x!r}, {y.ref}", x.elem, x.lanes)
        width = BITS[x.elem]
        inside = self._emit(f"icmp ult {y!r}, {self.number(width, y.elem, y.lanes).ref}", "bool",
                            y.lanes)
        safe = self.select(inside, y, width - 1)
        shifted = self._emit(f"{how} {x!r}, {safe.ref}", x.elem, x.lanes)
        return shifted if how == "ashr" else self.select(inside, shifted, 0)

    def math(self, name: str, x: Value, *others: Any) -> Value:
        """exp, log, tanh ...: see math.py."""
        return math.FUNCTIONS[name](self, x, *others)

    def power(self, x: Value, exponent: Number) -> Value:
        """x to a number that is fixed in the graph."""
        b: Any = self  # a Builder, which has loops too
        return math.power(b, x, exponent)

    def cast(self, x: Value, dtype: Any) -> Value:
        """x as another dtype: to integers towards zero, to bool by comparing with zero."""
        elem = getattr(dtype, "name", dtype)
        if elem == x.elem:
            return x
        if elem == "bool":
            return self.compare("ne", x, 0)
        if x.elem == "bfloat16" and elem != "float32":
            return self.cast(self.cast(x, "float32"), elem)
        if elem == "bfloat16" and x.elem != "float32":
            return self.cast(self.cast(x, "float32"), elem)
        if elem == "bfloat16":
            return self._to_bfloat16(x)
        if x.elem == "bfloat16":
            wide = self._emit(f"zext {self.bitcast(x, 'int16')!r} to {typed('int32', x.lanes)}",
                              "int32", x.lanes)
            return self.bitcast(wide << 16, "float32")
        return self._emit(f"{conversion(x.elem, elem)} {x!r} to {typed(elem, x.lanes)}", elem,
                          x.lanes)

    def _to_bfloat16(self, x: Value) -> Value:
        """Rounded to nearest even, by hand: LLVM would call a library on most hosts."""
        whole = self.bitcast(x, "uint32")
        odd = (whole >> 16) & 1
        rounded = (whole + odd + 0x7FFF) >> 16
        quiet = (whole >> 16) | 0x40
        kept = self.select(self.compare("ne", x, x), quiet, rounded)
        return self.bitcast(self._emit(f"trunc {kept!r} to {typed('uint16', x.lanes)}", "uint16",
                                       x.lanes), "bfloat16")

    # ------------------------------------------------------------------ more arithmetic
    def fma(self, x: Operand, y: Operand, z: Value) -> Value:
        """x y + z, rounded once, where the host can; else twice (see Target.fma)."""
        x, y = self.like(x, z), self.like(y, z)
        if not self.target.fma:
            return self.add(self.mul(x, y), z)
        return self._call(f"llvm.fma.{suffix(z)}", z.elem, z.lanes, x, y, z)

    def sqrt(self, x: Value) -> Value:
        return self._call(f"llvm.sqrt.{suffix(x)}", x.elem, x.lanes, x)

    def rounded(self, how: str, x: Value) -> Value:
        """floor, ceil, trunc or roundeven, by an instruction where the host has one."""
        return self._call(f"llvm.{how}.{suffix(x)}", x.elem, x.lanes, x)

    def bitcast(self, x: Value, elem: str) -> Value:
        """The same bits as another type of the same width."""
        if LLVM[elem] == LLVM[x.elem]:
            return Value(self, x.ref, elem, x.lanes)
        return self._emit(f"bitcast {x!r} to {typed(elem, x.lanes)}", elem, x.lanes)

    def index(self, x: Index) -> Value:
        return x if isinstance(x, Value) else self.number(x, "int64")

    def quotient(self, x: Index, n: int) -> Index:
        """x // n of an index, which is not negative."""
        if isinstance(x, int):
            return x // n
        if n == 1:
            return x
        return self._emit(f"udiv {x!r}, {self.number(n, x.elem, x.lanes).ref}", x.elem, x.lanes)

    def whole_quotient(self, x: Value, y: Value) -> Value:
        """x / y of integers, towards zero; y = 0 and an overflow must not happen."""
        how = "udiv" if x.elem in UNSIGNED else "sdiv"
        return self._emit(f"{how} {x!r}, {y.ref}", x.elem, x.lanes)

    def modulo(self, x: Index, n: int) -> Index:
        """x % n of an index, which is not negative."""
        if isinstance(x, int):
            return x % n
        if n == 1:
            return 0
        return self._emit(f"urem {x!r}, {self.number(n, x.elem, x.lanes).ref}", x.elem, x.lanes)

    def splits_floats(self, x: Value) -> bool:
        """Whether `scalef`, `exponent` and `mantissa` are instructions of the host for x."""
        return self.target.name == "avx512" and BITS[x.elem] * x.lanes >= 128

    def scalef(self, x: Value, n: Value) -> Value:
        """x 2^n, rounded once, of a whole number n of the type of x."""
        return self._avx512("scalef", x, n)

    def exponent(self, x: Value) -> Value:
        """floor(log2 |x|): -inf of 0, inf of an infinity."""
        return self._avx512("getexp", x)

    def mantissa(self, x: Value) -> Value:
        """x / 2^n where that is in [3/4, 3/2); 1 of 0 and inf, NaN of what is negative."""
        return self._avx512("getmant", x, 15)

    def _avx512(self, name: str, x: Value, *others: Value | int) -> Value:
        """An intrinsic on all lanes, rounding as always (4)."""
        width = BITS[x.elem] * x.lanes
        if width > 512:
            return self._by_halves(lambda *halves: self._avx512(name, *halves), x, *others)
        name = f"llvm.x86.avx512.mask.{name}.{'ps' if x.elem == 'float32' else 'pd'}.{width}"
        args = [f"i32 {y}" if isinstance(y, int) else repr(y) for y in (x, *others, x)]
        args += [f"i{max(x.lanes, 8)} -1"] + (["i32 4"] if width == 512 else [])
        types = ["i32" if isinstance(y, int) else y.type for y in (x, *others, x)]
        types += [arg.split()[0] for arg in args[len(types):]]
        self._declare(name, f"{x.type} @{name}({', '.join(types)})")
        return self._emit(f"call {x.type} @{name}({', '.join(args)})", x.elem, x.lanes)

    def _by_halves(self, write, *values: Value | int) -> Value:
        """write(*values), for the first and the second half of the lanes each."""
        lanes = next(x.lanes for x in values if isinstance(x, Value))
        low, high = (
            write(*(self.shuffle(x, None, range(start, start + lanes // 2))
                    if isinstance(x, Value) else x for x in values))
            for start in (0, lanes // 2)
        )
        return self.shuffle(low, high, range(lanes))

    # ------------------------------------------------------------------ lanes
    def any(self, x: Value) -> Value:
        """Whether a bool holds in one lane or more."""
        if x.lanes == 1:
            return x
        whole = self._fresh()
        self.line(f"{whole} = bitcast {x!r} to i{x.lanes}")
        return self._emit(f"icmp ne i{x.lanes} {whole}, 0", "bool", 1)

    def splat(self, x: Operand, lanes: int, elem: str = "") -> Value:
        """The same scalar in every lane."""
        if not isinstance(x, Value):
            return self.number(x, elem, lanes)
        if lanes == 1 or x.lanes == lanes:
            return x
        if not x.ref.startswith("%"):
            return Value(self, f"splat ({x!r})", x.elem, lanes)
        whole = typed(x.elem, lanes)
        first = self._emit(f"insertelement {whole} poison, {x!r}, i32 0", x.elem, lanes)
        return self._emit(f"shufflevector {first!r}, {whole} poison, <{lanes} x i32> "
                          "zeroinitializer", x.elem, lanes)

    def extract(self, x: Value, lane: int) -> Value:
        if x.lanes == 1:
            return x
        return self._emit(f"extractelement {x!r}, i32 {lane}", x.elem, 1)

    def insert(self, x: Value, y: Value, lane: int) -> Value:
        return self._emit(f"insertelement {x!r}, {y!r}, i32 {lane}", x.elem, x.lanes)

    def shuffle(self, x: Value, y: Value | None, places: Sequence[int]) -> Value:
        """Lane i of the result is lane places[i] of x followed by y."""
        if len(places) == 1 and places[0] < x.lanes:
            return self.extract(x, places[0])
        other = y.ref if y is not None else "poison"
        chosen = ", ".join(f"i32 {p}" for p in places)
        return self._emit(f"shufflevector {x!r}, {x.type} {other}, <{len(places)} x i32> "
                          f"<{chosen}>", x.elem, len(places))

    def fold(self, combine, x: Value) -> Value:
        """All lanes combined into one, by halves: the same order everywhere."""
        while x.lanes > 1:
            half = x.lanes // 2
            x = combine(self.shuffle(x, None, range(half)),
                        self.shuffle(x, None, range(half, x.lanes)))
        return x

    def first_lanes(self, count: Index, lanes: int) -> Value:
        """A mask: lane < count."""
        if lanes == 1:
            return self.compare("lt", self.number(0, "int64"), count)
        return self.compare("lt", self.iota(lanes, "int32"), self.cast(
            self.index(count), "int32"))


def _is_int(x: Operand, number: int) -> bool:
    """Whether x is that integer, as Python writes it: 0.0 added to -0.0 does something."""
    return type(x) is int and x == number


def _bare(x: Value) -> str:
    return x.type


def _types(extra: str) -> str:
    """The types of further constant arguments: ", i1 false" -> ", i1"."""
    return "".join(f", {part.split()[0]}" for part in extra.split(",") if part.strip())
