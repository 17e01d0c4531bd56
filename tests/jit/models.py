"""The twelve workloads of the benchmarks, small: the same structure in fewer numbers."""

import math
from types import SimpleNamespace

import chainrule as torch
from chainrule import nn
from chainrule.nn import functional as F
from chainrule.nn.utils import clip_grad_norm_


def training(model, optimizer, loss, clip=None):
    parameters = list(model.parameters())

    def step():
        optimizer.zero_grad()
        value = loss()
        value.backward()
        if clip:
            clip_grad_norm_(parameters, clip)
        optimizer.step()
        return value

    return SimpleNamespace(model=model, parameters=parameters, loss=loss, step=step)


def scalar003(dtype):
    w = torch.tensor([1.0], dtype=dtype, requires_grad=True)

    def step():
        for x, y in (1.0, 2.0), (2.0, 4.0), (3.0, 6.0):
            loss = (x * w - y) ** 2
            loss.backward()
            w.grad.item()
            w.data = w.data - 0.01 * w.grad.data
            w.grad.data.zero_()
        return loss

    return SimpleNamespace(model=None, parameters=[w], loss=lambda: (2.0 * w - 4.0) ** 2, step=step)


def mlp(batch, *widths):
    def make(dtype):
        layers = []
        for n, m in zip(widths, widths[1:]):
            layers += [nn.Linear(n, m), nn.Sigmoid()]
        net = nn.Sequential(*layers[:-1]).to(dtype)
        x = torch.rand(batch, widths[0], dtype=dtype)
        if widths[-1] == 1:
            y, criterion = torch.rand(batch, 1, dtype=dtype), nn.MSELoss()
        else:
            y, criterion = torch.randint(0, widths[-1], (batch,)), nn.CrossEntropyLoss()
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
        return training(net, optimizer, lambda: criterion(net(x), y))

    return make


def mnist_cnn(dtype):
    net = nn.Sequential(
        nn.Conv2d(1, 5, 3, 1), nn.ReLU(), nn.Conv2d(5, 7, 3, 1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(7 * 4 * 4, 13), nn.ReLU(), nn.Linear(13, 10)).to(dtype)
    x, y = torch.rand(6, 1, 12, 12, dtype=dtype), torch.randint(0, 10, (6,))
    optimizer = torch.optim.Adadelta(net.parameters(), lr=1.0)
    return training(net, optimizer, lambda: F.nll_loss(F.log_softmax(net(x), dim=1), y))


class Block(nn.Module):
    """A residual block of two convolutions."""

    def __init__(self, n, m, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(n, m, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(m, m, 3, 1, 1, bias=False)
        self.norm1, self.norm2 = nn.BatchNorm2d(m), nn.BatchNorm2d(m)
        self.shortcut = nn.Identity()
        if (n, stride) != (m, 1):
            self.shortcut = nn.Sequential(
                nn.Conv2d(n, m, 1, stride, bias=False), nn.BatchNorm2d(m))

    def forward(self, x):
        y = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return F.relu(y + self.shortcut(x))


def resnet18(dtype):
    net = nn.Sequential(
        nn.Conv2d(3, 5, 3, 1, 1, bias=False), nn.BatchNorm2d(5), nn.ReLU(), Block(5, 5, 1),
        Block(5, 8, 2), Block(8, 8, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10),
    ).to(dtype)
    x, y = torch.rand(4, 3, 9, 9, dtype=dtype), torch.randint(0, 10, (4,))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    return training(net, optimizer, lambda: F.cross_entropy(net(x), y))


def pinn(dtype):
    """Burgers' equation u_t + u u_x = (0.01 / pi) u_xx."""
    grad = torch.autograd.grad
    net = nn.Sequential(nn.Linear(2, 11), nn.Tanh(), nn.Linear(11, 11), nn.Tanh(),
                        nn.Linear(11, 1)).to(dtype)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    xt = torch.rand(70, 2, dtype=dtype, requires_grad=True)

    def loss():
        u = net(xt)
        du = grad(u.sum(), xt, create_graph=True)[0]
        u_x, u_t = du[:, 0], du[:, 1]
        u_xx = grad(u_x.sum(), xt, create_graph=True)[0][:, 0]
        return ((u_t + u[:, 0] * u_x - 0.01 / math.pi * u_xx) ** 2).mean()

    return training(net, optimizer, loss)


def lstm(dtype):
    net = nn.ModuleList([nn.LSTM(5, 9, batch_first=True), nn.Linear(9, 1)]).to(dtype)
    x, y = torch.rand(3, 7, 5, dtype=dtype), torch.rand(3, 1, dtype=dtype)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    return training(net, optimizer, lambda: F.mse_loss(net[1](net[0](x)[0][:, -1]), y))


def node(dtype):
    """A neural ODE y' = f(y^3), steps of Runge-Kutta of order four."""
    h = 0.05
    f = nn.Sequential(nn.Linear(2, 13), nn.Tanh(), nn.Linear(13, 2)).to(dtype)
    optimizer = torch.optim.RMSprop(f.parameters(), lr=1e-3)
    start, end = torch.rand(5, 2, dtype=dtype), torch.rand(5, 2, dtype=dtype)

    def loss():
        y = start
        for _ in range(4):
            k1 = f(y**3)
            k2 = f((y + h / 2 * k1) ** 3)
            k3 = f((y + h / 2 * k2) ** 3)
            k4 = f((y + h * k3) ** 3)
            y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        return (y - end).abs().mean()

    return training(f, optimizer, loss)


HEADS, WIDTH, VOCABULARY, LENGTH, BATCH = 2, 12, 11, 7, 3


class Layer(nn.Module):
    """A transformer's block: causal attention, then a perceptron."""

    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.out = nn.Linear(WIDTH, WIDTH, bias=False)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH, bias=False), nn.GELU(),
                                 nn.Linear(4 * WIDTH, WIDTH, bias=False))

    def attention(self, x):  # (B, T, C)
        B, T, C = x.size()
        q, k, v = (z.view(B, T, HEADS, C // HEADS).transpose(1, 2)
                   for z in self.qkv(x).split(C, dim=2))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(y.transpose(1, 2).contiguous().view(B, T, C))

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class GPT(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens, self.places = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(LENGTH, WIDTH)
        self.blocks = nn.Sequential(Layer(), Layer())
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, VOCABULARY, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, tokens, targets):
        x = self.tokens(tokens) + self.places(torch.arange(0, tokens.size(1)))
        logits = self.head(self.norm(self.blocks(x)))
        return F.cross_entropy(logits.view(-1, VOCABULARY), targets.view(-1))


def gpt(dtype):
    net = GPT().to(dtype)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, betas=(0.9, 0.99), weight_decay=0.1)
    x, y = (torch.randint(0, VOCABULARY, (BATCH, LENGTH)) for _ in range(2))
    return training(net, optimizer, lambda: net(x, y), clip=1.0)


WORKLOADS = {
    "scalar003": scalar003, "mlp_tiny": mlp(1, 8, 32, 32, 1), "mlp_small": mlp(32, 4, 17, 16, 2),
    "dnn002": mlp(5, 49, 31, 10), "mlp64": mlp(16, 49, 33, 10), "mlp_big": mlp(40, 49, 64, 64, 10),
    "pinn": pinn, "node": node, "lstm": lstm, "gpt": gpt, "mnist_cnn": mnist_cnn,
    "resnet18": resnet18,
}
