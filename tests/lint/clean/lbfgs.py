"""LBFGS: the closure clears the gradients and is called several times in a step."""

import chainrule as torch
from chainrule import nn

torch.manual_seed(8)
t = torch.linspace(0, 3, 60).unsqueeze(1)
target = torch.sin(2 * t)
model = nn.Sequential(nn.Linear(1, 20), nn.Tanh(), nn.Linear(20, 1))
optimizer = torch.optim.LBFGS(model.parameters(), lr=0.8, max_iter=8)
for _ in range(5):

    def closure():
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(t), target)
        loss.backward()
        return loss

    last = optimizer.step(closure)
print(last.item())
