"""graphs kept in a list"""

import chainrule as torch
from chainrule import nn


class Trainer:
    def __init__(self):
        self.net = nn.Linear(6, 3)
        self.optimizer = torch.optim.SGD(self.net.parameters(), lr=0.1)
        self.history = {"loss": []}

    def step(self, x, y):
        self.optimizer.zero_grad()
        loss = nn.functional.cross_entropy(self.net(x), y)
        loss.backward()
        self.optimizer.step()
        self.history["loss"].append(loss)


torch.manual_seed(0)
trainer = Trainer()
x, y = torch.randn(20, 6), torch.randint(0, 3, (20,))
for _ in range(14):
    trainer.step(x, y)
