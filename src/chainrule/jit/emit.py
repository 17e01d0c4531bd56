"""LLVM IR: this file and arithmetic.py, its base, are the only ones that write it.

A `Builder` writes one kernel, instruction by instruction: what arithmetic.py has, and loops,
functions and memory.  A value is a scalar or a vector of `lanes` elements.

Every kernel has the signature

    i64 kernel(ptr slots, ptr places, i64 low, i64 high, ptr scratch)

`slots` holds the addresses of all buffers of a program, `places` says which of them are this
kernel's, [low, high) are the units of work to do, `scratch` is memory of the worker.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .arithmetic import Arithmetic
from .math import COST
from .values import (
    BITS,
    FLOATING,
    LLVM,
    Index,
    Value,
    Variable,
    typed,
    vector_suffix,
)

__all__ = ["BITS", "FLOATING", "Builder", "Index", "Value"]

# How often an elementary function of so many instructions is written out in one kernel; from then
# on it is called, or code would grow by hundreds of lines for each.
_OFTEN, _LONG = 4, 10

# How elements are moved: bool has no bits of its own, and LLVM would widen halves to select them.
_MEMORY = {"bool": "uint8", "float16": "uint16", "bfloat16": "uint16"}


class Builder(Arithmetic):
    """Writes one kernel: arithmetic, loops and memory."""

    def __init__(self, name: str, target):
        super().__init__(target)
        self.name = name
        self.entry: list[str] = []  # variables and addresses, there before all else
        self._buffers: dict[int, Value] = {}
        self._functions: list[str] = []
        self._apart = 0  # functions that are being written
        self._uses: Counter[tuple] = Counter()  # of elementary functions
        self._shared: dict[tuple, Value] = {}  # those that are called: their names and results
        self.slots = Value(self, "%slots", "ptr", 1)
        self.places = Value(self, "%places", "ptr", 1)
        self.low = Value(self, "%low", "int64", 1)
        self.high = Value(self, "%high", "int64", 1)
        self.scratch = Value(self, "%scratch", "ptr", 1)

    def text(self) -> str:
        """The module: this kernel and what it calls."""
        head = [*self.constants, *self.intrinsics.values(), *self._functions]
        start = (f"define i64 @{self.name}(ptr noalias %slots, ptr noalias %places, i64 %low, "
                 f"i64 %high, ptr noalias %scratch) nounwind {{")
        body = [start, "entry:", *self.entry, *self.lines, "  ret i64 0", "}"]
        return "\n".join([*head, *body]) + "\n"

    # ------------------------------------------------------------------ control
    def variable(self, initial: Value) -> Variable:
        """A register that can be set again."""
        ref = self._fresh("var")
        self.entry.append(f"  {ref} = alloca {initial.type}, align 64")
        variable = Variable(self, ref, initial.elem, initial.lanes)
        variable.set(initial)
        return variable

    @contextmanager
    def loop(self, start: Index, stop: Index, step: int = 1) -> Iterator[Value]:
        """for i in range(start, stop, step)"""
        i = self.variable(self.index(start))
        head, body, done = (self._fresh(k)[1:] for k in ("head", "body", "done"))
        self.line(f"br label %{head}")
        self.lines.append(f"{head}:")
        value = i.get()
        inside = self.compare("lt", value, self.index(stop))
        self.line(f"br {inside!r}, label %{body}, label %{done}")
        self.lines.append(f"{body}:")
        yield self._hidden(value)
        i.set(value + step)
        self.line(f"br label %{head}")
        self.lines.append(f"{done}:")

    def _hidden(self, value: Value) -> Value:
        """In a function apart: the same number, of which LLVM knows nothing.

        What follows from it by steps LLVM would weigh against all else in the loop, for as long as
        all other code takes together, and for loops whose time does not count.
        """
        if self._apart:
            return self._emit(f'call i64 asm "", "=r,0"({value!r})', "int64", 1)
        return value

    @contextmanager
    def when(self, condition: Value) -> Iterator[None]:
        """if condition: ..."""
        then, done = self._fresh("then")[1:], self._fresh("done")[1:]
        self.line(f"br {condition!r}, label %{then}, label %{done}")
        self.lines.append(f"{then}:")
        yield
        self.line(f"br label %{done}")
        self.lines.append(f"{done}:")

    @contextmanager
    def function(self, *values: Index) -> Iterator[list[Index]]:
        """What is written within becomes a function of its own, which is called here.

        So its constants take no registers from the loops around it.  It knows the slots, the
        places, the scratch memory, and `values` by the names it is given.
        """
        given = list({id(v): v for v in values if isinstance(v, Value)}.values())
        names = {id(v): Value(self, f"%given{k}", v.elem, v.lanes) for k, v in enumerate(given)}
        saved = self.lines, self.entry, self._buffers
        self.lines, self.entry, self._buffers = [], [], {}
        self._apart += 1
        yield [names.get(id(v), v) for v in values]
        self._apart -= 1
        name = f"@part{len(self._functions)}"
        always = ["ptr noalias %slots", "ptr noalias %places", "ptr noalias %scratch"]
        parameters = ", ".join(always + [repr(names[id(v)]) for v in given])
        self._functions.append("\n".join([
            f"define internal i64 {name}({parameters}) noinline nounwind {{", "entry:",
            *self.entry, *self.lines, "  ret i64 0", "}"]))
        self.lines, self.entry, self._buffers = saved
        passed = ", ".join(["ptr %slots", "ptr %places", "ptr %scratch", *map(repr, given)])
        self._return_unless_0(self._emit(f"call i64 {name}({passed})", "int64", 1))

    def math(self, name: str, x: Value, *others: Any) -> Value:
        """exp, log, tanh ...: written out, or called if a kernel has many."""
        given = x, *others
        values = [v for v in given if isinstance(v, Value)]
        key = name, *[v.type if isinstance(v, Value) else v for v in given]
        self._uses[key] += 1
        if (self._uses[key] <= _OFTEN or COST.get(name, 0) < _LONG
                or not all(v.elem in FLOATING for v in values)):
            return super().math(name, *given)
        if key not in self._shared:
            self._shared[key] = self._write_shared(f"@{name}{len(self._shared)}", name, given)
        shared = self._shared[key]
        passed = ", ".join(map(repr, values))
        return self._emit(f"call {shared.type} {shared.ref}({passed})", shared.elem, shared.lanes)

    def _write_shared(self, ref: str, name: str, given: tuple) -> Value:
        """Write an elementary function as a function of its own."""
        saved = self.lines, self.entry, self._buffers
        self.lines, self.entry, self._buffers = [], [], {}
        known = [Value(self, f"%x{k}", v.elem, v.lanes) if isinstance(v, Value) else v
                 for k, v in enumerate(given)]
        result = super().math(name, *known)
        parameters = ", ".join([repr(v) for v in known if isinstance(v, Value)])
        self._functions.append("\n".join([
            f"define internal {result.type} {ref}({parameters}) noinline nounwind {{", "entry:",
            *self.entry, *self.lines, f"  ret {result!r}", "}"]))
        self.lines, self.entry, self._buffers = saved
        return Value(self, ref, result.elem, result.lanes)

    def _return_unless_0(self, code: Value) -> None:
        leave, stay = self._fresh("leave")[1:], self._fresh("stay")[1:]
        failed = self.compare("ne", code, 0)
        self.line(f"br {failed!r}, label %{leave}, label %{stay}")
        self.lines += [f"{leave}:", f"  ret {code!r}", f"{stay}:"]

    def leave(self, condition: Value, code: int) -> None:
        """Return `code` from the kernel if the condition holds: an error."""
        leave, stay = self._fresh("leave")[1:], self._fresh("stay")[1:]
        self.line(f"br {condition!r}, label %{leave}, label %{stay}")
        self.lines += [f"{leave}:", f"  ret i64 {code}", f"{stay}:"]

    # ------------------------------------------------------------------ memory
    def buffer(self, place: int) -> Value:
        """The address of the kernel's buffer number `place`."""
        if place not in self._buffers:
            lines, self.lines = self.lines, self.entry
            at = self._step(self.places, "i32", place)
            number = self._emit(f"load i32, ptr {at}", "int32", 1)
            where = self._emit(f"getelementptr ptr, ptr %slots, {number!r}", "ptr", 1)
            self._buffers[place] = self._emit(f"load ptr, ptr {where.ref}", "ptr", 1)
            self.lines = lines
        return self._buffers[place]

    def _step(self, base: Value, type: str, index: Index) -> str:
        if isinstance(index, int):
            if index == 0:
                return base.ref
            index = self.number(index, "int64")
        return self._emit(f"getelementptr {type}, {base!r}, {index!r}", "ptr", index.lanes).ref

    def offset(self, base: Value, elem: str, index: Index) -> Value:
        """The address of element `index`."""
        return Value(self, self._step(base, _stored(elem), index), "ptr", 1)

    def load(self, base: Value, index: Index, elem: str, lanes: int = 1,
             mask: Value | None = None, align: int | None = None) -> Value:
        """Elements index ... index + lanes; those that `mask` leaves out are 0 and not read."""
        stored = _MEMORY.get(elem, elem)
        where = self._step(base, _stored(elem), index)
        align = align or max(BITS[stored] // 8, 1)
        whole = typed(stored, lanes)
        if mask is None:
            found = self._emit(f"load {whole}, ptr {where}, align {align}", stored, lanes)
        elif lanes == 1:
            found = self._guarded_load(where, stored, mask)
        else:
            found = self._masked_load(where, stored, lanes, mask, align)
        return self._loaded(found, elem)

    def _loaded(self, x: Value, elem: str) -> Value:
        return self.compare("ne", x, 0) if elem == "bool" else self.bitcast(x, elem)

    def _masked_load(self, where: str, elem: str, lanes: int, mask: Value, align: int) -> Value:
        whole = typed(elem, lanes)
        name = f"llvm.masked.load.{vector_suffix(elem, lanes)}.p0"
        self._declare(name, f"{whole} @{name}(ptr, i32, <{lanes} x i1>, {whole})")
        return self._emit(f"call {whole} @{name}(ptr {where}, i32 {align}, {mask!r}, {whole} "
                          "zeroinitializer)", elem, lanes)

    def _guarded_load(self, where: str, elem: str, mask: Value) -> Value:
        """One element, read only if the mask holds."""
        result = self.variable(self.number(0, "int64" if elem == "ptr" else elem))
        with self.when(mask):
            result.set(self._emit(f"load {LLVM[elem]}, ptr {where}", elem, 1))
        return result.get()

    def gather(self, base: Value, index: Value, elem: str, mask: Value | None = None) -> Value:
        """The elements at the places `index`, one per lane."""
        if index.lanes == 1:
            return self.load(base, index, elem, 1, mask)
        stored = _MEMORY.get(elem, elem)
        lanes = index.lanes
        places = self._emit(f"getelementptr {_stored(elem)}, {base!r}, {index!r}", "ptr", lanes)
        mask = mask or self.number(True, "bool", lanes)
        whole = typed(stored, lanes)
        name = f"llvm.masked.gather.{vector_suffix(stored, lanes)}.v{lanes}p0"
        self._declare(name, f"{whole} @{name}(<{lanes} x ptr>, i32, <{lanes} x i1>, {whole})")
        found = self._emit(f"call {whole} @{name}(<{lanes} x ptr> {places.ref}, i32 "
                           f"{max(BITS[stored] // 8, 1)}, {mask!r}, {whole} zeroinitializer)",
                           stored, lanes)
        return self._loaded(found, elem)

    def store(self, base: Value, index: Index, x: Value, mask: Value | None = None,
              align: int | None = None) -> None:
        """Write x to the elements from `index` on, those that `mask` holds."""
        x, elem = self._to_store(x)
        where = self._step(base, LLVM[elem], index)
        align = align or max(BITS[elem] // 8, 1)
        if mask is None:
            self.line(f"store {x!r}, ptr {where}, align {align}")
        elif x.lanes == 1:
            with self.when(mask):
                self.line(f"store {x!r}, ptr {where}, align {align}")
        else:
            name = f"llvm.masked.store.{vector_suffix(elem, x.lanes)}.p0"
            self._declare(name, f"void @{name}({x.type}, ptr, i32, <{x.lanes} x i1>)")
            self.line(f"call void @{name}({x!r}, ptr {where}, i32 {align}, {mask!r})")

    def scatter(self, base: Value, index: Value, x: Value, mask: Value | None = None) -> None:
        """Write lane by lane to the places `index`; of equal places the last lane stays."""
        x, elem = self._to_store(x)
        for lane in range(x.lanes):
            one = None if mask is None else self.extract(mask, lane)
            self.store(base, self.extract(index, lane), self.extract(x, lane), one)

    def _to_store(self, x: Value) -> tuple[Value, str]:
        if x.elem != "bool":
            stored = _MEMORY.get(x.elem, x.elem)
            return self.bitcast(x, stored), stored
        return self._emit(f"zext {x!r} to {typed('uint8', x.lanes)}", "uint8", x.lanes), "uint8"

    def prefetch(self, base: Value, elem: str, index: Index) -> None:
        """Ask for the cache line of an element before it is needed."""
        self._declare("llvm.prefetch.p0", "void @llvm.prefetch.p0(ptr, i32, i32, i32)")
        where = self._step(base, _stored(elem), index)
        self.line(f"call void @llvm.prefetch.p0(ptr {where}, i32 0, i32 3, i32 1)")


def _stored(elem: str) -> str:
    return "i8" if elem == "bool" else LLVM[elem]
