"""kl_div without log-probabilities"""

import chainrule as torch
from chainrule import nn

torch.manual_seed(0)
teacher, student = nn.Linear(6, 3), nn.Linear(6, 3)
optimizer = torch.optim.SGD(student.parameters(), lr=0.1)
x = torch.randn(20, 6)
for _ in range(4):
    with torch.no_grad():
        wanted = torch.softmax(teacher(x), dim=1)
    optimizer.zero_grad()
    loss = nn.functional.kl_div(torch.softmax(student(x), dim=1), wanted, reduction="batchmean")
    loss.backward()
    optimizer.step()
