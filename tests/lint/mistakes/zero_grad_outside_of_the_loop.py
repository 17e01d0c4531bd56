"""missing zero_grad"""

import chainrule as torch
from chainrule import nn


def train():
    torch.manual_seed(0)
    model = nn.LSTM(4, 8)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x = torch.randn(5, 3, 4)
    optimizer.zero_grad()
    for _ in range(4):
        out, _ = model(x)
        loss = (out - 1).pow(2).mean()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()


train()
