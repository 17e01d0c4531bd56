"""broadcast loss"""

import chainrule as torch
from chainrule import nn
from chainrule.distributions import Normal

torch.manual_seed(0)
policy = nn.Linear(6, 1)
optimizer = torch.optim.SGD(policy.parameters(), lr=0.01)
states, actions, advantages = torch.randn(20, 6), torch.randn(20, 1), torch.randn(20)
for _ in range(4):
    optimizer.zero_grad()
    log_p = Normal(policy(states), 1.0).log_prob(actions)
    loss = -(log_p * advantages).mean()
    loss.backward()
    optimizer.step()
