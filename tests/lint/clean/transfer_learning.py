"""A frozen backbone in evaluation mode, and a new head that is trained."""

import chainrule as torch
from chainrule import nn

torch.manual_seed(7)
backbone = nn.Sequential(nn.Linear(16, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.5))
for p in backbone.parameters():
    p.requires_grad = False
backbone.eval()
model = nn.Sequential(backbone, nn.Linear(32, 5))
optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
x, y = torch.randn(30, 16), torch.randint(0, 5, (30,))
for _ in range(8):
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()
model.eval()
with torch.inference_mode():
    print(loss.item(), model(x).argmax(1).tolist()[:3])
