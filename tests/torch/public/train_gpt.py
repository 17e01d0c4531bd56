"""Train the GPT of the working directory's model.py on characters, then let it write.

python train_gpt.py TEXT STEPS
"""

import sys

import torch

sys.path.insert(0, "")
from model import GPT, GPTConfig

BATCH, BLOCK = 4, 32
with open(sys.argv[1]) as file:
    text = file.read()
characters = sorted(set(text))
number = {character: i for i, character in enumerate(characters)}
data = torch.tensor([number[character] for character in text[:20_000]])

torch.manual_seed(1337)
model = GPT(GPTConfig(BLOCK, len(characters), n_layer=2, n_head=2, n_embd=32, dropout=0.1))
optimizer = model.configure_optimizers(0.1, 1e-3, (0.9, 0.95), "cpu")
for _ in range(int(sys.argv[2])):
    starts = torch.randint(len(data) - BLOCK, (BATCH,))
    x = torch.stack([data[i : i + BLOCK] for i in starts])
    y = torch.stack([data[i + 1 : i + 1 + BLOCK] for i in starts])
    _, loss = model(x, y)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()

model.eval()
written = model.generate(torch.zeros((1, 1), dtype=torch.long), 60, temperature=0.8, top_k=20)
print("".join(characters[i] for i in written[0].tolist()))
