"""Twelve training steps, from a single weight to ResNet-18, and one measurement of one of them.

    python benchmarks/workloads.py BACKEND WORKLOAD [--threads N] [--budget SECONDS]

BACKEND is torch, torch-compile, jax, chainrule or chainrule-compile.  A step is zero_grad,
forward, backward, update and `loss.item()`.  Runs in this process and prints one JSON line:
minimum and median microseconds of a step, seconds from the start of the process to the first
loss, seconds that compilation took, peak resident memory, and the first losses.

Every workload is an ordinary PyTorch program; `torch` below is PyTorch or chainrule.  The same
mathematics for JAX stands in workloads_jax.py.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import common

WARM = 6  # steps before the clock counts: a step may be compiled at its second or third sight
MOST = 2_000


@dataclass
class Training:
    """What makes a step: parameters, an optimizer of them, a loss; gradients may be clipped."""

    parameters: Sequence[Any]
    optimizer: Any
    loss: Callable[[], Any]
    clip: float | None = None


def mlp(torch, batch: int, widths: Sequence[int]) -> Training:
    nn = torch.nn
    layers = []
    for n, m in zip(widths, widths[1:]):
        layers += [nn.Linear(n, m), nn.Sigmoid()]
    net = nn.Sequential(*layers[:-1])
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    x = torch.rand(batch, widths[0])
    if widths[-1] == 1:
        y, criterion = torch.rand(batch, 1), nn.MSELoss()
    else:
        y, criterion = torch.randint(0, widths[-1], (batch,)), nn.CrossEntropyLoss()
    return Training(list(net.parameters()), optimizer, lambda: criterion(net(x), y))


def mnist_cnn(torch) -> Training:
    nn, F = torch.nn, torch.nn.functional

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.conv2 = nn.Conv2d(1, 32, 3, 1), nn.Conv2d(32, 64, 3, 1)
            self.fc1, self.fc2 = nn.Linear(9216, 128), nn.Linear(128, 10)

        def forward(self, x):  # (64, 1, 28, 28)
            x = F.relu(self.conv2(F.relu(self.conv1(x))))  # (64, 64, 24, 24)
            x = torch.flatten(F.max_pool2d(x, 2), 1)  # (64, 9216)
            return F.log_softmax(self.fc2(F.relu(self.fc1(x))), dim=1)

    net = Net()
    optimizer = torch.optim.Adadelta(net.parameters(), lr=1.0)
    x, y = torch.rand(64, 1, 28, 28), torch.randint(0, 10, (64,))
    return Training(list(net.parameters()), optimizer, lambda: F.nll_loss(net(x), y))


# (channels in, channels out, stride) of the eight blocks
RESNET18 = ((64, 64, 1), (64, 64, 1), (64, 128, 2), (128, 128, 1),
            (128, 256, 2), (256, 256, 1), (256, 512, 2), (512, 512, 1))


def resnet18(torch) -> Training:
    nn, F = torch.nn, torch.nn.functional

    class Block(nn.Module):
        def __init__(self, n, m, stride):
            super().__init__()
            self.conv1 = nn.Conv2d(n, m, 3, stride, 1, bias=False)
            self.conv2 = nn.Conv2d(m, m, 3, 1, 1, bias=False)
            self.norm1, self.norm2 = nn.BatchNorm2d(m), nn.BatchNorm2d(m)
            self.shortcut = nn.Identity()
            if (n, stride) != (m, 1):
                down = nn.Conv2d(n, m, 1, stride, bias=False)
                self.shortcut = nn.Sequential(down, nn.BatchNorm2d(m))

        def forward(self, x):
            y = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
            return F.relu(y + self.shortcut(x))

    stem = nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10)
    net = nn.Sequential(*stem, *(Block(*shape) for shape in RESNET18), *head)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    x, y = torch.rand(32, 3, 32, 32), torch.randint(0, 10, (32,))
    return Training(list(net.parameters()), optimizer, lambda: F.cross_entropy(net(x), y))


def pinn(torch) -> Training:
    """Burgers' equation u_t + u u_x = (0.01 / pi) u_xx at 1000 points, from a tanh network."""
    nn, grad = torch.nn, torch.autograd.grad
    net = nn.Sequential(nn.Linear(2, 50), nn.Tanh(), nn.Linear(50, 50), nn.Tanh(),
                        nn.Linear(50, 50), nn.Tanh(), nn.Linear(50, 1))
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    xt = torch.rand(1000, 2, requires_grad=True)

    def loss():
        u = net(xt)  # (1000, 1)
        du = grad(u.sum(), xt, create_graph=True)[0]  # (1000, 2)
        u_x, u_t = du[:, 0], du[:, 1]
        u_xx = grad(u_x.sum(), xt, create_graph=True)[0][:, 0]
        return ((u_t + u[:, 0] * u_x - 0.01 / math.pi * u_xx) ** 2).mean()

    return Training(list(net.parameters()), optimizer, loss)


def lstm(torch) -> Training:
    nn, F = torch.nn, torch.nn.functional
    cell, head = nn.LSTM(32, 64, batch_first=True), nn.Linear(64, 1)
    parameters = [*cell.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=1e-3)
    x, y = torch.rand(16, 50, 32), torch.rand(16, 1)
    return Training(parameters, optimizer, lambda: F.mse_loss(head(cell(x)[0][:, -1]), y))


def node(torch) -> Training:
    """A neural ODE y' = f(y^3), twenty steps of Runge-Kutta of order four."""
    nn, h = torch.nn, 0.05
    f = nn.Sequential(nn.Linear(2, 50), nn.Tanh(), nn.Linear(50, 2))
    optimizer = torch.optim.RMSprop(f.parameters(), lr=1e-3)
    start, end = torch.rand(20, 2), torch.rand(20, 2)

    def loss():
        y = start
        for _ in range(20):
            k1 = f(y**3)
            k2 = f((y + h / 2 * k1) ** 3)
            k3 = f((y + h / 2 * k2) ** 3)
            k4 = f((y + h * k3) ** 3)
            y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        return (y - end).abs().mean()

    return Training(list(f.parameters()), optimizer, loss)


# A language model over 65 characters: layers, heads, width, vocabulary, length, batch.
LAYERS, HEADS, WIDTH, VOCABULARY, LENGTH, BATCH = 4, 4, 128, 65, 64, 12


def gpt(torch) -> Training:
    nn, F = torch.nn, torch.nn.functional

    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.qkv = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
            self.out = nn.Linear(WIDTH, WIDTH, bias=False)

        def forward(self, x):  # (B, T, C)
            B, T, C = x.size()
            q, k, v = (z.view(B, T, HEADS, C // HEADS).transpose(1, 2)  # (B, H, T, C / H)
                       for z in self.qkv(x).split(C, dim=2))
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            return self.out(y.transpose(1, 2).contiguous().view(B, T, C))

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
            self.attention = Attention()
            self.mlp = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH, bias=False), nn.GELU(),
                                     nn.Linear(4 * WIDTH, WIDTH, bias=False))

        def forward(self, x):
            x = x + self.attention(self.norm1(x))
            return x + self.mlp(self.norm2(x))

    class GPT(nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens, self.places = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(LENGTH, WIDTH)
            self.blocks = nn.ModuleList([Block() for _ in range(LAYERS)])
            self.norm = nn.LayerNorm(WIDTH)
            self.head = nn.Linear(WIDTH, VOCABULARY, bias=False)
            self.head.weight = self.tokens.weight

        def forward(self, tokens, targets):
            x = self.tokens(tokens) + self.places(torch.arange(0, tokens.size(1)))
            for block in self.blocks:
                x = block(x)
            logits = self.head(self.norm(x))
            return F.cross_entropy(logits.view(-1, VOCABULARY), targets.view(-1))

    net = GPT()
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, betas=(0.9, 0.99), weight_decay=0.1)
    x = torch.randint(0, VOCABULARY, (BATCH, LENGTH))
    y = torch.randint(0, VOCABULARY, (BATCH, LENGTH))
    return Training(list(net.parameters()), optimizer, lambda: net(x, y), clip=1.0)


MLPS = {
    "mlp_tiny": (1, (8, 32, 32, 1)),
    "mlp_small": (32, (4, 64, 64, 2)),
    "dnn002": (5, (784, 500, 10)),
    "mlp64": (64, (784, 256, 10)),
    "mlp_big": (256, (784, 1024, 1024, 10)),
}
TRAININGS: dict[str, Callable[[Any], Training]] = {
    **{name: partial(mlp, batch=batch, widths=widths) for name, (batch, widths) in MLPS.items()},
    "mnist_cnn": mnist_cnn, "pinn": pinn, "lstm": lstm, "node": node, "gpt": gpt,
    "resnet18": resnet18,
}
WORKLOADS = ("scalar003", *TRAININGS)


# ---------------------------------------------------------------------------- steps
def scalar003(torch) -> Callable[[], float]:
    """Three steps of one weight, each looking at its gradient: nothing to compile ahead."""
    w = torch.tensor([1.0])
    w.requires_grad = True

    def step():
        for x, y in (1.0, 2.0), (2.0, 4.0), (3.0, 6.0):
            loss = (x * w - y) ** 2
            loss.backward()
            w.grad.item()
            w.data = w.data - 0.01 * w.grad.data
            w.grad.data.zero_()
        return loss.item()

    return step


def step_of(torch, name: str, compiled: bool = False) -> Callable[[], float]:
    """One full step of a workload; calling it returns the loss.

    `compiled`: chainrule compiles the whole step, PyTorch what it can hold, the loss.
    """
    torch.manual_seed(0)
    if name == "scalar003":
        return scalar003(torch)
    training = TRAININGS[name](torch)
    optimizer, loss_of, clip = training.optimizer, training.loss, training.clip
    whole = compiled and torch.__name__ == "chainrule"
    if compiled and not whole:
        loss_of = torch.compile(loss_of)

    def step():
        optimizer.zero_grad()
        loss = loss_of()
        loss.backward()
        if clip:
            torch.nn.utils.clip_grad_norm_(training.parameters, clip)
        optimizer.step()
        return loss

    if whole:
        step = torch.compile(step)
    return lambda: step().item()


def exists(backend: str, name: str) -> bool:
    """Whether the workload can be written for the backend at all."""
    return (backend, name) != ("jax", "scalar003")


def step_for(backend: str, name: str, threads: int) -> Callable[[], float]:
    module = common.use_threads(backend, threads)
    if backend == "jax":
        import workloads_jax

        return workloads_jax.step_of(name)
    return step_of(module, name, backend.endswith("-compile"))


def measure(backend: str, name: str, threads: int, budget: float, started: float) -> dict:
    """Time one workload in this process.

    Compilation is what the first WARM steps took beyond as many ordinary ones.
    """
    step = step_for(backend, name, threads)
    losses, before = [], time.perf_counter()
    for _ in range(WARM):
        losses.append(step())
        if len(losses) == 1:
            first = time.time() - started
    warm = time.perf_counter() - before
    times = common.timed(step, budget, MOST)
    usual = common.median(times)
    return dict(
        min_us=times[0] * 1e6, median_us=usual * 1e6, steps=len(times), first_loss_s=first,
        compile_s=max(0.0, warm - WARM * usual), peak_mib=common.peak_mib(), losses=losses,
    )


if __name__ == "__main__":
    cell = common.cell_arguments("backend", "workload")
    facts = measure(cell.backend, cell.workload, cell.threads, cell.budget, cell.started)
    common.print_json(
        backend=cell.backend, workload=cell.workload, threads=cell.threads, **facts
    )
