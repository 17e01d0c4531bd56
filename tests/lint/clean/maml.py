"""Meta-learning: an inner step by autograd.grad."""

import chainrule as torch
from chainrule import nn

torch.manual_seed(0)
W = nn.Parameter(torch.randn(1, 20) * 0.5)
b = nn.Parameter(torch.zeros(20))
V = nn.Parameter(torch.randn(20, 1) * 0.2)
opt = torch.optim.Adam([W, b, V], lr=1e-3)


def f(x, W, b, V):
    return torch.tanh(x @ W + b) @ V


for _ in range(6):
    meta = 0.0
    for _ in range(3):
        phase = torch.rand(1) * 3
        x = torch.rand(10, 1) * 4 - 2
        y = torch.sin(x + phase)
        inner = ((f(x, W, b, V) - y) ** 2).mean()
        g = torch.autograd.grad(inner, [W, b, V], create_graph=True)
        fast = [p - 0.1 * d for p, d in zip([W, b, V], g)]
        meta = meta + ((f(x, *fast) - y) ** 2).mean()
    opt.zero_grad()
    meta.backward()
    opt.step()
