"""Dropout is switched on again after eval(), on purpose."""

import chainrule as torch
from chainrule import nn

torch.manual_seed(0)
net = nn.Sequential(
    nn.Linear(6, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Dropout(0.3), nn.Linear(24, 1)
)
opt = torch.optim.Adam(net.parameters(), lr=1e-3)
x = torch.randn(40, 6)
y = x.sum(1)
for _ in range(9):
    opt.zero_grad()
    loss = ((net(x).squeeze() - y) ** 2).mean()
    loss.backward()
    opt.step()
net.eval()
for m in net.modules():
    if isinstance(m, nn.Dropout):
        m.train()
with torch.no_grad():
    s = torch.stack([net(x) for _ in range(5)]).std(0)
