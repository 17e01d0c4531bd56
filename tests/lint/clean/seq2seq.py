"""Translation with teacher forcing."""

import random

import chainrule as torch
from chainrule import nn

torch.manual_seed(0)
random.seed(0)
enc, dec, emb, out = nn.GRU(8, 16), nn.GRUCell(8, 16), nn.Embedding(10, 8), nn.Linear(16, 10)
params = [p for m in (enc, dec, emb, out) for p in m.parameters()]
opt = torch.optim.Adam(params, lr=1e-3)
crit = nn.NLLLoss(ignore_index=0)
for _ in range(6):
    src, tgt = torch.randint(1, 10, (5, 4)), torch.randint(0, 10, (5, 4))
    _, h = enc(emb(src))
    h = h[0]
    tok = torch.ones(4).long()
    loss = 0
    for t in range(5):
        h = dec(emb(tok), h)
        logp = nn.functional.log_softmax(out(h), dim=1)
        loss += crit(logp, tgt[t])
        tok = tgt[t] if random.random() < 0.5 else logp.argmax(1).detach()
    opt.zero_grad()
    loss.backward()
    opt.step()
