"""Gradients of four small batches are accumulated on purpose, then there is one step."""

import chainrule as torch
from chainrule import nn

torch.manual_seed(4)
model = nn.Sequential(nn.Linear(10, 20), nn.Tanh(), nn.Linear(20, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
every = 4
optimizer.zero_grad()
for i in range(24):
    x = torch.randn(8, 10)
    loss = nn.functional.mse_loss(model(x), x.sum(1, keepdim=True)) / every
    loss.backward()
    if (i + 1) % every == 0:
        optimizer.step()
        optimizer.zero_grad()
print(loss.item())
