"""a graph across steps"""

import chainrule as torch
from chainrule import nn

torch.manual_seed(0)
cell, out = nn.GRUCell(3, 8), nn.Linear(8, 1)
optimizer = torch.optim.Adam([*cell.parameters(), *out.parameters()], lr=0.01)
h = torch.zeros(4, 8)
for _ in range(5):
    x = torch.randn(4, 3)
    h = cell(x, h)
    loss = nn.functional.mse_loss(out(h), x.sum(1, keepdim=True))
    optimizer.zero_grad()
    loss.backward(retain_graph=True)
    optimizer.step()
