"""A compiled step inside of functions, mixed losses, gradients looked at."""

import chainrule as torch
from chainrule import nn


def main():
    torch.manual_seed(22)
    net = nn.Sequential(nn.Linear(7, 20), nn.SiLU(), nn.Linear(20, 1))
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)

    @torch.compile
    def step(x, y):
        optimizer.zero_grad()
        loss = nn.functional.huber_loss(net(x).squeeze(-1), y)
        loss.backward()
        optimizer.step()
        return loss

    losses = []
    for _ in range(12):
        x = torch.randn(16, 7)
        losses.append(step(x, x.sum(1)).item())
    print(sum(losses), max(float(p.grad.norm()) for p in net.parameters()))


main()
