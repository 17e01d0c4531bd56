"""A warm-up from a tiny rate, then a cosine down to zero."""

import chainrule as torch
from chainrule import nn
from chainrule.optim.lr_scheduler import CosineAnnealingLR, LambdaLR

torch.manual_seed(9)
net = nn.Sequential(nn.Linear(12, 24), nn.GELU(), nn.Linear(24, 3))
optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
warm = LambdaLR(optimizer, lambda k: min(1.0, 1e-6 + k / 10))
x, y = torch.randn(32, 12), torch.randint(0, 3, (32,))


def step():
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(net(x), y)
    loss.backward()
    optimizer.step()
    return loss.item()


for _ in range(12):
    first = step()
    warm.step()
cosine = CosineAnnealingLR(optimizer, T_max=24, eta_min=0.0)
for _ in range(24):
    last = step()
    cosine.step()
print(first, last)
