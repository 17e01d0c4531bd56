"""softmax before cross_entropy"""

import chainrule as torch
from chainrule import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, 4, 3), nn.Linear(4 * 36, 10)

    def forward(self, x):
        x = torch.relu(self.conv(x)).flatten(1)
        return nn.functional.softmax(self.fc(x), dim=1)


torch.manual_seed(0)
net = Net()
optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
x, y = torch.rand(16, 1, 8, 8), torch.randint(0, 10, (16,))
for _ in range(4):
    optimizer.zero_grad()
    nn.CrossEntropyLoss()(net(x), y).backward()
    optimizer.step()
