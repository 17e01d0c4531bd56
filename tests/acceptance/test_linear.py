"""Rows R1-R8: a linear model trained by hand, to the last digit."""

import gc
import math
import os
from pathlib import Path

import pytest

import chainrule as torch

STATM = Path("/proc/self/statm")  # its second number: pages in RAM
DATA = [(1.0, 2.0), (2.0, 4.0), (3.0, 6.0)]


def loss_of(x, y, w):
    return (x * w - y) ** 2


def train(w, update, epochs=100, rate=0.01):
    """Stochastic gradient descent on DATA, in the style of a first lesson; return the losses."""
    losses = []
    for _ in range(epochs):
        for x, y in DATA:
            loss = loss_of(x, y, w)
            loss.backward()
            update(w, rate)
        losses.append(loss.item())
    return losses


def through_data(w, rate):
    w.data = w.data - rate * w.grad.data
    w.grad.data.zero_()


def through_no_grad(w, rate):
    with torch.no_grad():
        w -= rate * w.grad
        w.grad.zero_()


def test_R1_first_gradients_to_the_last_digit():
    w = torch.Tensor([1.0])
    w.requires_grad = True
    gradients = []
    for x, y in DATA:
        loss_of(x, y, w).backward()
        gradients.append(w.grad.item())
        through_data(w, 0.01)
    assert gradients == [-2.0, -7.840000152587891, -16.228801727294922]


def test_R1_losses_and_prediction_to_the_last_digit():
    w = torch.tensor([1.0], requires_grad=True)
    losses = train(w, through_data)
    assert losses[0] == 7.315943717956543
    assert losses[99] == 9.094947017729282e-13
    assert (w * 4).item() == 7.999998569488525


def test_R2_requires_grad_is_set_afterwards():
    w = torch.Tensor([1.0])
    assert not w.requires_grad and w.grad is None
    w.requires_grad = True
    assert w.requires_grad and w.is_leaf
    (w * 3).backward()
    assert w.grad.tolist() == [3.0]


def test_R2_data_is_read_and_assigned():
    w = torch.tensor([1.0], requires_grad=True)
    assert not w.data.requires_grad
    w.data = w.data + 1
    assert w.item() == 2.0 and w.requires_grad and w.is_leaf
    w.data.mul_(3)
    assert w.item() == 6.0


def test_R2_data_shares_the_storage():
    w = torch.tensor([1.0, 2.0], requires_grad=True)
    w.data[0] = 5.0
    assert w.tolist() == [5.0, 2.0]


def test_R2_zero_empties_the_gradient_in_place():
    w = torch.tensor([1.0], requires_grad=True)
    (w * 3).backward()
    gradient = w.grad
    w.grad.data.zero_()
    assert w.grad is gradient and w.grad.item() == 0.0


def test_R2_item_is_a_python_number():
    assert type(torch.tensor([1.5]).item()) is float
    assert type(torch.tensor([[3]]).item()) is int
    assert type(torch.tensor(True).item()) is bool
    with pytest.raises(RuntimeError):
        torch.tensor([1.0, 2.0]).item()


def test_R2_float_times_tensor_stays_float32():
    w = torch.tensor([1.0])
    for product in (2.0 * w, w * 2.0, w - 0.1, 1 / w, w**2, 2 * w):
        assert product.dtype is torch.float32
    assert (torch.tensor([1, 2]) * 0.5).dtype is torch.float32


def test_R2_backward_from_shape_one():
    w = torch.tensor([2.0], requires_grad=True)
    loss = (w * 3 - 1) ** 2
    assert loss.shape == (1,)
    loss.backward()
    assert w.grad.tolist() == [30.0]


def test_R2_gradients_accumulate_when_not_zeroed():
    w = torch.tensor([1.0], requires_grad=True)
    for count in (1, 2, 3):
        loss_of(1.0, 2.0, w).backward()
        assert w.grad.item() == -2.0 * count


@pytest.mark.skipif(not STATM.exists(), reason="reads /proc/self/statm")
def test_R2_memory_is_flat_over_100_000_iterations():
    w = torch.tensor([1.0], requires_grad=True)

    def resident_bytes_after(iterations):
        for _ in range(iterations // len(DATA)):
            train(w, through_data, epochs=1)  # whose list of losses would be what grows
        w.grad.item()  # nothing is left to be run
        gc.collect()
        return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    before = resident_bytes_after(15_000)  # every graph of the loop was met, and compiled
    assert resident_bytes_after(100_000) - before < 2**20


def test_R3_a_given_upstream_gradient():
    x, w = torch.tensor(2.0, requires_grad=True), torch.tensor(3.0, requires_grad=True)
    (x * w).backward(torch.tensor(5.0))
    assert (x.grad.item(), w.grad.item()) == (15.0, 10.0)


def test_R4_every_factor_of_the_chain_is_readable():
    x, y = 1.0, 2.0
    w = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    predicted = x * w
    r = predicted - y
    loss = r**2
    assert (predicted.item(), r.item(), loss.item()) == (1.0, -1.0, 1.0)
    factors = [
        torch.autograd.grad(output, source, retain_graph=True)[0].item()
        for output, source in ((loss, r), (r, predicted), (predicted, w), (loss, w))
    ]
    assert factors == [-2.0, 1.0, 1.0, -2.0]
    assert math.prod(factors[:3]) == factors[3]


def test_R5_one_sample():
    w = torch.tensor(1.0, requires_grad=True)
    loss = loss_of(2.0, 4.0, w)
    loss.backward()
    assert (loss.item(), w.grad.item()) == (4.0, -8.0)


def test_R5_affine():
    w, b = torch.tensor(1.0, requires_grad=True), torch.tensor(2.0, requires_grad=True)
    loss = (1.0 * w + b - 2.0) ** 2
    loss.backward()
    assert (loss.item(), w.grad.item(), b.grad.item()) == (1.0, 2.0, 2.0)


def test_R5_quadratic():
    w1, w2, b = (torch.tensor([1.0], requires_grad=True) for _ in range(3))

    def predict(x):
        return w1 * x**2 + w2 * x + b

    for _ in range(100):
        for x, y in DATA:
            loss = (predict(x) - y) ** 2
            loss.backward()
            for parameter in (w1, w2, b):
                through_data(parameter, 0.01)
    assert loss.item() == 0.00631808303296566
    assert predict(4.0).item() == 8.544171333312988


def mean_loss(w):
    return sum(loss_of(x, y, w) for x, y in DATA) / len(DATA)


def test_R6_grid_numeric_and_backward_find_the_same_optimum():
    calls = 0

    def loss(w):
        nonlocal calls
        calls += 1
        return mean_loss(w)

    assert min((k / 10 for k in range(41)), key=loss) == 2.0
    assert calls == 41

    calls, w, h = 0, 0.0, 1e-6
    for _ in range(100):
        w -= 0.05 * (loss(w + h) - loss(w - h)) / (2 * h)
    assert math.isclose(w, 2.0, abs_tol=1e-8)
    assert calls == 200  # two for each parameter

    calls, v = 0, torch.tensor(0.0, dtype=torch.float64, requires_grad=True)
    for _ in range(100):
        loss(v).backward()
        through_no_grad(v, 0.05)
    assert math.isclose(v.item(), 2.0, abs_tol=1e-12)
    assert calls == 100  # one for all parameters


def test_R7_a_vector_of_weights():
    torch.manual_seed(0)
    truth = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64)
    inputs = torch.randn(32, 3, dtype=torch.float64)  # (N, D)
    targets = inputs @ truth  # (N,)
    w = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    for step in range(300):
        residual = inputs @ w - targets
        (residual**2).mean().backward()
        by_hand = 2 / 32 * inputs.T @ residual.detach()
        assert torch.allclose(w.grad, by_hand, rtol=1e-12, atol=1e-14), step
        through_data(w, 0.1)
    assert torch.allclose(w.detach(), truth, atol=1e-10)


def test_R8_three_ways_to_update_give_the_same_bits():
    start = [0.3, -1.7]

    def finish(update):
        w = torch.tensor(start, requires_grad=True)
        for x, y in DATA * 30:
            loss_of(x, y, w).sum().backward()
            update(w)
        return w.tolist()

    def through_optimizer(w):
        optimizer = torch.optim.SGD([w], lr=0.01)
        optimizer.step()
        optimizer.zero_grad()

    assert finish(through_optimizer) == finish(lambda w: through_data(w, 0.01))
    assert finish(through_optimizer) == finish(lambda w: through_no_grad(w, 0.01))
