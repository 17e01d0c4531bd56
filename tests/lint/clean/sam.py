"""Sharpness-aware minimization: two passes for one step."""

import chainrule as torch
from chainrule import nn

torch.manual_seed(0)
net = nn.Sequential(nn.Linear(6, 24), nn.ReLU(), nn.Linear(24, 3))
opt = torch.optim.SGD(net.parameters(), lr=0.05)
x, y = torch.randn(40, 6), torch.randint(0, 3, (40,))
for _ in range(9):
    opt.zero_grad()
    nn.functional.cross_entropy(net(x), y).backward()
    eps = []
    with torch.no_grad():
        for p in net.parameters():
            e = 0.01 * p.grad / (p.grad.norm() + 1e-12)
            p.add_(e)
            eps.append(e)
    opt.zero_grad()
    nn.functional.cross_entropy(net(x), y).backward()
    with torch.no_grad():
        for p, e in zip(net.parameters(), eps):
            p.sub_(e)
    opt.step()
