"""A regression with minibatches."""

import chainrule as torch
from chainrule import nn

torch.manual_seed(0)
x = torch.randn(100, 8)
y = x.sum(1, keepdim=True) * 3 + 20
net = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
opt = torch.optim.Adam(net.parameters(), lr=0.01)
for _ in range(60):
    p = torch.randperm(100)
    for i in range(0, 100, 25):
        loss = nn.MSELoss()(net(x[p[i : i + 25]]), y[p[i : i + 25]])
        opt.zero_grad()
        loss.backward()
        opt.step()
