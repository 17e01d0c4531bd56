"""What is computed together: the kernels of well-known graphs, and what they keep in memory."""

import pytest

import chainrule as torch
from chainrule.graph import toposort
from chainrule.jit.fuse import Fusion
from chainrule.jit.loops import Lowering
from chainrule.nn import functional as F
from chainrule.prepare import prepare
from chainrule.rewrite import rewrite


@pytest.fixture(autouse=True)
def recorded(monkeypatch):
    torch.manual_seed(0)


def fused(*tensors):
    outputs = prepare(rewrite([t.node for t in tensors]))
    return Fusion(toposort(outputs), outputs)


def kinds(fusion):
    return [k.kind for k in fusion.kernels]


def passes(fusion, kernel):
    """How often the kernel's loops go over a row."""
    return sum(bool(b.inner) for b in Lowering(fusion, kernel).nest().blocks)


def test_elementwise_ops_and_movement_are_one_kernel():
    x, y = torch.rand(8, 5), torch.rand(5, 8)
    fusion = fused((x.t().reshape(40) * 2 + y.reshape(40)).sigmoid() - 1)
    assert kinds(fusion) == ["loops"] and len(fusion.stored) == 1


def test_softmax_is_one_kernel_of_three_passes():
    fusion = fused(torch.rand(64, 32).softmax(1))
    assert kinds(fusion) == ["loops"] and len(fusion.stored) == 1
    assert passes(fusion, fusion.kernels[0]) == 3


def test_layer_norm_is_one_kernel():
    fusion = fused(F.layer_norm(torch.rand(64, 32), (32,), torch.rand(32), torch.rand(32)))
    assert kinds(fusion) == ["loops"] and len(fusion.stored) == 1


def test_batch_norm_is_one_kernel_over_channels():
    x = torch.rand(16, 32, 4, 4)
    fusion = fused(F.batch_norm(x, None, None, torch.rand(32), torch.rand(32), training=True))
    assert kinds(fusion) == ["loops"]
    kernel = fusion.kernels[0]
    assert [kernel.space.sizes[v] for v in kernel.parallel] == [32]


def test_cross_entropy_and_its_gradient_go_over_the_rows_once():
    logits = torch.rand(64, 10, requires_grad=True)
    loss = F.cross_entropy(logits, torch.randint(0, 10, (64,)))
    (gradient,) = torch.autograd.grad(loss, [logits])
    fusion = fused(loss, gradient)
    assert set(kinds(fusion)) == {"loops"} and len(fusion.kernels) <= 4


def test_a_contraction_takes_bias_activation_and_update():
    x, w, b = torch.rand(64, 32), torch.rand(16, 32), torch.rand(16)
    fusion = fused(torch.tanh(F.linear(x, w, b)))
    assert kinds(fusion) == ["contract"] and len(fusion.stored) == 1
    ct = torch.rand(64, 16)
    fusion = fused(w - 0.1 * (ct.t() @ x))
    assert kinds(fusion) == ["contract"] and len(fusion.stored) == 1


def test_convolution_reads_its_windows_through_the_index_map():
    x, w = torch.rand(4, 3, 9, 9), torch.rand(5, 3, 3, 3)
    fusion = fused(F.conv2d(x, w, padding=1, stride=2).relu())
    assert kinds(fusion) == ["contract"] and len(fusion.stored) == 1


def test_the_gradients_of_a_convolution_materialise_no_windows():
    x = torch.rand(4, 3, 9, 9, requires_grad=True)
    w = torch.rand(5, 3, 3, 3, requires_grad=True)
    gradients = torch.autograd.grad(F.conv2d(x, w, padding=1).sum(), [x, w])
    fusion = fused(*gradients)
    largest = max(n.nbytes for n in fusion.stored)
    assert largest <= 5 * 4 * 9 * 9 * 4 and "host" not in kinds(fusion)


def test_a_number_is_computed_where_it_is_used():
    x, a = torch.rand(100), torch.rand(())
    assert kinds(fused(x * (a * 2 + 1))) == ["loops"]


def test_what_costs_much_is_stored_and_what_costs_little_is_computed_again():
    x = torch.rand(64, 32)
    cheap, dear = x + 2, torch.exp(x)
    assert len(fused(cheap.t() @ torch.rand(64, 4), cheap @ torch.rand(32, 4)).stored) == 3
    fusion = fused(dear.sum(0), dear.sum(1), dear @ torch.rand(32, 4))
    assert sum(n.op is dear.node.op for n in fusion.stored) == 1


def test_a_cat_of_many_is_written_in_place():
    parts = [torch.rand(4, 3) * k for k in range(9)]
    fusion = fused(torch.cat(parts))
    assert kinds(fusion)[-1] == "cat" and len(fusion.part_of) == 9


def test_a_cat_of_few_is_written_in_place_if_it_is_stored_and_its_parts_are_computed():
    a, b, w = torch.rand(4, 3), torch.rand(4, 3), torch.rand(6, 2)
    assert kinds(fused(torch.cat([a.exp(), b @ torch.rand(3, 3)], 1) @ w)).count("cat") == 1
    assert "cat" not in kinds(fused(torch.cat([a, b], 1) @ w))
    assert kinds(fused(torch.cat([a.exp(), b.exp()], 1) + 1)) == ["loops"]


def test_what_overlapping_windows_read_is_computed_once():
    x, pool = torch.rand(1, 1, 9, 9), torch.nn.functional.max_pool2d
    assert kinds(fused(pool(x.exp(), 3, 2))) == ["loops"] * 2
    assert kinds(fused(pool(x.exp(), 2))) == ["loops"]


def test_what_cannot_be_compiled_is_interpreted_alone():
    x = torch.rand(4, 4) + torch.eye(4)
    fusion = fused(torch.linalg.inv(x * 2) + 1)
    assert kinds(fusion).count("host") == 1


def test_every_node_has_at_most_one_home():
    x = torch.rand(32, 16, requires_grad=True)
    loss = (F.gelu(x @ torch.rand(16, 16)).softmax(1) * x).sum()
    fusion = fused(loss, *torch.autograd.grad(loss, [x]))
    members = [m.node for k in fusion.kernels for m in k.members]
    assert len(members) == len(set(members))
    for k in fusion.kernels:
        for m in k.members:
            assert fusion.home[m.node] is k
