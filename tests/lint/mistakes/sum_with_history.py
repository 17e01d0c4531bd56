"""a sum that keeps its graph"""

import chainrule as torch
from chainrule import nn


def train():
    torch.manual_seed(0)
    m = nn.Linear(4, 1)
    o = torch.optim.SGD(m.parameters(), lr=0.1)
    running_loss = 0.0
    for _ in range(8):
        loss = m(torch.randn(5, 4)).pow(2).mean()
        o.zero_grad()
        loss.backward()
        o.step()
        running_loss = running_loss + loss
    return running_loss


train()
