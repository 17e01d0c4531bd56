"""What the benchmarks share: fresh processes, the machine's description, tables, result files.

A *cell* is one measurement in a process of its own; it prints one JSON line.  Imports nothing
that is slow or large: the peak memory of a child process may begin at its parent's.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.util
import json
import math
import os
import platform
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
PACKAGE = {"torch-compile": "torch", "chainrule-compile": "chainrule"}  # backend: what it imports
TITLE = {
    "numpy": "NumPy", "torch": "PyTorch", "torch-compile": "PyTorch, compiled", "jax": "JAX",
    "chainrule": "chainrule, recorded", "chainrule-compile": "chainrule, compiled",
}
OWN = ("chainrule", "chainrule-compile")  # every other backend is a peer


# ---------------------------------------------------------------------------- inside of a cell
def cell_arguments(*names: str) -> argparse.Namespace:
    """The command line of a cell: its names, how many cores, how long."""
    parser = argparse.ArgumentParser(description="Measure one cell in this process.")
    for name in names:
        parser.add_argument(name)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--budget", type=float, default=6.0, help="seconds to spend on repeats")
    parser.add_argument("--started", type=float, default=time.time(), help=argparse.SUPPRESS)
    return parser.parse_args()


def use_threads(backend: str, threads: int) -> Any:
    """Import what `backend` computes with, let it use `threads` cores, and return it."""
    if hasattr(os, "sched_setaffinity"):  # JAX has no other way to say how many
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    if backend == "jax" and threads == 1:
        os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    module = importlib.import_module(PACKAGE.get(backend, backend))
    if hasattr(module, "set_num_threads"):
        module.set_num_threads(threads)
    return module


def timed(function: Callable[[], Any], budget: float, most: int, least: int = 5) -> list[float]:
    """Seconds of each call, sorted: at most `most` calls, at least `least` whatever they take."""
    times: list[float] = []
    end = time.perf_counter() + budget
    while len(times) < most and (time.perf_counter() < end or len(times) < least):
        start = time.perf_counter()
        result = function()
        times.append(time.perf_counter() - start)
        del result
    return sorted(times)


def median(ordered: Sequence[float]) -> float:
    return ordered[len(ordered) // 2]


def peak_mib() -> float:
    """The most memory that was resident at one time in this process, in MiB."""
    try:
        # getrusage counts from before exec, when this process still was a copy of its parent.
        status = Path("/proc/self/status").read_text()
        return int(re.search(r"VmHWM:\s*(\d+)", status)[1]) / 1024
    except (OSError, TypeError):
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def rounded(value: Any, digits: int = 6) -> Any:
    """The same with every float at `digits` digits: enough to compare, short to keep."""
    if isinstance(value, dict):
        return {key: rounded(x, digits) for key, x in value.items()}
    if isinstance(value, list):
        return [rounded(x, digits) for x in value]
    return float(f"{value:.{digits}g}") if isinstance(value, float) else value


def print_json(**facts: Any) -> None:
    print(json.dumps(rounded(facts)))


# ---------------------------------------------------------------------------- running cells
def missing(backends: Iterable[str]) -> list[str]:
    """Those whose package is not installed."""
    return [b for b in backends if importlib.util.find_spec(PACKAGE.get(b, b)) is None]


def present(backends: Sequence[str]) -> list[str]:
    """Those that can be measured; the others are named on stderr."""
    absent = missing(backends)
    for backend in absent:
        print(f"skipped {backend}: not installed (pip install 'chainrule[bench]')", file=sys.stderr)
    return [b for b in backends if b not in absent]


def run_cell(
    script: str, *arguments: Any, threads: int, timeout: float = 300.0,
    environment: dict[str, str] | None = None,
) -> dict[str, Any]:
    """What a cell measured in a fresh process, or {"error": why there is nothing}."""
    command = [sys.executable, str(HERE / script), *map(str, arguments)]
    command += ["--threads", str(threads), "--started", repr(time.time())]
    limits = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
        env={**os.environ, **limits, **(environment or {})}, start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        return {"error": f"no result after {timeout:g} s"}
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)  # with whatever it started itself
            process.communicate()
    if process.returncode:
        return {"error": _why(process.returncode, err)}
    try:
        return json.loads(out.splitlines()[-1])
    except (IndexError, ValueError):
        return {"error": "printed no result"}


def caches(folder: str) -> dict[str, str]:
    """The environment in which compiled code is kept in `folder`."""
    return {"CHAINRULE_CACHE": f"{folder}/chainrule", "TORCHINDUCTOR_CACHE_DIR": f"{folder}/torch"}


def _why(code: int, err: str) -> str:
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    lines = err.strip().splitlines()
    return lines[-1][:200] if lines else f"exit status {code}"


# ---------------------------------------------------------------------------- command line
def names(text: str) -> list[str]:
    """The type of an option that takes a list: words separated by commas."""
    return [word for word in text.split(",") if word]


def add_options(parser: argparse.ArgumentParser, backends: Sequence[str]) -> None:
    """What every script that runs many cells takes."""
    parser.add_argument("--backends", type=names, default=list(backends),
                        help=f"separated by commas; default {','.join(backends)}")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="cores to use")
    parser.add_argument("--budget", type=float, default=6.0, help="seconds to repeat each cell")
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds until a cell hangs")
    parser.add_argument("--out", type=Path, help="the JSON file; default results/<date>.json")


def print_errors(cells: Iterable[dict[str, Any]], what: str) -> None:
    """One line on stderr for every cell that failed."""
    for cell in cells:
        if "error" in cell:
            print(f"failed: {cell['backend']}, {cell[what]}: {cell['error']}", file=sys.stderr)


# ---------------------------------------------------------------------------- description
FEATURES = re.compile(r"sse2|sse4_2|avx2?|fma|avx512\w*|amx_\w+|neon|asimd\w*|sve2?")


def machine(threads: int) -> dict[str, Any]:
    """What a result depends on besides the code measured."""
    facts = _cpu_facts()
    flags = (facts.get("flags") or facts.get("Features") or "").split()
    return {
        "cpu": facts.get("model name") or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": threads,
        "features": sorted(f for f in flags if FEATURES.fullmatch(f)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "os": platform.platform(),
        "python": platform.python_version(),
        "versions": {p: v for p in ("chainrule", "llvmlite", "numpy", "torch", "jax")
                     if (v := _version(p))},
        "commit": _commit(),
        "settings": {k: v for k, v in os.environ.items() if k.startswith("CHAINRULE_")},
    }


def _cpu_facts() -> dict[str, str]:
    """The first processor's lines of /proc/cpuinfo; nothing where there is no such file."""
    try:
        first = Path("/proc/cpuinfo").read_text().split("\n\n")[0]
    except OSError:
        return {}
    lines = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in lines}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    command = ["git", "-C", str(HERE), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


# ---------------------------------------------------------------------------- results
def result_path(suffix: str = "") -> Path:
    """results/<date><suffix>.json, numbered where that exists already."""
    stem = f"{datetime.date.today().isoformat()}{suffix}"
    path, n = RESULTS / f"{stem}.json", 1
    while path.exists():
        n += 1
        path = RESULTS / f"{stem}-{n}.json"
    return path


def save(path: Path, result: dict[str, Any]) -> None:
    """Write JSON that reads and compares well: a line for every item of a list or table."""
    parts = [f"{json.dumps(key)}: {_lines(value)}" for key, value in rounded(result).items()]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{\n" + ",\n".join(parts) + "\n}\n")


def _lines(value: Any) -> str:
    if isinstance(value, list):
        return "[\n " + ",\n ".join(map(json.dumps, value)) + "\n]"
    if isinstance(value, dict):
        items = (f"{json.dumps(key)}: {json.dumps(x)}" for key, x in value.items())
        return "{\n " + ",\n ".join(items) + "\n}"
    return json.dumps(value)


def geometric_mean(values: Iterable[float]) -> float | None:
    logs = [math.log(v) for v in values]
    return math.exp(sum(logs) / len(logs)) if logs else None


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Aligned text: the first column to the left, numbers to the right."""
    lines = [list(header), *map(list, rows)]
    widths = [max(map(len, column)) for column in zip(*lines)]
    text = ["  ".join([line[0].ljust(widths[0]),
                       *(cell.rjust(w) for cell, w in zip(line[1:], widths[1:]))]).rstrip()
            for line in lines]
    return "\n".join([text[0], "-" * max(map(len, text)), *text[1:]])


def short(value: float | None, unit: str = "") -> str:
    """Three digits, thousands grouped: 0.0123, 4.56, 78.9, 12,345; "-" for nothing."""
    if value is None:
        return "-"
    digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 0.1 or not value else 4
    return f"{value:,.{digits}f}{unit}"
