"""tanh before cross_entropy"""

import chainrule as torch
from chainrule import nn

torch.manual_seed(0)
net = nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 3), nn.Tanh())
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
x, y = torch.randn(20, 6), torch.randint(0, 3, (20,))
for _ in range(4):
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(net(x).view(20, 3), y)
    loss.backward()
    optimizer.step()
