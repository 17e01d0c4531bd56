"""missing zero_grad"""

import chainrule as torch
from chainrule import nn

torch.manual_seed(3)
g = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2))
d = nn.Sequential(nn.Linear(2, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1))
og = torch.optim.Adam(g.parameters(), lr=2e-4)
od = torch.optim.Adam(d.parameters(), lr=2e-4)
c = nn.BCEWithLogitsLoss()
for _ in range(6):
    fake = g(torch.randn(16, 4))
    l = c(d(torch.randn(16, 2)), torch.ones(16, 1)) + c(d(fake.detach()), torch.zeros(16, 1))
    l.backward()
    od.step()
    og.zero_grad()
    c(d(fake), torch.ones(16, 1)).backward()
    og.step()
