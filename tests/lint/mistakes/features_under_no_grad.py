"""gradient cut off"""

import chainrule as torch
from chainrule import nn

torch.manual_seed(0)
encoder, decoder = nn.Linear(6, 3), nn.Linear(3, 6)
optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=0.01)
x = torch.randn(20, 6)
for _ in range(4):
    optimizer.zero_grad()
    with torch.no_grad():
        code = encoder(x)
    loss = nn.functional.mse_loss(decoder(code), x)
    loss.backward()
    optimizer.step()
