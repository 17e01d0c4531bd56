"""unused parameters / parameters without an optimizer"""

import chainrule as torch
from chainrule import nn


def main():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 100))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    net[2] = nn.Linear(16, 3)
    x, y = torch.randn(20, 6), torch.randint(0, 3, (20,))
    for _ in range(4):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()


main()
