"""An LSTM over sequences, its last state classified."""

import chainrule as torch
from chainrule import nn


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(20, 8)
        self.lstm = nn.LSTM(8, 16, batch_first=True)
        self.out = nn.Linear(16, 2)

    def forward(self, tokens):
        _, (h, _) = self.lstm(self.embed(tokens))
        return self.out(h[-1])


torch.manual_seed(2)
tokens = torch.randint(0, 20, (24, 6))
labels = (tokens[:, 0] > 9).long()
net = Tagger()
optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
for _ in range(8):
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(net(tokens), labels)
    loss.backward()
    optimizer.step()
print(loss.item())
