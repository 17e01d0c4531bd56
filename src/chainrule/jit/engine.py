"""From LLVM IR to machine code: what the host can do, and one module per distinct kernel.

Compiling is nearly all LLVM's code generator, so what it is given is only brought into registers
first: further passes cost time and made no kernel faster.  Kernels that are asked for together
are compiled side by side, one thread each.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import llvmlite
import llvmlite.binding as llvm

from .. import config
from ..errors import ArgumentError
from ..version import __version__
from . import cache as disk
from .objects import undefined


@dataclass(frozen=True)
class Target:
    """What machine code is made for.  `bits` is the width of a vector register."""

    name: str
    bits: int
    registers: int  # vector registers there are
    fma: bool  # whether x y + z is one instruction
    cpu: str
    features: str

    def lanes(self, elem: str) -> int:
        """How many elements of a dtype one register holds."""
        return self.bits // max(int("".join(c for c in elem if c.isdigit()) or 8), 8)


# The tiers of instructions, best first: what a host must have for each.
_AVX512 = ("avx512f", "avx512bw", "avx512dq", "avx512vl", "fma")
_AVX2 = ("avx2", "fma", "bmi", "bmi2", "f16c", "lzcnt", "movbe", "popcnt")


@cache
def tiers() -> list[Target]:
    """What this machine can run, best first."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    has = llvm.get_host_cpu_features()
    if llvm.get_process_triple().startswith(("aarch64", "arm64")):
        return [_tier("neon", has)]
    needs = {"avx512": _AVX512, "avx2": _AVX2, "baseline": ()}
    return [_tier(name, has) for name in needs if all(has.get(f) for f in needs[name])]


@cache
def host() -> Target:
    """The best tier of this machine, or the one CHAINRULE_TARGET names."""
    names = [tier.name for tier in tiers()]
    name = config.target() or names[0]
    if name not in names:
        raise ArgumentError(
            f"CHAINRULE_TARGET requires one of {names} on this machine, got {name!r}"
        )
    return tiers()[names.index(name)]


def _tier(name: str, has) -> Target:
    cpu, features = llvm.get_host_cpu_name(), has.flatten()
    if name == "neon":
        return Target(name, 128, 32, True, cpu, features + ",-sve,-sve2")
    if name == "avx512":
        # LLVM prefers half-wide vectors on some hosts; what is asked for is what we want.
        return Target(name, 512, 32, True, cpu, features + ",-prefer-256-bit")
    if name == "avx2":
        return Target(name, 256, 16, True, "x86-64-v3", "")
    return Target(name, 128, 16, False, "x86-64", "")


class CompileError(Exception):
    """Kernels that cannot be compiled; their nodes can still be interpreted.

    `failures` says of each such text why; the other kernels asked for with them are compiled.
    """

    def __init__(self, failures: dict[str, str]):
        self.failures = failures
        super().__init__("; ".join(dict.fromkeys(failures.values())))


_PASSES = ("sroa",)  # variables become registers
_OPTIONS = {"opt": 2, "reloc": "pic", "codemodel": "small"}
_THREADS = 8  # more would wait for each other: the binding parses texts one by one

# What code may ask the C library for, because LLVM makes calls of copies and fills.
_ALLOWED = {"memcpy", "memmove", "memset"}


class Compiler:
    """Makes machine code of kernels.  It belongs to one thread at a time."""

    def __init__(self, target: Target, triple: str = ""):
        self.machine = llvm.Target.from_triple(triple or _triple()).create_target_machine(
            cpu=target.cpu, features=target.features, **_OPTIONS
        )
        options = llvm.create_pipeline_tuning_options(speed_level=2)
        self._builder = llvm.create_pass_builder(self.machine, options)
        self._passes = llvm.create_new_function_pass_manager()
        for name in _PASSES:
            getattr(self._passes, f"add_{name}_pass")()

    def _module(self, text: str) -> llvm.ModuleRef:
        # Its own context: LLVM lets threads work side by side if they share none.
        module = llvm.parse_assembly(text, llvm.create_context())
        module.verify()
        for function in module.functions:
            if not function.is_declaration:
                self._passes.run(function, self._builder)
        return module

    def code(self, text: str) -> bytes:
        """An object file that needs nothing but itself.

        RuntimeError if LLVM refuses the text or the code would call others' functions.
        """
        code = _emit_object(self.machine, self._module(text))
        if needs := set(undefined(code)) - _ALLOWED:
            raise RuntimeError(f"machine code requires no library, got calls of {sorted(needs)}")
        return code

    def assembly(self, text: str) -> str:
        """The same code in the target's assembly language, to be read."""
        return self.machine.emit_assembly(self._module(text))


def _triple() -> str:
    # In memory, code is loaded from ELF files on Windows too.
    return llvm.get_process_triple() + ("-elf" if os.name == "nt" else "")


@cache
def _unlocked():
    """LLVMPY_TargetMachineEmitToMemory as the library has it: the binding lets one thread at a
    time into LLVM, and this is where a thread spends its time."""
    locked = llvm.ffi.lib.LLVMPY_TargetMachineEmitToMemory
    function = ctypes.CDLL(llvm.ffi.lib._name).LLVMPY_TargetMachineEmitToMemory
    function.argtypes, function.restype = locked.argtypes, locked.restype
    return function


def _emit_object(machine: llvm.TargetMachine, module: llvm.ModuleRef) -> bytes:
    lib = llvm.ffi.lib
    with llvm.ffi.OutputString() as error:
        memory = _unlocked()(machine, module, 1, error)
        if not memory:
            raise RuntimeError(str(error))
    try:
        return ctypes.string_at(lib.LLVMPY_GetBufferStart(memory), lib.LLVMPY_GetBufferSize(memory))
    finally:
        lib.LLVMPY_DisposeMemoryBuffer(memory)


#: What every kernel is called in its text.
NAME = "kernel"


class Engine:
    """Machine code in this process.  Kernels with the same text are compiled once."""

    def __init__(self, target: Target):
        self.target = target
        self._recipe = (f"chainrule {__version__}, llvmlite {llvmlite.__version__}, LLVM "
                        f"{llvm.llvm_version_info}, {_triple()}, {target}, {_PASSES}, {_OPTIONS}")
        self._compilers = [Compiler(target)]
        self._code = llvm.create_mcjit_compiler(llvm.parse_assembly(""), Compiler(target).machine)
        # Never freed: workers may be in its code to the very end of the process.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._code))
        self._addresses: dict[str, int] = {}
        self._lock = threading.Lock()
        if hasattr(os, "register_at_fork"):  # LLVM is not forked while it works
            os.register_at_fork(before=self._lock.acquire, after_in_parent=self._lock.release,
                                after_in_child=self._lock.release)

    def address(self, text: str) -> int:
        """Where the machine code of the one kernel in `text` is; it must be called @NAME."""
        return self.addresses([text])[0]

    def addresses(self, texts: Iterable[str]) -> list[int]:
        """The same for many kernels, which are compiled side by side.

        CompileError if any cannot be compiled.
        """
        keyed = [(disk.key(text, self._recipe), text) for text in texts]
        with self._lock:
            new = {key: text for key, text in keyed if key not in self._addresses}
            if new:
                self._load(new)
            return [self._addresses[key] for key, _ in keyed]

    def assembly(self, text: str) -> str:
        """The kernel in the host's assembly language, to be read."""
        return Compiler(self.target).assembly(text)

    def _load(self, texts: dict[str, str]) -> None:
        codes = disk.read(texts)
        compiled, failures = self._compile({k: t for k, t in texts.items() if k not in codes})
        disk.write(compiled)
        for code in [*codes.values(), *compiled.values()]:
            self._code.add_object_file(llvm.ObjectFileRef.from_data(code))
        self._code.finalize_object()
        for key in [*codes, *compiled]:
            self._addresses[key] = self._code.get_function_address(f"{NAME}_{key}")
        if failures:
            raise CompileError({texts[key]: why for key, why in failures.items()})

    def _compile(self, texts: dict[str, str]) -> tuple[dict[str, bytes], dict[str, str]]:
        """Object files, or why there is none, of each text."""
        codes: dict[str, bytes] = {}
        failures: dict[str, str] = {}
        # The longest first, so that no thread is left alone with it at the end.
        waiting = sorted(texts, key=lambda key: len(texts[key]))

        def work(compiler: Compiler) -> None:
            while True:
                try:
                    key = waiting.pop()
                except IndexError:
                    return
                try:
                    # A name of its own: the engine finds functions by name.
                    codes[key] = compiler.code(texts[key].replace(f"@{NAME}(", f"@{NAME}_{key}("))
                except Exception as error:
                    failures[key] = str(error)

        threads = min(config.get_num_threads(), len(texts), _THREADS)
        while len(self._compilers) < threads:
            self._compilers.append(Compiler(self.target))
        _side_by_side(work, self._compilers[:threads], waiting)
        return codes, failures


def _side_by_side(work, compilers: Sequence[Compiler], waiting: list[str]) -> None:
    """Run `work` on each compiler until nothing is waiting; whatever happens, none goes on."""
    threads = [threading.Thread(target=work, args=(compiler,)) for compiler in compilers[1:]]
    try:
        for thread in threads:
            thread.start()
        for compiler in compilers[:1]:
            work(compiler)
    finally:
        waiting.clear()
        for thread in threads:
            if thread.ident:
                thread.join()


@cache
def engine() -> Engine:
    """The one of this process."""
    return Engine(host())
