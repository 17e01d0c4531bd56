"""nn.init: what the numbers must satisfy, and every refusal."""

import math

import pytest

import chainrule as torch
from chainrule.nn import init


def std(tensor):
    return tensor.std().item()


@pytest.mark.parametrize(
    "fill, expected",
    [
        (lambda w: init.xavier_uniform_(w), math.sqrt(2 / (300 + 200))),
        (lambda w: init.xavier_normal_(w, gain=3.0), 3 * math.sqrt(2 / (300 + 200))),
        (lambda w: init.kaiming_uniform_(w, nonlinearity="relu"), math.sqrt(2 / 200)),
        (lambda w: init.kaiming_normal_(w, a=1.0, mode="fan_out"), math.sqrt(1 / 300)),
        (lambda w: init.normal_(w, 1.0, 0.5), 0.5),
        (lambda w: init.uniform_(w, -1.0, 1.0), 1 / math.sqrt(3)),
        (lambda w: init.trunc_normal_(w, std=1.0, a=-1.0, b=1.0), 0.5396),
        (lambda w: init.trunc_normal_(w, std=100.0, a=-1.0, b=1.0), 1 / math.sqrt(3)),
    ],
)
def test_standard_deviations(fill, expected):
    torch.manual_seed(0)
    assert std(fill(torch.empty(300, 200))) == pytest.approx(expected, rel=0.02)


def test_orthogonal_rows_or_columns():
    tall = init.orthogonal_(torch.empty(8, 3, dtype=torch.float64), gain=2.0)
    assert torch.allclose(tall.T @ tall, 4 * torch.eye(3, dtype=torch.float64))
    kernel = init.orthogonal_(torch.empty(4, 3, 2, 2, dtype=torch.float64)).flatten(1)
    assert torch.allclose(kernel @ kernel.T, torch.eye(4, dtype=torch.float64))


def test_dirac_passes_channels_on():
    weight = init.dirac_(torch.empty(4, 2, 3, 3), groups=2)
    x = torch.randn(1, 4, 5, 5)
    assert torch.equal(torch.nn.functional.conv2d(x, weight, padding=1, groups=2), x)


def test_a_parameter_stays_a_leaf_that_requires_grad():
    layer = torch.nn.Linear(3, 2)
    init.zeros_(layer.bias)
    init.sparse_(layer.weight, 0.5)
    assert layer.weight.is_leaf and layer.weight.requires_grad
    layer(torch.ones(1, 3)).sum().backward()
    assert layer.bias.tolist() == [0, 0] and layer.bias.grad.tolist() == [1, 1]


def test_a_mean_far_outside_is_warned_of():
    with pytest.warns(UserWarning, match="mean 9.0 is more than 2 std = 2.0 away"):
        init.trunc_normal_(torch.empty(3), mean=9.0)


REFUSED = [
    (lambda: init.calculate_gain("x"), "calculate_gain requires one of"),
    (lambda: init.calculate_gain("leaky_relu", True), "a number as the slope, got True"),
    (lambda: init.xavier_uniform_(torch.empty(3)),
     "xavier_uniform_ requires a weight of at least 2 dimensions, got shape (3,)"),
    (lambda: init.kaiming_normal_(torch.empty(3, 2), mode="x"),
     "kaiming_normal_ requires mode 'fan_in' or 'fan_out', got 'x'"),
    (lambda: init.eye_(torch.empty(3)), "eye_ requires 2 dimensions, got shape (3,)"),
    (lambda: init.sparse_(torch.empty(3), 0.5), "sparse_ requires 2 dimensions, got shape (3,)"),
    (lambda: init.dirac_(torch.empty(3, 2)), "requires 3, 4 or 5 dimensions, got shape (3, 2)"),
    (lambda: init.dirac_(torch.empty(3, 2, 1), groups=2), "groups to divide 3, got 2"),
    (lambda: init.orthogonal_(torch.empty(3)), "at least 2 dimensions, got shape (3,)"),
]  # fmt: skip


@pytest.mark.parametrize("call, text", REFUSED)
def test_refusals(call, text):
    with pytest.raises(ValueError) as caught:
        call()
    assert text in str(caught.value)
