"""A chain of modules gives, bit for bit, the same when it is promised and when it is recorded."""

import copy
import gc
import weakref

import pytest

import chainrule as torch
from chainrule import interpreter
from chainrule.nn import container, through
from chainrule.template import Promise

nn = torch.nn


@pytest.fixture(autouse=True)
def interpreted(monkeypatch):
    monkeypatch.setattr(interpreter, "compiled", lambda: None)


def chain():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.LeakyReLU(), nn.LayerNorm(4)),
                         nn.Linear(4, 4), nn.Tanh())


def nothing(net, step):
    pass


def another_slope(net, step):
    net[1][0].negative_slope = 0.1 * (step // 3)


def another_module(net, step):
    if step == 4:
        net[3] = nn.Sigmoid()


def another_weight(net, step):
    if step == 4:
        net[0].weight = nn.Parameter(torch.ones(4, 3))


def frozen(net, step):
    net[0].weight.requires_grad_(step % 4 < 2)


def hooked(net, step):
    if step == 4:
        net[1].register_forward_hook(lambda module, args, output: output * 2)


def forward_of_its_own(net, step):
    if step == 4:
        net[3].forward = lambda x: x.cos()


def written(net, step):
    with torch.no_grad():
        net[0].weight.mul_(0.5)


def tied(net, step):
    if step == 3:
        net[2].bias = net[0].bias


def modes(net, step):
    net.train(step % 3 > 0)


CHANGES = [nothing, another_slope, another_module, another_weight, frozen, hooked,
           forward_of_its_own, written, tied, modes]


def notes(change):
    net, found = chain(), []
    x = torch.rand(5, 3)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.5)
    for step in range(9):
        change(net, step)
        optimizer.zero_grad()
        h = net(x)
        loss = (h * h).mean()
        loss.backward()
        optimizer.step()
        found += [loss.item(), h.tolist(), *[p.tolist() for p in net.parameters()]]
    return found


@pytest.mark.parametrize("change", CHANGES, ids=lambda c: c.__name__)
def test_programs_agree(monkeypatch, change):
    promised = notes(change)
    monkeypatch.setattr(container, "through", through.one_by_one)
    assert promised == notes(change)


def test_the_third_call_is_promised_on_its_own_line():
    net, x = chain(), torch.rand(5, 3)
    outputs = [net(x) for _ in range(5)]
    assert [type(y.node) is Promise for y in outputs[-2:]] == [True, True]
    assert outputs[-1].node.op.name == "tanh" and outputs[0].grad_fn.name() == "TanhBackward0"
    last, first = outputs[-1].node, outputs[0].node
    assert last.scope.path == first.scope.path
    assert last.where.line == first.where.line and last.where.filename == __file__
    assert last.inputs[0].scope.path == first.inputs[0].scope.path


def test_what_draws_or_counts_or_gives_back_its_input_is_recorded():
    x = torch.rand(5, 3)
    for module in (nn.Dropout(), nn.BatchNorm1d(3), nn.ReLU(inplace=True), nn.Flatten()):
        net = nn.Sequential(nn.Linear(3, 3), module)
        assert not any(type(net(x).node) is Promise for _ in range(5))


def test_errors_name_the_module():
    net = chain()
    for _ in range(4):
        net(torch.rand(5, 3))
    with pytest.raises(RuntimeError, match="in_features|shape"):
        net(torch.rand(5, 2))


def test_a_chain_can_be_copied_and_dies():
    net = chain()
    for _ in range(4):
        net(torch.rand(5, 3))
    other = copy.deepcopy(net)
    assert other(torch.ones(1, 3)).tolist() == net(torch.ones(1, 3)).tolist()
    known = weakref.ref(net)
    del net
    gc.collect()
    assert known() is None
