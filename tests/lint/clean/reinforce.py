"""REINFORCE: log-probabilities are collected for an episode, and cleared after the update."""

import chainrule as torch
from chainrule import nn
from chainrule.distributions import Categorical

torch.manual_seed(5)


class Policy(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 2))
        self.saved, self.rewards = [], []

    def forward(self, x):
        return torch.softmax(self.layers(x), dim=-1)


policy = Policy()
optimizer = torch.optim.Adam(policy.parameters(), lr=1e-2)
for _ in range(8):
    state = torch.randn(4)
    for _ in range(10):
        m = Categorical(policy(state))
        action = m.sample()
        policy.saved.append(m.log_prob(action))
        policy.rewards.append(float(action.item() == int(state[0] > 0)))
        state = torch.randn(4)
    returns, total = [], 0.0
    for r in reversed(policy.rewards):
        total = r + 0.9 * total
        returns.insert(0, total)
    weights = torch.tensor(returns)
    weights = (weights - weights.mean()) / (weights.std() + 1e-8)
    loss = torch.stack([-p * w for p, w in zip(policy.saved, weights)]).sum()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    del policy.saved[:], policy.rewards[:]
print(loss.item())
