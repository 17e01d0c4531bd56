"""Losses are collected in a list, and then one."""

import chainrule as torch
from chainrule import nn

torch.manual_seed(0)
net = nn.Linear(6, 3)
opt = torch.optim.SGD(net.parameters(), lr=0.1)
log = []
for _ in range(10):
    losses = []
    for _ in range(4):
        x, y = torch.randn(10, 6), torch.randint(0, 3, (10,))
        losses.append(nn.functional.cross_entropy(net(x), y))
    total = torch.stack(losses).mean()
    opt.zero_grad()
    total.backward()
    opt.step()
    log.append(float(total))
