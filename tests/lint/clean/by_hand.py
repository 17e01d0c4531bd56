"""A linear model by hand: .data, zero_() and no optimizer."""

import chainrule as torch

w = torch.tensor([1.0], requires_grad=True)
b = torch.zeros(1, requires_grad=True)
for _ in range(20):
    for x, y in [(1.0, 2.0), (2.0, 4.0), (3.0, 6.0)]:
        loss = (x * w + b - y) ** 2
        loss.backward()
        w.data = w.data - 0.01 * w.grad.data
        w.grad.data.zero_()
        with torch.no_grad():
            b -= 0.01 * b.grad
        b.grad = None
print(w.item(), b.item())
