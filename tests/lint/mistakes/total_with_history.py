"""a sum that keeps its graph"""

import chainrule as torch
from chainrule import nn

torch.manual_seed(0)
net = nn.Linear(6, 3)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
x, y = torch.randn(20, 6), torch.randint(0, 3, (20,))
total = 0
for _ in range(10):
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(net(x), y)
    loss.backward()
    optimizer.step()
    total += loss
print(total / 10)
