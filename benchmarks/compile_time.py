"""How long compilation takes, and how it grows with the number of nodes, cold and from disk.

    python benchmarks/compile_time.py
    python benchmarks/compile_time.py --nodes 100,1000 --backends chainrule
    python benchmarks/compile_time.py BACKEND KIND NODES       one cell in this process

A step is a deep tanh network with its gradients and update, as many layers as make so many nodes.
KIND is same (every layer has one shape, so kernels are shared) or different (hardly two are
alike: the worst case).  A second process, with what the first has left on disk, follows every
first one.  Compilation is what the first steps take beyond ordinary ones.
Writes benchmarks/results/<date>-compile.json.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import common

KINDS = ("same", "different")
NODES = (100, 300, 1_000, 3_000, 10_000)
BATCH, WARM = 4, 6


# ---------------------------------------------------------------------------- one cell
def widths(kind: str, layers: int) -> list[int]:
    if kind == "same":
        return [16] * (layers + 1)
    return [8 + i * (1 + i // 31) % 31 for i in range(layers + 1)]


class Net:
    """A tanh network of so many layers: loss, gradients, update."""

    def __init__(self, torch, kind: str, layers: int):
        self.torch = torch
        torch.manual_seed(0)
        sizes = widths(kind, layers)
        self.layers = [torch.nn.Linear(n, m) for n, m in zip(sizes, sizes[1:])]
        self.parameters = [p for layer in self.layers for p in layer.parameters()]
        self.x = torch.rand(BATCH, sizes[0])

    def loss(self):
        h = self.x
        for layer in self.layers:
            h = layer(h).tanh()
        return (h * h).mean()

    def step(self, compiled: bool) -> Callable[[], float]:
        optimizer = self.torch.optim.SGD(self.parameters, lr=0.01)

        def step():
            optimizer.zero_grad()
            loss = self.loss()
            loss.backward()
            optimizer.step()
            return loss

        if compiled:
            step = self.torch.compile(step)
        return lambda: step().item()

    def nodes(self) -> int:
        """How many values a step computes; nothing is computed here."""
        from chainrule.graph import is_pending, toposort

        for p in self.parameters:
            p.grad = None
        loss = self.loss()
        loss.backward()
        updated = [p.detach() - 0.01 * p.grad for p in self.parameters]
        return len(toposort([loss.node, *(p.node for p in updated)], enter=is_pending))


def layers_for(torch, kind: str, nodes: int) -> int:
    """So many that a step has about so many nodes."""
    two, three = (Net(torch, kind, n).nodes() for n in (2, 3))
    return max(1, round(2 + (nodes - two) / (three - two)))


def measure(backend: str, kind: str, nodes: int, threads: int, budget: float) -> dict:
    """Time the first steps and later ones in this process."""
    torch = common.use_threads(backend, threads)
    net = Net(torch, kind, layers_for(torch, kind, nodes))
    step = net.step(backend == "chainrule-compile")
    start = time.perf_counter()
    losses = [step() for _ in range(WARM)]
    warm = time.perf_counter() - start
    times = common.timed(step, budget, 200)
    usual = common.median(times)
    return dict(nodes=net.nodes(), compile_s=max(0.0, warm - WARM * usual),
                min_us=times[0] * 1e6, peak_mib=common.peak_mib(), losses=losses)


# ---------------------------------------------------------------------------- all cells
def measure_all(options) -> list[dict]:
    """Every cell twice, in two processes: the first with an empty cache, the second with its."""
    cells = []
    for backend in common.present(options.backends):
        for kind in options.kinds:
            for nodes in options.nodes:
                with tempfile.TemporaryDirectory() as cache:
                    for process in ("cold", "from disk"):
                        print(f"{backend}, {kind}, {nodes} nodes, {process}", file=sys.stderr)
                        found = common.run_cell(
                            "compile_time.py", backend, kind, nodes, "--budget", options.budget,
                            threads=options.threads, timeout=options.timeout,
                            environment=common.caches(cache))
                        cells.append({"backend": backend, "kind": kind, "asked": nodes,
                                      "process": process, **found})
    return cells


def report(cells: list[dict]) -> str:
    """A row per number of nodes.  Growth like n log n keeps the last column constant."""
    found = {(c["backend"], c["kind"], c["asked"], c["process"]): c for c in cells}
    rows = []
    for backend, kind, asked in dict.fromkeys(key[:3] for key in found):
        cold, disk = (found[backend, kind, asked, p] for p in ("cold", "from disk"))
        n, seconds = cold.get("nodes", asked), cold.get("compile_s")
        rows.append([f"{common.TITLE[backend]}, {kind}", f"{n:,}", _seconds(cold), _seconds(disk),
                     common.short(cold.get("min_us")),
                     common.short(seconds and 1e6 * seconds / (n * math.log2(n)))])
    return common.table(["layers", "nodes", "cold s", "from disk s", "us a step",
                         "us / (n log n)"], rows)


def _seconds(cell: dict) -> str:
    return "failed" if "error" in cell else common.short(cell["compile_s"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    common.add_options(parser, ["chainrule-compile"])
    parser.add_argument("--kinds", type=common.names, default=list(KINDS))
    parser.add_argument("--nodes", type=lambda text: [int(n) for n in text.split(",")],
                        default=list(NODES), help="separated by commas")
    parser.add_argument("--show", type=Path, help="print this file; measure nothing")
    parser.set_defaults(budget=0.5)
    options = parser.parse_args()
    if options.show:
        cells = json.loads(options.show.read_text())["cells"]
    else:
        cells = measure_all(options)
        common.save(options.out or common.result_path("-compile"),
                    {"machine": common.machine(options.threads), "cells": cells})
    common.print_errors(cells, "kind")
    print(report(cells))


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] in common.OWN:
        cell = common.cell_arguments("backend", "kind", "nodes")
        facts = measure(cell.backend, cell.kind, int(cell.nodes), cell.threads, cell.budget)
        common.print_json(**facts)
    else:
        main()
