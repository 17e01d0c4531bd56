"""exploding gradients"""

import chainrule as torch
from chainrule import nn

torch.manual_seed(0)
layers = [nn.Linear(32, 32, bias=False) for _ in range(11)]
for layer in layers:
    nn.init.normal_(layer.weight, std=2.0)
net = nn.Sequential(*[m for layer in layers for m in (layer, nn.ReLU())], nn.Linear(32, 1))
optimizer = torch.optim.SGD(net.parameters(), lr=1e-13)
x, y = torch.randn(16, 32), torch.zeros(16, 1)
for _ in range(5):
    optimizer.zero_grad()
    loss = nn.functional.l1_loss(net(x), y)
    loss.backward()
    optimizer.step()
