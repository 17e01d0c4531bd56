"""Optimizers: the papers' formulas in NumPy, groups, state, closures, hooks, and every refusal."""

import math

import numpy as np
import pytest

import chainrule as torch
from chainrule import optim
from chainrule.graph import structural_key

RATE, DECAY = 0.1, 0.05


def adam(p, g, s, t, b1=0.9, b2=0.999, eps=1e-8, lr=RATE):
    s["m"] = b1 * s.get("m", 0) + (1 - b1) * g
    s["v"] = b2 * s.get("v", 0) + (1 - b2) * g**2
    return p - lr * (s["m"] / (1 - b1**t)) / (np.sqrt(s["v"] / (1 - b2**t)) + eps)


def adamw(p, g, s, t):
    return adam(p * (1 - RATE * DECAY), g, s, t)


def adam_with_decay(p, g, s, t):
    return adam(p, g + DECAY * p, s, t)


def amsgrad(p, g, s, t):
    s["m"] = 0.9 * s.get("m", 0) + 0.1 * g
    s["v"] = 0.999 * s.get("v", 0) + 0.001 * g**2
    s["max"] = np.maximum(s.get("max", 0), s["v"])
    root = np.sqrt(s["max"] / (1 - 0.999**t))
    return p - RATE * s["m"] / (1 - 0.9**t) / (root + 1e-8)


def adamax(p, g, s, t):
    s["m"] = 0.9 * s.get("m", 0) + 0.1 * g
    s["u"] = np.maximum(0.999 * s.get("u", 0), np.abs(g) + 1e-8)
    return p - RATE / (1 - 0.9**t) * s["m"] / s["u"]


def sgd(p, g, s, t):
    return p - RATE * g


def momentum(p, g, s, t):
    s["b"] = 0.9 * s["b"] + g if "b" in s else g
    return p - RATE * s["b"]


def nesterov(p, g, s, t):
    s["b"] = 0.9 * s["b"] + g if "b" in s else g
    return p - RATE * (g + 0.9 * s["b"])


def rmsprop(p, g, s, t):
    s["v"] = 0.99 * s.get("v", 0) + 0.01 * g**2
    return p - RATE * g / (np.sqrt(s["v"]) + 1e-8)


def centered(p, g, s, t):
    s["v"] = 0.99 * s.get("v", 0) + 0.01 * g**2
    s["a"] = 0.99 * s.get("a", 0) + 0.01 * g
    s["b"] = 0.9 * s.get("b", 0) + g / (np.sqrt(s["v"] - s["a"] ** 2) + 1e-8)
    return p - RATE * s["b"]


def adagrad(p, g, s, t):
    s["sum"] = s.get("sum", 0.5) + g**2
    return p - RATE / (1 + (t - 1) * 0.1) * g / (np.sqrt(s["sum"]) + 1e-10)


def adadelta(p, g, s, t):
    s["v"] = 0.9 * s.get("v", 0) + 0.1 * g**2
    d = np.sqrt(s.get("u", 0) + 1e-6) / np.sqrt(s["v"] + 1e-6) * g
    s["u"] = 0.9 * s.get("u", 0) + 0.1 * d**2
    return p - RATE * d


PAPERS = [
    (sgd, "SGD", {}),
    (momentum, "SGD", dict(momentum=0.9)),
    (nesterov, "SGD", dict(momentum=0.9, nesterov=True)),
    (adam, "Adam", {}),
    (amsgrad, "Adam", dict(amsgrad=True)),
    (adam_with_decay, "Adam", dict(weight_decay=DECAY)),
    (adamw, "AdamW", dict(weight_decay=DECAY)),
    (adamax, "Adamax", {}),
    (rmsprop, "RMSprop", {}),
    (centered, "RMSprop", dict(momentum=0.9, centered=True)),
    (adagrad, "Adagrad", dict(lr_decay=0.1, initial_accumulator_value=0.5)),
    (adadelta, "Adadelta", {}),
]
CURVATURE = np.array([0.3, 1.0, 4.0])


def parameter(*values, dtype=torch.float64):
    return torch.tensor(values, dtype=dtype, requires_grad=True)


def bowl(w):
    """sum of a (w - 1)^2 / 2, whose gradient is a (w - 1)."""
    return (torch.tensor(CURVATURE) * (w - 1) ** 2).sum() / 2


@pytest.mark.parametrize("maximize", [False, True])
@pytest.mark.parametrize("formula, name, options", PAPERS, ids=[f.__name__ for f, *_ in PAPERS])
def test_the_papers_formula(formula, name, options, maximize):
    w = parameter(3.0, -2.0, 0.5)
    optimizer = getattr(optim, name)([w], lr=RATE, maximize=maximize, **options)
    expected, state = np.array([3.0, -2.0, 0.5]), {}
    for t in range(1, 13):
        optimizer.zero_grad()
        bowl(w).backward()
        optimizer.step()
        grad = CURVATURE * (expected - 1) * (-1 if maximize else 1)
        expected = formula(expected, grad, state, t)
        np.testing.assert_allclose(w.tolist(), expected, rtol=1e-10)


@pytest.mark.parametrize("name", ["NAdam", "RAdam"])
def test_it_descends(name):
    w = parameter(3.0, -2.0, 0.5)
    optimizer = getattr(optim, name)([w], lr=0.1)
    for _ in range(300):
        optimizer.zero_grad()
        bowl(w).backward()
        optimizer.step()
    assert bowl(w).item() < 1e-3


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
def test_lbfgs_finds_the_minimum_of_rosenbrocks_valley(search):
    w = parameter(-1.2, 1.0)
    optimizer = optim.LBFGS([w], lr=1 if search else 0.1, max_iter=100, line_search_fn=search)

    def closure():
        optimizer.zero_grad()
        loss = (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2
        loss.backward()
        return loss

    first = optimizer.step(closure)
    assert first.item() == pytest.approx(24.2)
    for _ in range(0 if search else 9):
        optimizer.step(closure)
    np.testing.assert_allclose(w.tolist(), [1, 1], atol=1e-4)


def test_lbfgs_stops_at_a_minimum_and_counts_a_missing_grad_as_zero():
    w, unused = parameter(1.0, 1.0, 1.0), parameter(5.0)
    optimizer = optim.LBFGS([w, unused])
    calls = []

    def closure():
        calls.append(1)
        optimizer.zero_grad()
        loss = bowl(w)
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 0
    assert len(calls) == 1 and w.tolist() == [1, 1, 1]
    with torch.no_grad():
        w.fill_(2.0)
    optimizer.step(closure)
    np.testing.assert_allclose(w.tolist(), [1, 1, 1], atol=1e-5)
    assert unused.tolist() == [5.0]


def test_r8_the_three_ways_to_update_give_the_same_bits():
    """Row R8: through .data, through no_grad(), through optim.SGD."""
    ends = []
    for way in ("data", "no_grad", "SGD"):
        w = parameter(1.0, dtype=torch.float32)
        optimizer = optim.SGD([w], lr=0.01)
        for _ in range(100):
            for x, y in ((1.0, 2.0), (2.0, 4.0), (3.0, 6.0)):
                ((x * w - y) ** 2).sum().backward()
                if way == "data":
                    w.data = w.data - 0.01 * w.grad.data
                elif way == "no_grad":
                    with torch.no_grad():
                        w -= 0.01 * w.grad
                else:
                    optimizer.step()
                w.grad = None
        ends.append(w.item())
    assert ends[0] == ends[1] == ends[2]
    assert (w * 4).item() == 7.999998569488525


def test_an_update_is_recorded_as_optimizer_step():
    w = parameter(1.0)
    seen = []
    optimizer = optim.SGD([w], lr=RATE)

    class Watch(optim.SGD):
        def update(self, p, grad, state, group):
            super().update(p, grad, state, group)
            seen.append((grad * 2).node.scope.path)

    optimizer = Watch([w], lr=RATE)
    (w**2).sum().backward()
    optimizer.step()
    assert seen == ["optimizer_step"]


KEPT = {  # one program each: how its steps are recorded must not depend on their numbers
    "SGD": {"momentum": 0.9, "dampening": 0.1, "weight_decay": 0.1},
    "Adam": {"amsgrad": True, "weight_decay": 0.1},
    "AdamW": {},
    "Adamax": {},
    "NAdam": {},
    "RAdam": {},
    "Adagrad": {"lr_decay": 0.1},
    "Adadelta": {},
    "RMSprop": {"momentum": 0.5, "centered": True},
}
NUMBERS = ("lr", "eps", "momentum", "dampening", "weight_decay", "alpha", "rho", "lr_decay")


@pytest.mark.parametrize("name", KEPT)
def test_no_number_of_a_step_is_part_of_its_structural_key(name, monkeypatch):
    keys = []

    def run_and_note(tensors):
        listed = list(tensors)
        keys.append(structural_key([t.node for t in listed if t.node.value is None])[0])
        run_tensors(listed)

    run_tensors = optim.optimizer.run_tensors
    monkeypatch.setattr(optim.optimizer, "run_tensors", run_and_note)
    w = parameter(3.0, -2.0, 0.5)
    optimizer = getattr(optim, name)([w], **KEPT[name])
    (group,) = optimizer.param_groups
    for step in range(9):
        for option in NUMBERS:
            if option in group:
                group[option] *= 1 + 0.01 * step
        if "betas" in group:
            group["betas"] = (0.9 - 0.01 * step, 0.99 - 0.001 * step)
        if step == 8:
            group["lr"] = 0.0
        optimizer.zero_grad()
        bowl(w).backward()
        optimizer.step()
    # The first step of a momentum has no buffer yet; RAdam rectifies from its sixth step on.
    starts = {"SGD": 1, "RAdam": 5}.get(name, 0)
    assert len(set(keys[starts:])) == 1 and len(set(keys[:starts])) == (starts > 0)


def test_after_step_every_value_is_known():
    w = parameter(3.0, -2.0, 0.5)
    optimizer = optim.Adam([w])
    bowl(w).backward()
    optimizer.step()
    tensors = [w, *optimizer.state[w].values()]
    assert all(tensor.node.value is not None for tensor in tensors)
    assert w.is_leaf and w.requires_grad and w.grad_fn is None


def test_the_closure_runs_with_gradients_and_its_loss_is_returned():
    w = parameter(3.0)
    optimizer = optim.SGD([w], lr=RATE)

    def closure():
        assert torch.is_grad_enabled()
        optimizer.zero_grad()
        loss = (w**2).sum()
        loss.backward()
        return loss

    with torch.no_grad():
        assert optimizer.step(closure).item() == 9
    assert w.item() == pytest.approx(3 - RATE * 6)


def test_a_parameter_without_a_grad_is_skipped_and_one_with_zero_grad_is_not():
    still, moving = parameter(1.0), parameter(1.0)
    optimizer = optim.AdamW([still, moving], lr=RATE, weight_decay=1.0)
    moving.grad = torch.zeros(1, dtype=torch.float64)
    optimizer.step()
    assert still.item() == 1 and moving.item() == pytest.approx(1 - RATE)
    assert still not in optimizer.state and moving in optimizer.state


def test_zero_grad():
    w = parameter(1.0)
    optimizer = optim.SGD([w])
    (w * 3).sum().backward()
    kept = w.grad
    optimizer.zero_grad(set_to_none=False)
    assert w.grad is not None and w.grad.item() == 0 and kept.item() == 0
    optimizer.zero_grad()
    assert w.grad is None
    (w * 3).sum().backward()
    assert w.grad.item() == 3


def test_groups():
    a, b, c = parameter(1.0), parameter(1.0), parameter(1.0)
    optimizer = optim.SGD([{"params": [a]}, {"params": b, "lr": 1.0}], lr=0.5)
    optimizer.add_param_group({"params": [c], "maximize": True})
    (a + b + c).sum().backward()
    optimizer.step()
    assert (a.item(), b.item(), c.item()) == (0.5, 0.0, 1.5)
    optimizer.param_groups[0]["lr"] = 0.25
    optimizer.step()
    assert a.item() == 0.25


def test_options_that_choose_an_implementation_are_kept_and_change_nothing():
    ends = []
    for options in ({}, dict(fused=True), dict(foreach=True), dict(differentiable=True),
                    dict(capturable=True)):  # fmt: skip
        w = parameter(3.0, -2.0, 0.5)
        optimizer = optim.Adam([w], lr=RATE, **options)
        assert options.items() <= optimizer.param_groups[0].items()
        bowl(w).backward()
        optimizer.step()
        ends.append(w.tolist())
    assert all(end == ends[0] for end in ends)


def test_state_dict_saved_in_the_middle_continues_to_the_bit():
    def new():
        w = parameter(3.0, -2.0, 0.5)
        return w, optim.Adam([w], lr=RATE, amsgrad=True)

    def train(w, optimizer, steps):
        for _ in range(steps):
            optimizer.zero_grad()
            bowl(w).backward()
            optimizer.step()

    whole, first, second = new(), new(), new()
    train(*whole, 10)
    train(*first, 5)
    second[0].data = first[0].detach().clone()
    second[1].load_state_dict(first[1].state_dict())
    train(*first, 3)  # what is loaded is a copy
    train(*second, 5)
    assert second[0].tolist() == whole[0].tolist()
    assert second[1].state_dict()["state"][0]["step"].item() == 10


def test_state_takes_the_dtype_of_its_parameter_but_step_does_not():
    w, narrow = parameter(1.0), parameter(1.0, dtype=torch.float32)
    optimizer = optim.Adam([w])
    (w**2).sum().backward()
    optimizer.step()
    loaded = optim.Adam([narrow])
    loaded.load_state_dict(optimizer.state_dict())
    assert loaded.state[narrow]["exp_avg"].dtype is torch.float32
    assert loaded.state[narrow]["step"].dtype is torch.float32


def test_a_state_of_an_older_pytorch_counts_in_numbers_and_lacks_options():
    w = parameter(3.0, -2.0, 0.5)
    optimizer = optim.Adam([w], lr=RATE)
    bowl(w).backward()
    optimizer.step()
    saved = optimizer.state_dict()
    saved["state"][0]["step"] = 1
    for option in ("maximize", "fused", "decoupled_weight_decay"):
        del saved["param_groups"][0][option]
    loaded = optim.Adam([w], lr=0.5)
    loaded.load_state_dict(saved)
    assert loaded.param_groups[0] == optimizer.param_groups[0]
    assert loaded.state[w]["step"].dtype is torch.float32
    loaded.step()
    assert loaded.state[w]["step"].item() == 2


def test_a_refused_state_leaves_the_optimizer_as_it_was():
    w = parameter(1.0, 2.0)
    optimizer = optim.Adam([w], lr=0.5)
    (w**2).sum().backward()
    optimizer.step()
    before = optimizer.state[w]
    saved = optimizer.state_dict()
    saved["param_groups"] = [{**saved["param_groups"][0], "lr": 9.0}]
    saved["state"] = {0: {**saved["state"][0], "exp_avg_sq": torch.zeros(3)}}
    with pytest.raises(RuntimeError, match=r"requires 'exp_avg_sq' of shape \(2,\), got \(3,\)"):
        optimizer.load_state_dict(saved)
    assert optimizer.state[w] is before and optimizer.param_groups[0]["lr"] == 0.5
    saved["param_groups"] = saved["param_groups"] * 2
    with pytest.raises(ValueError, match=r"requires groups of \[1\] .* got groups of \[1, 1\]"):
        optimizer.load_state_dict(saved)


def test_hooks_change_the_arguments_and_see_the_result():
    w = parameter(1.0)
    optimizer, log = optim.SGD([w], lr=RATE), []

    def before(opt, args, kwargs):
        log.append(("before", w.item(), args))
        return (lambda: "replaced",), kwargs

    first = optimizer.register_step_pre_hook(before)
    last = optimizer.register_step_post_hook(lambda opt, args, kw: log.append(("after", w.item())))
    w.grad = torch.ones(1, dtype=torch.float64)
    assert optimizer.step() == "replaced"
    assert log == [("before", 1.0, ()), ("after", 0.9)]
    first.remove()
    last.remove()
    assert optimizer.step() is None and len(log) == 2


def test_an_optimizer_of_ones_own():
    class Half(optim.Optimizer):
        def __init__(self, params):
            super().__init__(params, {"factor": optim.optimizer.required})

        @torch.no_grad()
        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    p.mul_(group["factor"])
                    self.state[p]["count"] = self.state[p].get("count", 0) + 1

    w = parameter(4.0)
    optimizer, called = Half([{"params": [w], "factor": 0.5}]), []
    optimizer.register_step_post_hook(lambda *args: called.append(1))
    optimizer.step()
    assert w.item() == 2 and called == [1]
    assert optimizer.state_dict()["state"] == {0: {"count": 1}}
    with pytest.raises(ValueError, match="Half requires every parameter group to give 'factor'"):
        Half([w])
    with pytest.raises(NotImplementedError, match="update or step, got Optimizer"):
        w.grad = torch.ones(1, dtype=torch.float64)
        optim.Optimizer([w], {"weight_decay": 0, "maximize": False}).step()


def test_text():
    assert repr(optim.SGD([parameter(1.0)], lr=0.5)) == (
        "SGD (\nParameter Group 0\n    dampening: 0\n    differentiable: False\n"
        "    foreach: None\n    fused: None\n    lr: 0.5\n    maximize: False\n    momentum: 0\n"
        "    nesterov: False\n    weight_decay: 0\n)"
    )


w, other = parameter(1.0), parameter(1.0)
NAN = math.nan
REFUSED = [
    (lambda: optim.SGD(w), TypeError, "SGD requires an iterable of parameters, got one Tensor"),
    (lambda: optim.SGD([]), ValueError, "SGD requires at least one parameter, got an empty list"),
    (lambda: optim.SGD([{"params": {w}}]), TypeError, "parameters in an order, got a set"),
    (lambda: optim.SGD([3.0]), TypeError, "every parameter to be a Tensor, got float"),
    (lambda: optim.SGD([w * 2]), ValueError, "to be a leaf, got the result of an operation"),
    (lambda: optim.SGD([{"params": [w]}, {"params": [w]}]), ValueError, "also in group 0"),
    (lambda: optim.SGD([("w", w), other]), ValueError, "got 1 names for 2 parameters"),
    (lambda: optim.SGD([{"params": [("w", w)]}, {"params": [other]}]), ValueError,
     "names for all parameter groups or for none, got a group that differs from group 0"),
    (lambda: optim.SGD([w]).add_param_group([other]), TypeError, "to be a dict, got list"),
    (lambda: optim.SGD([w], lr=-1), ValueError, "SGD requires lr >= 0, got -1"),
    (lambda: optim.SGD([w], lr=NAN), ValueError, "SGD requires lr >= 0, got nan"),
    (lambda: optim.SGD([w], lr=torch.ones(2)), ValueError, "one number, got shape (2,)"),
    (lambda: optim.SGD([w], momentum=-1), ValueError, "SGD requires momentum >= 0, got -1"),
    (lambda: optim.SGD([w], nesterov=True), ValueError,
     "SGD with nesterov requires momentum > 0 and dampening = 0, got momentum 0, dampening 0"),
    (lambda: optim.Adam([w], eps=-1), ValueError, "Adam requires eps >= 0, got -1"),
    (lambda: optim.Adam([w], betas=(1.0, 0.9)), ValueError, "0 <= betas[0] < 1, got 1.0"),
    (lambda: optim.AdamW([w], betas=(0.9, 2.0)), ValueError, "AdamW requires 0 <= betas[1] < 1"),
    (lambda: optim.Adamax([w], weight_decay=-1), ValueError, "Adamax requires weight_decay >= 0"),
    (lambda: optim.NAdam([w], momentum_decay=-1), ValueError, "NAdam requires momentum_decay >= 0"),
    (lambda: optim.RAdam([w], lr=-1), ValueError, "RAdam requires lr >= 0, got -1"),
    (lambda: optim.RMSprop([w], alpha=-1), ValueError, "RMSprop requires alpha >= 0, got -1"),
    (lambda: optim.Adagrad([w], lr_decay=-1), ValueError, "Adagrad requires lr_decay >= 0"),
    (lambda: optim.Adadelta([w], rho=2), ValueError, "Adadelta requires rho <= 1, got 2"),
    (lambda: optim.LBFGS([w], lr=-1), ValueError, "LBFGS requires lr >= 0, got -1"),
    (lambda: optim.LBFGS([w], line_search_fn="x"), ValueError, "None or 'strong_wolfe', got 'x'"),
    (lambda: optim.LBFGS([{"params": [w]}, {"params": [other]}]), ValueError,
     "LBFGS requires one parameter group, got 2"),
]  # fmt: skip


@pytest.mark.parametrize("make, error, text", REFUSED)
def test_refusals(make, error, text):
    with pytest.raises(error) as caught:
        make()
    assert text in str(caught.value)
    assert "test_optim.py" in str(caught.value)


def test_a_parameter_twice_in_a_group_is_warned_of():
    with pytest.warns(UserWarning, match="twice in one group"):
        optim.SGD([w, w])
