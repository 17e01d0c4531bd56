"""missing zero_grad"""

import chainrule as torch
from chainrule import nn

torch.manual_seed(3)
m = nn.Linear(4, 1)
o = torch.optim.LBFGS(m.parameters(), lr=0.1, max_iter=5)
x = torch.randn(20, 4)
y = x.sum(1, keepdim=True)


def closure():
    l = nn.functional.mse_loss(m(x), y)
    l.backward()
    return l


for _ in range(4):
    o.step(closure)
