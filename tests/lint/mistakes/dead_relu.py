"""dead units"""

import chainrule as torch
from chainrule import nn

torch.manual_seed(0)
net = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 1))
nn.init.constant_(net[0].bias, -10.0)
optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
x = torch.randn(32, 8)
y = x.sum(1, keepdim=True)
for _ in range(5):
    optimizer.zero_grad()
    loss = nn.functional.mse_loss(net(x), y)
    loss.backward()
    optimizer.step()
