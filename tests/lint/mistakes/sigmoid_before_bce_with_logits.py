"""sigmoid before binary_cross_entropy_with_logits"""

import chainrule as torch
from chainrule import nn

torch.manual_seed(0)
net = nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 1))
optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
x = torch.randn(20, 6)
y = (x[:, :1] > 0).float()
for _ in range(4):
    optimizer.zero_grad()
    loss = nn.BCEWithLogitsLoss()(torch.sigmoid(net(x)), y)
    loss.backward()
    optimizer.step()
