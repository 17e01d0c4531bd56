"""broadcast loss"""

import chainrule as torch
from chainrule import nn

torch.manual_seed(0)
net = nn.Linear(6, 1)
optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
x = torch.randn(20, 6)
y = x.sum(1)
for _ in range(4):
    optimizer.zero_grad()
    prediction = net(x)
    loss = ((prediction - y) ** 2).mean()
    loss.backward()
    optimizer.step()
