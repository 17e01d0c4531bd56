"""The record of a back-propagation: every gate, every factor, and no trace in the user's graph."""

import pytest

import chainrule as torch
from chainrule.errors import GradError


def var(value):
    return torch.tensor(value, dtype=torch.float64, requires_grad=True)


def product_of_sines():
    x, y = var(0.5), var(2.0)
    return x, y, (x.sin() * y).exp()


def test_gates_come_output_first():
    _, _, f = product_of_sines()
    record = torch.backprop(f)
    assert [n.name for n in record.reverse] == ["exp", "mul", "sin"]
    assert record.order[-1] is f.node
    assert repr(record) == "<back-propagation of exp: 5 nodes, 3 gates>"


def test_on_every_edge_upstream_times_local_is_downstream():
    _, _, f = product_of_sines()
    edges = list(torch.backprop(f).edges())
    assert len(edges) == 4
    for e in edges:
        assert e.upstream.item() * e.local.item() == pytest.approx(e.downstream.item(), rel=1e-15)
        assert e.input is e.node.inputs[e.index]
    assert repr(edges[0]) == "<edge exp -> input 0 (mul)>"


def test_gates_that_are_not_elementwise_have_no_local_factor():
    w = var([[1.0, 2.0], [3.0, 4.0]])
    edges = {e.node.name: e for e in torch.backprop((w @ var([1.0, 1.0])).sum()).edges()}
    assert edges["contract"].local is None and edges["sum"].local is None


def test_gradients_of_leaves_and_intermediates_by_tensor_or_node():
    x, y, f = product_of_sines()
    record = torch.backprop(f)
    want = torch.autograd.grad(f, [x, y], retain_graph=True)
    assert [record.gradient(t).item() for t in (x, y)] == [g.item() for g in want]
    assert record.gradient(f.node).item() == 1
    assert record.gradient(var(1.0)) is None


def test_it_touches_no_grad_calls_no_hook_and_frees_nothing():
    x, y, f = product_of_sines()
    inner = x.sin()
    inner.retain_grad()
    called = []
    inner.register_hook(called.append)
    f = inner * y
    record = torch.backprop(f)
    [e.downstream.item() for e in record.edges()]
    assert x.grad is None and inner.grad is None and called == []
    assert not any(n.freed for n in record.order)
    f.backward()
    assert x.grad is not None and len(called) == 1


def test_saved_values_are_listed_until_backward_has_passed():
    x, _, f = product_of_sines()
    saved = torch.backprop(f).saved()
    assert {(s.node.name, s.owner.name, s.nbytes) for s in saved} == {
        ("exp", "exp", 8), ("sin", "mul", 8), ("leaf", "mul", 8), ("leaf", "sin", 8)}
    assert "8 bytes, for " in repr(saved[0])
    f.backward()
    x.grad.item()
    with pytest.raises(GradError, match="an earlier backward has freed"):
        torch.backprop(f)


def test_what_requires_no_grad_has_no_back_propagation():
    with pytest.raises(GradError) as error:
        torch.backprop(torch.ones(1).sum())
    text = str(error.value)
    assert "backprop requires a tensor that requires grad, got one that does not" in text
    assert "hint: This tensor has no gradient" in text
