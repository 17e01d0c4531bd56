"""Truncated back-propagation through time: the hidden state is carried over, detached."""

import chainrule as torch
from chainrule import nn

torch.manual_seed(14)
gru, out = nn.GRU(3, 12), nn.Linear(12, 3)
optimizer = torch.optim.Adam([*gru.parameters(), *out.parameters()], lr=5e-3)
series = torch.sin(torch.arange(0, 90).float() / 4).reshape(-1, 1, 1).repeat(1, 4, 3)
hidden = torch.zeros(1, 4, 12)
losses = []
for start in range(0, 80, 8):
    piece, following = series[start : start + 8], series[start + 1 : start + 9]
    hidden = hidden.detach()
    states, hidden = gru(piece, hidden)
    loss = nn.functional.mse_loss(out(states), following)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.detach())
print(torch.stack(losses).mean().item())
