"""parameters without an optimizer"""

import chainrule as torch
from chainrule import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 16), nn.ReLU())
        self.head = nn.Linear(16, 3)

    def forward(self, x):
        return self.head(self.body(x))


torch.manual_seed(0)
net = Net()
optimizer = torch.optim.SGD(net.body.parameters(), lr=0.1)
x, y = torch.randn(20, 6), torch.randint(0, 3, (20,))
for _ in range(5):
    net.zero_grad()
    loss = nn.functional.cross_entropy(net(x), y)
    loss.backward()
    optimizer.step()
