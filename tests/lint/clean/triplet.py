"""A triplet loss and a contrastive one."""

import chainrule as torch
from chainrule import nn

torch.manual_seed(0)
net = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 8))
opt = torch.optim.Adam(net.parameters(), lr=1e-3)
crit = nn.TripletMarginLoss()
for _ in range(9):
    a, p, n = torch.randn(16, 10), torch.randn(16, 10), torch.randn(16, 10)
    emb = nn.functional.normalize(net(a))
    sim = emb @ nn.functional.normalize(net(p)).t() / 0.07
    loss = crit(net(a), net(p), net(n)) + nn.functional.cross_entropy(sim, torch.arange(16))
    opt.zero_grad()
    loss.backward()
    opt.step()
