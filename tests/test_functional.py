"""nn.functional: what holds by mathematics, and what is recorded."""

import math
import re
import warnings

import numpy as np
import pytest

import chainrule as torch
from chainrule import nn
from chainrule.graph import structural_key

F = nn.functional
inf = math.inf


def grads(function, *values, order=1):
    """The derivatives of the summed output for each argument, `order` times."""
    leaves = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in values]
    found = function(*leaves)
    for _ in range(order):
        found = torch.autograd.grad(found.sum(), leaves[0], create_graph=True)[0]
    return found.tolist()


# --------------------------------------------------------------------------- stability (row G10)
STABLE = {
    "sigmoid": F.sigmoid,
    "logsigmoid": F.logsigmoid,
    "softplus": F.softplus,
    "silu": F.silu,
    "mish": F.mish,
    "gelu": F.gelu,
    "elu": F.elu,
    "selu": F.selu,
    "celu": F.celu,
    "tanh": F.tanh,
    "softsign": F.softsign,
    "bce": lambda x: F.binary_cross_entropy_with_logits(x, torch.ones_like(x)),
    "soft margin": lambda x: F.soft_margin_loss(x, torch.ones_like(x)),
    "log_softmax": lambda x: F.log_softmax(x, 0),
    "softmax": lambda x: F.softmax(x, 0),
    "cross_entropy": lambda x: F.cross_entropy(x, torch.tensor(1)),
    "bce of 0 and 1": lambda x: F.binary_cross_entropy(x.sigmoid(), torch.tensor([0.0, 1, 1, 0])),
}


@pytest.mark.parametrize("name", STABLE)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_large_arguments_give_finite_values_and_gradients(name, dtype):
    x = torch.tensor([-1000.0, 1000.0, -3e4, 88.8], dtype=dtype, requires_grad=True)
    function = STABLE[name]
    if name.startswith("bce of"):
        function = lambda x: F.binary_cross_entropy(  # noqa: E731
            x.sigmoid(), torch.tensor([0.0, 1, 1, 0], dtype=dtype)
        )
    y = function(x)
    y.sum().backward()
    assert y.isfinite().all() and x.grad.isfinite().all()


def test_derivatives_at_the_kinks_of_stable_formulas():
    """Formulas with |x| or max(x, 0) would lose derivatives at 0."""
    assert grads(F.softplus, [0.0]) == [0.5]
    assert grads(F.softplus, [0.0], order=2) == [0.25]
    assert grads(F.softplus, [0.0], order=4) == [-0.125]
    assert grads(F.logsigmoid, [0.0]) == [0.5]
    assert grads(F.logsigmoid, [0.0], order=2) == [-0.25]
    half = torch.tensor([0.5], dtype=torch.float64)
    assert grads(lambda x: F.binary_cross_entropy_with_logits(x, half), [0.0], order=2) == [0.25]
    zero = torch.zeros(1, dtype=torch.float64)
    assert grads(lambda x: F.smooth_l1_loss(x, zero, beta=0.5), [0.0], order=2) == [2.0]
    assert grads(lambda x: F.huber_loss(x, zero), [0.0], order=2) == [1.0]


def test_derivatives_on_the_bounds():
    assert grads(F.relu, [0.0]) == [0.0]
    assert grads(F.relu6, [0.0, 6.0, 3.0]) == [0.0, 0.0, 1.0]
    assert grads(F.hardtanh, [-1.0, 1.0, 0.5]) == [0.0, 0.0, 1.0]


def test_softmax_jacobian():
    """diag(p) - p p^T (row P4)."""
    x = torch.tensor([0.3, -1.0, 2.0], dtype=torch.float64)
    p = F.softmax(x, 0)
    jacobian = torch.autograd.functional.jacobian(lambda x: F.softmax(x, 0), x)
    np.testing.assert_allclose(jacobian.numpy(), np.diag(p) - np.outer(p, p), atol=1e-15)


def test_softmax_of_nothing_and_of_minus_infinity():
    assert F.softmax(torch.ones(0, 3), 0).shape == (0, 3)
    assert F.softmax(torch.tensor([-inf, 0.0]), 0).tolist() == [0.0, 1.0]
    assert F.softmax(torch.tensor([-inf, -inf]), 0).isnan().all()


# --------------------------------------------------------------------------- identities
def test_convolution_is_its_definition():
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((2, 4, 7)), rng.standard_normal((6, 2, 3))
    y = F.conv1d(torch.tensor(x), torch.tensor(w), None, 2, 1, 1, 2).numpy()
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1)))
    for n, f, o in np.ndindex(*y.shape):
        part = padded[n, 2 * (f // 3) : 2 * (f // 3) + 2, 2 * o : 2 * o + 3]
        assert y[n, f, o] == pytest.approx((part * w[f]).sum(), abs=1e-13)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_transposed_convolution_is_the_adjoint(rank):
    """<conv(x), y> = <x, conv_transpose(y)>."""
    torch.manual_seed(0)
    kind = {"dtype": torch.float64}
    x, w = torch.randn(2, 3, *[6] * rank, **kind), torch.randn(4, 3, *[3] * rank, **kind)
    forward = getattr(F, f"conv{rank}d")(x, w, stride=2, padding=1, dilation=1)
    y = torch.randn(*forward.shape, **kind)
    back = getattr(F, f"conv_transpose{rank}d")(y, w, stride=2, padding=1, output_padding=1)
    assert (forward * y).sum().item() == pytest.approx((x * back).sum().item(), rel=1e-12)


def test_fold_is_the_adjoint_of_unfold():
    torch.manual_seed(0)
    x = torch.randn(2, 3, 5, 6, dtype=torch.float64)
    columns = F.unfold(x, (2, 3), 1, 1, 2)
    y = torch.randn(*columns.shape, dtype=torch.float64)
    back = F.fold(y, (5, 6), (2, 3), 1, 1, 2)
    assert (columns * y).sum().item() == pytest.approx((x * back).sum().item(), rel=1e-12)


def test_pool_gradient_goes_to_the_first_maximum():
    x = torch.ones(1, 1, 4, requires_grad=True)
    F.max_pool1d(x, 2).sum().backward()
    assert x.grad.tolist() == [[[1.0, 0.0, 1.0, 0.0]]]


def test_adaptive_pool_of_a_divisor_is_a_plain_pool():
    x = torch.randn(2, 3, 6, 8, dtype=torch.float64)
    assert F.adaptive_avg_pool2d(x, (3, 2)).allclose(F.avg_pool2d(x, (2, 4)), 1e-15)
    assert F.adaptive_max_pool2d(x, (3, 2)).equal(F.max_pool2d(x, (2, 4)))


def test_normalised_means_and_variances():
    torch.manual_seed(0)
    x = torch.randn(8, 4, 5, dtype=torch.float64) * 3 + 2
    for y, dims in (
        (F.batch_norm(x, None, None, training=True, eps=0.0), (0, 2)),
        (F.layer_norm(x, (4, 5), eps=0.0), (1, 2)),
        (F.instance_norm(x, eps=0.0), (2,)),
    ):
        assert y.mean(dims).abs().max().item() < 1e-14
        assert (y.var(dims, correction=0) - 1).abs().max().item() < 1e-13


def test_batch_norm_follows_the_batch():
    mean, var = torch.zeros(1), torch.ones(1)
    F.batch_norm(torch.tensor([[1.0], [3.0]]), mean, var, training=True, momentum=0.5)
    assert mean.item() == 1.0 and var.item() == 1.5  # mean 2; unbiased variance 2
    assert not mean.requires_grad


def test_attention_is_causal():
    """Row X6: what comes later changes nothing before."""
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 4, 3) for _ in range(3))
    before = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    k[:, 3], v[:, 3] = 9.0, -9.0
    after = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    assert before[:, :3].equal(after[:, :3]) and not before[:, 3].equal(after[:, 3])


def test_attention_that_sees_nothing_is_zero_with_zero_gradient():
    q, k, v = (torch.ones(1, 2, 3, requires_grad=True) for _ in range(3))
    mask = torch.tensor([[True, True], [False, False]])
    out = F.scaled_dot_product_attention(q, k, v, mask)
    assert out[0, 1].tolist() == [0.0, 0.0, 0.0]
    out.sum().backward()
    assert q.grad.isfinite().all() and q.grad[0, 1].abs().sum().item() == 0


def test_cross_entropy_is_softmax_log_and_mean():
    x, y = torch.tensor([[2.0, 1.0, 0.1], [0.0, 0.0, 0.0]], requires_grad=True), [0, 2]
    loss = F.cross_entropy(x, torch.tensor(y))  # row P7
    loss.backward()
    assert loss.item() == pytest.approx(0.7578211426734924, rel=1e-6)
    expected = [[-0.17049941, 0.12121649, 0.04928295], [0.16666666, 0.16666666, -0.33333334]]
    np.testing.assert_allclose(x.grad.numpy(), expected, atol=1e-7)
    one_hot = F.one_hot(torch.tensor(y), 3).float()
    assert F.cross_entropy(x, one_hot).item() == pytest.approx(loss.item(), rel=1e-6)


def test_no_target_counts():
    x = torch.zeros(2, 3)
    assert F.cross_entropy(x, torch.tensor([-100, -100])).isnan().item()
    assert F.cross_entropy(x, torch.tensor([-100, -100]), reduction="sum").item() == 0


def test_embedding_rows():
    table = torch.tensor([[3.0, 4.0], [1.0, 0.0], [6.0, 8.0]], requires_grad=True)
    ids = torch.tensor([0, 2, 0, 1])
    F.embedding(ids, table, padding_idx=1).sum().backward()
    assert table.grad.tolist() == [[2.0, 2.0], [0.0, 0.0], [1.0, 1.0]]
    table.grad = None
    F.embedding(ids, table, scale_grad_by_freq=True).sum().backward()
    assert table.grad.tolist() == [[1.0, 1.0]] * 3
    short = F.embedding(ids[:2], table, max_norm=1.0)
    np.testing.assert_allclose(short.detach().numpy(), [[0.6, 0.8], [0.6, 0.8]], rtol=1e-6)
    assert table[1].tolist() == [1.0, 0.0]


def test_dropout_keeps_the_mean_and_evaluation_keeps_the_tensor():
    torch.manual_seed(0)
    x = torch.ones(20000)
    kept = F.dropout(x, 0.3)
    assert kept.mean().item() == pytest.approx(1, abs=0.02)
    assert set(np.unique(kept.numpy()).round(4)) == {0.0, np.float32(1.4286)}
    assert F.dropout(x, 0.3, training=False) is x and F.alpha_dropout(x) is x
    y = F.alpha_dropout(torch.randn(50000), 0.2, True)
    assert y.mean().item() == pytest.approx(0, abs=0.03)
    assert y.std().item() == pytest.approx(1, abs=0.03)
    assert F.alpha_dropout(torch.ones(3), 1.0, True).tolist() == [0.0, 0.0, 0.0]


def test_rrelu_draws_its_slopes():
    torch.manual_seed(0)
    y = F.rrelu(-torch.ones(1000), 0.2, 0.4, training=True)
    assert -0.4 <= y.min().item() < y.max().item() <= -0.2


def test_written_in_place():
    for function in (F.relu, F.elu, F.silu, F.hardtanh, F.dropout):
        x = torch.tensor([-1.0, 2.0])
        result = function(x, inplace=True)
        assert result is x
    leaf = torch.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match="leaf"):
        F.relu(leaf, inplace=True)


# --------------------------------------------------------------------------- recorded, not run
def test_nothing_is_computed_while_recording():
    x = torch.randn(4, 3, requires_grad=True) * 1
    target = torch.randint(0, 3, (4,)) * 1
    for result in (
        F.cross_entropy(x, target),
        F.one_hot(target, 3),
        F.embedding(target, x),
        F.batch_norm(x, torch.zeros(3), torch.ones(3), training=True),
        F.binary_cross_entropy(x.sigmoid(), x.sigmoid()),
        F.max_pool1d(x, 2),
    ):
        assert result.node.value is None
    assert x.node.value is None and target.node.value is None


def test_late_targets_are_refused_when_they_are_known():
    target = torch.tensor([0, 3]) + 0
    loss = F.cross_entropy(torch.zeros(2, 3), target)
    with pytest.raises(IndexError, match="3"):
        loss.item()
    with pytest.raises(IndexError, match="-1"):
        F.nll_loss(torch.zeros(2, 3), torch.tensor([0, 0]) - 1).item()
    with pytest.raises(IndexError, match="3"):
        F.one_hot(torch.tensor([0, 3]) + 0, 3).tolist()


def test_the_graph_does_not_depend_on_values():
    def key(target):
        loss = F.cross_entropy(torch.zeros(2, 3, requires_grad=True), torch.tensor(target))
        return structural_key([loss.node])[0]

    assert key([0, 1]) == key([-100, 1])


def test_scopes_have_public_names():
    x, w = torch.ones(1, 2), torch.ones(3, 2)
    assert F.linear(x, w).node.scope.path.split(".")[0] == "linear"
    loss = F.cross_entropy(x, torch.tensor([1]))
    assert loss.node.scope.path.startswith("cross_entropy.nll_loss")
    assert F.interpolate(torch.ones(1, 1, 2), 4).node.scope.path.startswith("interpolate")
    assert F.pad(x, (1, 1)).node.scope.path == "pad"


# --------------------------------------------------------------------------- dtypes and warnings
HALF = {
    "softmax": lambda x: F.softmax(x, 1),
    "gelu": F.gelu,
    "layer_norm": lambda x: F.layer_norm(x, (64,), x[0], x[1]),
    "log_softmax": lambda x: F.log_softmax(x, 1),
    "mse_loss": lambda x: F.mse_loss(x, x.flip(0)),
}


@pytest.mark.parametrize("name", HALF)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_rounds_once(name, dtype):
    torch.manual_seed(0)
    x = torch.randn(8, 64).to(dtype)
    assert HALF[name](x).equal(HALF[name](x.float()).to(dtype))
    assert HALF[name](x).dtype is dtype


def test_softmax_takes_integers_with_a_dtype():
    assert F.softmax(torch.tensor([0, 0]), 0, dtype=torch.float32).tolist() == [0.5, 0.5]
    assert F.log_softmax(torch.tensor([0, 0]), 0, dtype=torch.float64).dtype is torch.float64


WARNED = {
    "they are broadcast": lambda: F.mse_loss(torch.ones(3), torch.ones(3, 1)),
    "write dim=0": lambda: F.softmax(torch.ones(3)),
    "reduction='none'": lambda: F.l1_loss(torch.ones(3), torch.ones(3), reduce=False),
    "reduction='sum'": lambda: F.nll_loss(
        torch.ones(3, 3), torch.zeros(3).long(), size_average=False
    ),
    "reduction='mean'": lambda: torch.nn.MSELoss(reduce=True),
}


@pytest.mark.parametrize("text", WARNED)
def test_warnings(text):
    with pytest.warns(UserWarning, match=re.escape(text)):
        WARNED[text]()


def test_no_warning_where_nothing_is_wrong():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        F.mse_loss(torch.ones(3), torch.ones(3))
        F.cross_entropy(torch.ones(3, 3), torch.zeros(3).long())
