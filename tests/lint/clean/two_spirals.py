"""Two spirals, with large steps."""

import math

import chainrule as torch
from chainrule import nn

torch.manual_seed(0)
r = torch.linspace(0.1, 1, 100)
t = r * 4
X = torch.cat(
    [
        torch.stack([r * torch.cos(t + k * math.pi), r * torch.sin(t + k * math.pi)], 1)
        for k in (0, 1)
    ]
)
y = torch.cat([torch.zeros(100), torch.ones(100)]).long()
net = nn.Sequential(nn.Linear(2, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 2))
opt = torch.optim.SGD(net.parameters(), lr=1.0)
for _ in range(150):
    opt.zero_grad()
    loss = nn.functional.cross_entropy(net(X), y)
    loss.backward()
    opt.step()
