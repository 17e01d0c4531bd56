"""A physics-informed network: learn the solution of a differential equation from the equation.

    u'' + 0.4 u' + 4 u = 0,   u(0) = 1,  u'(0) = 0        a damped swing

The network n(t) never sees a solution.  u(t) = 1 + t^2 n(t) meets both initial conditions for
every n, and the loss is what the equation leaves over at many times t:

    L = mean of (u'' + 0.4 u' + 4 u)^2

u' and u'' are gradients of the network's output with respect to its input, recorded as nodes like
everything else; L is made of them and is differentiated once more, for the weights.
At the end the network is compared with the closed form

    u(t) = e^(-0.2 t) (cos(v t) + 0.2 / v sin(v t)),   v = sqrt(4 - 0.04).
"""

import argparse
import math
import time

import chainrule as torch
from chainrule import nn

FRICTION, STIFFNESS, END = 0.4, 4.0, 4.0


class Swing(nn.Module):
    def __init__(self, width=24):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(1, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1)
        )

    def forward(self, t):
        return 1 + t**2 * self.net(2 * t / END - 1)  # (N, 1)


def derivative(u, t):
    """du/dt at each t.  Each u depends on its own t only, so the sum mixes nothing."""
    (du,) = torch.autograd.grad(u.sum(), t, create_graph=True)
    return du


def residual(swing, t):
    u = swing(t)
    du = derivative(u, t)
    return derivative(du, t) + FRICTION * du + STIFFNESS * u


def closed_form(t):
    a = FRICTION / 2
    v = math.sqrt(STIFFNESS - a * a)
    return torch.exp(-a * t) * (torch.cos(v * t) + a / v * torch.sin(v * t))


def main():
    parser = argparse.ArgumentParser(description="Learn a damped swing from its equation.")
    parser.add_argument("--rounds", type=int, default=8, help="of 40 steps of L-BFGS each")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.manual_seed(given.seed)

    swing = Swing().double()
    t = torch.linspace(0, END, 64, dtype=torch.float64).unsqueeze(1).requires_grad_()  # (N, 1)
    optimizer = torch.optim.LBFGS(
        swing.parameters(), max_iter=40, history_size=40, line_search_fn="strong_wolfe"
    )

    def loss():
        optimizer.zero_grad()
        left_over = residual(swing, t).square().mean()
        left_over.backward()
        return left_over

    start = time.perf_counter()
    for round in range(1, given.rounds + 1):
        before = optimizer.step(loss).item()
        print(f"round {round}: the equation was left with {before:.2e}")
    print(f"now it is left with {loss().item():.2e}, after {time.perf_counter() - start:.1f} s\n")

    with torch.no_grad():
        at = torch.linspace(0, END, 9, dtype=torch.float64).unsqueeze(1)
        learned, true = swing(at), closed_form(at)
        print("   t    learned   closed form")
        for row in zip(at.flatten().tolist(), learned.flatten().tolist(), true.flatten().tolist()):
            print("{:4.1f}   {:8.4f}   {:8.4f}".format(*row))
        error = (swing(t) - closed_form(t)).abs().max().item()
    print(f"\nlargest error between 0 and {END:g}: {error:.1e}")


if __name__ == "__main__":
    main()
