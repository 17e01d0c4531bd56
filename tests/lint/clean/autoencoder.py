"""An autoencoder of images in [0, 1]: a sigmoid at the end, a mean square error."""

import chainrule as torch
from chainrule import nn

torch.manual_seed(6)
encoder = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 4))
decoder = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 64), nn.Sigmoid())
params = list(encoder.parameters()) + list(decoder.parameters())
optimizer = torch.optim.AdamW(params, lr=3e-3, weight_decay=1e-4)
images = torch.rand(40, 64)
for _ in range(10):
    batch = images[torch.randperm(40)[:20]]
    loss = nn.functional.mse_loss(decoder(encoder(batch)), batch)
    optimizer.zero_grad(set_to_none=False)
    loss.backward()
    optimizer.step()
print(loss.item())
