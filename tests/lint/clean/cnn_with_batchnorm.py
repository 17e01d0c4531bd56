"""A convolutional network with batch normalisation, train() and eval()."""

import chainrule as torch
import chainrule.nn.functional as F
from chainrule import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 16, 3, padding=1)
        self.drop = nn.Dropout2d(0.25)
        self.fc = nn.Linear(16 * 2 * 2, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return F.log_softmax(self.fc(torch.flatten(self.drop(x), 1)), dim=1)


torch.manual_seed(1)
x, y = torch.rand(32, 1, 8, 8), torch.randint(0, 10, (32,))
net = Net()
optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, nesterov=True)
for _ in range(6):
    net.train()
    optimizer.zero_grad()
    loss = F.nll_loss(net(x), y)
    loss.backward()
    optimizer.step()
    net.eval()
    with torch.no_grad():
        test = F.nll_loss(net(x), y, reduction="sum").item()
print(test)
