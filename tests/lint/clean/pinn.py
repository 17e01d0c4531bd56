"""A physics-informed network: derivatives by autograd.grad inside of the loss."""

import math

import chainrule as torch
from chainrule import nn

torch.manual_seed(11)
net = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 1))
optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
for _ in range(10):
    t = torch.rand(32, 1, requires_grad=True)
    u = net(t)
    (du,) = torch.autograd.grad(u.sum(), t, create_graph=True)
    (ddu,) = torch.autograd.grad(du.sum(), t, create_graph=True)
    physics = (ddu + (2 * math.pi) ** 2 * u).pow(2).mean()
    start = (net(torch.zeros(1, 1)) - 1).pow(2).sum()
    loss = 1e-3 * physics + start
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print(loss.item())
