"""Single operations over sizes: matrix products, convolutions, element-wise chains, reductions.

    python benchmarks/kernels.py                          everything, a fresh process per cell
    python benchmarks/kernels.py --only product --backends numpy,chainrule-compile
    python benchmarks/kernels.py BACKEND CASE             one cell in this process

Prints GFLOP/s for products and convolutions and GB/s for the others (every input read once, every
result written once), next to what this machine can do: the best rate any cell reached, and a copy
of as many bytes.  chainrule is measured through `chainrule.compile(function)` without gradients.
Writes benchmarks/results/<date>-kernels.json.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import common
import peak

BACKENDS = ("numpy", "torch", "jax", "chainrule-compile")


@dataclass(frozen=True)
class Case:
    """function(library, *arrays) of arrays of these shapes, and how much work it is."""

    name: str
    unit: str  # of amount / second: "flop" or "B"
    amount: int
    function: Callable[..., Any]
    shapes: tuple[tuple[int, ...], ...]
    dtype: str = "float32"


def product(m: int, k: int, n: int, a: str = "", b: str = "", batch: int = 0, dtype="float32"):
    """A (m, k) times B (k, n); a or b "'" stores that operand transposed."""
    lead = (batch,) if batch else ()
    shapes = lead + ((k, m) if a else (m, k)), lead + ((n, k) if b else (k, n))

    def function(library, x, y):
        return (x.swapaxes(-1, -2) if a else x) @ (y.swapaxes(-1, -2) if b else y)

    name = f"product {m} x {k} x {n}" + (f" A{a} B{b}" if a or b else "")
    name += (f" times {batch}" if batch else "") + (f" {dtype}" if dtype != "float32" else "")
    return Case(name, "flop", 2 * m * k * n * max(batch, 1), function, shapes, dtype)


def convolution(batch, n, size, m, kernel, stride=1, padding=0, dilation=1, groups=1):
    """(batch, n, size, size) to m channels."""
    options = dict(stride=stride, padding=padding, dilation=dilation, groups=groups)
    out = (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    shapes = (batch, n, size, size), (m, n // groups, kernel, kernel)
    name = f"convolution {batch} x {n} x {size}^2 to {m}, {kernel} x {kernel}"
    usual = dict(stride=1, padding=0, dilation=1, groups=1)
    name += "".join(f", {key} {v}" for key, v in options.items() if v != usual[key])
    flops = 2 * batch * out * out * prod(shapes[1])
    return Case(name, "flop", flops, lambda library, x, w: library.conv(x, w, **options), shapes)


def chain(name: str, function, count: int, *shape: int, result: bool = True):
    """An element-wise function of `count` arrays; result False: summed to one number."""
    moved = 4 * prod(shape) * (count + result)
    return Case(f"{name} over {_shape(shape)}", "B", moved, function, (shape,) * count)


def reduction(name: str, function, rows: int, columns: int, results: int):
    moved = 4 * (rows * columns + results)
    shape = rows, columns
    return Case(f"{name} of {_shape(shape)}", "B", moved, function, (shape,))


def _shape(shape) -> str:
    return " x ".join(map(str, shape))


def sigmoid_sum(library, x):
    return library.sigmoid(2 * x + 1).sum()


def layer_norm(library, x):
    centred = x - x.mean(-1).reshape(-1, 1)
    return centred / ((centred * centred).mean(-1).reshape(-1, 1) + 1e-5) ** 0.5


def softmax(library, x):
    e = library.exp(x - library.max(x, -1).reshape(-1, 1))
    return e / e.sum(-1).reshape(-1, 1)


def chains(n: int):
    yield chain("x + y", lambda library, x, y: x + y, 2, n, n)
    yield chain("(x y + z) x - y", lambda library, x, y, z: (x * y + z) * x - y, 3, n, n)
    yield chain("exp x", lambda library, x: library.exp(x), 1, n, n)
    yield chain("tanh x", lambda library, x: library.tanh(x), 1, n, n)
    yield chain("sum of sigmoid(2 x + 1)", sigmoid_sum, 1, n, n, result=False)


def reductions(n: int, m: int):
    yield reduction("sum of rows", lambda library, x: x.sum(1), n, m, n)
    yield reduction("sum of columns", lambda library, x: x.sum(0), n, m, m)
    yield reduction("sum of all", lambda library, x: x.sum(), n, m, 1)
    yield reduction("maximum of rows", lambda library, x: library.max(x, 1), n, m, n)


def all_cases():
    for n in (32, 64, 128, 256, 512, 1024):
        yield product(n, n, n)
    for shape in ((63, 65, 67), (257, 255, 253), (1000, 777, 333),  # no multiple of a vector
                  (1, 784, 500), (5, 784, 500), (64, 784, 256), (1000, 50, 50), (1024, 1024, 10),
                  (768, 128, 384), (4096, 64, 64), (64, 4096, 64)):
        yield product(*shape)
    for n in (256, 1024):
        for a, b in (("'", ""), ("", "'"), ("'", "'")):
            yield product(n, n, n, a, b)
    yield product(64, 784, 256, b="'")  # the forward pass of a linear layer
    yield product(256, 64, 784, a="'")  # the gradient of its weight
    for shape, batch in (((8, 8, 8), 1000), ((64, 32, 64), 48), ((64, 64, 32), 48)):
        yield product(*shape, batch=batch)
    yield product(64, 32, 64, b="'", batch=48)
    for n in (256, 1024):
        yield product(n, n, n, dtype="float64")
    yield convolution(64, 1, 28, 32, 3)
    yield convolution(64, 32, 26, 64, 3)
    for n, size in ((64, 32), (128, 16), (256, 8), (512, 4)):
        yield convolution(32, n, size, n, 3, padding=1)
    yield convolution(32, 64, 32, 128, 3, stride=2, padding=1)
    yield convolution(32, 64, 32, 128, 1, stride=2)
    yield convolution(32, 64, 32, 64, 3, padding=2, dilation=2)
    yield convolution(32, 64, 32, 64, 3, padding=1, groups=8)
    yield convolution(32, 64, 32, 64, 3, padding=1, groups=64)
    for n in (64, 512, 4096):
        yield from chains(n)
    for shape in ((64, 64), (512, 512), (4096, 4096), (1_000_000, 10), (10, 1_000_000)):
        yield from reductions(*shape)
    for shape in ((768, 128), (4096, 1024)):
        yield reduction("softmax", softmax, *shape, prod(shape))
        yield reduction("layer norm", layer_norm, *shape, prod(shape))


CASES = {case.name: case for case in all_cases()}


# ---------------------------------------------------------------------------- one cell
class NumPy:
    """What the cases call, in NumPy's words."""

    def __init__(self, module):
        self.exp, self.tanh, self.max = module.exp, module.tanh, module.max
        self.array = module.asarray

    def sigmoid(self, x):
        return 1 / (1 + self.exp(-x))

    def prepare(self, function):
        return function


class Jax(NumPy):
    def __init__(self, module):
        super().__init__(module.numpy)
        module.config.update("jax_enable_x64", True)
        self.module, self.sigmoid = module, module.nn.sigmoid

    def conv(self, x, w, stride, padding, dilation, groups):
        return self.module.lax.conv_general_dilated(
            x, w, (stride, stride), [(padding, padding)] * 2, rhs_dilation=(dilation, dilation),
            feature_group_count=groups)

    def prepare(self, function):
        jitted = self.module.jit(function)
        return lambda *arrays: jitted(*arrays).block_until_ready()


class Torch:
    """PyTorch as it is; chainrule too, for whom results must be asked for."""

    def __init__(self, module):
        self.module, self.array = module, module.tensor
        self.exp, self.tanh, self.sigmoid = module.exp, module.tanh, module.sigmoid
        self.conv, self.max = module.nn.functional.conv2d, module.amax
        module.set_grad_enabled(False)

    def prepare(self, function):
        return function


class Chainrule(Torch):
    def prepare(self, function):
        from chainrule.tensor import run_tensors

        def called(*arrays):
            result = function(*arrays)
            run_tensors([result])
            return result

        return called


class Compiled(Chainrule):
    def prepare(self, function):
        return super().prepare(self.module.compile(function))


LIBRARIES: dict[str, Callable] = {
    "numpy": NumPy, "jax": Jax, "torch": Torch, "chainrule": Chainrule,
    "chainrule-compile": Compiled,
}


def measure(backend: str, case: Case, threads: int, budget: float) -> dict:
    """Time one case in this process."""
    library = LIBRARIES[backend](common.use_threads(backend, threads))
    import numpy as np

    random = np.random.default_rng(0)
    arrays = [library.array(random.random(s).astype(case.dtype)) for s in case.shapes]
    call = library.prepare(lambda *arrays: case.function(library, *arrays))
    common.timed(lambda: call(*arrays), 0, 5)  # compiles
    times = common.timed(lambda: call(*arrays), budget, 2_000)
    return dict(backend=backend, case=case.name, threads=threads, steps=len(times),
                min_us=times[0] * 1e6, median_us=common.median(times) * 1e6)


# ---------------------------------------------------------------------------- all cells
def exists(backend: str, case: Case) -> bool:
    """NumPy has no convolution."""
    return not (backend == "numpy" and case.name.startswith("convolution"))


def measure_all(names, backends, options) -> list[dict]:
    """Every case on every backend, the backends of one case one right after another."""
    cells = []
    for name in names:
        for backend in (b for b in backends if exists(b, CASES[name])):
            found = common.run_cell("kernels.py", backend, name, "--budget", options.budget,
                                    threads=options.threads, timeout=options.timeout)
            cells.append({"backend": backend, "case": name, **found})
        print(f"{len(cells)} cells, {name}", file=sys.stderr)
    return cells


def peaks(cells, threads: int) -> dict[str, float | None]:
    """The most each case could reach: the best rate seen, or a copy of as many bytes."""
    best: dict[str, float] = {}
    for cell in cells:
        case = CASES[cell["case"]]
        if case.unit == "flop" and "min_us" in cell:
            best[case.dtype] = max(best.get(case.dtype, 0), rate(cell))
    chosen = {cell["case"]: CASES[cell["case"]] for cell in cells}
    copies = peak.bandwidth([c.amount for c in chosen.values() if c.unit == "B"], threads)
    return {name: best.get(case.dtype) if case.unit == "flop" else copies[case.amount]
            for name, case in chosen.items()}


def rate(cell) -> float:
    """Operations or bytes per second."""
    return CASES[cell["case"]].amount / cell["min_us"] * 1e6


def report(cells, peaks) -> str:
    """A table per unit: a row is a case, a column a backend, and chainrule's share of the peak."""
    backends = list(dict.fromkeys(cell["backend"] for cell in cells))
    found = {(c["case"], c["backend"]): c for c in cells}
    ours = "chainrule-compile" if "chainrule-compile" in backends else backends[-1]
    parts = []
    for unit in ("flop", "B"):
        names = [name for name in peaks if CASES[name].unit == unit]
        rows = [_row(name, backends, ours, found, peaks[name]) for name in names]
        title = {"flop": "GFLOP/s", "B": "GB/s"}[unit]
        header = [title, *map(common.TITLE.get, backends), "peak", "of peak", "of best peer"]
        parts += [common.table(header, rows)] if rows else []
    return "\n\n".join(parts)


def _row(name, backends, ours, found, most) -> list[str]:
    cells = [found.get((name, b)) for b in backends]
    rates = {b: rate(c) for b, c in zip(backends, cells) if c and "min_us" in c}
    texts = ["failed" if c and "error" in c else common.short(rates[b] / 1e9 if c else None)
             for b, c in zip(backends, cells)]
    peers = [r for b, r in rates.items() if b not in common.OWN]
    mine = rates.get(ours)
    share = common.short(100 * mine / most, " %") if mine and most else "-"
    ratio = common.short(mine / max(peers), " x") if mine and peers else "-"
    return [name, *texts, common.short(most / 1e9 if most else None), share, ratio]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    common.add_options(parser, BACKENDS)
    parser.add_argument("--only", default="", help="cases whose names contain this")
    parser.set_defaults(budget=0.5)
    options = parser.parse_args()
    names = [name for name in CASES if options.only in name]
    cells = measure_all(names, common.present(options.backends), options)
    most = peaks(cells, options.threads)
    common.print_errors(cells, "case")
    result = {"machine": common.machine(options.threads), "peak": most, "cells": cells}
    common.save(options.out or common.result_path("-kernels"), result)
    print(report(cells, most))


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] in LIBRARIES:
        cell = common.cell_arguments("backend", "case")
        common.print_json(**measure(cell.backend, CASES[cell.case], cell.threads, cell.budget))
    else:
        main()
