"""Small kernels, written as LLVM IR, to test how tables of them are run."""

from functools import cache

import llvmlite.binding as llvm
import numpy as np

from chainrule.jit.threads import Entry

_FRAME = """
declare i64 @pthread_self()

define i64 @kernel(ptr %slots, ptr %places, i64 %lo, i64 %hi, ptr %scratch) {
entry:
  %q1 = getelementptr i32, ptr %places, i64 1
  %q2 = getelementptr i32, ptr %places, i64 2
  %i0 = load i32, ptr %places
  %i1 = load i32, ptr %q1
  %i2 = load i32, ptr %q2
  %r0 = getelementptr ptr, ptr %slots, i32 %i0
  %r1 = getelementptr ptr, ptr %slots, i32 %i1
  %r2 = getelementptr ptr, ptr %slots, i32 %i2
  %x = load ptr, ptr %r0
  %y = load ptr, ptr %r1
  %n = load i64, ptr %r2
  br label %loop
loop:
  %i = phi i64 [ %lo, %entry ], [ %i.next, %next ]
  BODY
  br label %next
next:
  %i.next = add i64 %i, 1
  %more = icmp ult i64 %i.next, %hi
  br i1 %more, label %loop, label %out
out:
  ret i64 0
}
"""

# Each is done for every unit i, with buffers x and y and a number n.
_BODIES = {
    # y[i] = x[(5 i + 3) mod n] + 1
    "mix": """
      %a = mul i64 %i, 5
      %b = add i64 %a, 3
      %c = urem i64 %b, %n
      %from = getelementptr i64, ptr %x, i64 %c
      %v = load i64, ptr %from
      %w = add i64 %v, 1
      %to = getelementptr i64, ptr %y, i64 %i
      store i64 %w, ptr %to""",
    # x[i] += 1
    "tally": """
      %at = getelementptr i64, ptr %x, i64 %i
      %v = load i64, ptr %at
      %w = add i64 %v, 1
      store i64 %w, ptr %at""",
    # fails with x[i] if it is not 0
    "fail": """
      %at = getelementptr i64, ptr %x, i64 %i
      %v = load i64, ptr %at
      %good = icmp eq i64 %v, 0
      br i1 %good, label %on, label %bad
    bad:
      ret i64 %v
    on:""",
    # x[i] = which thread this is, after n rounds of nothing
    "who": """
      br label %wait
    wait:
      %k = phi i64 [ 0, %loop ], [ %k1, %wait ]
      %old = load volatile i64, ptr %x
      %k1 = add i64 %k, 1
      %again = icmp ult i64 %k1, %n
      br i1 %again, label %wait, label %told
    told:
      %id = call i64 @pthread_self()
      %at = getelementptr i64, ptr %x, i64 %i
      store i64 %id, ptr %at""",
    # fills n words of scratch with i, and fails if one of them is not i then
    "scratch": """
      br label %fill
    fill:
      %k = phi i64 [ 0, %loop ], [ %k1, %fill ]
      %to = getelementptr i64, ptr %scratch, i64 %k
      store volatile i64 %i, ptr %to
      %k1 = add i64 %k, 1
      %again = icmp ult i64 %k1, %n
      br i1 %again, label %fill, label %check
    check:
      %m = phi i64 [ 0, %fill ], [ %m1, %same ]
      %at = getelementptr i64, ptr %scratch, i64 %m
      %v = load volatile i64, ptr %at
      %good = icmp eq i64 %v, %i
      br i1 %good, label %same, label %bad
    bad:
      ret i64 1
    same:
      %m1 = add i64 %m, 1
      %further = icmp ult i64 %m1, %n
      br i1 %further, label %check, label %aligned
    aligned:
      %address = ptrtoint ptr %scratch to i64
      %low = and i64 %address, 63
      %even = icmp eq i64 %low, 0
      br i1 %even, label %on, label %bad
    on:""",
}

_engines = []


@cache
def kernel(name: str) -> int:
    """The address of one of the kernels."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(opt=1, reloc="pic")
    module = llvm.parse_assembly(_FRAME.replace("BODY", _BODIES[name]))
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    _engines.append(engine)
    return engine.get_function_address("kernel")


class Slots:
    """Buffers of int64 and numbers, at the addresses that kernels get."""

    def __init__(self, *values: np.ndarray | int):
        self.values = values
        self.table = np.array([v if isinstance(v, int) else v.ctypes.data for v in values],
                              np.int64)
        self.address = self.table.ctypes.data


def who(rounds: int, units: int = 8, levels: int = 1):
    """The entries and the slots of a program that tells which threads did its units."""
    x = np.zeros(units, np.int64)
    entries = [Entry(kernel("who"), [0, 0, 1], units, 1, level) for level in range(levels)]
    return entries, Slots(x, rounds)


def tally(levels: int, units: int = 64, grain: int = 4):
    """The entries and the slots of a program that adds `levels` to every x[i]."""
    x = np.zeros(units, np.int64)
    entries = [Entry(kernel("tally"), [0, 0, 0], units, grain, level) for level in range(levels)]
    return entries, Slots(x)
