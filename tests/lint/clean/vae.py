"""A variational autoencoder: noise, a KL term, binary cross-entropy with logits."""

import chainrule as torch
import chainrule.nn.functional as F
from chainrule import nn


class Vae(nn.Module):
    def __init__(self):
        super().__init__()
        self.enc = nn.Linear(36, 24)
        self.mu, self.logvar = nn.Linear(24, 3), nn.Linear(24, 3)
        self.dec = nn.Sequential(nn.Linear(3, 24), nn.ReLU(), nn.Linear(24, 36))

    def forward(self, x):
        h = F.relu(self.enc(x))
        mu, logvar = self.mu(h), self.logvar(h)
        z = mu + torch.randn_like(mu) * (0.5 * logvar).exp()
        return self.dec(z), mu, logvar


torch.manual_seed(17)
model = Vae()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
data = (torch.rand(50, 36) > 0.5).float()
for _ in range(8):
    logits, mu, logvar = model(data)
    rebuilt = F.binary_cross_entropy_with_logits(logits, data, reduction="sum")
    kl = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
    loss = (rebuilt + kl) / len(data)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print(loss.item())
