"""Tables of kernels on workers: every unit once, every level after the one before, no hang."""

import ctypes
import multiprocessing
import os
import runpy
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import llvmlite.binding as llvm
import numpy as np
import pytest

from chainrule import config
from chainrule.errors import ArgumentError
from chainrule.jit import runtime, threads
from chainrule.jit.threads import Entry, Fault, Table

HERE = Path(__file__).parent
small = SimpleNamespace(**runpy.run_path(str(HERE / "small_kernels.py")))
WORKERS = (1, 2, 3, 8)


@pytest.fixture(autouse=True)
def eight_threads():
    before = config.get_num_threads()
    config.set_num_threads(8)
    yield
    config.set_num_threads(before)


def script(code, **kwargs):
    """Run code in a process of its own; it must end well and soon.  Gives what it printed."""
    head = ("import os, signal, sys, threading, time\n"
            "from chainrule import config\nfrom chainrule.jit.threads import Table\n"
            "import small_kernels as small\nconfig.set_num_threads(8)\n"
            # A shell that runs the tests in the background has them ignore it.
            "signal.signal(signal.SIGINT, signal.default_int_handler)\n")
    done = subprocess.run([sys.executable, "-c", head + code], cwd=HERE, capture_output=True,
                          text=True, timeout=60, **kwargs)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout


# ---------------------------------------------------------------------- results
def random_program(rng):
    """Entries that mix buffers level by level, their slots, and what NumPy makes of them."""
    n = int(rng.integers(1, 400))
    buffers = [np.zeros(n, np.int64) for _ in range(6)]
    entries, level, mine = [], 0, [b.copy() for b in buffers]
    index = (5 * np.arange(n) + 3) % n
    for _ in range(int(rng.integers(1, 30))):
        order = [int(k) for k in rng.permutation(6)]
        for src, dst in list(zip(order[::2], order[1::2]))[: int(rng.integers(1, 4))]:
            grain = int(rng.choice([1, 7, 64, 1000]))
            entries.append(Entry(small.kernel("mix"), [src, dst, 6], n, grain, level))
            mine[dst] = mine[src][index] + 1
        level += int(rng.integers(1, 3))
    return entries, small.Slots(*buffers, n), mine


@pytest.mark.parametrize("workers", WORKERS)
def test_random_tables_equal_numpy(workers):
    rng = np.random.default_rng(workers)
    programs = [random_program(rng) for _ in range(30)]
    tables = [Table(entries) for entries, _, _ in programs]
    for turn in range(2000):
        table, (_, slots, expected) = tables[turn % 30], programs[turn % 30]
        for buffer in slots.values[:6]:
            buffer[:] = 0
        assert table.run(slots.address, workers) is None
        for got, right in zip(slots.values, expected):
            assert np.array_equal(got, right), (turn, table)


@pytest.mark.parametrize("workers", WORKERS)
def test_every_unit_is_done_once_in_each_level(workers):
    entries, slots = small.tally(levels=50, units=1001)
    table = Table(entries)
    for _ in range(300):
        table.run(slots.address, workers)
    assert set(slots.values[0]) == {50 * 300}
    assert table.completed == 300


def test_workers_come():
    entries, slots = small.who(rounds=20_000, units=64)
    table, seen = Table(entries), set()
    end = time.monotonic() + 30
    while len(seen) < 3 and time.monotonic() < end:
        table.run(slots.address, 3)
        seen |= set(slots.values[0])
    assert len(seen) == 3


@pytest.mark.parametrize("workers", WORKERS)
def test_entries_without_work_are_not_called(workers):
    # the kernel would write to where a buffer is not
    units = [1, 0, 3, 0, 5, 0, 0, 7]
    levels = [0, 0, 0, 1, 2, 3, 4, 5]
    buffers = [np.zeros(n, np.int64) if n else 0 for n in units]
    table = Table([Entry(small.kernel("tally"), [k, k, k], n, 2, level)
                   for k, (n, level) in enumerate(zip(units, levels))])
    table.run(small.Slots(*buffers).address, workers)
    assert [list(b) for b in buffers if not isinstance(b, int)] == [[1] * n for n in units if n]


def test_a_table_may_be_empty():
    for workers in WORKERS:
        assert Table([]).run(0, workers) is None


def test_the_number_of_threads_is_the_most():
    config.set_num_threads(1)
    entries, slots = small.who(rounds=1000)
    Table(entries).run(slots.address, 8)
    assert len(set(slots.values[0])) == 1


# ---------------------------------------------------------------------- text
def test_a_table_prints_what_workers_share():
    k = small.kernel("tally")
    table = Table([Entry(k, [0], 10, 4, 0), Entry(k, [0], 3, 4, 0), Entry(k, [0], 3, 4, 2),
                   Entry(k, [0], 3, 4, 3), Entry(k, [0], 8, 4, 4)], scratch=128)
    assert str(table).splitlines() == [
        "Table(5 entries, 3 levels, 128 bytes of scratch)",
        "  level 0: entry 0 in 3 chunks, entry 1",
        "  level 1: entries 2 to 3 in a row",
        "  level 2: entry 4 in 2 chunks",
    ]


def test_a_table_refuses_what_cannot_be_run():
    with pytest.raises(ArgumentError, match="Table requires units >= 0 and grain >= 1, "
                                            "got 3 and 0 in entry 0"):
        Table([Entry(0, [], 3, 0, 0)])
    with pytest.raises(ArgumentError, match="Table requires levels that do not fall, "
                                            "got 1 after 2 in entry 1"):
        Table([Entry(0, [], 3, 1, 2), Entry(0, [], 3, 1, 1)])


@pytest.mark.parametrize("system", ["Linux", "Darwin"])
@pytest.mark.parametrize("machine", ["x86_64", "aarch64", "arm64", "riscv64"])
def test_the_runtime_is_right_for_every_machine(machine, system):
    text = runtime.text(machine, system)
    assert ("isb" in text) == (machine in ("aarch64", "arm64"))
    assert ("affinity" in text) == (system == "Linux")
    llvm.parse_assembly(text).verify()


# ---------------------------------------------------------------------- faults
def faulty(levels=6, units=64):
    """A table that fails where x is not 0, between entries that count in y."""
    x, y = np.zeros(units, np.int64), np.zeros(units, np.int64)
    names = [("tally", 1), ("fail", 0)] * (levels // 2)
    entries = [Entry(small.kernel(name), [place, 0, 0], units, 4, level)
               for level, (name, place) in enumerate(names)]
    return Table(entries), small.Slots(x, y), x, y


@pytest.mark.parametrize("workers", WORKERS)
def test_a_fault_is_told_and_later_levels_are_left_out(workers):
    table, slots, x, y = faulty()
    for turn in range(200):
        unit = turn % 64
        x[:], y[:] = 0, 0
        x[unit] = 7
        assert table.run(slots.address, workers) == Fault(1, 7)
        assert set(y) == {1}
        x[unit] = 0
        assert table.run(slots.address, workers) is None
        assert set(y) == {4}
    assert table.completed == 400


@pytest.mark.parametrize("workers", WORKERS)
def test_of_several_faults_the_least_entry_is_told(workers):
    x = np.full(64, 9, np.int64)
    slots = small.Slots(x)
    good, bad = small.kernel("tally"), small.kernel("fail")
    entries = [Entry(good, [0, 0, 0], 0, 1, 0)] + [Entry(bad, [0, 0, 0], 64, 2, 1)] * 5
    table = Table(entries)
    for _ in range(200):
        assert table.run(slots.address, workers) == Fault(1, 9)


@pytest.mark.parametrize("workers", WORKERS)
def test_a_row_of_entries_ends_at_its_fault(workers):
    x, y = np.zeros(2, np.int64), np.zeros(2, np.int64)
    x[1] = 3
    kinds = [("tally", 1), ("fail", 0), ("tally", 1)]
    table = Table([Entry(small.kernel(name), [place, 0, 0], 2, 2, level)
                   for level, (name, place) in enumerate(kinds)])
    assert len(table.levels) == 1
    assert table.run(small.Slots(x, y).address, workers) == Fault(1, 3)
    assert list(y) == [1, 1]


# ---------------------------------------------------------------------- scratch
@pytest.mark.parametrize("workers", WORKERS)
def test_every_worker_has_its_own_scratch_of_the_size_asked_for(workers):
    for words in (1, 1000, 40_000, 10):
        entry = Entry(small.kernel("scratch"), [0, 0, 1], 64, 1, 0)
        table = Table([entry, entry._replace(level=1)], scratch=8 * words)
        slots = small.Slots(np.zeros(1, np.int64), words)
        for _ in range(20):
            assert table.run(slots.address, workers) is None


@pytest.mark.parametrize("workers", WORKERS)
def test_scratch_that_cannot_be_had(workers):
    entries, slots = small.tally(levels=2)
    table = Table(entries, scratch=1 << 60)
    with pytest.raises(MemoryError, match="a program requires 1152921504606846976 bytes"):
        table.run(slots.address, workers)
    assert table.completed == 0
    assert not slots.values[0].any()


# ---------------------------------------------------------------------- several threads
@pytest.mark.parametrize("workers", WORKERS)
def test_threads_that_run_at_once(workers):
    wrong = []

    def work(seed):
        entries, slots = small.tally(levels=20, units=100 + seed)
        words = 100 * seed + 1
        scratch = Entry(small.kernel("scratch"), [1, 1, 2], 16, 1, 20)
        slots = small.Slots(slots.values[0], np.zeros(1, np.int64), words)
        table = Table([*entries, scratch], scratch=8 * words)
        for _ in range(300):
            if table.run(slots.address, workers) is not None:
                wrong.append(seed)
        if set(slots.values[0]) != {6000}:
            wrong.append(seed)

    running = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    assert not wrong


def words_of_the_pool():
    """The pool's memory from Python: word 0 is the gate, word 8 tells that somebody runs."""
    return (ctypes.c_int64 * 16).from_address(threads._pool.address)


@pytest.mark.parametrize("word", [0, 8], ids=["a worker still inside", "workers taken"])
def test_a_run_goes_on_alone(word):
    entries, slots = small.who(rounds=1000, units=64)
    table = Table(entries)
    table.run(slots.address, 3)
    deadline = time.monotonic() + 30
    while words_of_the_pool()[0] & 0xFFFFFFFF and time.monotonic() < deadline:
        time.sleep(0.001)
    words_of_the_pool()[word] += 1
    try:
        for _ in range(20):
            table.run(slots.address, 3)
            assert len(set(slots.values[0])) == 1
    finally:
        words_of_the_pool()[word] -= 1


def test_where_no_thread_can_be_started_the_run_goes_on_alone(monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    monkeypatch.setattr(threads, "_pool", threads._Pool())
    entries, slots = small.tally(levels=3)
    Table(entries).run(slots.address, 4)
    assert set(slots.values[0]) == {3}
    assert threads._pool.threads == 0


# ---------------------------------------------------------------------- the process
def test_idle_workers_sleep():
    out = script("""
entries, slots = small.tally(levels=3)
table = Table(entries)
for _ in range(100):
    table.run(slots.address, 8)
time.sleep(0.1)
before = time.process_time()
time.sleep(0.5)
print(time.process_time() - before)
""")
    assert float(out) < 0.1


def test_a_sleeping_worker_is_woken():
    entries, slots = small.who(rounds=100_000, units=64)
    table = Table(entries)
    for _ in range(100):
        time.sleep(0.005)
        table.run(slots.address, 2)
        if len(set(slots.values[0])) == 2:
            return
    raise AssertionError("no worker came in a hundred runs")


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2,
                    reason="needs two cores, on Linux")
def test_a_woken_worker_keeps_off_the_core_of_the_calling_thread():
    out = script("""
all = os.sched_getaffinity(0)
entries, slots = small.tally(levels=3)
table = Table(entries)
table.run(slots.address, 8)
ids = {t.name.split()[-1]: t.native_id for t in threading.enumerate() if "worker" in t.name}
assert sorted(ids) == list("1234567")
allowed, deadline = all, time.monotonic() + 30
while allowed == all and time.monotonic() < deadline:
    time.sleep(0.005)
    table.run(slots.address, 8)
    allowed = os.sched_getaffinity(ids["1"])
print(len(all - allowed), os.sched_getaffinity(0) == all, len(allowed - all))
""")
    assert out.split() == ["1", "True", "0"]


def test_the_number_of_threads_is_that_of_the_cores_we_may_use():
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("needs sched_setaffinity")
    code = ("import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
            "import chainrule; print(chainrule.get_num_threads())")
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "1"


@pytest.mark.parametrize("pause", [0, 0.01], ids=["looking for work", "asleep"])
def test_the_interpreter_ends_with_parked_workers(pause):
    for _ in range(3):
        script(f"""
entries, slots = small.tally(levels=30)
table = Table(entries)
for _ in range(50):
    table.run(slots.address, 8)
time.sleep({pause})
""")


def test_the_interpreter_ends_while_a_daemon_thread_runs():
    script("""
entries, slots = small.tally(levels=300, units=10_000)
table = Table(entries)
def work():
    while True:
        table.run(slots.address, 8)
threading.Thread(target=work, daemon=True).start()
time.sleep(0.1)
""")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_fork_while_another_thread_runs():
    out = script("""
import warnings
warnings.simplefilter("ignore", DeprecationWarning)
entries, slots = small.tally(levels=30)
table = Table(entries, scratch=1000)
table.run(slots.address, 4)
stop = False
def work():
    while not stop:
        table.run(slots.address, 4)
thread = threading.Thread(target=work)
thread.start()
for _ in range(20):
    child = os.fork()
    if not child:
        entries, slots = small.tally(levels=30)
        mine = Table(entries, scratch=1000)
        for _ in range(20):
            mine.run(slots.address, 4)
        os._exit(0 if set(slots.values[0]) == {600} else 1)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
stop = True
thread.join()
""")
    assert out.split() == ["0"] * 20


def _in_a_child(levels):
    entries, slots = small.tally(levels)
    Table(entries).run(slots.address, 3)
    return sum(slots.values[0])


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_multiprocessing_by_fork():
    assert _in_a_child(5) == 5 * 64
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(_in_a_child, range(1, 9)) == [64 * k for k in range(1, 9)]


@pytest.mark.parametrize("workers", [1, 3])
def test_an_interrupt_comes_before_or_after_the_native_call(workers):
    out = script(f"""
entries, slots = small.tally(levels=500, units=4000, grain=100)
table, x, seen = Table(entries), slots.values[0], 0
table.run(slots.address, {workers})
def press():
    for _ in range(30):
        time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)
    print("pressed", flush=True)
runs, interrupts = 1, 0
presser = threading.Thread(target=press)
try:
    presser.start()
except KeyboardInterrupt:
    pass
while presser.is_alive():
    try:
        while presser.is_alive():
            table.run(slots.address, {workers})
    except KeyboardInterrupt:
        interrupts += 1
        assert set(x) == {{500 * table.completed}}
print(interrupts)
""")
    assert "pressed" in out
    assert int(out.split()[-1]) > 0
