"""The native half of threads.py: workers, and the loops that run a table of kernels.

It is LLVM IR written by hand (runtime_*.ll), the only IR beside emit.py's,
because it comes from no graph: it is the same for every program, and runs where no Python may,
for workers hold no GIL.  It needs of the system what POSIX threads give, and nothing of the
processor, so that one text serves Linux and macOS, x86-64 and aarch64; only where Linux wakes
workers needs a hint.

**The table** of a program, in words of 8 bytes (threads.Table writes it, nobody changes it):

    header   16 words: identity, length in words, entries, levels, tasks, bytes of scratch,
             where tasks start, where levels start, how many runs have ended
    entries  kernel, its places, units, 0
    tasks    first entry, entries, grain, chunks, turn
    levels   first task, chunks of all its tasks; and one more that ends the last

A **task** is what workers share: either one entry, cut into chunks of `grain` units, or, as one
chunk, a row of entries that have nothing to share.

**Who does what.**  Worker w of n first takes the chunks of its home, the w-th n-th of each task,
so that it meets the same rows in kernel after kernel; then it takes what others left.  Chunks are
taken by an atomic counter for each home, so nobody waits for a worker: only for chunks that
somebody is at.  A level is complete when `finished` has counted all its chunks.

**Memory order.**  A worker adds to `finished` (release) after its chunks, and reads it (acquire)
before the next level: so it sees all that the level wrote.  One that comes late reads `current`,
stored (release) by the calling thread after it had seen the levels before.

**The gate** is a word: generation << 32 | workers inside.  An odd generation is an open run.  A
worker enters by exchanging the whole word, so it enters only the run that it has seen.  What
workers share - a copy of the table and the counters, the *job* - is changed only while the gate
is closed and nobody is inside; a worker that loses its core inside a finished run makes the next
run go on alone instead of wait.  Nothing here belongs to Python, so that workers may still be
inside when Python takes its objects down.
"""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import llvmlite.binding as llvm
import numpy as np

#: Words of a table before its entries.
HEADER = 16
#: How long an idle worker keeps looking for work before it sleeps.
IDLE_NS = 60_000

# How a loop that waits tells the processor so: the one thing in which machines differ.
_PAUSES = {
    "x86_64": "llvm.x86.sse2.pause()",
    "aarch64": "llvm.aarch64.isb(i32 15)",
}
_NAMES = {"AMD64": "x86_64", "arm64": "aarch64"}
_FILES = ("runtime_table.ll", "runtime_pool.ll", "runtime_arrays.ll")


def text(machine: str, system: str) -> str:
    """The runtime in LLVM IR, for one kind of processor and one system."""
    pause = _PAUSES.get(_NAMES.get(machine, machine), "llvm.donothing()")
    declared = pause.replace("i32 15", "i32")
    last = [f"declare void @{declared}",
            f"define internal void @pause() {{ call void @{pause} ret void }}"]
    if system != "Linux":
        last.append("define internal void @keep_off(ptr %pool, i64 %w) { ret void }")
    files = [*_FILES, "runtime_linux.ll"] if system == "Linux" else _FILES
    return "\n".join([Path(__file__).with_name(name).read_text() for name in files] + last)


class Runtime(NamedTuple):
    """The functions of the runtime; all but `addresses` give up the GIL.  `launch` is the address
    of one that is called as `builtin`: see arrays.py."""

    create: Callable[[int, int, int, bytes, int], int | None]  # most, idle ns, cores, bits, clock
    run: Callable[[int, int, int, int], int]  # pool, table, slots, workers
    worker: Callable[[int, int], None]  # pool, index
    addresses: Callable[[int, int, int], int]  # list of arrays, table, how many: see arrays.py
    launch: int


@cache
def runtime() -> Runtime:
    """Compile the runtime, once a process."""
    create, run, worker, addresses, launch = compile_functions(
        text(platform.machine(), platform.system()),
        "create", "run", "worker", "addresses", "launch")
    address, word = ctypes.c_void_p, ctypes.c_int64
    return Runtime(
        ctypes.CFUNCTYPE(address, word, word, word, address, word)(create),
        ctypes.CFUNCTYPE(word, address, address, address, word)(run),
        ctypes.CFUNCTYPE(None, address, word)(worker),
        ctypes.PYFUNCTYPE(word, address, address, word)(addresses),
        launch,
    )


class _Method(ctypes.Structure):
    """CPython's PyMethodDef."""

    _fields_ = [("name", ctypes.c_char_p), ("function", ctypes.c_void_p), ("flags", ctypes.c_int),
                ("doc", ctypes.c_char_p)]


_METH_FASTCALL, _METH_O = 0x80, 0x08


def builtin(function: int, name: str, own: np.ndarray, single: bool = False) -> Callable:
    """Native code as a function like Python's own: called in 30 nanoseconds, ctypes takes 1000.

    function: address of  ptr f(ptr own, ptr arguments, i64 count), or of  ptr f(ptr own, ptr
    argument)  if it has a single one.  They are borrowed, its result is new, or null if an error
    is set.  It keeps the GIL.  `own` is an array that comes with each call.
    """
    method = _method(function, name, _METH_O if single else _METH_FASTCALL)
    return _new_builtin()(ctypes.addressof(method), own, None)


@cache
def _method(function: int, name: str, flags: int) -> _Method:
    return _Method(name.encode(), function, flags, None)  # kept: what is made of it may live on


@cache
def _new_builtin() -> Callable:
    kind = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)
    return kind(("PyCFunction_NewEx", ctypes.pythonapi))


def compile_functions(source: str, *names: str, inline: bool = False) -> list[int]:
    """The addresses of these functions of a text in LLVM IR; `inline` heeds its alwaysinline."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_triple(llvm.get_process_triple())
    # LLVM's optimizer would take ten times as long and save nothing: this waits and calls.
    machine = target.create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(),
        opt=0, reloc="pic", codemodel="small")
    module = llvm.parse_assembly(source)
    if inline:
        passes = llvm.create_new_module_pass_manager()
        passes.add_always_inliner_pass()
        passes.add_sroa_pass()
        options = llvm.create_pipeline_tuning_options()
        passes.run(module, llvm.create_pass_builder(machine, options))
    code = llvm.create_mcjit_compiler(module, machine)
    code.finalize_object()
    addresses = [code.get_function_address(name) for name in names]
    code.detach()  # never freed: workers are in it to the end of the process
    return addresses
