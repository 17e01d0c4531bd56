"""missing step"""

import chainrule as torch
from chainrule import nn


def main():
    torch.manual_seed(0)
    model = nn.Linear(4, 2)
    optimizer = torch.optim.Adam(model.parameters())
    x, y = torch.randn(10, 4), torch.randint(0, 2, (10,))
    for _ in range(6):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()


main()
