"""Proximal policy optimization."""

import chainrule as torch
from chainrule import nn
from chainrule.distributions import Categorical

torch.manual_seed(0)


class AC(nn.Module):
    def __init__(self):
        super().__init__()
        self.actor = nn.Sequential(nn.Linear(4, 32), nn.Tanh(), nn.Linear(32, 2))
        self.critic = nn.Sequential(nn.Linear(4, 32), nn.Tanh(), nn.Linear(32, 1))


ac = AC()
opt = torch.optim.Adam(ac.parameters(), lr=3e-4, eps=1e-5)
for _ in range(3):
    S, A, LP, V, R = [], [], [], [], []
    for _ in range(20):
        s = torch.randn(4)
        with torch.no_grad():
            d = Categorical(logits=ac.actor(s))
            a = d.sample()
            LP.append(d.log_prob(a))
            V.append(ac.critic(s).squeeze())
        S.append(s)
        A.append(a)
        R.append(torch.tensor(float(a)))
    S, A, LP, V, R = map(torch.stack, (S, A, LP, V, R))
    adv = R - V
    adv = (adv - adv.mean()) / (adv.std() + 1e-8)
    for _ in range(4):
        idx = torch.randperm(20)[:10]
        d = Categorical(logits=ac.actor(S[idx]))
        ratio = (d.log_prob(A[idx]) - LP[idx]).exp()
        pg = -torch.min(ratio * adv[idx], ratio.clamp(0.8, 1.2) * adv[idx]).mean()
        vl = 0.5 * ((ac.critic(S[idx]).view(-1) - R[idx]) ** 2).mean()
        loss = pg + vl - 0.01 * d.entropy().mean()
        opt.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(ac.parameters(), 0.5)
        opt.step()
