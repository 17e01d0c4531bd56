"""The discriminator is trained on what the generator makes under no_grad(), in training mode."""

import chainrule as torch
from chainrule import nn

torch.manual_seed(3)
g = nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 2))
d = nn.Sequential(nn.Linear(2, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1))
opt_g = torch.optim.Adam(g.parameters(), lr=1e-3)
opt_d = torch.optim.Adam(d.parameters(), lr=1e-3)
criterion = nn.BCEWithLogitsLoss()
for _ in range(8):
    with torch.no_grad():
        fake = g(torch.randn(16, 4))
    both = torch.cat([d(torch.randn(16, 2) + 3), d(fake * 1.0)])
    loss_d = criterion(both, torch.cat([torch.ones(16, 1), torch.zeros(16, 1)]))
    opt_d.zero_grad()
    loss_d.backward()
    opt_d.step()
    loss_g = criterion(d(g(torch.randn(16, 4))), torch.ones(16, 1))
    opt_g.zero_grad()
    loss_g.backward()
    opt_g.step()
print(loss_d.item(), loss_g.item())
