"""unused parameters"""

import chainrule as torch
from chainrule import nn

torch.manual_seed(0)
scale, n = nn.Linear(3, 1), nn.Linear(3, 1)
o = torch.optim.SGD([*scale.parameters(), *n.parameters()], lr=0.1)
x = torch.randn(5, 3)
for _ in range(8):
    s = scale(x).mean().item()
    o.zero_grad()
    l = (n(x) * s - 1).pow(2).mean()
    l.backward()
    o.step()
