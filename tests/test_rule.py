"""An update that is promised gives what one that is recorded gives, bit for bit."""

import numpy as np
import pytest

import chainrule as torch
from chainrule import interpreter
from chainrule.managed import watching
from chainrule.optim import optimizer as optimizer_module
from chainrule.optim import rule
from chainrule.template import Promise

OPTIMIZERS = {
    "SGD": [{}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
            {"momentum": 0.5, "dampening": 0.5, "maximize": True}],
    "Adam": [{}, {"amsgrad": True, "weight_decay": 0.01}],
    "AdamW": [{}],
    "NAdam": [{}, {"decoupled_weight_decay": True, "weight_decay": 0.1}],
    "RAdam": [{}],
    "Adamax": [{}],
    "Adagrad": [{"lr_decay": 0.1}],
    "Adadelta": [{}],
    "RMSprop": [{}, {"momentum": 0.5, "centered": True}],
}
CASES = [(name, options) for name, cases in OPTIMIZERS.items() for options in cases]


@pytest.fixture(autouse=True)
def interpreted(monkeypatch):
    monkeypatch.setattr(interpreter, "compiled", lambda: None)


def train(name, options, steps=9, each=lambda step, optimizer: None):
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
    x = torch.rand(5, 3)
    optimizer = getattr(torch.optim, name)(net.parameters(), lr=0.01, **options)
    for step in range(steps):
        each(step, optimizer)
        optimizer.zero_grad()
        net(x).pow(2).mean().backward()
        optimizer.step()
    state = [v.tolist() for s in optimizer.state.values() for v in s.values()]
    return [p.tolist() for p in net.parameters()], state


def recorded(monkeypatch, *args, **kwargs):
    with monkeypatch.context() as patch:
        patch.setattr(optimizer_module, "promised", lambda *_: False)
        return train(*args, **kwargs)


@pytest.mark.parametrize("name, options", CASES)
def test_updates_agree(monkeypatch, name, options):
    promised = train(name, options)
    assert promised == recorded(monkeypatch, name, options)
    assert rule._rules and watching.watcher is None


def test_options_may_change_from_step_to_step(monkeypatch):
    def change(step, optimizer):
        (group,) = optimizer.param_groups
        group["lr"] = 0.1 / (step + 1)
        group["weight_decay"] = 0.0 if step % 2 else 0.1
        group["maximize"] = step == 4
        group["betas"] = (0.9, 0.99 - 0.01 * step)

    promised = train("Adam", {}, each=change)
    assert promised == recorded(monkeypatch, "Adam", {}, each=change)


def test_a_rate_of_numpys(monkeypatch):
    def change(step, optimizer):
        optimizer.param_groups[0]["lr"] = np.float64(0.1) / (step + 1)

    promised = train("Adam", {}, each=change)
    assert promised == recorded(monkeypatch, "Adam", {}, each=change)


def test_a_rate_that_is_a_tensor_is_recorded(monkeypatch):
    def change(step, optimizer):
        optimizer.param_groups[0]["lr"] = torch.tensor(0.1 / (step + 1))

    promised = train("SGD", {"momentum": 0.9}, each=change)
    assert promised == recorded(monkeypatch, "SGD", {"momentum": 0.9}, each=change)


def test_a_promised_parameter_is_a_leaf_that_tells_its_line():
    w = torch.tensor([1.0, 2.0], requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.1)
    nodes = []
    optimizer.register_step_post_hook(lambda *_: nodes.append(w.node))
    for _ in range(3):
        optimizer.zero_grad()
        (w * w).sum().backward()
        optimizer.step()
    assert all(type(n) is Promise for n in nodes)
    assert w.is_leaf and w.requires_grad and w.grad_fn is None
    assert w.node.op is not None and w.node.inputs == ()
    assert w.node.where.filename == __file__


def test_a_hook_of_the_parameter_stays():
    w = torch.tensor([1.0, 2.0], requires_grad=True)
    w.register_hook(lambda g: 2 * g)
    optimizer = torch.optim.SGD([w], lr=0.25)
    for _ in range(3):
        optimizer.zero_grad()
        w.sum().backward()
        assert w.grad.tolist() == [2.0, 2.0]
        optimizer.step()
    assert w.tolist() == [-0.5, 0.5]


def test_views_and_readers_see_the_update():
    w = torch.zeros(4, requires_grad=True)
    view, detached = w.detach()[1:], w.detach()
    optimizer = torch.optim.SGD([w], lr=1.0, momentum=0.5)
    for _ in range(3):
        optimizer.zero_grad()
        w.sum().backward()
        before = w * 1
        optimizer.step()
        assert view.tolist() == w.tolist()[1:] and detached.tolist() == w.tolist()
        assert before.tolist() != w.tolist()


def test_parameters_with_one_gradient_between_them(monkeypatch):
    def weights():
        a, b = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
        optimizer = torch.optim.SGD([a, b], lr=0.5, momentum=0.9)
        for step in range(8):
            optimizer.zero_grad()
            (a + b if step % 4 < 2 else a + 2 * b).sum().backward()
            optimizer.step()
        return a.tolist(), b.tolist()

    promised = weights()
    monkeypatch.setattr(optimizer_module, "promised", lambda *_: False)
    assert promised == weights()


def test_a_parameter_twice_in_a_group_is_updated_twice():
    w = torch.ones(2, requires_grad=True)
    with pytest.warns(UserWarning, match="twice"):
        optimizer = torch.optim.SGD([w, w], lr=0.25)
    for step in range(1, 4):
        optimizer.zero_grad()
        w.sum().backward()
        optimizer.step()
        assert w.tolist() == [1 - 0.5 * step] * 2


def test_parameters_that_joined_later_have_their_own_count(monkeypatch):
    def weights():
        a, b = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
        optimizer = torch.optim.Adam([a, b], lr=0.5)
        for step in range(8):
            optimizer.zero_grad()
            (a * a + (b * b * b if step > 3 else 0)).sum().backward()
            optimizer.step()
        return a.tolist(), b.tolist()

    promised = weights()
    monkeypatch.setattr(optimizer_module, "promised", lambda *_: False)
    assert promised == weights()
