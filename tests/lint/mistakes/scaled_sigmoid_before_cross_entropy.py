"""sigmoid before cross_entropy"""

import chainrule as torch
from chainrule import nn

torch.manual_seed(3)


class N(nn.Module):
    def __init__(s):
        super().__init__()
        s.a = nn.Linear(4, 8)
        s.b = nn.Linear(8, 5)

    def forward(s, x):
        return 2 * torch.sigmoid(s.b(torch.relu(s.a(x)))) - 1


n = N()
o = torch.optim.Adam(n.parameters())
for _ in range(5):
    o.zero_grad()
    nn.CrossEntropyLoss(label_smoothing=0.1)(
        n(torch.randn(8, 4)), torch.randint(0, 5, (8,))
    ).backward()
    o.step()
