"""evaluation in training mode"""

import chainrule as torch
from chainrule import nn

torch.manual_seed(0)
net = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 3))
optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
x, y = torch.randn(40, 6), torch.randint(0, 3, (40,))
for _ in range(4):
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(net(x[:30]), y[:30])
    loss.backward()
    optimizer.step()
    with torch.no_grad():
        accuracy = (net(x[30:]).argmax(1) == y[30:]).float().mean().item()
