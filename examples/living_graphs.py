"""The graphs that a first course on back-propagation draws, as pages one can step through.

    chain       a = x^2, b = sin a, c = e^b:       dc/dx = e^b cos(a) 2x
    two paths   x = s^2, y = sin s, z = x y:       dz/ds = y 2s + x cos s, one term for each path
    square      f = (x + y)^2:                     every gate gives its output and local gradients
    neuron      f = 1 / (1 + exp(-(w x + b))):     one frame for each gate, forward, then backward
    forks       f = (x + s(y)) / (s(x) + (x + y)^2), s the sigmoid: what a fork hands back adds up

Each becomes a page (open it, press the right arrow), an SVG for a paper, and its equations.  What
the page shows is what `.grad` holds after a plain `backward()`: the numbers are read back from it.
"""

import argparse
import math
from pathlib import Path

import chainrule as torch


def scalar(value):
    return torch.tensor(float(value), dtype=torch.float64, requires_grad=True)


def chain():
    x = scalar(0.5)
    a = x**2
    b = torch.sin(a)
    c = torch.exp(b)
    return c, dict(x=x, a=a, b=b)


def two_paths():
    s = scalar(0.7)
    x = s**2
    y = torch.sin(s)
    z = x * y
    return z, dict(s=s, x=x, y=y)


def square():
    x, y = scalar(1), scalar(2)
    z = x + y
    f = z**2
    return f, dict(x=x, y=y, z=z)


def neuron():
    w0, x0, w1, x1, w2 = (scalar(v) for v in (2, -1, -3, -2, -3))
    f = 1 / (1 + torch.exp(-(w0 * x0 + w1 * x1 + w2)))
    return f, dict(w0=w0, x0=x0, w1=w1, x1=x1, w2=w2)


def forks():
    x, y = scalar(3), scalar(-4)
    f = (x + torch.sigmoid(y)) / (torch.sigmoid(x) + (x + y) ** 2)
    return f, dict(x=x, y=y)


def show(build, folder):
    """Write the page, the SVG and the equations of a graph, and compare the page with `.grad`."""
    f, named = build()
    snapshot = torch.snapshot(f, names={**named, "f": f}, title=build.__name__.replace("_", " "))
    for ending in ("html", "svg", "json"):
        snapshot.save(folder / f"{build.__name__}.{ending}")
    on_page = {n["name"]: n["gradient"]["number"] for n in snapshot.data["nodes"] if "name" in n}

    again, leaves = build()  # a separate run, which nobody looks at
    for tensor in leaves.values():
        tensor.retain_grad()
    again.backward()
    print(f"{build.__name__}: f = {again.item():.10g}")
    for name, tensor in leaves.items():
        print(f"  df/d{name} = {on_page[name]: .10f}")
        assert math.isclose(on_page[name], tensor.grad.item(), rel_tol=1e-12)
    print(torch.equations(f, names={**named, "f": f}), end="\n\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Five graphs as pages, drawings and equations.")
    parser.add_argument("--out", type=Path, default=Path("graphs"), help="folder for the files")
    folder = parser.parse_args().out
    for build in (chain, two_paths, square, neuron, forks):
        show(build, folder)
    print(f"Pages, drawings and data are in {folder}")
