"""A character language model: read a text letter by letter, guess the next one, be corrected.

    e_t = E[c_t]                        a vector for each character
    h_t = GRU(e_t, h_(t-1))             what has been read, in 128 numbers
    p(c_(t+1) | c_1 .. c_t) = softmax(W h_t + b)
    loss = mean of -log p(c_(t+1))      e^loss: among how many characters it hesitates

Training is back-propagation through time: the graph of one step is as long as the piece of text.
Without --data it learns the short text below by heart; any text file will do.
"""

import argparse
import math
import time
from pathlib import Path

import chainrule as torch
from chainrule import nn

TEXT = """
A gate computes its output and knows its own slope.
The slope of a chain is the product of the slopes of its links.
Where one value goes two ways, what comes back is added.
Walk forward for the values, walk backward for the gradients.
Whoever knows this rule can teach a machine to read.
"""


class Reader(nn.Module):
    def __init__(self, characters, width):
        super().__init__()
        self.embedding = nn.Embedding(characters, width)
        self.gru = nn.GRU(width, width, batch_first=True)
        self.head = nn.Linear(width, characters)

    def forward(self, text, state=None):
        x = self.embedding(text)  # (B, T) -> (B, T, width)
        x, state = self.gru(x, state)  # (B, T, width), (1, B, width)
        return self.head(x), state  # (B, T, characters)


def batch(text, size, length):
    """Random pieces of the text, and the same pieces one character further on."""
    starts = torch.randint(0, len(text) - length, (size,)).tolist()
    pieces = torch.stack([text[i : i + length + 1] for i in starts])  # (B, T + 1)
    return pieces[:, :-1], pieces[:, 1:]


@torch.no_grad()
def write(reader, alphabet, start, length, temperature=0.7):
    """Let the model go on writing: draw a character, feed it back in."""
    codes = torch.tensor([[alphabet.index(c) for c in start]])  # (1, T)
    text, state = start, None
    for _ in range(length):
        scores, state = reader(codes, state)
        p = torch.softmax(scores[0, -1] / temperature, dim=0)  # (characters,)
        codes = torch.multinomial(p, 1).view(1, 1)
        text += alphabet[codes.item()]
    return text


def main():
    parser = argparse.ArgumentParser(description="A GRU learns to write.")
    parser.add_argument("--data", type=Path, help="a text file")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--length", type=int, default=32, help="characters of one piece")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.manual_seed(given.seed)

    written = given.data.read_text(encoding="utf-8") if given.data else TEXT
    alphabet = sorted(set(written))
    code = {c: i for i, c in enumerate(alphabet)}
    text = torch.tensor([code[c] for c in written])
    reader = Reader(len(alphabet), given.width)
    print(f"{len(text):,} characters, {len(alphabet)} different; guessing blindly costs "
          f"log {len(alphabet)} = {math.log(len(alphabet)):.3f} each")

    optimizer = torch.optim.Adam(reader.parameters(), lr=0.005)
    start = time.perf_counter()
    for step in range(1, given.steps + 1):
        inputs, targets = batch(text, 16, given.length)
        scores, _ = reader(inputs)
        loss = nn.functional.cross_entropy(scores.flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(reader.parameters(), 1.0)
        optimizer.step()
        if step == 1 or step % 50 == 0:
            seconds = time.perf_counter() - start
            print(f"step {step:5d}   loss {loss.item():.3f}   {seconds:6.1f} s")
    print("\nIt writes:\n" + write(reader, alphabet, written[:1], 200))


if __name__ == "__main__":
    main()
