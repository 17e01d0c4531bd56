"""training in evaluation mode"""

import chainrule as torch
from chainrule import nn

torch.manual_seed(0)
net = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3))
optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
x, y = torch.randn(40, 6), torch.randint(0, 3, (40,))
net.train()
for _ in range(5):
    for i in range(0, 30, 10):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(x[i : i + 10]), y[i : i + 10])
        loss.backward()
        optimizer.step()
    net.eval()
    with torch.no_grad():
        accuracy = (net(x[30:]).argmax(1) == y[30:]).float().mean().item()
