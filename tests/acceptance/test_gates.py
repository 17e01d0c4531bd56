"""Rows G1-G4 and G7-G10: a program is a graph of gates, each with a local derivative."""

import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as torch
import chainrule.nn as nn
import chainrule.nn.functional as F
from chainrule.graph import toposort


def scalar(value, requires_grad=True):
    return torch.tensor(float(value), dtype=torch.float64, requires_grad=requires_grad)


def op_names(tensor):
    return [node.op.name for node in toposort([tensor.node]) if node.op is not None]


def test_G1_square_of_a_sum():
    x, y = scalar(1), scalar(2)
    z = x + y
    f = z**2
    assert (z.item(), f.item()) == (3.0, 9.0)
    df_dz, df_dx, df_dy = torch.autograd.grad(f, [z, x, y], retain_graph=True)
    assert (df_dz.item(), df_dx.item(), df_dy.item()) == (6.0, 6.0, 6.0)
    dz_dx, dz_dy = torch.autograd.grad(z, [x, y])
    assert (dz_dx.item(), dz_dy.item()) == (1.0, 1.0)


def test_G1_the_graph_has_four_values_and_two_ops():
    x, y = scalar(1), scalar(2)
    f = (x + y) ** 2
    order = torch.backprop(f).order
    assert [node.op is None for node in order] == [True, True, False, False]
    assert len(op_names(f)) == 2


def test_G3_every_edge_multiplies_upstream_by_local():
    x, y = scalar(0.5), scalar(-1.5)
    product = x * y
    f = torch.tanh(product) + torch.exp(product) / x
    record = torch.backprop(f)
    edges = record.edges()
    assert {id(edge.node) for edge in edges} >= {id(product.node), id(f.node)}
    for edge in edges:
        assert math.isclose((edge.upstream * edge.local).item(), edge.downstream.item())


def test_G3_downstream_values_into_a_node_add_up_to_its_gradient():
    x = scalar(0.7)
    f = x * torch.sin(x) + x
    record = torch.backprop(f)
    into_x = [edge.downstream.item() for edge in record.edges() if edge.input is x.node]
    assert len(into_x) == 3
    assert math.isclose(sum(into_x), record.gradient(x).item())
    assert math.isclose(sum(into_x), math.sin(0.7) + 0.7 * math.cos(0.7) + 1)


def sigmoid_neuron():
    """Return the leaves w0, x0, w1, x1, w2 and the gates of 1/(1+exp(-(w0 x0+w1 x1+w2)))."""
    leaves = w0, x0, w1, x1, w2 = [scalar(v) for v in (2, -1, -3, -2, -3)]
    gates = [w0 * x0, w1 * x1]
    gates.append(gates[0] + gates[1])
    gates.append(gates[2] + w2)
    gates.append(-gates[3])
    gates.append(torch.exp(gates[4]))
    gates.append(gates[5] + 1)
    gates.append(1 / gates[6])
    return leaves, gates


def test_G4_forward_gate_by_gate():
    _, gates = sigmoid_neuron()
    assert [round(g.item(), 2) for g in gates] == [-2, 6, 4, 1, -1, 0.37, 1.37, 0.73]
    assert math.isclose(gates[-1].item(), 0.7310585786300049, rel_tol=1e-15)


def test_G4_backward_gate_by_gate():
    leaves, gates = sigmoid_neuron()
    through = torch.autograd.grad(gates[-1], gates[::-1], retain_graph=True)
    assert [round(g.item(), 2) for g in through] == [1, -0.53, -0.53, -0.2, 0.2, 0.2, 0.2, 0.2]
    into_leaves = torch.autograd.grad(gates[-1], leaves)
    assert [round(g.item(), 2) for g in into_leaves] == [-0.2, 0.39, -0.39, -0.59, 0.2]
    slope = 0.19661193324148185
    for got, factor in zip(into_leaves, (-1, 2, -2, -3, 1)):
        assert math.isclose(got.item(), factor * slope, rel_tol=1e-15)


class Sigmoid(torch.autograd.Function):
    """A coarse gate: one op with its own derivative s (1 - s)."""

    @staticmethod
    def forward(ctx, x):
        s = 1 / (1 + torch.exp(-x))
        ctx.save_for_backward(s)
        return s

    @staticmethod
    def backward(ctx, ct):
        (s,) = ctx.saved_tensors
        return ct * s * (1 - s)


class WrongSigmoid(Sigmoid):
    @staticmethod
    def backward(ctx, ct):
        (s,) = ctx.saved_tensors
        return ct * s  # the factor 1 - s is missing


def test_G7_a_coarse_gate_has_the_gradient_of_its_small_gates():
    leaves, gates = sigmoid_neuron()
    w0, x0, w1, x1, w2 = leaves
    coarse = Sigmoid.apply(w0 * x0 + w1 * x1 + w2)
    want = torch.autograd.grad(gates[-1], leaves)
    assert torch.allclose(
        torch.stack(torch.autograd.grad(coarse, leaves)), torch.stack(want), rtol=1e-14
    )


def test_G7_gradcheck_accepts_the_right_backward_and_names_the_wrong_one():
    x = torch.tensor([0.3, -0.8, 1.7], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(Sigmoid.apply, (x,))
    assert torch.autograd.gradgradcheck(Sigmoid.apply, (x,))
    with pytest.raises(RuntimeError) as caught:
        torch.autograd.gradcheck(WrongSigmoid.apply, (x,))
    text = str(caught.value)
    assert "input 0" in text and "numeric" in text and "analytic" in text
    named = [float(number) for number in re.findall(r"\d+\.\d+", text)]
    s = torch.sigmoid(x[0]).item()
    for value in (s, s * (1 - s)):  # what backward says, what is true
        assert any(math.isclose(value, number, rel_tol=1e-3) for number in named)
    assert not torch.autograd.gradcheck(WrongSigmoid.apply, (x,), raise_exception=False)


def test_G8_forks_add():
    x, y = scalar(3), scalar(-4)
    f = (x + torch.sigmoid(y)) / (torch.sigmoid(x) + (x + y) ** 2)
    f.backward()
    got = (f.item(), x.grad.item(), y.grad.item())
    want = (1.5456448841066441, 2.0595697955721652, 1.5922327514838093)
    assert all(math.isclose(g, w, rel_tol=1e-14) for g, w in zip(got, want))


def loss_before_and_after_one_step(seed):
    torch.manual_seed(seed)
    sizes = [int(n) for n in torch.randint(2, 9, (3,))]
    net = nn.Sequential(nn.Linear(sizes[0], sizes[1]), nn.Tanh(), nn.Linear(sizes[1], sizes[2]))
    x, y = torch.randn(6, sizes[0]), torch.randn(6, sizes[2])
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-3)
    before = F.mse_loss(net(x), y)
    before.backward()
    optimizer.step()
    return before.item(), F.mse_loss(net(x), y).item()


def test_G9_one_small_step_lowers_the_loss():
    pairs = [loss_before_and_after_one_step(seed) for seed in range(100)]
    assert sum(after < before for before, after in pairs) >= 99


def test_G9_a_detached_branch_has_no_gradient():
    x, y = scalar(2), scalar(3)
    (x.detach() * y).backward()
    assert x.grad is None
    assert y.grad.item() == 2.0


def test_G9_the_reason_for_a_missing_gradient_is_stated():
    x, y = scalar(2), scalar(3)
    cut = x.detach()
    line = test_G9_the_reason_for_a_missing_gradient_is_stated.__code__.co_firstlineno + 2
    f = cut * y
    f.backward()
    assert f"test_gates.py:{line}" in cut.why() and "detach" in cut.why()
    assert "nothing" in scalar(1, requires_grad=False).why()
    assert "has a gradient" in y.why()


@pytest.mark.parametrize("value", [-1000.0, 0.0, 1000.0])
@pytest.mark.parametrize(
    "gate",
    [
        torch.sigmoid,
        F.logsigmoid,
        F.softplus,
        torch.tanh,
        lambda x: F.log_softmax(x, dim=0),
        lambda x: F.softmax(x, dim=0),
        lambda x: torch.logsumexp(x, dim=0),
        lambda x: F.binary_cross_entropy_with_logits(x, torch.zeros_like(x)),
    ],
    ids=["sigmoid", "logsigmoid", "softplus", "tanh", "log_softmax", "softmax", "logsumexp", "bce"],
)
def test_G10_saturated_gates_stay_finite(gate, value):
    x = torch.tensor([value, -value, 1.0], dtype=torch.float64, requires_grad=True)
    out = gate(x)
    out.sum().backward()
    assert torch.isfinite(out).all() and torch.isfinite(x.grad).all()


def test_G10_exact_limits():
    x = torch.tensor([1000.0, -1000.0], requires_grad=True)
    assert torch.sigmoid(x).tolist() == [1.0, 0.0]
    assert F.softplus(x).tolist() == [1000.0, 0.0]
    assert F.log_softmax(x, dim=0).tolist() == [0.0, -2000.0]
    assert torch.logsumexp(x, dim=0).item() == 1000.0


# G2: random graphs.  Every entry keeps values of moderate size, so that a graph of a dozen of them
# stays where central differences are exact to about ten digits.

UNARY = [
    torch.tanh, torch.sigmoid, torch.sin, torch.cos, torch.atan, torch.erf, F.softplus, F.silu,
    F.gelu, torch.neg,
    lambda x: torch.exp(torch.tanh(x)),
    lambda x: torch.expm1(torch.sin(x)),
    lambda x: torch.log(1 + x * x),
    lambda x: torch.log1p(x.square()),
    lambda x: torch.sqrt(1 + x**2),
    lambda x: torch.rsqrt(2 + torch.cos(x)),
    lambda x: torch.reciprocal(2 + torch.sin(x)),
    lambda x: torch.tanh(x) ** 3,
    lambda x: (1.5 + torch.sin(x)) ** 2.5,
    lambda x: torch.sinh(torch.tanh(x)) - torch.cosh(torch.sin(x)),
    lambda x: torch.asin(0.5 * torch.tanh(x)) + torch.acos(0.5 * torch.sin(x)),
    lambda x: torch.log2(2 + torch.sin(x)),
    lambda x: torch.tan(0.5 * torch.tanh(x)),
]  # fmt: skip


def checkerboard(x):
    """A constant mask: a condition on values would jump where central differences look."""
    return torch.arange(x.numel()).reshape(x.shape) % 2 == 0


BINARY = [
    torch.add, torch.sub,
    lambda a, b: torch.tanh(a) * b,
    lambda a, b: a / (1 + b * b),
    lambda a, b: torch.atan2(a, 2 + torch.cos(b)),
    lambda a, b: torch.lerp(a, torch.tanh(b), 0.3),
    lambda a, b: torch.where(checkerboard(a), a, b),
    lambda a, b: (1.5 + torch.sin(a)) ** torch.tanh(b),
    lambda a, b: torch.einsum("...,...->...", torch.sin(a), b),
]  # fmt: skip

# Each takes a tensor with at least one axis.
SHAPED = [
    lambda x: x.sum(-1),
    lambda x: x.mean(0, keepdim=True),
    lambda x: F.softmax(x, dim=-1),
    lambda x: F.log_softmax(x, dim=0),
    lambda x: torch.logsumexp(x, dim=-1),
    lambda x: torch.tanh(x).cumsum(0),
    lambda x: torch.cumprod(1 + 0.5 * torch.sin(x), dim=-1),
    lambda x: torch.prod(1 + 0.5 * torch.sin(x), dim=0),
    lambda x: (x * x).sum(-1).add(0.1).sqrt(),
    lambda x: x.reshape(-1)[: 2 * (x.numel() // 2)].view(-1, 2) if x.numel() > 1 else x,
    lambda x: x.transpose(0, -1),
    lambda x: x.flip(0),
    lambda x: torch.roll(x, 1, -1),
    lambda x: torch.cat([x, torch.sin(x)], dim=0),
    lambda x: torch.stack([x, torch.cos(x)], dim=-1).mean(-1),
    lambda x: x[..., :1] + x[..., -1:],
    lambda x: x[torch.arange(x.shape[0] - 1, -1, -1)],
    lambda x: x.unsqueeze(0).expand(2, *x.shape).mean(0),
    lambda x: F.pad(x, (1, 1)),
    lambda x: F.layer_norm(x, x.shape[-1:], eps=0.1),
    lambda x: torch.tril(x.reshape(1, -1) + x.reshape(-1, 1)).mean(0),
    lambda x: torch.matmul(x.reshape(1, -1), torch.tanh(x).reshape(-1, 1)) / x.numel(),
    lambda x: x.index_select(0, torch.zeros(2, dtype=torch.long)),
    lambda x: torch.gather(x, 0, torch.zeros_like(x, dtype=torch.long)),
    lambda x: x.repeat(2, *[1] * (x.dim() - 1)),
    lambda x: F.linear(x, torch.sin(x).reshape(-1, x.shape[-1]).mean(0)),
]

SHAPES = [(), (3,), (2, 3), (2, 1), (1, 3), (1,)]

instruction = st.tuples(
    st.integers(0, 2), st.integers(0, 99), st.integers(0, 99), st.integers(0, 99)
)
graphs = st.tuples(
    st.lists(st.sampled_from(SHAPES), min_size=1, max_size=3),
    st.lists(instruction, min_size=1, max_size=12),
    st.integers(0, 10**6),
)


def broadcastable(a, b):
    return all(m == n or 1 in (m, n) for m, n in zip(a.shape[::-1], b.shape[::-1]))


def run_graph(leaves, instructions):
    """Run the instructions; every value made enters the result, so nothing is dead."""
    values = list(leaves)
    for arity, which, i, j in instructions:
        a, b = values[i % len(values)], values[j % len(values)]
        if arity == 1 and a.dim():
            values.append(SHAPED[which % len(SHAPED)](a))
        elif arity == 2:
            b = b if broadcastable(a, b) else b.mean()
            values.append(BINARY[which % len(BINARY)](a, b))
        else:
            values.append(UNARY[which % len(UNARY)](a))
    return sum(torch.sin(v + k).mean() for k, v in enumerate(values))


@settings(max_examples=500, deadline=None, derandomize=True)
@given(graphs)
def test_G2_random_graphs_agree_with_central_differences(graph):
    shapes, instructions, seed = graph
    torch.manual_seed(seed)
    points = [torch.randn(shape, dtype=torch.float64) for shape in shapes]
    directions = [torch.randn(shape, dtype=torch.float64) for shape in shapes]
    leaves = [p.clone().requires_grad_() for p in points]
    gradients = torch.autograd.grad(run_graph(leaves, instructions), leaves)
    got = sum((g * v).sum() for g, v in zip(gradients, directions)).item()

    def along(t):
        return run_graph([p + t * v for p, v in zip(points, directions)], instructions).item()

    h = 1e-4  # fourth-order differences: truncation and rounding are both near 1e-11
    want = (8 * (along(h) - along(-h)) - (along(2 * h) - along(-2 * h))) / (12 * h)
    assert math.isclose(got, want, rel_tol=1e-6, abs_tol=1e-6)
