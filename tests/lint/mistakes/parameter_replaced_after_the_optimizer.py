"""unused parameters / parameters without an optimizer"""

import chainrule as torch
from chainrule import nn

torch.manual_seed(0)
n = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 1))
o = torch.optim.SGD(n.parameters(), lr=0.1)
n[0].weight = nn.Parameter(torch.randn(32, 10) * 0.1)
x = torch.randn(50, 10)
y = x.sum(1, keepdim=True)
for _ in range(8):
    o.zero_grad()
    l = nn.functional.mse_loss(n(x), y)
    l.backward()
    o.step()
