"""broadcast loss"""

import chainrule as torch
from chainrule import nn

torch.manual_seed(3)
n = nn.Linear(4, 1)
o = torch.optim.Adam(n.parameters())
x = torch.randn(8, 4)
y = x[:, :1]
for _ in range(5):
    o.zero_grad()
    (n(x).squeeze(1) - y).abs().mean().backward()
    o.step()
