"""From LLVM IR to machine code: what the host can do, and one module per distinct kernel."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cache

import llvmlite.binding as llvm

from .. import config
from ..errors import ArgumentError
from . import cache as disk


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
_AVX2 = ("avx2", "fma")


@cache
def host() -> Target:
    """The best tier of this machine, or the one CHAINRULE_TARGET names."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    has = llvm.get_host_cpu_features()
    arm = llvm.get_process_triple().startswith(("aarch64", "arm64"))
    names = ["neon"] if arm else [
        *(["avx512"] if all(has.get(f) for f in _AVX512) else []),
        *(["avx2"] if all(has.get(f) for f in _AVX2) else []),
        "baseline",
    ]
    name = config.target() or names[0]
    if name not in names:
        raise ArgumentError(
            f"CHAINRULE_TARGET requires one of {names} on this machine, got {name!r}"
        )
    return _tier(name, has)


def _tier(name: str, has) -> Target:
    cpu, features = llvm.get_host_cpu_name(), has.flatten()
    if name == "neon":
        return Target(name, 128, 32, True, cpu, features)
    if name == "avx512":
        # LLVM prefers half-wide vectors on some hosts; what is asked for is what we want.
        return Target(name, 512, 32, True, cpu, features + ",-prefer-256-bit")
    if name == "avx2":
        return Target(name, 256, 16, True, "haswell", "")
    return Target(name, 128, 16, False, "x86-64", "")


class Engine:
    """Machine code in this process.  Kernels with the same text are compiled once."""

    def __init__(self, target: Target):
        self.target = target
        self._machine = llvm.Target.from_triple(llvm.get_process_triple()).create_target_machine(
            cpu=target.cpu, features=target.features, opt=2, reloc="pic", codemodel="small"
        )
        self._code = llvm.create_mcjit_compiler(llvm.parse_assembly(""), self._machine)
        self._addresses: dict[str, int] = {}
        self._lock = threading.Lock()

    def address(self, text: str) -> int:
        """Where the machine code of the one kernel in `text` is; it must be called @NAME."""
        with self._lock:
            found = self._addresses.get(text)
            if found is None:
                found = self._addresses[text] = self._load(text)
            return found

    def _load(self, text: str) -> int:
        key = disk.key(text, self.target)
        # A name of its own: the engine finds functions by name.
        name = f"kernel_{key}"
        code = disk.read(key)
        if code is None:
            code = self._compile(text.replace(f"@{NAME}(", f"@{name}("))
            disk.write(key, code)
        self._code.add_object_file(llvm.ObjectFileRef.from_data(code))
        self._code.finalize_object()
        return self._code.get_function_address(name)

    def _compile(self, text: str) -> bytes:
        module = llvm.parse_assembly(text)
        module.verify()
        options = llvm.create_pipeline_tuning_options(speed_level=2)
        builder = llvm.create_pass_builder(self._machine, options)
        passes = llvm.create_new_function_pass_manager()
        # What we write is nearly what runs: variables become registers, constants are folded.
        passes.add_sroa_pass()
        passes.add_instruction_combine_pass()
        passes.add_simplify_cfg_pass()
        passes.add_new_gvn_pass()
        for function in module.functions:
            if not function.is_declaration:
                passes.run(function, builder)
        return self._machine.emit_object(module)

    def assembly(self, text: str) -> str:
        """The kernel in the host's assembly language, to be read."""
        return self._machine.emit_assembly(llvm.parse_assembly(text))


#: What every kernel is called in its text.
NAME = "kernel"


@cache
def engine() -> Engine:
    """The one of this process."""
    return Engine(host())
