"""dead units / equal units"""

import chainrule as torch
from chainrule import nn

torch.manual_seed(0)
n = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 3))
o = torch.optim.SGD(n.parameters(), lr=0.1)
for p in n.parameters():
    nn.init.zeros_(p)
x, y = torch.randn(50, 10), torch.randint(0, 3, (50,))
for _ in range(8):
    o.zero_grad()
    l = nn.functional.cross_entropy(n(x), y)
    l.backward()
    o.step()
