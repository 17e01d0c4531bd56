"""gradient cut off"""

import chainrule as torch
from chainrule import nn

torch.manual_seed(0)
router, experts = nn.Linear(6, 4), nn.Parameter(torch.randn(4, 6))
optimizer = torch.optim.Adam([*router.parameters(), experts], lr=0.01)
x = torch.randn(20, 6)
for _ in range(4):
    optimizer.zero_grad()
    chosen = router(x).argmax(dim=1)
    loss = nn.functional.mse_loss((experts[chosen] * x).sum(1), x[:, 0])
    loss.backward()
    optimizer.step()
