"""Gates: a program is a graph of small operations, and each knows only its own derivative.

    f = (x + y)^2 at x = 1, y = 2:   z = x + y,  f = z^2,  df/dz = 2 z = 6,  dz/dx = dz/dy = 1

    neuron   f = 1 / (1 + exp(-(w0 x0 + w1 x1 + w2)))

On its way forward a gate computes its output.  On the way back it receives df/d(output) and hands
df/d(output) * d(output)/d(input) to each of its inputs: upstream times local is downstream.  That
is all.  The printout shows each edge of the neuron, the SVG files show the two graphs whole.
"""

import argparse
import math
from pathlib import Path

import chainrule as torch


def scalar(value):
    return torch.tensor(float(value), dtype=torch.float64, requires_grad=True)


def square_of_a_sum(folder):
    x, y = scalar(1), scalar(2)
    z = x + y
    f = z**2
    torch.draw(f, folder / "square.svg", title="f = (x + y)^2")
    df_dz, df_dx, df_dy = torch.autograd.grad(f, [z, x, y])
    print(f"x = 1, y = 2: z = {z.item():g}, f = {f.item():g}")
    print(f"df/dz = {df_dz.item():g}, df/dx = {df_dx.item():g}, df/dy = {df_dy.item():g}\n")


def neuron(folder):
    w0, x0, w1, x1, w2 = (scalar(v) for v in (2, -1, -3, -2, -3))
    f = 1 / (1 + torch.exp(-(w0 * x0 + w1 * x1 + w2)))
    torch.draw(f, folder / "neuron.svg", title="A sigmoid neuron, gate by gate")

    print("forward")
    torch.show(f, values=True)
    print("\nbackward        upstream x local = downstream")
    for edge in torch.backprop(f).edges():
        factors = edge.upstream.item(), edge.local.item(), edge.downstream.item()
        gate = f"{edge.node.name}, input {edge.index}"
        print("{:<20} {:5.2f} x {:5.2f} = {:5.2f}".format(gate, *factors))

    f.backward()
    s = f.item()
    print(f"\nf = {s:.16f}; f (1 - f) = {s * (1 - s):.17f}")
    for name, leaf in dict(w0=w0, x0=x0, w1=w1, x1=x1, w2=w2).items():
        print(f"  df/d{name} = {leaf.grad.item():5.2f}")
    assert math.isclose(w2.grad.item(), s * (1 - s))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Two graphs of gates, printed and drawn.")
    parser.add_argument("--out", type=Path, default=Path("."), help="folder for the SVG files")
    folder = parser.parse_args().out
    square_of_a_sum(folder)
    neuron(folder)
    print(f"\nDrawn: {folder / 'square.svg'} and {folder / 'neuron.svg'}")
