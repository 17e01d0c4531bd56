"""nll_loss without log-probabilities"""

import chainrule as torch
from chainrule import nn

torch.manual_seed(0)
net = nn.Linear(6, 3)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
x, y = torch.randn(20, 6), torch.randint(0, 3, (20,))
for _ in range(4):
    optimizer.zero_grad()
    loss = nn.functional.nll_loss(torch.log_softmax(net(x), dim=0), y)
    loss.backward()
    optimizer.step()
