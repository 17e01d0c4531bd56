"""Rows P1-P7: classification by hand, line by line."""

import itertools

import pytest

import chainrule as torch
import chainrule.nn as nn
import chainrule.nn.functional as F
from chainrule import config

ACTIVATIONS = {
    "sigmoid": torch.sigmoid,
    "relu": torch.relu,
    "softmax": lambda h: F.softmax(h, dim=1),
    "tanh": torch.tanh,
}

FORWARD = """
torch.manual_seed(3)
x = torch.randn(6, 4, dtype=torch.float64)
y = F.one_hot(torch.randint(0, 3, (6,)), 3).double()
W1 = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
W2 = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
h1 = x @ W1
o1 = act(h1)
h2 = o1 @ W2
predict = F.softmax(h2, dim=1)
loss = (y - predict).pow(2).sum() / 6
""".strip().splitlines()

UPDATE = """
loss.backward()
W1.data = W1.data - 0.5 * W1.grad
W2.data -= 0.5 * W2.grad
after = (y - F.softmax(act(x @ W1) @ W2, dim=1)).pow(2).sum() / 6
noise = torch.rand(3)
""".strip().splitlines()


def run_lines(act, lines=FORWARD, look=lambda names: None):
    """Run the lines one by one, looking at all names after each; return the names."""
    names = {"torch": torch, "F": F, "act": ACTIVATIONS[act]}
    for line in lines:
        exec(line, names)
        look(names)
    return names


def close(a, b):
    return torch.allclose(a, b, rtol=1e-12, atol=1e-15)


def softmax_jacobian(p):
    """diag(p) - p p^T for every row of p: (N, C) -> (N, C, C)."""
    return torch.diag_embed(p) - p.unsqueeze(2) * p.unsqueeze(1)


def pull(jacobian, ct):
    """The rows of ct (N, C) times the Jacobians (N, C, D): (N, D)."""
    return (ct.unsqueeze(1) @ jacobian).squeeze(1)


@pytest.mark.parametrize("act", ACTIVATIONS)
def test_P1_the_forward_pass(act):
    v = run_lines(act)
    assert v["predict"].shape == (6, 3)
    assert close(v["predict"].sum(1), torch.ones(6, dtype=torch.float64))
    assert close(v["predict"], v["h2"].exp() / v["h2"].exp().sum(1, keepdim=True))


def test_P1_softmax_is_stable_at_large_values():
    h = torch.tensor([[1e4, 0.0, -1e4], [1e4, 1e4, 0.0]], requires_grad=True)
    p = F.softmax(h, dim=1)
    assert p.tolist() == [[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]]
    p.pow(2).sum().backward()
    assert torch.isfinite(h.grad).all()


def test_P2_the_squared_loss():
    v = run_lines("tanh")
    targets, predicted = v["y"].flatten().tolist(), v["predict"].flatten().tolist()
    by_hand = sum((t - p) ** 2 for t, p in zip(targets, predicted)) / 6
    assert v["loss"].item() == pytest.approx(by_hand, rel=1e-14)


LOCAL = {  # do1/dh1 for every sample: (N, D, D)
    "sigmoid": lambda h, o: torch.diag_embed(o * (1 - o)),
    "relu": lambda h, o: torch.diag_embed((h > 0).double()),
    "softmax": lambda h, o: softmax_jacobian(o),
    "tanh": lambda h, o: torch.diag_embed(1 - o**2),
}


@pytest.mark.parametrize("act", ACTIVATIONS)
def test_P3_weight_gradients_factor_by_factor(act):
    v = run_lines(act)
    names = ("predict", "h2", "o1", "h1", "W1", "W2")
    found = dict(zip(names, torch.autograd.grad(v["loss"], [v[n] for n in names])))
    predict, h1, o1, W2 = (v[n].detach() for n in ("predict", "h1", "o1", "W2"))
    by_hand = {"predict": 2 / 6 * (predict - v["y"])}
    by_hand["h2"] = pull(softmax_jacobian(predict), by_hand["predict"])
    by_hand["o1"] = by_hand["h2"] @ W2.T
    by_hand["h1"] = pull(LOCAL[act](h1, o1), by_hand["o1"])
    by_hand["W2"] = o1.T @ by_hand["h2"]
    by_hand["W1"] = v["x"].T @ by_hand["h1"]
    for name in names:
        assert close(found[name], by_hand[name]), name
        assert repr(found[name]).startswith("tensor([[")


def test_P4_the_softmax_jacobian():
    h = torch.tensor([0.2, -1.0, 0.7], dtype=torch.float64)
    p = F.softmax(h, dim=0)
    by_hand = torch.diag(p) - torch.outer(p, p)
    assert close(torch.autograd.functional.jacobian(lambda h: F.softmax(h, dim=0), h), by_hand)
    assert close(torch.func.jacfwd(lambda h: F.softmax(h, dim=0))(h), by_hand)


@pytest.mark.parametrize("act", ACTIVATIONS)
def test_P5_gradient_descent_lowers_the_loss(act):
    v = run_lines(act)
    before = {name: v[name].detach().clone() for name in ("W1", "W2")}
    for line in UPDATE:
        exec(line, v)
    for name, value in before.items():
        assert torch.equal(v[name].detach(), value - 0.5 * v[name].grad)
    assert v["after"].item() < v["loss"].item()


def bits(names):
    """The exact contents of every tensor among the names."""
    found = {k: v.tolist() for k, v in names.items() if isinstance(v, torch.Tensor)}
    return {**found, "dW1": names["W1"].grad.tolist(), "dW2": names["W2"].grad.tolist()}


def print_everything(names):
    for value in list(names.values()):
        if isinstance(value, torch.Tensor):
            print(value, value.grad if value.is_leaf else value.grad_fn)
            print(value.why())
            torch.show(value)
            torch.draw(value)


def print_after(k):
    """A look that prints everything after line k, and nothing after the others."""
    lines = itertools.count()
    return lambda names: print_everything(names) if next(lines) == k else None


@pytest.mark.parametrize("act", ACTIVATIONS)
def test_P6_printing_and_drawing_after_any_line_changes_no_later_bit(act, capsys, monkeypatch):
    monkeypatch.setattr(config, "jit", "0")
    quiet = bits(run_lines(act, FORWARD + UPDATE))
    for k in range(len(FORWARD + UPDATE)):
        assert bits(run_lines(act, FORWARD + UPDATE, print_after(k))) == quiet, k
    assert bits(run_lines(act, FORWARD + UPDATE, print_everything)) == quiet
    assert "grad_fn=" in capsys.readouterr().out


@pytest.mark.parametrize("act", ACTIVATIONS)
def test_P6_compiled_it_changes_no_more_than_a_rounding(act, capsys, monkeypatch):
    """A program sums in an order of its own, and what is printed becomes a program of its own."""
    monkeypatch.setattr(config, "jit", "1")
    quiet = run_lines(act, FORWARD + UPDATE)
    for k in range(len(FORWARD + UPDATE)):
        for name, x in run_lines(act, FORWARD + UPDATE, print_after(k)).items():
            if isinstance(x, torch.Tensor):
                assert torch.allclose(x, quiet[name], rtol=1e-12, atol=1e-14), name


class CrossEntropy(torch.autograd.Function):
    """-mean log softmax(logits)[label], with its derivative (softmax - one hot) / N."""

    @staticmethod
    def forward(ctx, logits, labels):
        shifted = logits - logits.max(dim=1, keepdim=True).values
        log_p = shifted - shifted.exp().sum(1, keepdim=True).log()
        ctx.save_for_backward(logits, labels)
        return -log_p[torch.arange(len(labels)), labels].mean()

    @staticmethod
    def backward(ctx, ct):
        logits, labels = ctx.saved_tensors
        p = torch.softmax(logits, dim=1)
        return ct * (p - F.one_hot(labels, logits.shape[1])) / len(labels), None


def test_P7_cross_entropy_as_an_own_function():
    labels = torch.tensor([0, 2])
    for cross_entropy in (CrossEntropy.apply, nn.CrossEntropyLoss()):
        logits = torch.tensor([[2.0, 1.0, 0.1], [0.0, 0.0, 0.0]], requires_grad=True)
        loss = cross_entropy(logits, labels)
        loss.backward()
        assert loss.dtype is torch.float32
        assert loss.item() == pytest.approx(0.7578211426734924, rel=1e-6)
        expected = [0.17049941, -0.12121649, -0.04928295, -0.16666666, -0.16666666, 0.33333334]
        assert logits.grad.flatten().tolist() == pytest.approx([-e for e in expected], rel=1e-5)


def test_P7_gradcheck_and_gradgradcheck():
    labels = torch.tensor([0, 2])
    logits = torch.tensor(
        [[2.0, 1.0, 0.1], [0.3, -0.5, 0.0]], dtype=torch.float64, requires_grad=True
    )
    assert torch.autograd.gradcheck(CrossEntropy.apply, (logits, labels))
    assert torch.autograd.gradgradcheck(CrossEntropy.apply, (logits, labels))
