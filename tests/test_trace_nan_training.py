"""trace_nan while a script trains: clean runs are the same to the last bit, others end in time."""

import inspect
import math

import pytest

import chainrule as torch
from chainrule import config
from chainrule.errors import AnomalyError
from chainrule.nn import functional as F
from chainrule.observers import observers

inf = math.inf


def leaf(*values, dtype=None):
    return torch.tensor(list(values), dtype=dtype, requires_grad=True)


def mlp():
    net = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))
    return net, lambda: torch.randn(5, 6)


def convolutional():
    net = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), torch.nn.MaxPool2d(2),
        torch.nn.Dropout(0.2), torch.nn.Flatten(), torch.nn.Linear(36, 3))
    return net, lambda: torch.randn(5, 1, 8, 8)


def recurrent():
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = torch.nn.LSTM(4, 5, batch_first=True)
            self.out = torch.nn.Linear(5, 3)

        def forward(self, x):
            return self.out(self.lstm(x)[0][:, -1])

    return Net(), lambda: torch.randn(5, 3, 4)


def attentive():
    layer = torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.out = layer, torch.nn.Linear(8, 3)

        def forward(self, x):
            mask = torch.triu(torch.full((4, 4), -inf), 1)
            return self.out(self.layer(x, src_mask=mask).mean(1))

    return Net(), lambda: torch.randn(5, 4, 8)


MODELS = [mlp, convolutional, recurrent, attentive]


def trained(model, optimizer, variant, steps=5):
    torch.manual_seed(1)
    net, data = model()
    opt = optimizer(net.parameters())
    losses = []

    def step(x, y):
        opt.zero_grad()
        out = net(x)
        loss = F.cross_entropy(out, y)
        if variant == "reads":
            loss.item()
        loss.backward()
        if variant == "clips":
            torch.nn.utils.clip_grad_norm_(net.parameters(), 0.1)
        if variant == "accumulates":
            F.cross_entropy(net(x * 2), y).backward()
        opt.step()
        return loss

    step = torch.compile(step) if variant == "compiled" else step
    for _ in range(steps):
        losses.append(step(data(), torch.randint(0, 3, (5,))).item())
    state = [p.detach().numpy().tobytes() for p in (*net.parameters(), *net.buffers())]
    state += [v.numpy().tobytes() for s in opt.state.values() for v in s.values()]
    return losses, state


# Not "auto": which step is the first that is compiled depends on what was seen before.
@pytest.mark.parametrize("jit", ["0", "1"])
@pytest.mark.parametrize("variant", ["plain", "reads", "clips", "accumulates", "compiled"])
@pytest.mark.parametrize("model", MODELS, ids=lambda m: m.__name__)
def test_training_is_the_same_to_the_last_bit(model, variant, jit, monkeypatch):
    monkeypatch.setattr(config, "jit", jit)
    plain = trained(model, lambda p: torch.optim.AdamW(p, lr=0.01), variant)
    with torch.trace_nan():
        traced = trained(model, lambda p: torch.optim.AdamW(p, lr=0.01), variant)
    assert traced == plain


@pytest.mark.parametrize("jit", ["0", "1"])
def test_momentum_is_the_same_to_the_last_bit(jit, monkeypatch):
    monkeypatch.setattr(config, "jit", jit)
    plain = trained(mlp, lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9), "plain")
    with torch.trace_nan():
        assert trained(mlp, lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9), "plain") == plain


@pytest.mark.parametrize("jit", ["0", "1", "auto"])
@pytest.mark.parametrize("compiled", [False, True])
def test_a_step_that_goes_wrong_late_is_found_with_its_parameters_unchanged(
    compiled, jit, monkeypatch
):
    monkeypatch.setattr(config, "jit", jit)
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)

    def step(x, t):
        optimizer.zero_grad()
        p = torch.softmax(net(x), 1)[:, 0]
        loss = -torch.where(t > 0, torch.log(p * t), 0.0).mean()
        loss.backward()
        optimizer.step()
        return loss

    line = inspect.getsourcelines(step)[1] + 3
    step = torch.compile(step) if compiled else step
    with torch.trace_nan():
        for _ in range(4):
            step(torch.randn(3, 3), torch.tensor([1.0, 0.5, 2.0]))
        before = [p.tolist() for p in net.parameters()]
        with pytest.raises(AnomalyError, match="the derivative of log requires") as caught:
            step(torch.randn(3, 3), torch.tensor([1.0, 0.0, 2.0]))
    assert caught.value.origin.where.line == line and caught.value.origin.index == (1,)
    assert [p.tolist() for p in net.parameters()] == before
    assert f"where at test_trace_nan_training.py:{line} leaves it out" in str(caught.value)


def test_clipping_and_cleaning_count():
    x = leaf(1.0, 0.0)
    optimizer = torch.optim.SGD([x], lr=0.1)
    with torch.trace_nan():
        x.sqrt().sum().backward()
        x.grad.nan_to_num_(posinf=0.0)
        optimizer.step()  # what was infinite is not any more
        optimizer.zero_grad()
        x.square().sum().backward()
        x.grad.div_(x.grad - x.grad)
        line = inspect.currentframe().f_lineno - 1
        with pytest.raises(AnomalyError, match="div requires a finite result") as caught:
            optimizer.step()
    assert caught.value.origin.where.line == line and caught.value.origin.phase == "backward"


def test_the_first_of_accumulated_passes_is_found():
    x = leaf(1.0, 0.0)
    optimizer = torch.optim.SGD([x], lr=0.1)
    with torch.trace_nan():
        for k in range(3):
            y = x.sqrt() if k == 1 else x.square()
            y.sum().backward()
        with pytest.raises(AnomalyError, match="the derivative of sqrt"):
            optimizer.step()


def test_without_an_optimizer_it_is_found_at_the_next_backward_or_at_the_end():
    def update(x):
        x.sqrt().sum().backward()
        with torch.no_grad():
            x -= 0.0 * x.grad
        x.grad = None

    x = leaf(1.0, 0.0)
    with torch.trace_nan():
        update(x)
        with pytest.raises(AnomalyError, match="the derivative of sqrt"):
            update(x)
    x = leaf(1.0, 0.0)
    with pytest.raises(AnomalyError, match="the derivative of sqrt"), torch.trace_nan():
        update(x)


def test_an_optimizer_with_a_closure_is_stopped_before_the_update():
    x = leaf(1.0, 0.0)
    optimizer = torch.optim.SGD([x], lr=0.1)

    def closure():
        optimizer.zero_grad()
        loss = x.sqrt().sum()
        loss.backward()
        return loss

    with torch.trace_nan(), pytest.raises(AnomalyError, match="the derivative of sqrt"):
        optimizer.step(closure)
    assert x.tolist() == [1.0, 0.0]


def test_a_loss_that_is_not_finite_counts_though_its_gradient_is():
    x = leaf(1.0, 2.0)
    optimizer = torch.optim.SGD([x], lr=0.1)
    with torch.trace_nan():
        (x.sum() + torch.tensor(0.0).log()).backward()
        with pytest.raises(AnomalyError, match="log requires a finite result, got -inf"):
            optimizer.step()


def test_a_gradient_of_the_users_own_is_looked_at_too():
    w = leaf(1.0, 2.0)
    w.grad = torch.tensor([0.0, float("nan")])
    with torch.trace_nan(), pytest.raises(AnomalyError, match=r"got nan at \(1,\)") as caught:
        torch.optim.SGD([w], lr=0.1).step()
    assert (caught.value.origin.phase, caught.value.origin.op) == ("backward", "leaf")


def test_the_learning_rate_must_be_finite():
    x = leaf(1.0)
    optimizer = torch.optim.SGD([x], lr=0.1)
    optimizer.param_groups[0]["lr"] = inf
    with torch.trace_nan():
        x.sum().backward()
        with pytest.raises(AnomalyError, match="step requires a finite learning rate, got lr=inf"):
            optimizer.step()


def test_an_update_that_overflows_is_found_a_step_later():
    w = leaf(1.0, 2.0)
    optimizer = torch.optim.SGD([w], lr=1e38)
    with torch.trace_nan():
        for k in range(2):
            (w * torch.tensor([1.0, 100.0])).sum().backward()
            if k == 1:
                break
            optimizer.step()  # here
            optimizer.zero_grad()
        with pytest.raises(AnomalyError, match="w requires finite values, got -inf at") as caught:
            optimizer.step()
    assert caught.value.origin.op == "leaf" and "lower the learning rate" in str(caught.value)
    assert caught.value.origin.where.line == line_of(
        test_an_update_that_overflows_is_found_a_step_later)


def test_it_is_a_switch_and_a_context():
    switch = torch.trace_nan()
    assert len(observers) == 1
    with torch.trace_nan(False):
        assert observers == []
    assert len(observers) == 1
    with pytest.raises(KeyError), torch.trace_nan():
        raise KeyError
    assert len(observers) == 1
    torch.trace_nan(False)
    assert observers == [] and switch is not None


def test_a_second_derivative_is_traced():
    x = leaf(0.0, 4.0)
    (g,) = torch.autograd.grad((x ** 1.5).sum(), x, create_graph=True)
    origin = torch.trace_nan(g.sum())
    assert (origin.op, origin.phase) == ("power", "backward")
    assert origin.value == inf


def test_what_a_checkpoint_has_computed_again_is_found():
    from chainrule.utils.checkpoint import checkpoint

    x = leaf(0.0, 4.0)
    optimizer = torch.optim.SGD([x], lr=0.1)
    with torch.trace_nan():
        checkpoint(lambda x: x.sqrt() * 2, x).sum().backward()
        with pytest.raises(AnomalyError, match="the derivative of sqrt"):
            optimizer.step()


def line_of(program):
    lines, first = inspect.getsourcelines(program)
    (found,) = [first + i for i, line in enumerate(lines) if line.rstrip().endswith("# here")]
    return found
