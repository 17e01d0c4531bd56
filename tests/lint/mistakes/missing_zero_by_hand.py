"""missing zero_grad"""

import chainrule as torch

w = torch.tensor([1.0], requires_grad=True)
for _ in range(3):
    for x, y in [(1.0, 2.0), (2.0, 4.0), (3.0, 6.0)]:
        loss = (x * w - y) ** 2
        loss.backward()
        w.data = w.data - 0.01 * w.grad.data
