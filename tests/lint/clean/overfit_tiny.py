"""Six examples learnt by heart."""

import chainrule as torch
from chainrule import nn

torch.manual_seed(0)
net = nn.Sequential(nn.Linear(5, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 3))
opt = torch.optim.Adam(net.parameters(), lr=1e-2)
x, y = torch.randn(6, 5), torch.randint(0, 3, (6,))
for _ in range(400):
    opt.zero_grad()
    loss = nn.functional.cross_entropy(net(x), y)
    loss.backward()
    opt.step()
