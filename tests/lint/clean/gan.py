"""A GAN: two networks, two optimizers, the generator's pass also fills the other's .grad."""

import chainrule as torch
from chainrule import nn

torch.manual_seed(3)
g = nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 2))
d = nn.Sequential(nn.Linear(2, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1), nn.Sigmoid())
opt_g = torch.optim.Adam(g.parameters(), lr=2e-4, betas=(0.5, 0.999))
opt_d = torch.optim.Adam(d.parameters(), lr=2e-4, betas=(0.5, 0.999))
criterion = nn.BCELoss()
for _ in range(8):
    real = torch.randn(16, 2) + 3
    ones, zeros = torch.ones(16, 1), torch.zeros(16, 1)
    fake = g(torch.randn(16, 4))
    opt_d.zero_grad()
    loss_real = criterion(d(real), ones)
    loss_real.backward()
    loss_fake = criterion(d(fake.detach()), zeros)
    loss_fake.backward()
    opt_d.step()
    opt_g.zero_grad()
    loss_g = criterion(d(fake), ones)
    loss_g.backward()
    opt_g.step()
g.eval()
with torch.no_grad():
    print(g(torch.randn(4, 4)).mean().item())
