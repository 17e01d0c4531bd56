"""evaluation in training mode"""

import chainrule as torch
from chainrule import nn


class N(nn.Module):
    def __init__(s):
        super().__init__()
        s.c = nn.Conv2d(1, 4, 3)
        s.bn = nn.BatchNorm2d(4)
        s.f = nn.Linear(4 * 36, 3)

    def forward(s, x):
        return s.f(torch.relu(s.bn(s.c(x))).flatten(1))


def evaluate(m, x, y):
    with torch.no_grad():
        return (m(x).argmax(1) == y).float().mean().item()


def main():
    torch.manual_seed(0)
    m = N()
    o = torch.optim.SGD(m.parameters(), lr=0.1)
    x, y = torch.randn(20, 1, 8, 8), torch.randint(0, 3, (20,))
    for _ in range(3):
        o.zero_grad()
        nn.functional.cross_entropy(m(x), y).backward()
        o.step()
        print(evaluate(m, x, y))


main()
