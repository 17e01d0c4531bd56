"""a graph across steps"""

import chainrule as torch
from chainrule import nn

torch.manual_seed(0)
r = nn.LSTM(3, 8)
f = nn.Linear(8, 1)
o = torch.optim.Adam([*r.parameters(), *f.parameters()])
st = None
for _ in range(6):
    x = torch.randn(5, 2, 3)
    out, st = r(x, st)
    l = (f(out) - 1).pow(2).mean()
    o.zero_grad()
    l.backward(retain_graph=True)
    o.step()
