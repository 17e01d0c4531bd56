"""An own autograd.Function: a step whose gradient is passed straight through."""

import chainrule as torch
from chainrule import nn


class Step(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return (x > 0).float()

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * (x.abs() < 2).float()


torch.manual_seed(10)
first, second = nn.Linear(6, 24), nn.Linear(24, 1)
optimizer = torch.optim.SGD([*first.parameters(), *second.parameters()], lr=0.05)
x = torch.randn(40, 6)
y = (x[:, :1] * x[:, 1:2] > 0).float()
for _ in range(10):
    out = second(Step.apply(first(x)))
    loss = nn.functional.binary_cross_entropy_with_logits(out, y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print(loss.item())
