"""What it costs to write a function out of + - * / exp instead of taking the built-in one.

    python benchmarks/granularity.py
    python benchmarks/granularity.py --threads 1 --budget 2

Forward and gradients of each as one compiled program, in turn; prints kernels, bytes, the least
microseconds of both, and their ratio.  All of a row does the same work, so the ratio should be 1.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable

import common


def layer_norm(x, w, b):
    d = x - x.sum(-1, keepdim=True) / x.shape[-1]
    variance = (d * d).sum(-1, keepdim=True) / x.shape[-1]
    return d / (variance + 1e-5) ** 0.5 * w + b


def cross_entropy(x, y):
    shifted = x - x.amax(1, keepdim=True).detach()
    log_p = shifted - shifted.exp().sum(1, keepdim=True).log()
    return -log_p.gather(1, y.unsqueeze(1)).sum() / x.shape[0]


def sigma(v):
    return 1 / (1 + (-v).exp())


def lstm_cell(x, h, c, wi, wh, bi, bh):
    gates, n = x @ wi.T + bi + (h @ wh.T + bh), h.shape[1]
    i, f, g, o = (gates[:, k * n : (k + 1) * n] for k in range(4))
    new = sigma(f) * c + sigma(i) * (2 * sigma(2 * g) - 1)
    return sigma(o) * (2 * sigma(2 * new) - 1)


def cases(torch) -> dict[str, tuple[Callable, Callable, list]]:
    """name -> (built-in, written out, inputs)"""
    F, rand = torch.nn.functional, torch.randn
    y, n, m = torch.randint(0, 1000, (512,)), 128, 96

    def cell(x, h, c, *weights):
        module = torch.nn.LSTMCell(m, n)
        given = dict(zip(("weight_ih", "weight_hh", "bias_ih", "bias_hh"), weights))
        return torch.func.functional_call(module, given, (x, (h, c)))[0]

    def dot(w0, x0, w1, x1, w2):
        return torch.sigmoid(w0 * x0 + w1 * x1 + w2)

    def gates(w0, x0, w1, x1, w2):
        return 1 / (1 + (-1 * (w0 * x0 + w1 * x1 + w2)).exp())

    lstm = [rand(64, m), rand(64, n), rand(64, n), rand(4 * n, m), rand(4 * n, n), rand(4 * n),
            rand(4 * n)]
    return {
        "LayerNorm 4096 x 256": (lambda x, w, b: F.layer_norm(x, x.shape[-1:], w, b), layer_norm,
                                 [rand(4096, 256), rand(256), rand(256)]),
        "cross-entropy 512 x 1000": (lambda x: F.cross_entropy(x, y),
                                     lambda x: cross_entropy(x, y), [rand(512, 1000)]),
        "GELU 10^6": (F.gelu, lambda x: 0.5 * x * (1 + (x * 0.5**0.5).erf()), [rand(1_000_000)]),
        "LSTM cell 64 x 128": (cell, lstm_cell, lstm),
        "neuron on 10^6": (dot, gates, [rand(1_000_000) for _ in range(5)]),
    }


def compiled(torch, function: Callable, inputs: list) -> tuple[Callable, int, int]:
    """A call of the program of values and gradients, its kernels, the bytes they move."""
    from chainrule.graph import toposort
    from chainrule.jit.program import Program

    inputs = [x.detach().requires_grad_() for x in inputs]
    out = function(*inputs)
    outputs = [t.node for t in (out, *torch.autograd.grad(out, inputs, torch.ones(out.shape)))]
    leaves = [n for n in toposort(outputs) if n.value is not None]
    program, values = Program(outputs, leaves), [n.value for n in leaves]
    moved = sum(x.nbytes for s in program.steps for x in {*s.reads, *s.writes})
    return lambda: program.run(values), len(program.steps), moved


def least(first: Callable, second: Callable, budget: float) -> list[float]:
    """The least seconds of both, called in turn."""
    best, end = [float("inf")] * 2, time.perf_counter() + budget
    while time.perf_counter() < end:
        for k, call in enumerate((first, second)):
            start = time.perf_counter()
            call()
            best[k] = min(best[k], time.perf_counter() - start)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--budget", type=float, default=2.0, help="seconds for a row")
    options = parser.parse_args()
    torch = common.use_threads("chainrule", options.threads)
    from chainrule import config

    config.jit = "0"  # what is compiled here is compiled by hand
    rows = []
    for name, (coarse, fine, inputs) in cases(torch).items():
        (a, few, read), (b, many, moved) = (compiled(torch, f, inputs) for f in (coarse, fine))
        built, written = least(a, b, options.budget)
        rows.append([name, f"{few} / {many}", f"{read / 1e6:.2f} / {moved / 1e6:.2f}",
                     common.short(built * 1e6), common.short(written * 1e6),
                     f"{written / built:.3f}"])
    print(common.table(["", "kernels", "MB", "built-in us", "written out us", "ratio"], rows))


if __name__ == "__main__":
    main()
