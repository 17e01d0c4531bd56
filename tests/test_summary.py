"""A model in a table: every number is one that can be found by hand."""

import pytest

import chainrule as torch
from chainrule.errors import ArgumentError, ArgumentTypeError
from chainrule.nn import functional as F
from chainrule.observers import Observer, observed


def row(found, name):
    (it,) = [r for r in found.rows if r.name == name]
    return it


def mlp():
    return torch.nn.Sequential(torch.nn.Linear(784, 256), torch.nn.ReLU(), torch.nn.Linear(256, 10))


# --------------------------------------------------------------------------- by hand
def test_a_perceptron_by_hand():
    found = torch.summary(mlp(), (64, 784))
    assert [(r.name, r.layer, r.level, r.shape, r.calls) for r in found.rows] == [
        ("", "Sequential", 0, "64×10", 1), ("0", "Linear", 1, "64×256", 1),
        ("1", "ReLU", 1, "64×256", 1), ("2", "Linear", 1, "64×10", 1)]
    assert [r.parameters for r in found.rows] == [203_530, 784 * 256 + 256, 0, 256 * 10 + 10]
    assert found.total.trainable == 203_530 and found.total.parameter_bytes == 4 * 203_530
    assert found.input_bytes == 4 * 64 * 784 and found.buffer_bytes == 0
    # A linear layer computes a product, and adds the bias.
    assert [r.flops for r in found.rows[1:]] == [
        2 * 64 * 784 * 256 + 64 * 256, 64 * 256, 2 * 64 * 256 * 10 + 64 * 10]
    assert [r.activation_bytes for r in found.rows[1:]] == [
        2 * 4 * 64 * 256, 4 * 64 * 256, 2 * 4 * 64 * 10]
    # Kept: the input for dW1, what relu gives for itself and dW2, W2 for the way back to relu.
    assert [r.saved_bytes for r in found.rows[1:]] == [4 * 64 * 784, 4 * 64 * 256, 4 * 256 * 10]
    # dW1, dW2 and d relu; two sums for the biases; relu's derivative asks and chooses.
    assert found.total.backward_flops == (
        2 * 64 * 784 * 256 + 2 * (2 * 64 * 256 * 10) + 64 * 256 + 64 * 10 + 2 * 64 * 256)
    for name in ("flops", "activation_bytes", "saved_bytes", "backward_flops"):
        assert getattr(found.total, name) == sum(getattr(r, name) for r in found.rows[1:])


def test_what_is_kept_is_what_backprop_lists():
    class Trained(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = mlp()

        def forward(self, x, y):
            return F.cross_entropy(self.net(x), y)

    model, x, y = Trained(), torch.randn(64, 784), torch.randint(0, 10, (64,))
    total = torch.summary(model, x, y).total
    assert total.saved_bytes == sum(s.nbytes for s in torch.backprop(model(x, y)).saved())
    # PyTorch keeps 1,082,372 bytes: W1 too, of which no gradient needs the value.
    assert total.saved_bytes <= 1_082_372 - 4 * 784 * 256 + 4 * 64 * 10 * 2


class LeNet(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.c1 = torch.nn.Conv2d(1, 6, 5, padding=2)
        self.c2 = torch.nn.Conv2d(6, 16, 5)
        self.pool = torch.nn.MaxPool2d(2)
        self.fc = torch.nn.Linear(400, 10)

    def forward(self, x):
        x = self.pool(F.relu(self.c1(x)))
        x = self.pool(F.relu(self.c2(x)))
        return self.fc(x.flatten(1))


def test_a_convolutional_net_by_hand():
    found = torch.summary(LeNet(), torch.zeros(8, 1, 28, 28))
    assert [r.name for r in found.rows] == ["", "c1", "pool", "c2", "fc"]
    assert row(found, "c1").flops == 8 * 6 * 28 * 28 * (2 * 25 + 1)
    assert row(found, "c2").flops == 8 * 16 * 10 * 10 * (2 * 6 * 25 + 1)
    assert row(found, "c1").parameters == 6 * 25 + 6
    assert row(found, "pool").flops == 8 * 6 * 28 * 28 + 8 * 16 * 10 * 10
    assert row(found, "pool").notes == ["2 calls"]
    assert row(found, "fc").flops == 8 * 10 * (2 * 400 + 1)
    relu = 8 * 6 * 28 * 28 + 8 * 16 * 10 * 10
    assert found.total.flops == sum(r.flops for r in found.rows[1:]) + relu
    assert found.total.parameters == 156 + 2416 + 4010
    # Windows are views; what is padded, multiplied and added to are arrays of their own.
    assert row(found, "c1").activation_bytes == 4 * 8 * (32 * 32 + 2 * 6 * 28 * 28)


class Block(torch.nn.Module):
    def __init__(self, c, heads):
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = torch.nn.Linear(c, 3 * c), torch.nn.Linear(c, c, bias=False)
        self.up, self.act, self.down = (
            torch.nn.Linear(c, 4 * c), torch.nn.ReLU(), torch.nn.Linear(4 * c, c))

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = (y.view(b, t, self.heads, -1).transpose(1, 2) for y in self.qkv(x).chunk(3, -1))
        scores = q @ k.transpose(-2, -1) / 2.0
        scores = scores.masked_fill(torch.ones(t, t).triu(1) > 0, float("-inf"))
        y = (torch.softmax(scores, -1) @ v).transpose(1, 2).reshape(b, t, c)
        x = x + self.proj(y)
        return x + self.down(self.act(self.up(x)))


def test_a_transformer_block_by_hand():
    b, t, c, h = 2, 6, 8, 2
    found = torch.summary(Block(c, h), (b, t, c))
    linear = {"qkv": 3 * c, "proj": c, "up": 4 * c}
    for name, width in linear.items():
        bias = name != "proj"
        assert row(found, name).flops == b * t * width * (2 * c + bias)
    assert row(found, "down").flops == b * t * c * (2 * 4 * c + 1)
    inside = sum(r.flops for r in found.rows[1:])
    # Scores and their use: two products.  Of each score: divided, masked, and softmax with its
    # maximum, difference, exp, sum and quotient.  Of the mask, triu compares and chooses, > asks.
    attention = 2 * (2 * b * h * t * t * (c // h)) + 7 * b * h * t * t
    mask = found.total.flops - inside - attention - 2 * b * t * c
    assert 0 < mask <= 4 * t * t
    assert found.total.parameters == c * 3 * c + 3 * c + c * c + 8 * c * c + 4 * c + c


def test_an_lstm_by_hand():
    t, b, n, h = 5, 3, 10, 20
    found = torch.summary(torch.nn.LSTM(n, h, 2), (t, b, n))
    products = 2 * t * b * 4 * h * (n + h + h + h)
    # Of each layer: two biases are added to each other and to the input's product, that to the
    # state's; of each state: three sigmoids, two tanh, three products, a sum, and one more product.
    per_layer = 4 * h + 2 * (t * b * 4 * h) + 9 * t * b * h
    assert found.total.flops == products + 2 * per_layer
    assert found.total.parameters == 4 * h * (n + h + 2) + 4 * h * (h + h + 2)
    assert found.total.shape == "5×3×20, 2×3×20, 2×3×20"


# --------------------------------------------------------------------------- structure
class Shared(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.a = torch.nn.Sequential(torch.nn.Linear(4, 4))
        self.b = torch.nn.Sequential(self.a[0], torch.nn.Tanh())
        self.out = torch.nn.Linear(4, 4)
        self.out.weight = self.a[0].weight
        self.idle = torch.nn.Linear(2, 2)
        self.frozen = torch.nn.Linear(4, 4).requires_grad_(False)

    def forward(self, x, scale=None):
        x = self.frozen(self.out(self.b(self.a(self.a(x)))))
        return {"y": x if scale is None else x * scale, "n": 3}


def test_what_is_shared_tied_called_again_or_idle_is_marked_and_counted_once():
    found = torch.summary(Shared(), (2, 4))
    assert [(r.name, r.level, r.parameters, r.notes) for r in found.rows] == [
        ("", 0, 20 + 4 + 6 + 20, []),
        ("a", 1, 20, ["2 calls"]),
        ("a.0", 2, 20, ["2 calls"]),
        ("b", 1, 20, []),
        ("a.0", 2, 0, ["shared with a.0"]),
        ("b.1", 2, 0, []),
        ("out", 1, 20, ["weight tied"]),
        ("frozen", 1, 20, []),
        ("idle", 1, 6, ["not used"])]
    assert found.total.trainable == 30 and "30 trainable, 20 frozen" in str(found)
    each = 2 * 4 * (2 * 4 + 1)
    assert [r.flops for r in found.rows] == [
        5 * each + 8, 2 * each, 2 * each, each + 8, each, 8, each, each, 0]


def test_depth_leaves_out_lines_of_the_text_only():
    found = torch.summary(Shared(), (2, 4), depth=1)
    assert len(found.rows) == 9 and "Tanh" not in str(found) and "frozen" in str(found)
    assert torch.summary(mlp(), (1, 784), depth=0).total.parameters == 203_530


def test_the_text_is_aligned():
    text = str(torch.summary(mlp(), (64, 784))).splitlines()
    assert text[:4] == [
        "layer        output  parameters  activations  kept for backward  operations",
        "Sequential   64×10      203,530       202 kB             276 kB      26.1 M",
        "  0: Linear  64×256     200,960       131 kB             201 kB      25.7 M",
        "  1: ReLU    64×256                  65.5 kB            65.5 kB      16.4 k"]
    assert text[-5:] == [
        "parameters        203,530 of 814,120 bytes: 203,530 trainable, 0 frozen",
        "inputs            200,704 bytes",
        "activations       201,728 bytes computed going forward",
        "kept for backward 276,480 bytes, parameters and inputs among them",
        "operations        26,051,200 forward, 52,446,464 forward and backward"]


# --------------------------------------------------------------------------- inputs
def test_inputs_are_tensors_shapes_lists_and_dicts():
    model = Shared()
    plain = torch.summary(model, torch.ones(2, 4)).total
    assert torch.summary(model, (2, 4)).total == torch.summary(model, [2, 4]).total == plain
    scaled = torch.summary(model, torch.ones(2, 4), torch.ones(4)).total
    assert scaled.flops == plain.flops + 8
    assert torch.summary(model, {"x": (2, 4), "scale": torch.ones(4)}).total == scaled
    assert torch.summary(model, [(2, 4), (4,)]).total == scaled
    lstm = torch.nn.LSTM(2, 3)
    state = torch.zeros(1, 5, 3), torch.zeros(1, 5, 3)
    assert torch.summary(lstm, torch.zeros(4, 5, 2), state).total.shape == "4×5×3, 1×5×3, 1×5×3"
    double = torch.nn.Linear(2, 2).double()
    assert torch.summary(double, (3, 2)).input_bytes == 8 * 6
    words = torch.summary(torch.nn.Embedding(9, 4), torch.zeros(2, 3, dtype=torch.int64))
    assert (words.total.flops, words.total.shape) == (0, "2×3×4")


def test_errors_say_what_is_required():
    with pytest.raises(ArgumentTypeError, match="summary requires a Module, got function"):
        torch.summary(lambda x: x, (2, 3))
    with pytest.raises(ArgumentError, match="summary requires what the model is called with, got"):
        torch.summary(mlp())
    with pytest.raises(ArgumentError, match=r"shapes of lengths from 0 on, got \(-1, 784\)"):
        torch.summary(mlp(), (-1, 784))


# --------------------------------------------------------------------------- nothing else changes
class Everything(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.net = torch.nn.Sequential(
            torch.nn.Linear(4, 4), torch.nn.BatchNorm1d(4), torch.nn.Dropout(0.5))
        self.count = 0

    def forward(self, x):
        self.count += 1
        x = self.net(x)
        return x * 2 if x.sum() > 0 else x


def test_nothing_is_trained_drawn_or_left_behind():
    class Told(Observer):
        def forwarded(self, call):
            raise AssertionError("told")

    torch.manual_seed(0)
    model = Everything()
    model.register_forward_hook(lambda *args: None)
    x = torch.randn(3, 4)
    nodes = [p.node for p in model.parameters()] + [b.node for b in model.buffers()]
    keep = [(m, dict(vars(m)), list(m._forward_hooks)) for m in model.modules()]
    state = torch.get_rng_state().tolist()
    with observed(Told()), torch.no_grad():
        found = torch.summary(model, x)
        assert not torch.is_grad_enabled()
    assert found.total.saved_bytes > 0 and found.buffer_bytes == 4 * 4 * 2 + 8
    assert [p.node for p in model.parameters()] + [b.node for b in model.buffers()] == nodes
    assert all(p.grad is None for p in model.parameters())
    assert torch.get_rng_state().tolist() == state and model.count == 0
    for m, attributes, hooks in keep:
        assert vars(m) == attributes and m._forward_hooks == hooks
    assert model.net[1].running_mean.tolist() == [0.0] * 4


def test_a_model_computes_the_same_afterwards():
    def losses(looks):
        torch.manual_seed(3)
        model = Everything()
        optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
        found = []
        for _ in range(4):
            if looks:
                torch.summary(model, (5, 4))
            optimizer.zero_grad()
            loss = model(torch.randn(5, 4)).square().mean()
            loss.backward()
            optimizer.step()
            found.append(loss.item())
        return found, [b.tolist() for b in model.buffers()]

    assert losses(True) == losses(False)


def test_a_lazy_layer_stays_lazy():
    layer = torch.nn.LazyLinear(4)
    found = torch.summary(torch.nn.Sequential(layer), (2, 3))
    assert found.total.parameters == 16 and row(found, "0").shape == "2×4"
    assert type(layer) is torch.nn.LazyLinear and layer.weight.shape == (0,)
    assert layer(torch.ones(1, 7)).shape == (1, 4)


def test_what_fails_leaves_nothing_behind_either():
    model = mlp()
    with pytest.raises(RuntimeError, match="784"):
        torch.summary(model, (64, 3))
    assert all(m._forward_hooks == [] and not m._hooked for m in model.modules())
