"""An exponential moving average of the weights, evaluated beside the model."""

import copy

import chainrule as torch
from chainrule import nn

torch.manual_seed(12)
model = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 4))
average = copy.deepcopy(model).eval()
for p in average.parameters():
    p.requires_grad_(False)
optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-3)
x, y = torch.randn(64, 10), torch.randint(0, 4, (64,))
for _ in range(10):
    loss = nn.functional.cross_entropy(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    with torch.no_grad():
        for slow, fast in zip(average.parameters(), model.parameters()):
            slow.mul_(0.99).add_(fast, alpha=0.01)
with torch.no_grad():
    print(nn.functional.cross_entropy(average(x), y).item())
