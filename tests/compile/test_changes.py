"""`torch.compile`: a call that skips recording does what the recorded one would have done.

Each way in which a cached step could go stale has a test of its own:

* of the model: train() and eval(), a number or a string attribute, a parameter, buffer or child
  exchanged (by assignment or in the table), requires_grad switched, a hook added or removed,
  parameters written from outside, load_state_dict, a dtype changed by double()
* of the optimizer: the rate, weight decay, momentum and betas, by hand, by a schedule outside and
  by one inside; state loaded, cleared or exchanged; a group added; a group's list changed;
  RAdam's rectification, which sets in at some step; an option that is a tensor
* of gradients: zero_grad outside, inside or nowhere (accumulation), set_to_none=False, gradients
  written from outside, one missing
* of arguments: shape, dtype, requires_grad, a Python number, the structure, one tensor given
  twice, a view of another argument, an argument that is also a global
* of Python: a global, a closure, a default, an attribute of an object, an item of a list or dict,
  a class attribute, a function exchanged, the code of a function, a slot, a NumPy array
* of modes: grad mode, default dtype, anomaly detection
* of randomness: seeds set between calls, draws on constants, generators
* of what was kept: old values of parameters, gradients and views of them stay what they were
* and what cannot be skipped is recorded: side effects, values looked at, random numbers of
  Python's, clocks, iterators, printing
"""

from __future__ import annotations

import contextlib
import warnings

import numpy as np
import pytest

import chainrule as torch
from chainrule import nn
from chainrule import optim as optimizers
from chainrule.nn import functional as F

from .kit import Run, bits, mlp, regression, same, skipped, training


# -------------------------------------------------------------------------- the model changes
def test_train_and_eval():
    def make(wrap):
        model = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1))
        x, y = torch.rand(4, 3), torch.rand(4, 1)
        opt = optimizers.SGD(model.parameters(), lr=0.1)
        return training(wrap, model, opt, lambda: F.mse_loss(model(x), y))

    def between(run, i):
        if i in (4, 5, 9):
            run.modules[0].train(i != 4)
        if i == 7:
            run.modules[0][2].eval()

    same(make, calls=14, between=between)


class Scaled(nn.Module):
    """A module with Python state of many kinds."""

    factor = 1.0

    def __init__(self):
        super().__init__()
        self.layer, self.scale, self.kind = nn.Linear(3, 3), 2.0, "tanh"
        self.table, self.items = {"shift": 0.5}, [1.0, 2.0]
        self.mask = torch.ones(3)
        self.mask.sign = 1.0
        self.register_buffer("offset", torch.zeros(3))

    def forward(self, x):
        x = self.layer(x) * self.scale * self.factor + self.table["shift"] * self.items[0]
        x = x * self.mask * self.mask.sign + self.offset
        return x.tanh() if self.kind == "tanh" else x.sigmoid()


def scaled(wrap):
    model = Scaled()
    x, y = torch.rand(4, 3), torch.rand(4, 3)
    opt = optimizers.SGD(model.parameters(), lr=0.1)
    return training(wrap, model, opt, lambda: F.mse_loss(model(x), y))


def _module_changes():
    def exchange_child(m):
        torch.manual_seed(3)
        m.layer = nn.Linear(3, 3)

    def exchange_in_table(m):
        m._modules["layer"] = exchange_child(m) or m._modules["layer"]

    def exchange_parameter(m):
        m.layer._parameters["bias"] = nn.Parameter(torch.ones(3))

    def new_mask(m):
        mask = torch.tensor([0.0, 1.0, 2.0])
        mask.sign = 1.0
        m.mask = mask

    def write(m):
        with torch.no_grad():
            m.layer.weight.mul_(0.5)

    return {
        "a number": lambda m: setattr(m, "scale", 3.0),
        "a string": lambda m: setattr(m, "kind", "sigmoid"),
        "a dict": lambda m: m.table.update(shift=1.5),
        "a list": lambda m: m.items.__setitem__(0, 4.0),
        "a tensor": new_mask,
        "a tensor written": lambda m: m.mask.mul_(2.0),
        "a buffer": lambda m: setattr(m, "offset", torch.ones(3)),
        "a buffer written": lambda m: m.offset.add_(1.0),
        "a child": exchange_child,
        "a child in the table": exchange_in_table,
        "a parameter in the table": exchange_parameter,
        "a parameter written": write,
        "a parameter's data": lambda m: setattr(m.layer.bias, "data", torch.ones(3)),
        "requires_grad": lambda m: m.layer.weight.requires_grad_(False),
        "no bias": lambda m: setattr(m.layer, "bias", None),
        "a forward hook": lambda m: m.layer.register_forward_hook(lambda m, a, y: 2 * y),
        "a gradient hook": lambda m: m.layer.weight.register_hook(lambda g: 2 * g),
        "a hook after gradients": lambda m: m.layer.bias.register_post_accumulate_grad_hook(
            lambda p: p.grad.mul_(2.0)),
        "a loaded state": lambda m: m.load_state_dict(
            {k: torch.ones_like(v) for k, v in m.state_dict().items()}),
        "an assigned state": lambda m: m.load_state_dict(
            {k: torch.ones_like(v) for k, v in m.state_dict().items()}, assign=True),
        "a mark of a tensor": lambda m: setattr(m.mask, "sign", -1.0),
        "forward": lambda m: setattr(m, "forward", lambda x: m.layer(x).relu()),
        "a method": lambda m: setattr(m.layer, "forward", lambda x: F.linear(x, m.layer.weight)),
    }


@pytest.mark.parametrize("name", _module_changes())
def test_a_changed_module(name):
    change = _module_changes()[name]
    same(scaled, calls=12, between=lambda run, i: change(run.modules[0]) if i == 6 else None)


def test_a_class_attribute():
    def between(run, i):
        Scaled.factor = 3.0 if 5 <= i < 8 else 1.0

    same(scaled, calls=12, between=between)


def test_a_method_of_a_class():
    forward = Scaled.forward

    def between(run, i):
        Scaled.forward = (lambda self, x: forward(self, x) * 2) if 5 <= i < 9 else forward

    same(scaled, calls=12, between=between)


def test_the_closure_of_a_decorator():
    factor = 1.0

    def times(function):
        return lambda *args: function(*args) * factor

    class Doubled(nn.Linear):
        @times
        @torch.enable_grad()
        @times
        def forward(self, x):
            return super().forward(x)

    def make(wrap):
        model = Doubled(3, 3)
        x = torch.rand(4, 3)
        opt = optimizers.SGD(model.parameters(), lr=0.1)
        return training(wrap, model, opt, lambda: model(x).square().mean())

    def between(run, i):
        nonlocal factor
        factor = 2.0 if 5 <= i < 9 else 1.0

    same(make, calls=12, between=between)


def test_another_dtype():
    def make(wrap):
        model = mlp(3, 4, 1)
        x = [torch.rand(4, 3)]
        opt = optimizers.SGD(model.parameters(), lr=0.1)
        run = training(wrap, model, opt, lambda: (model(x[0]) ** 2).mean())
        run.keep = x
        return run

    def between(run, i):
        if i == 5:
            run.modules[0].double()
            run.keep[0] = run.keep[0].double()

    same(make, calls=10, between=between)


# -------------------------------------------------------------------------- the optimizer changes
def _optimizer_changes():
    def set_option(**options):
        return lambda opt: opt.param_groups[0].update(options)

    def decrease(opt):
        opt.param_groups[0]["lr"] *= 0.5

    def load(opt):
        saved = opt.state_dict()
        saved["param_groups"][0]["lr"] = 0.03
        saved["state"] = {
            k: {n: v * 0.5 if isinstance(v, torch.Tensor) else v for n, v in s.items()}
            for k, s in saved["state"].items()
        }
        opt.load_state_dict(saved)

    def exchange_state(opt):
        for state in opt.state.values():
            for name in state:
                state[name] = torch.zeros_like(state[name])

    return {
        "lr": set_option(lr=0.01), "lr often": decrease, "lr an int": set_option(lr=1),
        "lr a tensor": lambda opt: opt.param_groups[0].update(lr=torch.tensor(0.02)),
        "weight decay": set_option(weight_decay=0.3), "momentum": set_option(momentum=0.3),
        "no momentum": set_option(momentum=0.0), "betas": set_option(betas=(0.3, 0.4)),
        "maximize": set_option(maximize=True), "nesterov": set_option(nesterov=True),
        "amsgrad off": set_option(amsgrad=False),
        "eps": set_option(eps=1e-2), "a loaded state": load,
        "a cleared state": lambda opt: opt.state.clear(), "an exchanged state": exchange_state,
        "fewer parameters": lambda opt: opt.state.pop(opt.param_groups[0]["params"].pop()),
        "another group": lambda opt: opt.add_param_group(
            {"params": [opt.param_groups[0]["params"].pop()], "lr": 0.5}),
    }


@pytest.mark.parametrize("often", [False, True])
@pytest.mark.parametrize("name", _optimizer_changes())
def test_a_changed_optimizer(name, often):
    change = _optimizer_changes()[name]

    def make(wrap):
        if "betas" in name or "eps" in name or "amsgrad" in name:
            return regression(wrap, optimizers.Adam, amsgrad="amsgrad" in name)
        return regression(wrap, momentum=0.9)

    def between(run, i):
        if i == 6 or (often and i in (9, 10)):
            change(run.opt)

    same(make, calls=13, between=between)


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("schedule", [
    lambda opt: torch.optim.lr_scheduler.StepLR(opt, 2, 0.5),
    lambda opt: torch.optim.lr_scheduler.CosineAnnealingLR(opt, 10),
    lambda opt: torch.optim.lr_scheduler.LambdaLR(opt, lambda t: 1 / (1 + t)),
    lambda opt: torch.optim.lr_scheduler.OneCycleLR(opt, 0.5, total_steps=30),
    lambda opt: torch.optim.lr_scheduler.SequentialLR(opt, [
        torch.optim.lr_scheduler.LinearLR(opt, 0.1, total_iters=4),
        torch.optim.lr_scheduler.ExponentialLR(opt, 0.9)], [4]),
])
@pytest.mark.parametrize("optimizer", [optimizers.SGD, optimizers.AdamW])
def test_schedules(schedule, optimizer, inside):
    def make(wrap):
        options = {"momentum": 0.9} if optimizer is optimizers.SGD else {}
        run = regression(lambda f: f, optimizer, **options)
        scheduler = schedule(run.opt)
        plain = run.step

        def step():
            loss = plain()
            if inside:
                scheduler.step()
            return loss

        run.step = wrap(step)
        run.scheduler = scheduler
        return run

    def between(run, i):
        if i and not inside:
            run.scheduler.step()

    run = same(make, calls=12, between=between)
    assert run.scheduler.last_epoch == (12 if inside else 11)


def test_a_schedule_between_two_optimizers():
    def make(wrap, decides):
        runs = [regression(lambda f: f, optimizers.RAdam if decides else optimizers.SGD)
                for _ in range(2)]
        schedules = [torch.optim.lr_scheduler.ExponentialLR(run.opt, 0.9) for run in runs]

        def step():
            losses = []
            for run, schedule in zip(runs, schedules):
                losses.append(run.step())
                schedule.step()
            return losses

        return Run(wrap(step), *[run.modules[0] for run in runs], opt=runs[1].opt)

    same(lambda wrap: make(wrap, False), calls=9)
    with pytest.warns(UserWarning, match="a schedule moves on before an optimizer has stepped"):
        same(lambda wrap: make(wrap, True), calls=12, skips=False)


def test_a_schedule_moves_once_where_a_decision_changes():
    def make(wrap):
        run = regression(lambda f: f, optimizers.RAdam)
        schedule = torch.optim.lr_scheduler.ExponentialLR(run.opt, 0.9)
        plain = run.step

        def step():
            loss = plain()
            schedule.step()
            return loss

        run.step = wrap(step)
        run.schedule = schedule
        return run

    assert same(make, calls=14).schedule.last_epoch == 14


def test_a_rate_that_is_a_tensor():
    def make(wrap):
        run = regression(lambda f: f, optimizers.Adam, lr=torch.tensor(0.1))
        scheduler = torch.optim.lr_scheduler.ExponentialLR(run.opt, 0.9)
        plain = run.step

        def step():
            loss = plain()
            scheduler.step()
            return loss

        run.step = wrap(step)
        return run

    same(make, calls=9)


def test_a_rate_that_the_step_reads():
    def make(wrap):
        run = regression(lambda f: f, momentum=0.9)
        plain = run.step
        group = run.opt.param_groups[0]
        run.step = wrap(lambda: (plain().detach() * group["lr"], group["lr"]))
        return run

    def between(run, i):
        if i in (5, 6, 10):
            run.opt.param_groups[0]["lr"] *= 0.5

    same(make, calls=14, between=between)


def test_an_optimizer_of_ones_own():
    class Mine(torch.optim.Optimizer):
        def __init__(self, params, lr):
            super().__init__(params, {"lr": lr})

        @torch.no_grad()
        def step(self):
            for group in self.param_groups:
                for p in group["params"]:
                    p.add_(p.grad, alpha=-group["lr"])

    def between(run, i):
        if i in (5, 9):
            run.opt.param_groups[0]["lr"] *= 0.5

    same(lambda wrap: regression(wrap, Mine), calls=12, between=between)


def test_an_optimizer_that_counts_in_python():
    class Mine(torch.optim.SGD):
        def update(self, p, grad, state, group):
            state["t"] = state.get("t", 0) + 1
            p.sub_(grad * (group["lr"] / state["t"]))

    with pytest.warns(UserWarning, match="recorded in every call"):
        same(lambda wrap: regression(wrap, Mine), calls=8, skips=False)


# -------------------------------------------------------------------------- Python's state
NUMBER = 1.0
TENSOR = torch.ones(2)


class Base:
    scale = 2.0


class Settings(Base):

    def __init__(self):
        self.shift, self.names = 0.0, ["a"]


class Slotted:
    __slots__ = ("size",)


def test_python_state():
    global NUMBER, TENSOR
    settings, slotted, array = Settings(), Slotted(), np.ones(2)
    table, items, inner = {"k": 1.0}, [1.0, [2.0]], {"deep": {"er": 1.0}}
    slotted.size = 1.0
    local = 1.0

    def helper(x):
        return x + 1

    def function(x, default=NUMBER):
        y = helper(x) * NUMBER + TENSOR * local + default + settings.shift + slotted.size
        y = y * settings.scale + torch.from_numpy(array) + table["k"] + items[1][0]
        y = y * 2 if hasattr(settings, "extra") else y
        return y + inner["deep"]["er"] if settings.names == ["a"] else y

    changes = {
        "nothing": lambda: None,
        "global": lambda: globals().update(NUMBER=NUMBER + 1),
        "tensor": lambda: globals().update(TENSOR=TENSOR + 1),
        "written": lambda: TENSOR.add_(1.0),
        "attribute": lambda: setattr(settings, "shift", settings.shift + 1),
        "class": lambda: setattr(Base, "scale", Base.scale + 1),
        "its heir": lambda: setattr(Settings, "scale", 7.0),
        "instead of the class": lambda: setattr(settings, "scale", 9.0),
        "a new attribute": lambda: setattr(settings, "extra", None),
        "slot": lambda: setattr(slotted, "size", slotted.size + 1),
        "array": lambda: array.__setitem__(0, 7.0),
        "item": lambda: table.update(k=5.0), "nested item": lambda: items[1].__setitem__(0, 9.0),
        "deep": lambda: inner["deep"].update(er=4.0), "list": lambda: settings.names.append("b"),
        "default": lambda: setattr(function, "__defaults__", (5.0,)),
        "code": lambda: setattr(helper, "__code__", (lambda x: x + 2).__code__),
    }

    def closure():
        nonlocal local
        local += 1

    def another():
        nonlocal helper
        helper = lambda x: x * 3  # noqa: E731

    compiled = torch.compile(function)
    x = torch.ones(2)
    for name, change in {**changes, "closure": closure, "function": another}.items():
        change()
        for i in range(3):
            assert bits(compiled(x)) == bits(function(x)), (name, i)
    assert len(compiled._replays) > 8
    NUMBER, TENSOR, Base.scale = 1.0, torch.ones(2), 2.0
    del Settings.scale


def _effects():
    history: list = []
    totals = {"loss": 0.0}
    settings = Settings()
    numbers = iter(range(1000))
    stream, memory, array = np.random.default_rng(0), bytearray(b"abc"), np.ones(10_000)

    def append(x):
        history.append(x)

    def count(x):
        settings.shift += 1

    def add(x):
        totals["loss"] = totals["loss"] + x

    def remember(x):
        settings.last = x

    def advance(x):
        return next(numbers)

    def draw(x):
        import random
        return random.random()

    def clock(x):
        import time
        return time.time()

    return {"append": (append, history), "count": (count, settings), "add": (add, totals),
            "remember": (remember, settings), "iterator": (advance, numbers),
            "random": (draw, None), "clock": (clock, None),
            "print": (lambda x: print("seen"), None),
            "numpy's random": (lambda x: np.random.rand(), None),
            "a stream of numpy's": (lambda x, stream=stream: stream.random(), None),
            "raw memory": (lambda x, memory=memory: memory[0], None),
            "an array": (lambda x, array=array: array[0], None)}


@pytest.mark.parametrize("name", _effects())
def test_side_effects_happen(name, capsys):
    effect, _ = _effects()[name]
    calls = []

    def function(x):
        effect(x)
        return x * 2

    compiled = torch.compile(function)
    with pytest.warns(UserWarning, match="function is recorded in every call, since"):
        for i in range(14):
            compiled(torch.full((2,), float(i)))
            calls.append(i)
    assert not skipped(compiled)
    if name == "print":
        assert capsys.readouterr().out.count("seen") == 14
    state = effect.__closure__[0].cell_contents if effect.__closure__ else None
    if name == "append":
        assert len(state) == 14
    elif name == "count":
        assert state.shift == 14


# -------------------------------------------------------------------------- all of it together
def _anything():
    """Changes that may come between any two calls, as functions of a Run."""
    module = _module_changes()
    optimizer = {k: f for k, f in _optimizer_changes().items()
                 if k not in ("betas", "eps", "amsgrad off", "fewer parameters", "another group")}
    found = [lambda run, f=f: f(run.modules[0]) for f in module.values()]
    found += [lambda run, f=f: f(run.opt) for f in optimizer.values()]

    def refresh(run):
        """Let the optimizer have the parameters that the module has now."""
        run.opt.param_groups[0]["params"][:] = list(run.modules[0].parameters())

    def scale_gradients(run):
        for p in run.modules[0].parameters():
            if p.grad is not None:
                p.grad.mul_(0.5)

    return [
        *found, refresh, scale_gradients,
        lambda run: run.modules[0].train(), lambda run: run.modules[0].eval(),
        lambda run: run.opt.zero_grad(), lambda run: run.opt.zero_grad(set_to_none=False),
        lambda run: run.modules[0].requires_grad_(True), lambda run: torch.manual_seed(5),
        lambda run: run.keep.extend(run.modules[0].parameters()),
        lambda run: run.keep.extend(p.detach() for p in run.modules[0].parameters()),
        lambda run: run.keep.extend(p.grad for p in run.modules[0].parameters()),
        lambda run: run.keep.extend(2 * p for p in run.modules[0].parameters()),
        lambda run: run.keep.clear(), lambda run: None, lambda run: None, lambda run: None,
    ]


@pytest.mark.parametrize("seed", range(12))
def test_changes_in_any_order(seed):
    rng = np.random.default_rng(seed)
    changes = _anything()
    plan = {int(i): rng.choice(len(changes), 2) for i in rng.choice(60, 25, replace=False)}

    def make(wrap):
        run = scaled(lambda f: f)
        opt, model = run.opt, run.modules[0]
        x, y = torch.rand(4, 3), torch.rand(4, 3)
        opt.param_groups[0]["momentum"] = 0.9
        clears = seed % 2

        def step():
            if clears:
                opt.zero_grad()
            loss = F.mse_loss(F.dropout(model(x), 0.2, model.training), y)
            if loss.requires_grad:
                loss.backward()
            nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], 0.5)
            opt.step()
            return loss

        return Run(wrap(step), model, opt=opt, keep=[])

    def between(run, i):
        for k in plan.get(i, ()):
            with contextlib.suppress(AttributeError, RuntimeError):  # a bias is gone, or frozen
                changes[k](run)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        same(make, calls=60, between=between)
