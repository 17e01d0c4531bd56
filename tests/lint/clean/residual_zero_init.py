"""Residual branches that start at zero, and an adapter B A with B = 0."""

import chainrule as torch
from chainrule import nn


class Residual(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.inner, self.outer = nn.Linear(width, width), nn.Linear(width, width)
        nn.init.zeros_(self.outer.weight)
        nn.init.zeros_(self.outer.bias)

    def forward(self, x):
        return x + self.outer(torch.relu(self.inner(x)))


torch.manual_seed(23)
net = nn.Sequential(nn.Linear(6, 16), Residual(16), Residual(16), Residual(16), nn.Linear(16, 3))
a = nn.Parameter(torch.randn(2, 6) * 0.1)
b = nn.Parameter(torch.zeros(6, 2))
optimizer = torch.optim.Adam([*net.parameters(), a, b], lr=1e-3)
x, y = torch.randn(40, 6), torch.randint(0, 3, (40,))
for _ in range(10):
    loss = nn.functional.cross_entropy(net(x + x @ a.t() @ b.t()), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print(loss.item())
