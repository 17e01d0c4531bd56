"""`chainrule demo`: watch a small network learn real scanned digits by back-propagation.

The data are the 1,797 digits that scikit-learn carries: 8 x 8 pixels each, scanned from forms that
43 people filled in.  360 of them are held out; the network never sees these while it learns.

    x (8 x 8)  ->  h = relu(W1 x + b1)  ->  z = W2 h + b2  ->  loss = cross_entropy(z, y)

Every step computes the loss of 32 digits, walks the graph of that computation backward for the
gradient of the loss with respect to W1, b1, W2, b2, and moves each of them a little against it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import chainrule as torch
from chainrule import nn
from chainrule.data import DataLoader, TensorDataset
from chainrule.view import draw, draw_curve, snapshot
from chainrule.view.report import Report, log

HELD_OUT = 360
BATCH = 32


class Net(nn.Module):
    def __init__(self, hidden: int = 256):
        super().__init__()
        self.fc1 = nn.Linear(64, hidden)
        self.dropout = nn.Dropout(0.3)
        self.fc2 = nn.Linear(hidden, 10)

    def forward(self, x):
        x = x.flatten(1)  # (B, 8, 8) -> (B, 64)
        x = torch.relu(self.fc1(x))  # (B, hidden)
        return self.fc2(self.dropout(x))  # (B, 10), one score for each digit


def load() -> tuple[TensorDataset, TensorDataset]:
    """The digits to learn from and the digits held out, pixels between 0 and 1."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise SystemExit(
            "The demo learns the digits that scikit-learn carries, and it is not installed.\n"
            "Install it with:  pip install 'chainrule[demo]'"
        ) from None
    digits = load_digits()
    x = torch.tensor(digits.images, dtype=torch.float32) / 16
    y = torch.tensor(digits.target)
    order = torch.randperm(len(x))
    held_out, train = order[:HELD_OUT], order[HELD_OUT:]
    return TensorDataset(x[train], y[train]), TensorDataset(x[held_out], y[held_out])


@torch.no_grad()
def examine(net: Net, digits: TensorDataset) -> tuple[float, float]:
    """Loss and accuracy on digits that are only looked at."""
    x, y = digits.tensors
    net.eval()  # dropout rests
    scores = net(x)
    net.train()
    right = (scores.argmax(1) == y).float().mean()
    return nn.functional.cross_entropy(scores, y).item(), right.item()


def train(net: Net, digits: TensorDataset, held_out: TensorDataset, epochs: int):
    """Train with Adam, its rate falling to zero; returns both loss curves and the last batch."""
    batches = DataLoader(digits, batch_size=BATCH, shuffle=True, drop_last=True)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.003)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    curve: list[tuple[float, float]] = []
    held_out_curve: list[tuple[float, float]] = []
    with progress(epochs) as show:
        for epoch in range(1, epochs + 1):
            start = time.perf_counter()
            for x, y in batches:
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(net(x), y)
                loss.backward()
                optimizer.step()
                curve.append((len(curve) / len(batches), loss.item()))
            schedule.step()
            speed = BATCH * len(batches) / (time.perf_counter() - start)
            test_loss, accuracy = examine(net, held_out)
            held_out_curve.append((epoch, test_loss))
            log(accuracy=accuracy, held_out_loss=test_loss)
            show(epoch, loss=curve[-1][1], accuracy=accuracy, speed=speed)
    return {"learned from": curve, "held out": held_out_curve}, (x, y)


@contextmanager
def progress(epochs: int) -> Iterator:
    """A progress bar on a terminal, a line for every fifth epoch anywhere else."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    console = Console()
    facts = "loss {loss:.4f}   accuracy {accuracy:6.2%}   {speed:7,.0f} samples/s"
    if not console.is_terminal:

        def show(epoch: int, **now: float) -> None:
            if epoch % 5 == 0 or epoch in (1, epochs):
                print(f"epoch {epoch:3d}   {facts.format(**now)}", flush=True)

        yield show
        return
    columns = [TextColumn("epoch {task.completed}/{task.total}"), BarColumn(bar_width=14)]
    with Progress(*columns, TextColumn("{task.description}"), console=console) as bar:
        task = bar.add_task("", total=epochs)

        def show(epoch: int, **now: float) -> None:
            bar.update(task, completed=epoch, description=facts.format(**now))

        yield show


def pictures(net: Net, x: torch.Tensor, y: torch.Tensor, folder: Path) -> None:
    """Draw one step's graph, forward and backward: layer by layer, and op by op."""
    loss = nn.functional.cross_entropy(net(x), y)
    draw(loss, folder / "layers.svg", title="One training step, layer by layer")
    draw(loss, folder / "graph.svg", title="One training step, op by op", depth=99)
    snapshot(loss, title="One training step").save(folder / "graph.html")


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="chainrule demo", description="Watch a network learn real scanned digits."
    )
    parser.add_argument("--out", type=Path, default=Path("chainrule-demo"), help="for the pictures")
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    given = arguments(argv)
    torch.manual_seed(given.seed)
    digits, held_out = load()
    net = Net()
    print(f"{len(digits):,} scanned digits to learn from, {len(held_out)} held out")
    print(f"a network of {sum(p.numel() for p in net.parameters()):,} parameters: 64 - 256 - 10\n")

    start = time.perf_counter()
    with Report(given.out / "report.html", title="Learning scanned digits", events=False):
        curves, (x, y) = train(net, digits, held_out, given.epochs)
    seconds = time.perf_counter() - start
    _, accuracy = examine(net, held_out)
    wrong = round((1 - accuracy) * len(held_out))
    print(f"\n{accuracy:.2%} of the held-out digits right ({wrong} wrong) after {seconds:.1f} s")

    pictures(net, x, y, given.out)
    draw_curve(
        curves, given.out / "loss.svg", title="Loss while learning scanned digits", x_label="epoch"
    )
    print("The graph of a step, every value and gradient:", given.out / "graph.svg")
    print("The same, layer by layer:                     ", given.out / "layers.svg")
    print("The same, to unfold, search and step through: ", given.out / "graph.html")
    print("The loss curve:                               ", given.out / "loss.svg")
    print("Loss, gradients and updates, layer by layer:  ", given.out / "report.html")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
