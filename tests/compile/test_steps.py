"""Compiled training steps do, bit for bit, what recorded ones do - and record nothing."""

from __future__ import annotations

import argparse
import copy

import pytest

import chainrule as torch
from chainrule import nn
from chainrule import optim as optimizers
from chainrule.nn import functional as F

from .kit import Run, bits, mlp, recorded, regression, same, skipped, training


# -------------------------------------------------------------------------- skipping
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


# -------------------------------------------------------------------------- gradients
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


# -------------------------------------------------------------------------- what is compiled
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
    again = copy.deepcopy(a)
    assert again.step(torch.ones(1)).item() == 2.0
    a.factor = 5.0
    assert a.step(torch.ones(1)).item() == 5.0
    assert Trainer.step.__doc__ == "Doc." and Trainer.step.__name__ == "step"
    assert skipped(Trainer.step)


def test_compiled_functions_that_call_each_other():
    @torch.compile
    def inner(x):
        return x * 2

    @torch.compile
    def outer(x, inner=inner):
        return inner(x) + outer_too.factor

    outer_too = outer
    outer.factor = 1.0
    for i in range(8):
        outer.factor = 1.0 if i < 5 else 3.0
        assert outer(torch.ones(1)).item() == 2.0 + outer.factor
        assert inner(torch.ones(1)).item() == 2.0
    assert skipped(inner)


def test_a_callable_object_can_be_compiled_and_copied():
    class Scale:
        factor = 2.0

        def __call__(self, x):
            return x * self.factor

    f = torch.compile(Scale())
    for _ in range(5):
        assert f(torch.ones(1)).item() == 2.0
    assert skipped(f) and copy.deepcopy(f)(torch.ones(1)).item() == 2.0
    f.__wrapped__.factor = 3.0
    assert f(torch.ones(1)).item() == 3.0


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


# -------------------------------------------------------------------------- ways to write a step
def manual_sgd():
    w, b = torch.rand(3, requires_grad=True), torch.zeros(1, requires_grad=True)
    x, y = torch.rand(5, 3), torch.rand(5)

    def step():
        loss = ((x @ w + b - y) ** 2).mean()
        loss.backward()
        with torch.no_grad():
            w.sub_(0.1 * w.grad)
            b.__isub__(0.1 * b.grad)
        w.grad.zero_()
        b.grad.zero_()
        return loss

    return step, [w, b]


def data_sgd():
    w = torch.tensor([1.0], requires_grad=True)
    pairs = [(1.0, 2.0), (2.0, 4.0), (3.0, 6.0)]

    def step():
        for x, y in pairs:
            loss = ((x * w - y) ** 2).sum()
            loss.backward()
            w.data = w.data - 0.01 * w.grad.data
            w.grad.data.zero_()
        return loss

    return step, [w]


def moving_average():
    model, average = mlp(3, 4, 1), mlp(3, 4, 1)
    average.load_state_dict(model.state_dict())
    opt = optimizers.Adam(model.parameters(), lr=0.05)
    x = torch.rand(4, 3)

    def step():
        opt.zero_grad(set_to_none=True)
        loss = (model(x) - average(x).detach() - 1).square().mean()
        loss.backward()
        opt.step()
        for a, p in zip(average.parameters(), model.parameters()):
            a.data.mul_(0.9).add_(p.data, alpha=0.1)
        return loss.detach()

    return step, [*model.parameters(), *average.parameters()]


def copied_network():
    model, target = mlp(3, 4, 1), mlp(3, 4, 1)
    opt = optimizers.SGD(model.parameters(), lr=0.05)
    x = torch.rand(4, 3)

    def step():
        with torch.no_grad():
            wanted = target(x) + 1
        loss = F.smooth_l1_loss(model(x), wanted)
        opt.zero_grad()
        loss.backward()
        opt.step()
        target.load_state_dict(model.state_dict())
        return loss

    return step, [*model.parameters(), *target.parameters()]


def gradient_penalty():
    model = mlp(2, 4, 1)
    opt = optimizers.RMSprop(model.parameters(), lr=0.01)
    x = torch.rand(4, 2)

    def step():
        mixed = (x * torch.rand(4, 1)).requires_grad_()
        (g,) = torch.autograd.grad(model(mixed).sum(), mixed, create_graph=True)
        loss = model(x).mean() + 10 * ((g.norm(2, dim=1) - 1) ** 2).mean()
        opt.zero_grad()
        loss.backward()
        opt.step()
        return {"loss": loss, "penalty": g.detach()}

    return step, list(model.parameters())


def carried_state():
    cell, state = nn.GRUCell(2, 3), torch.zeros(1, 3)
    opt = optimizers.SGD(cell.parameters(), lr=0.1)
    x = torch.rand(1, 2)

    def step():
        hidden = cell(x, state)
        loss = hidden.pow(2).sum()
        opt.zero_grad()
        loss.backward()
        opt.step()
        state.copy_(hidden.detach())
        return loss.item()

    return step, [state, *cell.parameters()]


def two_groups_and_hooks():
    model = mlp(3, 4, 1)
    model[0].weight.register_hook(lambda g: g.clamp(-0.01, 0.01))
    model.register_forward_hook(lambda m, args, y: y * 2)
    opt = optimizers.SGD([
        {"params": model[0].parameters(), "lr": 0.1},
        {"params": model[2].parameters(), "momentum": 0.9, "weight_decay": 0.1}], lr=0.05)
    x = torch.rand(4, 3)

    def step():
        opt.zero_grad()
        loss = model(x).square().mean()
        loss.backward()
        opt.step()
        return loss, loss.detach() * 2

    return step, list(model.parameters())


def with_a_closure():
    model = mlp(3, 4, 1)
    opt = optimizers.Adam(model.parameters(), lr=0.05)
    x = torch.rand(4, 3)

    def closure():
        opt.zero_grad()
        loss = model(x).square().mean()
        loss.backward()
        return loss

    return lambda: opt.step(closure), list(model.parameters())


def accumulated_inside():
    model = mlp(3, 4, 1)
    opt = optimizers.SGD(model.parameters(), lr=0.05)
    batches = [torch.rand(4, 3) for _ in range(3)]

    def step():
        opt.zero_grad()
        total = 0.0
        for x in batches:
            loss = model(x).square().mean() / 3
            loss.backward()
            total = total + loss.detach()
        torch.nn.utils.clip_grad_value_(model.parameters(), 0.05)
        opt.step()
        return total

    return step, list(model.parameters())


def checkpointed():
    model = mlp(3, 4, 4, 1)
    opt = optimizers.SGD(model.parameters(), lr=0.05)
    x = torch.rand(4, 3)

    def step():
        opt.zero_grad()
        hidden = torch.utils.checkpoint.checkpoint(model[:2], x, use_reentrant=False)
        loss = model[2:](hidden).square().mean()
        loss.backward()
        opt.step()
        return loss

    return step, list(model.parameters())


def mixed_precision():
    model = mlp(3, 4, 1)
    opt, scaler = optimizers.AdamW(model.parameters()), torch.amp.GradScaler("cpu")
    x = torch.rand(4, 3)

    def step():
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = model(x).square().mean()
        scaler.scale(loss).backward()
        scaler.unscale_(opt)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(opt)
        scaler.update()
        opt.zero_grad(set_to_none=True)
        return loss

    return step, list(model.parameters())


class Trainer:
    def __init__(self, settings):
        self.settings = settings
        self.model = mlp(3, settings.width, 1)
        self.opt = optimizers.SGD(self.model.parameters(), lr=settings.lr, momentum=0.9)
        self.loss, self.x = nn.HuberLoss(delta=settings.delta), torch.rand(4, 3)
        self.losses = {"mse": F.mse_loss, "huber": self.loss}

    def forward(self):
        return self.losses[self.settings.loss](self.model(self.x), torch.zeros(4, 1))

    def step(self):
        self.model.train()
        self.opt.zero_grad()
        loss = self.forward() + sum(p.abs().sum() for p in self.model.parameters()) * 1e-3
        loss.backward()
        if self.settings.clip > 0:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip)
        self.opt.step()
        return {"loss": loss.detach(), "lr": self.opt.param_groups[0]["lr"]}


def a_trainer():
    settings = argparse.Namespace(width=4, lr=0.1, delta=0.5, loss="huber", clip=0.2)
    trainer = Trainer(settings)
    return trainer.step, list(trainer.model.parameters())


@pytest.mark.parametrize("way", [
    manual_sgd, data_sgd, moving_average, copied_network, gradient_penalty, carried_state,
    two_groups_and_hooks, with_a_closure, accumulated_inside, checkpointed,
    mixed_precision, a_trainer,
])
def test_ways_to_write_a_step(way):
    def make(wrap):
        step, tensors = way()
        run = Run(wrap(step), keep=tensors)
        plain = run.state
        run.state = lambda: [plain(), bits([t.grad for t in tensors])]
        return run

    same(make, calls=8)
