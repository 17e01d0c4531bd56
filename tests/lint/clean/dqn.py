"""Q-learning with a target network that is copied now and then."""

import random

import chainrule as torch
from chainrule import nn

torch.manual_seed(19)
random.seed(19)
q = nn.Sequential(nn.Linear(4, 24), nn.ReLU(), nn.Linear(24, 2))
target = nn.Sequential(nn.Linear(4, 24), nn.ReLU(), nn.Linear(24, 2))
target.load_state_dict(q.state_dict())
optimizer = torch.optim.Adam(q.parameters(), lr=1e-3)
memory = []
state = torch.randn(4)
for step in range(30):
    with torch.no_grad():
        action = int(q(state).argmax()) if random.random() > 0.3 else random.randrange(2)
    after = torch.randn(4)
    memory.append((state, action, float(state[0] > 0), after))
    state = after
    if len(memory) >= 16:
        batch = random.sample(memory, 16)
        states = torch.stack([b[0] for b in batch])
        actions = torch.tensor([b[1] for b in batch])
        rewards = torch.tensor([b[2] for b in batch])
        with torch.no_grad():
            best = target(torch.stack([b[3] for b in batch])).max(1).values
        taken = q(states).gather(1, actions.unsqueeze(1)).squeeze(1)
        loss = nn.functional.smooth_l1_loss(taken, rewards + 0.9 * best)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    if step % 10 == 0:
        target.load_state_dict(q.state_dict())
print(loss.item())
