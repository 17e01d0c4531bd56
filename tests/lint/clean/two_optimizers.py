"""Two optimizers for one network, and a GradScaler."""

import chainrule as torch
from chainrule import nn

torch.manual_seed(0)
net = nn.Module()
net.body = nn.Linear(6, 16)
net.head = nn.Linear(16, 3)
o1 = torch.optim.SGD(net.body.parameters(), lr=0.01)
o2 = torch.optim.Adam(net.head.parameters(), lr=0.001)
scaler = torch.amp.GradScaler()
x, y = torch.randn(40, 6), torch.randint(0, 3, (40,))
for _ in range(8):
    loss = nn.functional.cross_entropy(net.head(torch.tanh(net.body(x))), y)
    net.zero_grad()
    scaler.scale(loss).backward()
    scaler.step(o1)
    scaler.step(o2)
    scaler.update()
