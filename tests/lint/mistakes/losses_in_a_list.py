"""graphs kept in a list"""

import chainrule as torch
from chainrule import nn


def train():
    torch.manual_seed(0)
    net = nn.Linear(6, 3)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    x, y = torch.randn(20, 6), torch.randint(0, 3, (20,))
    losses = []
    for _ in range(10):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(x), y)
        losses.append(loss)
        loss.backward()
        optimizer.step()
    return sum(float(x) for x in losses)


train()
