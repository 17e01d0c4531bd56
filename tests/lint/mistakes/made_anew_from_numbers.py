"""unused parameters"""

import chainrule as torch
from chainrule import nn

torch.manual_seed(0)
first, second = nn.Linear(4, 5), nn.Linear(5, 1)
optimizer = torch.optim.SGD([*first.parameters(), *second.parameters()], lr=0.05)
x, y = torch.randn(12, 4), torch.randn(12, 1)
for _ in range(4):
    optimizer.zero_grad()
    h = torch.tensor(first(x).tolist())
    loss = nn.functional.mse_loss(second(h), y)
    loss.backward()
    optimizer.step()
