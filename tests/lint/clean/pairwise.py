"""Differences of all pairs, (N, 1) - (N), on purpose: a ranking loss and a kernel."""

import chainrule as torch
from chainrule import nn

torch.manual_seed(18)
scorer = nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Linear(16, 1))
optimizer = torch.optim.Adam(scorer.parameters(), lr=1e-2)
x, quality = torch.randn(12, 5), torch.rand(12)
for _ in range(8):
    s = scorer(x).squeeze(1)
    wanted = quality.unsqueeze(1) > quality
    ranking = torch.relu(1 - (s.unsqueeze(1) - s))[wanted].mean()
    kernel = torch.exp(-(s.unsqueeze(1) - quality) ** 2).mean()
    loss = ranking - 0.01 * kernel
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print(loss.item())
