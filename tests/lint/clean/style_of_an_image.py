"""The input is what is optimized; the network is fixed, and in evaluation mode."""

import chainrule as torch
from chainrule import nn

torch.manual_seed(24)
net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3)).eval()
net.requires_grad_(False)
wanted = net(torch.rand(1, 1, 10, 10))
image = torch.rand(1, 1, 10, 10, requires_grad=True)
optimizer = torch.optim.Adam([image], lr=0.05)
for _ in range(10):
    optimizer.zero_grad()
    loss = nn.functional.mse_loss(net(image), wanted)
    loss.backward()
    optimizer.step()
    with torch.no_grad():
        image.clamp_(0, 1)
print(loss.item())
