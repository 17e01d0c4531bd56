"""All twelve training steps on PyTorch, JAX and chainrule, recorded and compiled: one command.

    python benchmarks/run.py
    python benchmarks/run.py --workloads mlp64,gpt --backends torch,chainrule-compile --rounds 1
    python benchmarks/run.py --show benchmarks/results/2026-01-31.json

Every cell runs in a fresh process, the backends of one workload one right after another, all
workloads once per round.  Prints the tables and writes benchmarks/results/<date>.json and .png;
the JSON file is written after every round, so that a run cut short is not lost.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import common
import peak
import workloads

BACKENDS = ("torch", "jax", "chainrule", "chainrule-compile")


# ---------------------------------------------------------------------------- measuring
def measure_round(options, number: int, cache: str) -> Iterable[dict[str, Any]]:
    """One measurement of every cell.  The first round finds empty caches, the others full ones."""
    for name in options.workloads:
        for backend in options.backends:
            if not workloads.exists(backend, name):
                continue
            print(f"round {number}: {name}, {backend}", file=sys.stderr)
            found = common.run_cell(
                "workloads.py", backend, name, "--budget", options.budget,
                threads=options.threads, timeout=options.timeout,
                environment=common.caches(cache),
            )
            yield {"workload": name, "backend": backend, "round": number, **found}


def floors(names: list[str], backends: list[str], threads: int) -> dict[str, Any]:
    """For every workload what it must do at least, and how long that takes at the peaks."""
    found = {name: common.run_cell("floor.py", name, threads=threads) for name in names}
    counted = {name: f for name, f in found.items() if "error" not in f}
    copies = peak.bandwidth((f["state_bytes"] for f in counted.values()), threads)
    flops = peak.arithmetic(backends, threads)
    for f in counted.values():
        f["flops_per_s"], f["bandwidth"] = flops, copies[f["state_bytes"]]
        if flops and f["bandwidth"]:
            f["us"] = 1e6 * max(f["flops"] / flops, f["state_bytes"] / f["bandwidth"])
    return found


def merged(measurements: Iterable[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    """One cell per workload and backend: minima over the rounds, the median of the medians.

    The first round compiles everything, later ones may find the code on disk.
    """
    rounds: dict[tuple[str, str], list[dict]] = {}
    for m in measurements:
        rounds.setdefault((m["workload"], m["backend"]), []).append(m)
    cells = {}
    for key, all_of in rounds.items():
        good = [m for m in all_of if "error" not in m]
        errors = [m["error"] for m in all_of if "error" in m]
        cells[key] = {"error": errors[0]} if errors else {
            "min_us": min(m["min_us"] for m in good),
            "median_us": common.median(sorted(m["median_us"] for m in good)),
            "first_loss_s": min(m["first_loss_s"] for m in good),
            "compile_s": good[0]["compile_s"],
            "cached_s": min((m["compile_s"] for m in good[1:]), default=None),
            "peak_mib": max(m["peak_mib"] for m in good),
            "losses": good[0]["losses"],
        }
    return cells


# ---------------------------------------------------------------------------- reading
class Report:
    """What a result file says."""

    def __init__(self, result: dict[str, Any]):
        self.result = result
        self.cells = merged(result["measurements"])
        self.workloads = list(dict.fromkeys(name for name, _ in self.cells))
        self.backends = result["settings"]["backends"]
        self.ours = [b for b in self.backends if b in common.OWN]

    def get(self, name: str, backend: str, what: str) -> float | None:
        return self.cells.get((name, backend), {}).get(what)

    def best_peer(self, name: str) -> float | None:
        """The fewest microseconds that a backend other than chainrule needs."""
        peers = (self.get(name, b, "min_us") for b in self.backends if b not in common.OWN)
        return min((us for us in peers if us), default=None)

    def speed(self, name: str, backend: str) -> float | None:
        """How many times as fast as the best peer."""
        peer, us = self.best_peer(name), self.get(name, backend, "min_us")
        return peer / us if peer and us else None

    def mean_speed(self, backend: str) -> tuple[float | None, int]:
        """The geometric mean of the speeds, and of how many workloads."""
        speeds = [s for name in self.workloads if (s := self.speed(name, backend))]
        return common.geometric_mean(speeds), len(speeds)

    def floor(self, name: str) -> float | None:
        """The least microseconds that its arithmetic and its bytes take, or None."""
        return self.result["floors"].get(name, {}).get("us") or None

    def differs(self, name: str, backend: str) -> bool:
        """Whether the first losses are not PyTorch's: a fast step that is wrong is no step.

        All of them count, since the code that is timed may begin with a later step; rounding
        alone moves the sixth loss of resnet18 by a thousandth.
        """
        want, got = (self.cells.get((name, b), {}).get("losses") for b in ("torch", backend))
        return bool(want and got) and any(
            not abs(a - b) <= 5e-3 * abs(a) for a, b in zip(want, got)
        )

    def time_text(self, name: str, backend: str) -> str:
        cell = self.cells.get((name, backend), {})
        wrong = backend in common.OWN and self.differs(name, backend)
        failed = "failed" if "error" in cell else ""
        return failed or common.short(cell.get("min_us")) + ("!" if wrong else "")

    def speed_table(self) -> str:
        """Microseconds of a step, the speed relative to the best peer, and the floor."""
        ratios = [f"{common.TITLE[b]} / best peer".removeprefix("chainrule, ") for b in self.ours]
        header = ["us a step", *map(common.TITLE.get, self.backends), "floor", *ratios]
        rows = [[name, *(self.time_text(name, b) for b in self.backends),
                 common.short(self.floor(name)),
                 *(common.short(self.speed(name, b), " x") for b in self.ours)]
                for name in self.workloads]
        blank = [""] * (len(self.backends) + 1)
        means = [f"{common.short(mean, ' x')} of {count}"
                 for mean, count in map(self.mean_speed, self.ours)]
        return common.table(header, [*rows, ["geometric mean", *blank, *means]])

    def other_table(self, what: str, title: str) -> str:
        header = [title, *map(common.TITLE.get, self.backends)]
        return common.table(header, [
            [name, *(common.short(self.get(name, b, what)) for b in self.backends)]
            for name in self.workloads
        ])

    def text(self) -> str:
        machine = self.result["machine"]
        versions = ", ".join(f"{k} {v}" for k, v in machine["versions"].items())
        parts = [f"{machine['cpu']}, {machine['threads']} threads, {versions}"]
        parts.append(self.speed_table())
        for what, title in (("median_us", "us a step, median"),
                            ("first_loss_s", "s to the first loss"),
                            ("compile_s", "s of compilation"),
                            ("cached_s", "s of compilation, later process"),
                            ("peak_mib", "MiB at the peak")):
            parts.append(self.other_table(what, title))
        parts += [f"! {name}, {b}: losses differ from PyTorch's" for name in self.workloads
                  for b in self.ours if self.differs(name, b)]
        parts += [f"failed: {name}, {b}: {cell['error']}"
                  for (name, b), cell in self.cells.items() if "error" in cell]
        return "\n\n".join(parts)


def draw(report: Report, path: Path) -> None:
    try:
        import chart
    except ModuleNotFoundError as error:
        print(f"no chart: {error.name} is not installed (pip install 'chainrule[bench]')")
    else:
        chart.draw(report, path)
        print(f"chart: {path}")


# ---------------------------------------------------------------------------- command line
def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    common.add_options(parser, BACKENDS)
    parser.add_argument("--workloads", type=common.names, default=list(workloads.WORKLOADS),
                        help=f"separated by commas; default {','.join(workloads.WORKLOADS)}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--show", type=Path, help="print and draw this file; measure nothing")
    options = parser.parse_args()
    unknown = [w for w in options.workloads if w not in workloads.WORKLOADS]
    unknown += [b for b in options.backends if b not in common.TITLE or b == "numpy"]
    if unknown:
        parser.error(f"no workload or backend {', '.join(unknown)}")
    return options


def measure(options) -> Path:
    """Run everything and return the file with the result."""
    options.backends = common.present(options.backends)
    path = options.out or common.result_path()
    result = {
        "machine": common.machine(options.threads),
        "settings": {"backends": options.backends, "rounds": options.rounds,
                     "budget_s": options.budget},
        "floors": floors(options.workloads, options.backends, options.threads),
        "measurements": [],
    }
    with tempfile.TemporaryDirectory() as cache:
        for number in range(1, options.rounds + 1):
            result["measurements"] += measure_round(options, number, cache)
            common.save(path, result)
    return path


def main() -> None:
    options = arguments()
    path = options.show or measure(options)
    report = Report(json.loads(path.read_text()))
    print(report.text())
    draw(report, path.with_suffix(".png"))


if __name__ == "__main__":
    main()
