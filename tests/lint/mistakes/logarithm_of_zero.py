"""not a number"""

import chainrule as torch
from chainrule import nn

torch.manual_seed(0)
net = nn.Linear(4, 3)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
x, y = torch.randn(10, 4) * 1000, torch.randint(0, 3, (10,))
for _ in range(3):
    optimizer.zero_grad()
    p = torch.softmax(net(x), dim=1)
    loss = -(torch.log(p) * nn.functional.one_hot(y, 3)).sum(1).mean()
    loss.backward()
    optimizer.step()
