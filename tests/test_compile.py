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

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import chainrule as torch
from chainrule import nn
from chainrule import optim as optimizers
from chainrule.graph import Node
from chainrule.nn import functional as F


# --------------------------------------------------------------------------- helpers
def bits(tree: Any) -> Any:
    """What must be equal: the bits of all tensors, and all else."""
    if isinstance(tree, torch.Tensor):
        value = tree.detach().numpy()
        return (value.dtype.str, value.shape, value.tobytes())
    if isinstance(tree, dict):
        return {k: bits(v) for k, v in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [bits(v) for v in tree]
    return tree


class Run:
    """A step and what it works on; `state` is everything that the step may change."""

    def __init__(self, step: Callable, *modules: nn.Module, opt: Any = None, keep: Any = ()):
        self.step, self.modules, self.opt, self.keep = step, modules, opt, keep

    def state(self) -> Any:
        found: list[Any] = [bits(m.state_dict()) for m in self.modules]
        found += [bits([p.grad for p in m.parameters()]) for m in self.modules]
        found += [bits(self.opt.state_dict())] if self.opt else []
        return [*found, bits(self.keep), torch.get_rng_state().numpy().tobytes()]


def skipped(function: Any) -> bool:
    """Whether some calls of a compiled function need no recording."""
    return bool(function._replays)


def same(make: Callable[[Callable], Run], calls: int = 7, between: Callable = lambda run, i: None,
         skips: bool = True) -> Any:
    """Check that the step made by make(torch.compile) does what that of make(identity) does.

    `between(run, i)` happens before call i, to both.
    """
    histories = []
    for wrap in (lambda f: f, torch.compile):
        torch.manual_seed(0)
        run = make(wrap)
        history = []
        for i in range(calls):
            between(run, i)
            result = run.step()
            history.append((bits(result), run.state()))
        histories.append(history)
    for i, (plain, compiled) in enumerate(zip(*histories)):
        assert plain[0] == compiled[0], f"the result of call {i}"
        assert plain[1] == compiled[1], f"the state after call {i}"
    assert skipped(run.step) is skips
    return run


def recorded(call: Callable[[], Any]) -> int:
    """How many nodes a call records."""
    count = 0
    init = Node.__init__

    def counting(self, *args):
        nonlocal count
        count += args[0] is not None
        init(self, *args)

    Node.__init__ = counting  # type: ignore[method-assign]
    try:
        call()
    finally:
        Node.__init__ = init  # type: ignore[method-assign]
    return count


@pytest.fixture(autouse=True)
def interpreted(monkeypatch):
    monkeypatch.setattr("chainrule.config.jit", "0")


def mlp(*sizes: int) -> nn.Module:
    layers: list[nn.Module] = []
    for a, b in zip(sizes, sizes[1:]):
        layers += [nn.Linear(a, b), nn.Tanh()]
    return nn.Sequential(*layers[:-1])


def training(wrap: Callable, model: nn.Module, opt: Any, loss_of: Callable, clip=None) -> Run:
    def step():
        opt.zero_grad()
        loss = loss_of()
        loss.backward()
        if clip:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        opt.step()
        return loss

    return Run(wrap(step), model, opt=opt)


def regression(wrap: Callable, optimizer: Callable = optimizers.SGD, **options: Any) -> Run:
    model = mlp(3, 5, 2)
    x, y = torch.rand(4, 3), torch.rand(4, 2)
    opt = optimizer(model.parameters(), **{"lr": 0.1, **options})
    return training(wrap, model, opt, lambda: F.mse_loss(model(x), y))


# --------------------------------------------------------------------------- skipping
def test_a_replay_records_nothing():
    run = same(regression)
    assert recorded(run.step) <= 1
    run = same(lambda wrap: regression(wrap, optimizers.Adam))
    assert recorded(run.step) <= 1


@pytest.mark.parametrize("options", [
    {}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}, {"momentum": 0.5, "dampening": 0.1},
    {"weight_decay": 0.1}, {"maximize": True},
])
def test_sgd(options):
    same(lambda wrap: regression(wrap, **options))


@pytest.mark.parametrize("name, options", [
    ("Adam", {}), ("Adam", {"amsgrad": True, "weight_decay": 0.1}), ("AdamW", {}),
    ("Adamax", {}), ("NAdam", {}), ("Adagrad", {"lr_decay": 0.1}), ("Adadelta", {}),
    ("RMSprop", {}), ("RMSprop", {"momentum": 0.5, "centered": True}),
    ("Adam", {"betas": (0.5, 0.9), "eps": 1e-3, "maximize": True}),
])
def test_optimizers(name, options):
    same(lambda wrap: regression(wrap, getattr(optimizers, name), **options))


def test_radam_rectifies_when_its_time_comes():
    same(lambda wrap: regression(wrap, optimizers.RAdam), calls=14)


def test_a_cnn_with_batch_norm_and_dropout():
    def make(wrap):
        model = nn.Sequential(
            nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Dropout2d(0.5), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(12, 8), nn.BatchNorm1d(8), nn.Dropout(0.25), nn.Linear(8, 4),
        )
        x, y = torch.rand(5, 1, 6, 6), torch.randint(0, 4, (5,))
        opt = optimizers.Adadelta(model.parameters())
        return training(wrap, model, opt, lambda: F.cross_entropy(model(x), y))

    same(make)


def test_an_lstm():
    def make(wrap):
        model = nn.ModuleList([nn.LSTM(3, 4, batch_first=True), nn.Linear(4, 1)])
        x, y = torch.rand(2, 5, 3), torch.rand(2, 1)
        opt = optimizers.Adam(model.parameters(), lr=1e-2)
        return training(wrap, model, opt, lambda: F.mse_loss(model[1](model[0](x)[0][:, -1]), y))

    same(make)


def test_a_small_gpt():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding, self.places = nn.Embedding(7, 8), nn.Embedding(4, 8)
            self.norm, self.qkv = nn.LayerNorm(8), nn.Linear(8, 24, bias=False)
            self.head = nn.Linear(8, 7, bias=False)
            self.head.weight = self.embedding.weight

        def forward(self, i):
            x = self.embedding(i) + self.places(torch.arange(0, i.size(1)))
            q, k, v = (z.view(2, 4, 2, 4).transpose(1, 2) for z in self.qkv(x).split(8, dim=2))
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True, dropout_p=0.2)
            return self.head(self.norm(x + y.transpose(1, 2).reshape(2, 4, 8)))

    def make(wrap):
        model = Model()
        i, y = torch.randint(0, 7, (2, 4)), torch.randint(0, 7, (8,))
        opt = optimizers.AdamW(model.parameters(), lr=1e-2, weight_decay=0.1)
        loss = lambda: F.cross_entropy(model(i).view(-1, 7), y)  # noqa: E731
        return training(wrap, model, opt, loss, clip=0.5)

    same(make)


def test_a_second_derivative_inside():
    def make(wrap):
        model = mlp(2, 5, 1)
        x = torch.rand(6, 2, requires_grad=True)

        def loss_of():
            u = model(x)
            (g,) = torch.autograd.grad(u.sum(), x, create_graph=True)
            (h,) = torch.autograd.grad(g[:, 0].sum(), x, create_graph=True)
            return ((g[:, 1] + u[:, 0] * g[:, 0] - h[:, 0]) ** 2).mean()

        return training(wrap, model, optimizers.Adam(model.parameters()), loss_of)

    same(make)


# --------------------------------------------------------------------------- the model changes
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
        self.register_buffer("offset", torch.zeros(3))

    def forward(self, x):
        x = self.layer(x) * self.scale * self.factor + self.table["shift"] * self.items[0]
        x = x * self.mask + self.offset
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

    def write(m):
        with torch.no_grad():
            m.layer.weight.mul_(0.5)

    return {
        "a number": lambda m: setattr(m, "scale", 3.0),
        "a string": lambda m: setattr(m, "kind", "sigmoid"),
        "a dict": lambda m: m.table.update(shift=1.5),
        "a list": lambda m: m.items.__setitem__(0, 4.0),
        "a tensor": lambda m: setattr(m, "mask", torch.tensor([0.0, 1.0, 2.0])),
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


# --------------------------------------------------------------------------- the optimizer changes
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
        "lr a tensor": set_option(lr=torch.tensor(0.02)),
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


# --------------------------------------------------------------------------- gradients
@pytest.mark.parametrize("clear", ["no", "outside", "inside to zero", "outside to zero", "model"])
def test_gradients_accumulate(clear):
    def make(wrap):
        model = mlp(3, 4, 1)
        x = torch.rand(4, 3)
        opt = optimizers.SGD(model.parameters(), lr=0.1)

        def step():
            if clear == "inside to zero":
                opt.zero_grad(set_to_none=False)
            loss = (model(x) ** 2).mean()
            loss.backward()
            return loss

        return Run(wrap(step), model, opt=opt)

    def between(run, i):
        if i % 3 == 2:
            run.opt.step()
            if clear == "outside":
                run.opt.zero_grad()
            elif clear == "outside to zero":
                run.opt.zero_grad(set_to_none=False)
            elif clear == "model":
                run.modules[0].zero_grad()

    same(make, calls=16, between=between)


def test_gradients_written_from_outside():
    def between(run, i):
        for p in run.modules[0].parameters():
            if i == 5:
                p.grad = torch.ones_like(p)
            elif i == 6:
                p.grad.mul_(2.0)
            elif i == 7:
                p.grad = None

    same(regression, calls=10, between=between)


def test_old_values_stay():
    """What was taken from parameters, gradients and results before a call keeps its value."""
    kept: list = []

    def between(run, i):
        for p in run.modules[0].parameters():
            kept.append([p.clone(), p.detach().clone(), p.detach() * 1.0, p.grad, p * 2])

    def make(wrap):
        kept.clear()
        run = regression(wrap, momentum=0.9)
        run.keep = kept
        return run

    same(make, calls=8, between=between)


def test_views_of_parameters_follow():
    def make(wrap):
        run = regression(wrap)
        p = next(run.modules[0].parameters())
        run.keep = [p.detach(), p.data[0], p.detach().T, list(run.modules[0].state_dict().values())]
        return run

    same(make, calls=8)


def test_results_may_be_written_to():
    def between(run, i):
        if i:
            run.keep[-1].mul_(2.0)
            run.keep[-1].add_(i)

    def make(wrap):
        x = torch.ones(3)

        @wrap
        def double():
            return 2 * x

        def step():
            run.keep.append(double())
            return run.keep[-1]

        step._replays = getattr(double, "_replays", [])
        run = Run(step, keep=[])
        return run

    same(make, calls=6, between=between)


# --------------------------------------------------------------------------- arguments
def calls_agree(function: Callable, calls: list[tuple], skips: bool | None = True) -> Any:
    """Check that a compiled function gives what the function gives, for these arguments in turn.

    Each entry is a function that makes the arguments, so that both get their own.
    """
    compiled = torch.compile(function)
    torch.manual_seed(0)
    expected = []
    for make in calls:
        args = make()
        expected.append((bits(function(*args)), bits(args)))
    torch.manual_seed(0)
    for i, (make, (result, after)) in enumerate(zip(calls, expected)):
        args = make()
        assert bits(compiled(*args)) == result, f"call {i}"
        assert bits(args) == after, f"the arguments after call {i}"
    if skips is not None:
        assert skipped(compiled) is skips
    return compiled


def test_a_pure_function():
    f = calls_agree(lambda x: torch.sigmoid(2 * x + 1).sum(), [
        (lambda i=i: (torch.full((3,), float(i)),)) for i in range(6)
    ])
    x = torch.ones(3)
    assert recorded(lambda: f(x)) <= 1


def test_shapes_dtypes_and_numbers():
    ways = [
        lambda: (torch.rand(3), 2.0), lambda: (torch.rand(4), 2.0), lambda: (torch.rand(4), 3.0),
        lambda: (torch.rand(4).double(), 3.0), lambda: (torch.rand(4), 3),
        lambda: (torch.rand(2, 2).T, 2.0), lambda: (torch.rand(6)[::2], 2.0),
        lambda: (torch.arange(3), True),
    ]
    f = calls_agree(lambda x, s: (x * s).sum() if s > 2 else x - s, [w for w in ways * 4])
    assert len(f._replays) >= 6


def test_nested_arguments_and_results():
    @dataclass
    class Batch:
        x: torch.Tensor
        label: str = "a"

    def function(batch, pair, *, table):
        a, (b, c) = pair
        return {"sum": batch.x + a, "rest": (b * c, [table["z"] - 1, batch.label, None, 3])}

    compiled = torch.compile(function)
    for i in range(6):
        def args(i=i):
            one = torch.full((2,), float(i))
            return (Batch(one, "b" if i == 4 else "a"), (one + 1, [one + 2, one * 3])), \
                {"table": {"z": one - 1}}

        (positional, named) = args()
        assert bits(compiled(*positional, **named)) == bits(function(*positional, **named))
    assert skipped(compiled)


def test_arguments_that_are_one_tensor():
    def function(x, y):
        x.add_(1.0)
        return x * y

    def twice():
        x = torch.ones(2)
        return x, x

    def view():
        x = torch.ones(2)
        return x, x[:]

    def views():
        x = torch.ones(3)
        return x[:2], x[1:]

    pairs: list = [lambda: (torch.ones(2), torch.ones(2))] * 4
    calls_agree(function, [*pairs, twice, twice, twice, twice, *pairs, view, view, view, view,
                           views, views, views, views, pairs[0]])


def test_an_argument_that_is_also_a_global():
    shared = torch.ones(2)

    def function(x):
        return x + shared * 10

    calls_agree(function, [lambda: (shared,)] * 4 + [lambda: (torch.zeros(2),)] * 4
                + [lambda: (shared,)] * 2)


def test_requires_grad_of_an_argument():
    def function(x):
        y = (x * x).sum()
        if x.requires_grad:
            y.backward()
            return x.grad
        return y

    def leaf():
        return (torch.tensor([1.0, 2.0], requires_grad=True),)

    calls_agree(function, [leaf] * 4 + [lambda: (torch.ones(2),)] * 4 + [leaf] * 2)


def test_a_result_that_is_differentiated_outside():
    w = torch.ones(3, requires_grad=True)

    @torch.compile
    def function(x):
        return (w * x).sum()

    for i in range(6):
        w.grad = None
        function(torch.full((3,), float(i))).backward()
        assert w.grad.tolist() == [i, i, i]


def test_numbers_may_be_returned():
    def make(wrap):
        run = regression(lambda f: f)
        plain = run.step
        run.step = wrap(lambda: {"loss": plain().item(), "count": 3})
        return run

    same(make)


def test_numbers_that_are_used():
    def uses(loss):
        return loss if loss > 0.01 else -1.0

    def make(wrap):
        run = regression(lambda f: f)
        plain = run.step
        run.step = wrap(lambda: uses(plain().item()))
        return run

    with pytest.warns(UserWarning, match="a number out of a tensor at test_compile.py"):
        same(make, skips=False)


@pytest.mark.parametrize("look", [
    lambda x: bool(x.sum() > 3), lambda x: x.tolist(), lambda x: int(x[0]), lambda x: x[x > 1],
    lambda x: x.nonzero(), lambda x: f"{x[0]:.2f}", lambda x: str(x), lambda x: x.numpy().sum(),
    lambda x: "%.2f" % x[0].item(), lambda x: __import__("math").floor(x[0].item()),
])
def test_values_that_are_looked_at(look):
    def values(i):
        return lambda: (torch.full((2,), float(i)),)

    with pytest.warns(UserWarning, match="recorded in every call"):
        calls_agree(lambda x: (look(x), x * 2), [values(i // 2) for i in range(10)], skips=False)


def test_results_of_many_kinds():
    x = torch.arange(6.0)
    w = torch.ones(3, requires_grad=True)

    def function():
        y = x * 2
        loss = (w * y[:3]).sum()
        loss.backward()
        return x, x[2:], y, y.view(2, 3), loss, loss.detach(), w.grad, w, None, "text", torch.float32

    first = torch.compile(function)
    for i in range(6):
        w.grad = None
        got = first()
        assert got[0] is x and got[7] is w and got[6] is w.grad and got[10] is torch.float32
        assert got[4].requires_grad and not got[4].is_leaf and not got[5].requires_grad
        got[1].add_(1.0)  # a view of x
        assert x[2].item() == 3.0 + i
        got[3].mul_(10.0)  # a view of another result
        assert got[2][0].item() == got[3][0, 0].item()
        with pytest.raises(RuntimeError, match="second time"):
            got[4].backward()
    assert skipped(first)


# --------------------------------------------------------------------------- Python's state
NUMBER = 1.0
TENSOR = torch.ones(2)


class Settings:
    scale = 2.0

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
        return y + inner["deep"]["er"] if settings.names == ["a"] else y

    changes = {
        "nothing": lambda: None,
        "global": lambda: globals().update(NUMBER=NUMBER + 1),
        "tensor": lambda: globals().update(TENSOR=TENSOR + 1),
        "written": lambda: TENSOR.add_(1.0),
        "attribute": lambda: setattr(settings, "shift", settings.shift + 1),
        "class": lambda: setattr(Settings, "scale", Settings.scale + 1),
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
    NUMBER, TENSOR, Settings.scale = 1.0, torch.ones(2), 2.0


def _effects():
    history: list = []
    totals = {"loss": 0.0}
    settings = Settings()
    numbers = iter(range(1000))

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
            "numpy's random": (lambda x: np.random.rand(), None)}


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


# --------------------------------------------------------------------------- modes and randomness
def test_modes():
    x = torch.ones(2, requires_grad=True)

    @torch.compile
    def function(y):
        return (x * y).detach() * torch.tensor(0.1), torch.is_grad_enabled()

    y = torch.ones(2)
    for _ in range(4):
        assert function(y)[1] is True
    with torch.no_grad():
        for _ in range(4):
            assert function(y)[1] is False
    torch.set_default_dtype(torch.float64)
    try:
        for _ in range(4):
            assert function(y.double())[0].dtype is torch.float64
            assert function(y)[0].dtype is torch.float32
    finally:
        torch.set_default_dtype(torch.float32)
    with torch.autograd.detect_anomaly():
        assert function(y)[1] is True


def test_random_numbers():
    own = torch.Generator().manual_seed(5)

    def function(x):
        a = torch.rand(3) + F.dropout(x, 0.1) + torch.randn(3, generator=own)
        torch.manual_seed(7) if x.shape[0] == 3 and NUMBER > 5 else None
        return a * torch.randint(0, 5, (3,)) + torch.randperm(3) + torch.empty(3).uniform_(1, 2)

    compiled = torch.compile(function)
    results = []
    for f in (function, compiled):
        own.manual_seed(5)
        torch.manual_seed(0)
        found = []
        for i in range(8):
            if i == 5:
                torch.manual_seed(3)
            found.append(bits(f(torch.ones(3))))
        results.append((found, torch.rand(1).item()))
    assert results[0] == results[1]
    assert skipped(compiled)


def test_seeding_inside():
    @torch.compile
    def function():
        torch.manual_seed(3)
        return torch.rand(2)

    found = [function().tolist() for _ in range(5)]
    assert found == found[:1] * 5
    after = torch.rand(1).item()
    torch.manual_seed(3)
    torch.rand(2)
    assert torch.rand(1).item() == after


def test_masks_that_agree_by_chance():
    """Two equal draws make no constant."""
    calls_agree(lambda x: F.dropout(x, 0.3), [lambda: (torch.ones(1),)] * 40)


# --------------------------------------------------------------------------- what is compiled
def test_a_module_is_itself():
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout())
    compiled = torch.compile(model)
    assert list(compiled.state_dict()) == ["0.weight", "0.bias"]
    assert compiled.eval().training is False
    compiled(torch.ones(1, 2)).sum().backward()
    assert model[0].weight.grad is not None


def test_a_decorator_and_a_method():
    class Trainer:
        def __init__(self, factor):
            self.factor = factor

        @torch.compile(mode="max-autotune", fullgraph=True)
        def step(self, x):
            """Doc."""
            return x * self.factor

    a, b = Trainer(2.0), Trainer(3.0)
    for _ in range(4):
        assert a.step(torch.ones(1)).item() == 2.0 and b.step(torch.ones(1)).item() == 3.0
    a.factor = 5.0
    assert a.step(torch.ones(1)).item() == 5.0
    assert Trainer.step.__doc__ == "Doc." and Trainer.step.__name__ == "step"
    assert skipped(Trainer.step)


def test_inside_of_other_transforms():
    f = torch.compile(lambda x: (x * x).sum())
    for _ in range(5):
        assert torch.func.vmap(f)(torch.ones(3, 2)).tolist() == [2.0, 2.0, 2.0]
        assert torch.func.grad(f)(torch.ones(2)).tolist() == [2.0, 2.0]
        assert f(torch.ones(2)).item() == 2.0
    g = torch.compile(lambda x: f(x) + 1)
    for i in range(5):
        assert g(torch.full((2,), float(i))).item() == 2.0 * i * i + 1


def test_a_function_that_raises():
    @torch.compile
    def function(x):
        if x.shape[0] > 3:
            raise KeyError("too long")
        return x @ x

    for _ in range(4):
        assert function(torch.ones(2)).item() == 2.0
    with pytest.raises(KeyError, match="too long"):
        function(torch.ones(4))
    assert function(torch.ones(2)).item() == 2.0
    x = torch.ones(2)
    assert recorded(lambda: x + x) == 1  # nothing is watched any more


def test_a_gate_of_ones_own():
    class Double(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return 2 * x

        @staticmethod
        def backward(ctx, grad):
            return 3 * grad * ctx.saved_tensors[0]

    def make(wrap):
        model = mlp(3, 4, 1)
        x = torch.rand(4, 3)
        opt = optimizers.SGD(model.parameters(), lr=0.1)
        return training(wrap, model, opt, lambda: Double.apply(model(x)).mean())

    same(make)


def test_two_optimizers_and_frozen_parameters():
    def make(wrap):
        a, b = mlp(2, 3, 2), mlp(2, 3, 1)
        x = torch.rand(4, 2)
        opts = [optimizers.Adam(a.parameters(), lr=0.01), optimizers.SGD(b.parameters(), lr=0.1)]

        def step():
            for p in b.parameters():
                p.requires_grad_(False)
            opts[0].zero_grad()
            b(a(x)).mean().backward()
            opts[0].step()
            for p in b.parameters():
                p.requires_grad_(True)
            opts[1].zero_grad()
            loss = (b(x) - b(a(x).detach())).mean()
            loss.backward()
            opts[1].step()
            return loss

        return Run(wrap(step), a, b, opt=opts[0])

    same(make)
