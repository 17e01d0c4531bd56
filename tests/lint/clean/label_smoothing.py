"""Class weights and label smoothing; the logits are scaled by a temperature."""

import chainrule as torch
from chainrule import nn

torch.manual_seed(15)
features, head = nn.Linear(20, 32), nn.Linear(32, 6, bias=False)
temperature = 16.0
criterion = nn.CrossEntropyLoss(weight=torch.linspace(0.5, 1.5, 6), label_smoothing=0.1)
optimizer = torch.optim.SGD([*features.parameters(), *head.parameters()], lr=0.05, momentum=0.9)
x, y = torch.randn(48, 20), torch.randint(0, 6, (48,))
for _ in range(8):
    h = nn.functional.normalize(torch.relu(features(x)), dim=1)
    logits = temperature * torch.tanh(h @ nn.functional.normalize(head.weight, dim=1).t())
    loss = criterion(logits, y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print(loss.item())
