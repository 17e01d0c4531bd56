"""missing zero_grad"""

import chainrule as torch
from chainrule import nn

torch.manual_seed(3)
m = nn.Linear(4, 1)
o = torch.optim.SGD(m.parameters(), lr=0.01)
for i in range(12):
    (m(torch.randn(5, 4)).pow(2).mean() / 4).backward()
    if i % 4 == 3:
        o.step()
