"""What is promised instead of recorded is, once somebody looks, what would have been recorded."""

import gc
import weakref

import pytest

import chainrule as torch
from chainrule import interpreter
from chainrule.autodiff import backpropagate
from chainrule.graph import structural_key, toposort
from chainrule.template import Promise


@pytest.fixture(autouse=True)
def interpreted(monkeypatch):
    monkeypatch.setattr(interpreter, "compiled", lambda: None)


def model():
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
    x, y = torch.rand(5, 3), torch.rand(5, 1)
    return net, lambda: torch.nn.functional.mse_loss(net(x), y)


def facts(node):
    """All that is said about a node; the seed's line is that of the call."""
    inner = node.scope is not None and node.scope.kind == "gradient"
    return (node.op, node.attrs, node.spec, node.requires_grad, node.value is None,
            inner and node.where.line, node.scope and node.scope.path,
            node.lost and node.lost[0], inner and node.lost and node.lost[1][1])


def both(net, loss_of):
    """The gradients' nodes, recorded by back-propagation, and promised."""
    loss = loss_of().node
    leaves = [p.node for p in net.parameters()]
    with torch.no_grad():
        cts = backpropagate([loss], [None])
    recorded = [cts[n] for n in leaves]
    torch.Tensor._from_node(loss).backward()
    return recorded, [p.grad.node for p in net.parameters()]


@pytest.mark.parametrize("sight", [1, 2])
def test_a_promised_gradient_is_the_recorded_one(sight):
    net, loss_of = model()
    for _ in range(sight):
        net.zero_grad()
        recorded, promised = both(net, loss_of)
    assert all(type(n) is Promise for n in promised)
    assert structural_key(promised)[0] != structural_key(recorded)[0]
    ours, theirs = toposort(promised), toposort(recorded)
    assert list(map(facts, ours)) == list(map(facts, theirs))
    assert structural_key(promised)[0] == structural_key(recorded)[0]


def test_a_look_at_one_result_records_all_of_them_once():
    net, loss_of = model()
    _, promised = both(net, loss_of)
    assert promised[-1].op is not None
    assert all(n.call is None for n in promised)


def test_what_is_known_tells_its_op_and_line_and_holds_nothing():
    net, loss_of = model()
    loss = loss_of()
    loss.backward()
    inner = weakref.ref(loss.node.inputs[0])
    node = net[0].weight.grad.node
    net[0].weight.grad.tolist()
    del loss
    for p in net.parameters():
        p.grad.tolist()
    gc.collect()
    assert inner() is None
    assert node.inputs == () and node.op.name == "contract" and node.where.line > 0


def test_a_result_that_is_not_run_keeps_what_it_needs():
    net, loss_of = model()
    loss_of().backward()
    first, last = net[0].weight, net[2].bias
    last.grad.tolist()
    assert first.grad.node.value is None
    got = first.grad.tolist()
    net.zero_grad()
    loss_of().backward()
    assert first.grad.tolist() == got


def test_hooks_and_freed_graphs_are_recorded():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    for _ in range(2):
        x.grad = None
        y = x * x
        y.register_hook(lambda g: 3 * g)
        y.sum().backward()
        assert x.grad.tolist() == [6.0, 12.0]
    for _ in range(2):
        z = (x * x).sum()
        z.backward()
        with pytest.raises(RuntimeError, match="second time"):
            z.backward()


def test_a_given_gradient_is_an_input():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    for given in ([1.0, 1.0], [2.0, 3.0], [0.0, 5.0]):
        x.grad = None
        (x * 2 + x).backward(torch.tensor(given))
        assert x.grad.tolist() == [3 * g for g in given]


def test_the_gradient_may_be_the_given_one_itself():
    x, y = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    for _ in range(3):
        x.grad = y.grad = None
        given = torch.tensor([2.0, 3.0])
        (x + y).backward(given)
        assert x.grad.tolist() == y.grad.tolist() == [2.0, 3.0]


def test_a_leaf_used_twice_and_one_whose_gradient_accumulates():
    w = torch.tensor(3.0, requires_grad=True)
    for k in range(1, 4):
        (w * w + w).backward()
        assert w.grad.item() == 7.0 * k


def test_a_given_gradient_may_be_part_of_the_graph():
    for k in (1.0, 2.0):
        for alike in (True, False):
            x = torch.tensor([k, 3.0], requires_grad=True)
            y = x.detach() * 1
            (x * y).backward(y if alike else torch.ones(2))
            assert x.grad.tolist() == ([k * k, 9.0] if alike else [k, 3.0])
