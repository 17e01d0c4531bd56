"""MNIST with two layers: 60,000 handwritten digits to learn from, 10,000 to be examined on.

    h = relu(W1 x + b1)   x: 784 pixels, h: 256
    z = W2 h + b2         z: 10 scores;  p(digit) = softmax(z)
    loss = -log p(the right digit), the mean over a batch of 128

Three epochs reach 97 % and more on the digits that were held out.  `--data` names the folder with
the four original files, gzipped or not (train-images-idx3-ubyte.gz and so on).
"""

import argparse
import time
from pathlib import Path

import chainrule as torch
from chainrule import nn
from chainrule.data import MNIST, DataLoader, TensorDataset


def network():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))


@torch.no_grad()
def accuracy(net, digits):
    """The part of the digits that the network names rightly."""
    net.eval()
    batches = DataLoader(digits, batch_size=500)
    right = sum((net(x).argmax(1) == y).sum().item() for x, y in batches)
    net.train()
    return right / len(digits)


def train(net, given, rate):
    """Adam with a rate that falls to zero; an examination after each epoch."""
    digits, held_out = MNIST(given.data, train=True), MNIST(given.data, train=False)
    seen = TensorDataset(digits.images[: given.limit], digits.labels[: given.limit])
    batches = DataLoader(seen, batch_size=128, shuffle=True, drop_last=True)
    optimizer = torch.optim.Adam(net.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, given.epochs * len(batches))
    print(f"{sum(p.numel() for p in net.parameters()):,} parameters, {len(seen):,} digits")
    start = time.perf_counter()
    for epoch in range(1, given.epochs + 1):
        total = 0.0
        for x, y in batches:
            loss = nn.functional.cross_entropy(net(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        print(
            f"epoch {epoch}   loss {total / len(batches):.4f}   "
            f"accuracy {accuracy(net, held_out):.2%}   {time.perf_counter() - start:.0f} s",
            flush=True,
        )


def arguments(description, epochs):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", type=Path, required=True, help="folder of the MNIST files")
    parser.add_argument("--epochs", type=int, default=epochs)
    parser.add_argument("--limit", type=int, help="learn from so many digits only")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    given = arguments("MNIST with two layers.", epochs=3)
    torch.manual_seed(given.seed)
    train(network(), given, rate=0.005)
