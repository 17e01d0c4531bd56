"""Rows D1-D12: the chain rule for vectors, deep networks and mini-batches."""

import math
import re

import pytest

import chainrule as torch
import chainrule.nn as nn
import chainrule.nn.functional as F
from chainrule.func import functional_call, grad, jacfwd, jacrev, jvp, vjp, vmap


def randn(*shape, **options):
    return torch.randn(*shape, dtype=torch.float64, **options)


def test_D1_a_chain_is_a_product_of_local_derivatives():
    s = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    u = s**2
    v = torch.sin(u)
    w = torch.exp(v)
    pairs = ((w, v), (v, u), (u, s))
    local = [torch.autograd.grad(out, x, retain_graph=True)[0].item() for out, x in pairs]
    (whole,) = torch.autograd.grad(w, s)
    expected = [math.exp(math.sin(0.49)), math.cos(0.49), 1.4]
    assert local == pytest.approx(expected, rel=1e-14)
    assert math.isclose(whole.item(), math.prod(expected), rel_tol=1e-14)


def test_D2_two_paths_add():
    s = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    x, y = s**2, torch.sin(s)
    z = x * y
    dz_dx, dz_dy, dz_ds = torch.autograd.grad(z, [x, y, s], retain_graph=True)
    dx_ds, dy_ds = (torch.autograd.grad(out, s, retain_graph=True)[0] for out in (x, y))
    by_x, by_y = (dz_dx * dx_ds).item(), (dz_dy * dy_ds).item()
    assert by_x == pytest.approx(2 * 0.7 * math.sin(0.7), rel=1e-14)
    assert by_y == pytest.approx(0.49 * math.cos(0.7), rel=1e-14)
    assert dz_ds.item() == pytest.approx(1.2766774339021667, rel=1e-14)
    assert dz_ds.item() == pytest.approx(by_x + by_y, rel=1e-15)


def test_D3_jacobians_multiply():
    a, b = randn(4, 3), randn(2, 4)

    def first(x):
        return torch.tanh(a @ x)

    def second(y):
        return torch.sin(b @ y)

    x, v, u = randn(3), randn(3), randn(2)
    product = jacrev(second)(first(x)) @ jacrev(first)(x)  # (2, 4) @ (4, 3)
    for jacobian in (jacrev, jacfwd):
        assert torch.allclose(jacobian(lambda x: second(first(x)))(x), product, rtol=1e-12)
    out, pull = vjp(lambda x: second(first(x)), x)
    assert torch.allclose(pull(u)[0], u @ product, rtol=1e-12)
    out_again, push = jvp(lambda x: second(first(x)), (x,), (v,))
    assert torch.allclose(push, product @ v, rtol=1e-12)
    assert torch.equal(out, out_again)


def sigmoid_network(depth):
    """Return W, b, z, a of a network with `depth` layers of random widths, and its cost C."""
    torch.manual_seed(depth)
    widths = [int(n) for n in torch.randint(2, 7, (depth + 1,))]
    weights = [randn(m, n, requires_grad=True) for n, m in zip(widths, widths[1:])]
    biases = [randn(m, requires_grad=True) for m in widths[1:]]
    a, z = [randn(widths[0])], []
    for weight, bias in zip(weights, biases):
        z.append(weight @ a[-1] + bias)
        a.append(torch.sigmoid(z[-1]))
    return weights, biases, z, a, ((a[-1] - 0.5) ** 2).sum()


@pytest.mark.parametrize("depth", range(2, 13))
def test_D4_errors_propagate_backward(depth):
    weights, biases, z, a, cost = sigmoid_network(depth)
    deltas = torch.autograd.grad(cost, z, retain_graph=True)
    gradients = torch.autograd.grad(cost, weights + biases)
    for layer in range(depth):
        s = a[layer + 1]
        upstream = 2 * (s - 0.5) if layer == depth - 1 else weights[layer + 1].T @ deltas[layer + 1]
        assert torch.allclose(deltas[layer], upstream * s * (1 - s), rtol=1e-12, atol=1e-15)
        outer = torch.outer(deltas[layer], a[layer])
        assert torch.allclose(gradients[layer], outer, rtol=1e-12, atol=1e-15)
        assert torch.equal(gradients[depth + layer], deltas[layer])


def test_D5_the_differential_of_the_cost_is_a_trace():
    torch.manual_seed(0)
    x, weight = randn(4), randn(3, 4, requires_grad=True)

    def cost(w):
        return torch.sigmoid(w @ x).pow(2).sum()

    (gradient,) = torch.autograd.grad(cost(weight), weight)
    for _ in range(5):
        change = randn(3, 4)
        trace = torch.trace(gradient.T @ change)
        _, differential = jvp(cost, (weight.detach(),), (change,))
        assert torch.allclose(trace, differential, rtol=1e-12)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(784, 500), nn.Sigmoid(), nn.Linear(500, 10), nn.Sigmoid()
        )

    def forward(self, x):
        return self.layers(x)


@pytest.fixture
def five_digits():
    """The network, the optimizer and one batch: five images, one of each class 0..4."""
    torch.manual_seed(0)
    device = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    net = Net().to(device)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    return net, optimizer, torch.rand(5, 784).to(device), torch.arange(5).to(device)


def test_D6_prints_the_losses_of_pytorch(five_digits, capsys):
    net, optimizer, images, labels = five_digits
    criterion = nn.CrossEntropyLoss(reduction="mean")
    for _ in range(2):
        loss = criterion(net(images), labels)
        loss.backward()
        optimizer.step()
        print("\n loss ", loss)
    assert capsys.readouterr().out == (
        "\n loss  tensor(2.3092, grad_fn=<NllLossBackward0>)\n"
        "\n loss  tensor(2.3007, grad_fn=<NllLossBackward0>)\n"
    )


def test_D7_without_zero_grad_the_second_gradient_is_the_sum(five_digits):
    net, optimizer, images, labels = five_digits

    def gradients():
        return torch.autograd.grad(F.cross_entropy(net(images), labels), list(net.parameters()))

    first = gradients()
    F.cross_entropy(net(images), labels).backward()
    optimizer.step()
    second = gradients()
    F.cross_entropy(net(images), labels).backward()
    for parameter, one, two in zip(net.parameters(), first, second):
        assert torch.equal(parameter.grad, one + two)


def test_D8_a_sigmoid_before_cross_entropy_has_a_floor():
    floor = math.log(1 + 9 / math.e)
    assert math.isclose(floor, 1.461150171734475, rel_tol=1e-15)
    best = 1e3 * (2 * F.one_hot(torch.arange(10), 10).double() - 1)
    loss = F.cross_entropy(torch.sigmoid(best), torch.arange(10))
    assert math.isclose(loss.item(), floor, rel_tol=1e-14)
    torch.manual_seed(0)
    logits = 10 * randn(200, 10)
    labels = torch.randint(0, 10, (200,))
    losses = F.cross_entropy(torch.sigmoid(logits), labels, reduction="none")
    assert (losses >= floor).all()


def test_D9_the_device_idiom():
    device = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    assert not torch.cuda.is_available() and str(device) == "cpu"
    net = nn.Linear(2, 3).to(device)
    assert net.weight.device == device == torch.ones(1).to(device).device


def test_D10_wrong_sizes_name_both_layers_and_both_shapes():
    net = nn.Sequential(nn.Linear(784, 500), nn.Sigmoid(), nn.Linear(400, 10))
    with pytest.raises(RuntimeError) as caught:
        net(torch.rand(5, 784))
    text = str(caught.value)
    assert re.search(r"5, 500|5x500", text) and re.search(r"10, 400|400x10|400, 10", text)
    assert "Linear(784, 500)" in text and "Linear(400, 10)" in text
    assert "test_deep.py:" in text


def test_D11_gradients_and_momentum_are_readable_per_layer(five_digits):
    net, optimizer, images, labels = five_digits
    images = images.view(5, 1, 28, 28)
    loss = F.cross_entropy(net(images.view(images.size(0), -1)), labels)
    loss.backward()
    first = {name: p.grad.clone() for name, p in net.named_parameters()}
    optimizer.step()
    optimizer.zero_grad()
    F.cross_entropy(net(images.flatten(1)), labels).backward()
    optimizer.step()
    assert list(first) == [f"layers.{k}.{p}" for k in (0, 2) for p in ("weight", "bias")]
    for name, parameter in net.named_parameters():
        momentum = optimizer.state[parameter]["momentum_buffer"]
        assert momentum.shape == parameter.grad.shape == parameter.shape
        assert torch.allclose(momentum, 0.9 * first[name] + parameter.grad, atol=1e-7)


def test_D12_the_batch_gradient_is_the_mean_of_the_sample_gradients():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3)).double()
    parameters = {name: p.detach() for name, p in net.named_parameters()}
    inputs, labels = randn(8, 5), torch.randint(0, 3, (8,))

    def loss(parameters, x, y):
        logits = functional_call(net, parameters, (x.unsqueeze(0),))
        return F.cross_entropy(logits, y.unsqueeze(0))

    samples = vmap(grad(loss), in_dims=(None, 0, 0))(parameters, inputs, labels)
    F.cross_entropy(net(inputs), labels).backward()
    for name, parameter in net.named_parameters():
        assert samples[name].shape == (8, *parameter.shape)
        assert torch.allclose(samples[name].mean(0), parameter.grad, rtol=1e-12, atol=1e-15)
