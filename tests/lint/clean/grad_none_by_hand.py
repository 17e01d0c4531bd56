"""A trainer with .grad = None by hand, and an evaluation under @torch.no_grad()."""

import chainrule as torch
from chainrule import nn


class Trainer:
    def __init__(self):
        torch.manual_seed(0)
        self.model = nn.Sequential(
            nn.Flatten(), nn.Linear(16, 24), nn.ReLU(), nn.Dropout(0.3), nn.Linear(24, 3)
        )
        self.opt = torch.optim.Adam(self.model.parameters(), lr=1e-3)
        self.losses = []

    def fit(self, x, y):
        for _ in range(6):
            self.model.train()
            epoch_loss = 0
            for i in range(0, 40, 10):
                for p in self.model.parameters():
                    p.grad = None
                loss = nn.functional.cross_entropy(self.model(x[i : i + 10]), y[i : i + 10])
                loss.backward()
                self.opt.step()
                epoch_loss += loss.detach()
            self.losses.append(epoch_loss / 4)
            self.evaluate(x, y)

    @torch.no_grad()
    def evaluate(self, x, y):
        self.model.eval()
        return (self.model(x).argmax(-1) == y).float().mean()


Trainer().fit(torch.randn(40, 4, 4), torch.randint(0, 3, (40,)))
