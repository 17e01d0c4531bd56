"""Thirty small models, different in kind: each a function that returns the loss of one forward
pass, from seeded weights and data."""

import chainrule as torch
from chainrule import nn

F = nn.functional


def neuron():
    w = torch.tensor([2.0, -3.0, -3.0], requires_grad=True)
    x = torch.tensor([-1.0, -2.0])
    return 1 / (1 + torch.exp(-(w[0] * x[0] + w[1] * x[1] + w[2])))


def scalars():
    x, y = (torch.tensor(v, requires_grad=True) for v in (3.0, -4.0))
    return (x + torch.sigmoid(y)) / (torch.sigmoid(x) + (x + y) ** 2)


def square_of_a_sum():
    x, y = (torch.tensor(v, requires_grad=True) for v in (1.0, 2.0))
    return (x + y) ** 2


def one_value_twice():
    x = torch.tensor(3.0, requires_grad=True)
    return x * x


def two_paths():
    s = torch.tensor(0.7, requires_grad=True)
    return s**2 * torch.sin(s)


def on_paper():
    w1 = torch.tensor([[0.1, 0.2, -0.3], [0.4, -0.5, 0.6]], requires_grad=True)
    w2 = torch.tensor([[0.7, -0.8], [0.9, 1.0]], requires_grad=True)
    x, y, lam = torch.tensor([1.0, -2.0, 0.5]), torch.tensor([1.0, 0.0]), 0.1
    h = torch.tanh(w1 @ x)
    o = w2 @ h
    return 0.5 * ((o - y) ** 2).sum() + lam / 2 * ((w1**2).sum() + (w2**2).sum())


def linear_model():
    w = torch.tensor([1.0], requires_grad=True)
    return ((torch.tensor([[1.0], [2.0], [3.0]]) * w - 2.0) ** 2).sum()


def mlp():
    net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
    return F.cross_entropy(net(torch.rand(6, 4)), torch.randint(0, 3, (6,)))


def deep_mlp():
    layers = [m for _ in range(12) for m in (nn.Linear(6, 6), nn.ReLU())]
    return nn.Sequential(*layers)(torch.rand(3, 6)).sum()


def sigmoid_before_cross_entropy():
    net = nn.Sequential(nn.Linear(784, 50), nn.Sigmoid(), nn.Linear(50, 10), nn.Sigmoid())
    return nn.CrossEntropyLoss()(net(torch.rand(5, 784)), torch.arange(5))


def cnn():
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4 * 25, 5))
    return F.cross_entropy(net(torch.rand(2, 1, 12, 12)), torch.tensor([1, 4]))


class Residual(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x):
        return torch.relu(x + self.conv2(torch.relu(self.norm(self.conv1(x)))))


def residual():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), *[Residual(4) for _ in range(4)])
    return net(torch.rand(2, 3, 8, 8)).mean()


def batch_norm():
    return nn.BatchNorm1d(5)(nn.Linear(3, 5)(torch.rand(7, 3))).square().mean()


def layer_norm():
    return nn.LayerNorm(6)(torch.rand(3, 6, requires_grad=True)).pow(3).sum()


def dropout():
    return nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.Linear(4, 1))(torch.rand(8, 4)).mean()


def embedding():
    table, head = nn.Embedding(11, 4), nn.Linear(4, 11)
    tokens = torch.randint(0, 11, (3, 5))
    return F.cross_entropy(head(table(tokens)).reshape(-1, 11), tokens.reshape(-1))


def lstm():
    out, (h, c) = nn.LSTM(3, 4, batch_first=True)(torch.rand(2, 5, 3))
    return out.mean() + (h * c).sum()


def gru_cell():
    cell, h = nn.GRUCell(3, 4), torch.zeros(2, 4)
    for x in torch.rand(6, 2, 3):
        h = cell(x, h)
    return h.square().sum()


class Block(nn.Module):
    def __init__(self, width=8, heads=2):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x):
        y = self.norm1(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Transformer(nn.Module):
    def __init__(self, depth=4):
        super().__init__()
        self.tokens = nn.Embedding(9, 8)
        self.blocks = nn.ModuleList([Block() for _ in range(depth)])
        self.head = nn.Linear(8, 9)

    def forward(self, x):
        h = self.tokens(x)
        for block in self.blocks:
            h = block(h)
        return self.head(h)


def transformer():
    net = Transformer()
    x = torch.randint(0, 9, (2, 6))
    return F.cross_entropy(net(x).view(-1, 9), x.view(-1))


def encoder():
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    return layer(torch.rand(2, 3, 8)).mean()


def physics():
    net = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))
    t = torch.linspace(0, 1, 7).reshape(-1, 1).requires_grad_()
    u = net(t)
    (du,) = torch.autograd.grad(u.sum(), t, create_graph=True)
    return ((du + u) ** 2).mean()


def neural_ode():
    net, x, h = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2)), torch.rand(3, 2), 0.1
    for _ in range(5):
        k1 = net(x)
        k2 = net(x + h / 2 * k1)
        x = x + h * k2
    return x.square().mean()


def detached():
    w = torch.ones(3, requires_grad=True)
    target = (w * 2).detach()
    return (w * target).sum()


def no_gradient_at_all():
    return torch.ones(3).exp().sum()


def zero_gradient():
    x = torch.tensor([-1.0, -2.0, 3.0], requires_grad=True)
    return (torch.relu(x) * torch.tensor([1.0, 1.0, 0.0])).sum()


def not_a_number():
    x = torch.tensor([1.0, -1.0], requires_grad=True)
    return torch.sqrt(x).sum()


def indexed():
    x = torch.rand(5, 4, requires_grad=True)
    return x[1:4, ::2].sum() + x[[0, 2]].prod() + x.max()


def written_in_place():
    w = torch.rand(4, requires_grad=True)
    x = w * 1.0
    x[1] = 5.0
    x += w
    return x.square().sum()


def double_precision():
    a = torch.rand(3, 3, dtype=torch.float64, requires_grad=True)
    return torch.linalg.solve(a + 3 * torch.eye(3, dtype=torch.float64), a).sum()


def long_chain():
    x = torch.tensor(0.5, requires_grad=True)
    y = x
    for i in range(300):
        y = torch.sin(y) + x if i % 3 else y * 1.01
    return y


def names_that_are_markup():
    net = nn.Module()
    net.add_module("<script>alert(1)</script>", nn.Linear(2, 2))
    inner = net._modules["<script>alert(1)</script>"]
    net.forward = inner.forward
    return inner(torch.ones(1, 2)).sum()


MODELS = [
    neuron, scalars, square_of_a_sum, one_value_twice, two_paths, on_paper, linear_model, mlp,
    deep_mlp, sigmoid_before_cross_entropy, cnn, residual, batch_norm, layer_norm, dropout,
    embedding, lstm, gru_cell, transformer, encoder, physics, neural_ode, detached,
    no_gradient_at_all, zero_gradient, not_a_number, indexed, written_in_place, double_precision,
    long_chain, names_that_are_markup,
]


def loss_of(model):
    """The loss of a model, always the same."""
    torch.manual_seed(1)
    return model()
