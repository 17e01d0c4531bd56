"""A teacher in training mode under no_grad(), whose noisy values are the student's targets."""

import copy

import chainrule as torch
from chainrule import nn

torch.manual_seed(20)
student = nn.Sequential(nn.Linear(6, 24), nn.ReLU(), nn.Dropout(0.3), nn.Linear(24, 3))
teacher = copy.deepcopy(student)
optimizer = torch.optim.Adam(student.parameters(), lr=1e-3)
x, y = torch.randn(30, 6), torch.randint(0, 3, (30,))
for _ in range(8):
    with torch.no_grad():
        wanted = torch.softmax(teacher(x + 0.1 * torch.randn(30, 6)), dim=1)
    logits = student(x)
    consistency = nn.functional.kl_div(
        torch.log_softmax(logits, dim=1), wanted, reduction="batchmean")
    loss = nn.functional.cross_entropy(logits, y) + consistency
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    with torch.no_grad():
        for slow, fast in zip(teacher.parameters(), student.parameters()):
            slow.copy_(0.9 * slow + 0.1 * fast)
print(loss.item())
