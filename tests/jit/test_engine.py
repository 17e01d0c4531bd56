"""Machine code: of every tier, of many kernels at once, from disk, and when LLVM refuses."""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import sys
import threading

import numpy as np
import pytest

from chainrule import config
from chainrule.errors import ArgumentError
from chainrule.jit import cache as disk
from chainrule.jit import engine as engines
from chainrule.jit.emit import Builder
from chainrule.jit.engine import NAME, CompileError, Compiler, Engine, Target
from chainrule.jit.objects import undefined

KERNEL = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64,
                          ctypes.c_int64, ctypes.c_void_p)
TIERS = {tier.name: tier for tier in engines.tiers()}
HOST = engines.tiers()[0]
X86 = pytest.mark.skipif("baseline" not in TIERS, reason="registers of x86")
NEON = Target("neon", 128, 32, True, "generic", "+neon,+sve,+sve2,-sve,-sve2")


def kernel(target: Target, k: float = 1.0) -> str:
    """y = max(x x + k, 2), a register and then an element at a time."""
    b = Builder(NAME, target)
    x, y = b.buffer(0), b.buffer(1)
    lanes = target.lanes("float32")
    whole = b.quotient(b.high, lanes) * lanes
    for start, stop, n in ((b.low, whole, lanes), (whole, b.high, 1)):
        with b.loop(start, stop, n) as i:
            v = b.load(x, i, "float32", n)
            b.store(y, i, b.max(b.fma(v, v, b.number(k, "float32", n)), 2.0))
    return b.text()


def check(address: int, k: float) -> None:
    x, y = np.linspace(-3, 3, 37, dtype="f"), np.zeros(37, "f")
    slots = np.array([x.ctypes.data, y.ctypes.data])
    places = np.array([0, 1], np.int32)
    assert KERNEL(address)(slots.ctypes.data, places.ctypes.data, 0, 37, None) == 0
    np.testing.assert_allclose(y, np.maximum(x * x + np.float32(k), 2), rtol=1e-6)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path))
    return tmp_path / "code"


@pytest.fixture
def compiled(monkeypatch):
    """The texts that were compiled, and not found."""
    texts, code = [], Compiler.code

    def counted(self, text):
        texts.append(text)
        return code(self, text)

    monkeypatch.setattr(Compiler, "code", counted)
    return texts


# ---------------------------------------------------------------------- tiers
@pytest.mark.parametrize("name", TIERS)
def test_a_kernel_runs(name):
    check(Engine(TIERS[name]).address(kernel(TIERS[name])), 1.0)


def registers(text: str) -> set[str]:
    return set(re.findall(r"%([xyz]mm\d+|k[0-7])\b", text))


@X86
@pytest.mark.parametrize("name", TIERS)
def test_a_tier_uses_no_instruction_above_it(name):
    target = TIERS[name]
    text = Engine(target).assembly(kernel(target))
    kinds = {register[0] for register in registers(text)}
    fma = re.search(r"\bvfn?madd", text)
    if name == "baseline":
        assert kinds == {"x"}
        assert not re.search(r"^\s+v\w+ps", text, re.MULTILINE)
    elif name == "avx2":
        assert "y" in kinds and not kinds & {"z", "k"} and fma
        assert not {f"{k}mm{i}" for k in "xy" for i in range(16, 32)} & registers(text)
    else:
        assert "z" in kinds and fma


def test_neon_only():
    engines.llvm.initialize_all_targets()
    engines.llvm.initialize_all_asmprinters()
    text = Compiler(NEON, "aarch64-linux-gnu").assembly(kernel(NEON))
    assert "fmla\tv" in text
    assert not re.search(r"\bz\d+\.|\bp\d+/", text)


@X86
def test_assembly_is_what_runs():
    """Loops count in registers, not in memory."""
    assert "(%rsp)" not in Engine(HOST).assembly(kernel(HOST))


@pytest.mark.parametrize("name", TIERS)
def test_a_tier_can_be_forced(monkeypatch, name):
    monkeypatch.setenv("CHAINRULE_TARGET", name)
    assert engines.host.__wrapped__() == TIERS[name]


def test_a_tier_that_is_not_there(monkeypatch):
    monkeypatch.setenv("CHAINRULE_TARGET", "avx9")
    rule = f"CHAINRULE_TARGET requires one of {list(TIERS)} on this machine, got 'avx9'"
    with pytest.raises(ArgumentError, match=re.escape(rule)):
        engines.host.__wrapped__()


def test_lanes():
    assert [NEON.lanes(elem) for elem in ("float64", "float32", "bfloat16", "uint8", "bool")] == [
        2, 4, 8, 16, 16]


# ---------------------------------------------------------------------- many at once
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_many_kernels(threads, monkeypatch, compiled):
    monkeypatch.setattr(config, "_threads", [threads])
    texts = [kernel(HOST, k) for k in range(12)]
    engine = Engine(HOST)
    addresses = engine.addresses([*texts, texts[3]])
    assert addresses[3] == addresses[12]
    assert len(set(addresses)) == len(compiled) == 12
    for k, address in enumerate(addresses[:12]):
        check(address, k)
    assert engine.address(texts[5]) == addresses[5]
    assert len(compiled) == 12


def test_none():
    assert Engine(HOST).addresses([]) == []


def test_constants_of_the_same_name():
    """Each kernel is a module of its own: names inside it are its own."""
    def text(k):
        return (f"@table = private constant [2 x i64] [i64 {k}, i64 {k + 1}]\n"
                "define i64 @kernel(ptr %s, ptr %p, i64 %low, i64 %high, ptr %t) nounwind {\n"
                "  %x = getelementptr i64, ptr @table, i64 %low\n  %y = load i64, ptr %x\n"
                "  ret i64 %y\n}\n")
    addresses = Engine(HOST).addresses([text(10), text(20)])
    assert [KERNEL(a)(None, None, i, 0, None) for a in addresses for i in (0, 1)] == [
        10, 11, 20, 21]


def test_python_threads_at_once(compiled):
    engine, texts = Engine(HOST), [kernel(HOST, k) for k in range(8)]
    found: list[list[int]] = []
    threads = [threading.Thread(target=lambda: found.append(engine.addresses(texts)))
               for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [found[0]] * 4
    assert len(compiled) == 8


def test_no_thread_goes_on_after_a_failure(monkeypatch):
    """An interruption comes out, after every other thread has stopped."""
    main = threading.current_thread()
    monkeypatch.setattr(config, "_threads", [3])

    def interrupted(self, text):
        if threading.current_thread() is main:
            raise KeyboardInterrupt
        raise RuntimeError("other")

    before = threading.active_count()
    engine, texts = Engine(HOST), [kernel(HOST, k) for k in range(50)]
    with monkeypatch.context() as broken:
        broken.setattr(Compiler, "code", interrupted)
        # The other threads may leave nothing for this one.
        with pytest.raises((KeyboardInterrupt, CompileError)):
            engine.addresses(texts)
    assert threading.active_count() == before
    check(engine.address(texts[7]), 7)


# ---------------------------------------------------------------------- refused
BAD = "define i64 @kernel(ptr %slots) { ret i32 0 }\n"
CALLS = """declare float @expf(float)
define i64 @kernel(ptr %slots, ptr %places, i64 %low, i64 %high, ptr %scratch) nounwind {
  %x = load float, ptr %scratch
  %y = call float @expf(float %x)
  store float %y, ptr %scratch
  ret i64 0
}
"""
FILLS = """declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
define i64 @kernel(ptr %slots, ptr %places, i64 %low, i64 %high, ptr %scratch) nounwind {
  call void @llvm.memset.p0.i64(ptr %scratch, i8 7, i64 %high, i1 false)
  ret i64 0
}
"""


def test_a_text_that_llvm_refuses(folder, compiled):
    engine, good = Engine(HOST), kernel(HOST)
    with pytest.raises(CompileError, match="LLVM IR parsing error") as caught:
        engine.addresses([good, BAD])
    assert list(caught.value.failures) == [BAD]
    check(engine.address(good), 1.0)
    assert len(compiled) == 2  # the good one is not compiled again
    assert len(os.listdir(folder)) == 1


@pytest.mark.parametrize("text, called", [
    (CALLS, "expf"),
    (CALLS.replace("expf", "llvm.sin.f32"), "sinf"),
])
def test_a_call_of_a_library(folder, text, called):
    rule = f"machine code requires no library, got calls of ['{called}']"
    with pytest.raises(CompileError, match=re.escape(rule)):
        Engine(HOST).address(text)
    assert not os.path.exists(folder)


def test_a_fill_may_call_memset():
    memory = np.zeros(100, np.uint8)
    address = Engine(HOST).address(FILLS)
    KERNEL(address)(None, None, 0, 90, memory.ctypes.data)
    assert memory.tolist() == [7] * 90 + [0] * 10


@pytest.mark.parametrize("triple", ["x86_64-linux-gnu", "aarch64-linux-gnu",
                                    "arm64-apple-darwin23", "x86_64-pc-windows-msvc-elf"])
def test_undefined(triple):
    llvm = engines.llvm
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    machine = llvm.Target.from_triple(triple).create_target_machine(**engines._OPTIONS)
    more = CALLS + "declare float @abc(float)\n" + CALLS[27:].replace("expf", "abc").replace(
        "@kernel", "@other")
    assert undefined(machine.emit_object(llvm.parse_assembly(more))) == ["abc", "expf"]
    assert undefined(machine.emit_object(llvm.parse_assembly("define void @f() {\nret void\n}"))
                     ) == []


# ---------------------------------------------------------------------- on disk
def test_the_second_process_compiles_nothing(compiled):
    texts = [kernel(HOST, k) for k in range(5)]
    Engine(HOST).addresses(texts[:3])
    assert len(compiled) == 3
    for k, address in enumerate(Engine(HOST).addresses(texts)):
        check(address, k)
    assert len(compiled) == 5
    Engine(HOST).addresses(texts)
    assert len(compiled) == 5


def test_a_damaged_file_is_compiled_again(folder, compiled):
    Engine(HOST).address(kernel(HOST))
    file, = folder.iterdir()
    file.write_bytes(file.read_bytes()[:-1])
    check(Engine(HOST).address(kernel(HOST)), 1.0)
    assert len(compiled) == 2
    check(Engine(HOST).address(kernel(HOST)), 1.0)
    assert len(compiled) == 2


@pytest.mark.parametrize("what", ["__version__", "_PASSES", "_OPTIONS"])
def test_another_version_compiles_again(compiled, monkeypatch, what):
    Engine(HOST).address(kernel(HOST))
    monkeypatch.setattr(engines, what, {"__version__": "0", "_PASSES": ("sroa", "new_gvn"),
                                        "_OPTIONS": {**engines._OPTIONS, "opt": 1}}[what])
    Engine(HOST).address(kernel(HOST))
    assert len(compiled) == 2


@pytest.mark.skipif(len(TIERS) < 2, reason="one tier")
def test_another_tier_compiles_again(compiled):
    for target in TIERS.values():
        Engine(target).address(kernel(engines.tiers()[-1]))
    assert len(compiled) == len(TIERS)


def test_without_a_cache(monkeypatch, tmp_path, compiled):
    monkeypatch.setenv("CHAINRULE_CACHE", "0")
    for _ in range(2):
        check(Engine(HOST).address(kernel(HOST)), 1.0)
    assert len(compiled) == 2
    assert disk.state() == "no code on disk: switched off"


# ---------------------------------------------------------------------- fork
FORK = """
import os, sys, threading
sys.path.insert(0, os.path.dirname(sys.argv[1]))
from test_engine import HOST, Engine, check, kernel
engine = Engine(HOST)
thread = threading.Thread(target=engine.addresses, args=([kernel(HOST, k) for k in range(60)],))
thread.start()
for turn in range(5):
    child = os.fork()
    if not child:
        check(engine.address(kernel(HOST, 100 + turn)), 100 + turn)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
thread.join()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork")
def test_a_child_forked_while_another_thread_compiles():
    environment = {**os.environ, "CHAINRULE_CACHE": "0"}
    subprocess.run([sys.executable, "-c", FORK, __file__], env=environment, timeout=60, check=True)


EXIT = """
import os, sys, threading, time
sys.path.insert(0, os.path.dirname(sys.argv[1]))
from test_engine import ENDLESS, HOST, KERNEL, Engine
run = KERNEL(Engine(HOST).address(ENDLESS))
threading.Thread(target=run, args=(None, None, 0, 1, None), daemon=True).start()
time.sleep(0.05)
"""
ENDLESS = """define i64 @kernel(ptr %s, ptr %p, i64 %low, i64 %high, ptr %t) nounwind {
  br label %again
again:
  br label %again
}
"""


def test_code_stays_until_the_process_ends():
    """A worker inside a kernel does not fall out of it when Python takes its objects down."""
    subprocess.run([sys.executable, "-c", EXIT, __file__], timeout=60, check=True)
