"""Two heads on one trunk; the losses are added up, and in odd steps only one of them counts."""

import chainrule as torch
from chainrule import nn

torch.manual_seed(16)
trunk = nn.Sequential(nn.Linear(8, 32), nn.ReLU())
heads = nn.ModuleDict({"kind": nn.Linear(32, 4), "size": nn.Linear(32, 1)})
optimizer = torch.optim.Adam([*trunk.parameters(), *heads.parameters()], lr=2e-3)
x, kind, size = torch.randn(40, 8), torch.randint(0, 4, (40,)), torch.rand(40)
for step in range(10):
    h = trunk(x)
    loss = 0
    loss += nn.functional.cross_entropy(heads["kind"](h), kind)
    if step % 2 == 0:
        loss += 0.5 * nn.functional.smooth_l1_loss(heads["size"](h).squeeze(1), size)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print(loss.item())
