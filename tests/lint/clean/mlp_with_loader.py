"""A classifier, a DataLoader, an evaluation after every epoch."""

import chainrule as torch
from chainrule import nn
from chainrule.data import DataLoader, TensorDataset

torch.manual_seed(0)
x = torch.randn(120, 8)
y = (x[:, 0] > 0).long() + (x[:, 1] > 0).long()
train = DataLoader(TensorDataset(x[:100], y[:100]), batch_size=20, shuffle=True)
model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 3))
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
criterion = nn.CrossEntropyLoss()
history = []
for _ in range(4):
    model.train()
    running = 0.0
    for inputs, labels in train:
        optimizer.zero_grad()
        loss = criterion(model(inputs), labels)
        loss.backward()
        optimizer.step()
        running += loss.item() * len(inputs)
    history.append(running / 100)
    model.eval()
    with torch.no_grad():
        accuracy = (model(x[100:]).argmax(1) == y[100:]).float().mean().item()
print(history, accuracy)
