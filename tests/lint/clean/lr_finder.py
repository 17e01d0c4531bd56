"""A search for the learning rate: from tiny to huge."""

import chainrule as torch
from chainrule import nn

torch.manual_seed(0)
net = nn.Sequential(nn.Linear(6, 24), nn.ReLU(), nn.Linear(24, 3))
opt = torch.optim.SGD(net.parameters(), lr=1e-7)
s = torch.optim.lr_scheduler.ExponentialLR(opt, gamma=2.0)
x, y = torch.randn(40, 6), torch.randint(0, 3, (40,))
L = []
for _ in range(25):
    opt.zero_grad()
    loss = nn.functional.cross_entropy(net(x), y)
    loss.backward()
    opt.step()
    s.step()
    L.append(loss.item())
