"""Compiled steps as native programs: close to the interpreter, and what is held keeps its value."""

from __future__ import annotations

import functools
import gc
import weakref

import numpy as np
import pytest

import chainrule as torch
from chainrule import config, nn
from chainrule import optim as optimizers
from chainrule.graph import leaf
from chainrule.nn import functional as F

from .kit import bits, mlp, regression, skipped, training


@pytest.fixture(autouse=True)
def compiled(interpreted, monkeypatch):
    monkeypatch.setattr(config, "jit", "auto")


def convolutions(wrap):
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2),
                          nn.Flatten(), nn.Dropout(0.2), nn.Linear(12, 4))
    x, y = torch.rand(5, 1, 6, 6), torch.randint(0, 4, (5,))
    opt = optimizers.Adam(model.parameters(), lr=1e-2)
    return training(wrap, model, opt, lambda: F.cross_entropy(model(x), y), clip=1.0)


@pytest.mark.parametrize("make", [
    lambda wrap: regression(wrap, momentum=0.9), lambda wrap: regression(wrap, optimizers.AdamW),
    convolutions,
])
def test_losses_are_those_of_the_interpreter(make, monkeypatch):
    found = []
    for jit, wrap in (("0", lambda f: f), ("auto", torch.compile)):
        monkeypatch.setattr(config, "jit", jit)
        torch.manual_seed(0)
        run = make(wrap)
        found.append([run.step().item() for _ in range(12)])
    assert skipped(run.step)
    np.testing.assert_allclose(found[0], found[1], rtol=2e-5)


def test_what_is_held_keeps_its_value():
    run = regression(torch.compile, momentum=0.9)
    parameters = list(run.modules[0].parameters())
    held = []
    for i in range(12):
        loss = run.step()
        now = [loss, *[p.clone() for p in parameters], *[p.grad for p in parameters]]
        now += [p.detach() * 2 for p in parameters] if i % 3 else []
        arrays = [p.grad._value() for p in parameters] if i % 2 else []
        # Half of the values are looked at only later.
        held.append((now, [x.tolist() for x in now[::2]], arrays, [a.copy() for a in arrays]))
        for tensors, values, arrays, copies in held:
            assert [x.tolist() for x in tensors[::2]] == values
            assert all(map(np.array_equal, arrays, copies))
    assert skipped(run.step)
    assert len({tensors[0].item() for tensors, *_ in held}) == len(held)


def test_batches_as_arguments():
    found = []
    for wrap in (lambda f: f, torch.compile):
        torch.manual_seed(0)
        model = mlp(3, 5, 2)
        opt = optimizers.Adam(model.parameters(), lr=0.01)

        def step(x, y, model=model, opt=opt):
            opt.zero_grad()
            loss = F.mse_loss(model(x), y)
            loss.backward()
            opt.step()
            return loss

        step, losses = wrap(step), []
        for i in range(20):
            rows = 4 if i % 7 else 3  # the last batch of an epoch is smaller
            losses.append(step(torch.rand(rows, 3), torch.rand(rows, 2)))
        found.append([x.item() for x in losses])
    assert len(step._replays) == 2
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5)


def test_views_follow_and_copies_stay():
    run = regression(torch.compile)
    p = next(run.modules[0].parameters())
    view, row = p.detach(), p.data[0]
    for _ in range(8):
        before = p.tolist()
        copy, array = p.detach().clone(), p.detach().numpy()
        run.step()
        assert view.tolist() == p.tolist() and row.tolist() == p.tolist()[0]
        assert copy.tolist() == array.tolist() == before != p.tolist()


def test_an_index_out_of_range():
    """The interpreter tells it, and nothing has changed."""
    table = nn.Embedding(4, 3)
    opt = optimizers.SGD(table.parameters(), lr=0.1)

    @torch.compile
    def step(i):
        opt.zero_grad()
        loss = table(i).square().sum()
        loss.backward()
        opt.step()
        return loss

    for _ in range(5):
        step(torch.tensor([0, 3]))
    assert skipped(step)
    before = table.weight.tolist()
    with pytest.raises(IndexError, match="got 7"):
        step(torch.tensor([1, 7]))
    assert table.weight.tolist() == before
    step(torch.tensor([0, 3]))
    assert table.weight.tolist() != before


def test_one_program_computes_the_watched_calls_and_all_later_ones(monkeypatch):
    from chainrule.compiled import replay

    made, runner = [], replay.runner
    monkeypatch.setattr(replay, "runner", lambda *a: made.append(runner(*a)) or made[-1])
    run = regression(torch.compile)
    run.step()

    def evaluate(node, inputs):
        raise AssertionError(f"{node} was interpreted")

    monkeypatch.setattr("chainrule.interpreter.evaluate", evaluate)
    losses = [run.step().item() for _ in range(6)]
    assert len(made) == 1 and skipped(run.step)
    assert losses == sorted(losses, reverse=True)


def test_a_watched_call_that_fails():
    """The error is that of the function, at its line; the next call is like any other."""
    table, i = nn.Embedding(4, 3), [0, 3]
    opt = optimizers.SGD(table.parameters(), lr=0.1)

    @torch.compile
    def step(i):
        opt.zero_grad()
        loss = table(i).square().sum()
        loss.backward()
        opt.step()
        return loss

    step(torch.tensor(i))
    before = table.weight.data
    with pytest.raises(IndexError, match=r"got 7[^$]*test_native.py"):
        step(torch.tensor([1, 7]))
    table.weight.data = before
    losses = [step(torch.tensor(i)).item() for _ in range(6)]
    assert losses == sorted(losses, reverse=True)
    assert skipped(step)


def test_a_recording_that_waits_holds_no_values():
    run = regression(torch.compile, momentum=0.9)
    parameters = list(run.modules[0].parameters())
    gc.disable()
    try:
        for i in range(5):
            tensors = parameters[:]
            if i:
                tensors += [p.grad for p in parameters]
                tensors += [run.opt.state[p]["momentum_buffer"] for p in parameters]
            arrays = [weakref.ref(x.node.value) for x in tensors]
            del tensors
            run.step()
            if i == 1:  # later ones are the program's own, which it writes to again
                assert all(array() is None for array in arrays)
    finally:
        gc.enable()


@pytest.mark.parametrize("when", ["before", "after", "later"])
@pytest.mark.parametrize("jit", ["0", "auto"])
def test_an_interrupt_leaves_the_state_before_or_after(when, jit, monkeypatch):
    from chainrule.compiled.replay import Effects
    from chainrule.jit.threads import Table

    monkeypatch.setattr(config, "jit", jit)
    states = []
    for interrupted in (False, True):
        torch.manual_seed(0)
        run = regression(torch.compile, momentum=0.9)
        for _ in range(8):
            run.step()
        before = bits(run.state())
        with monkeypatch.context() as patch:
            native, assign = Table.run, Effects.apply

            def raising(self, *args, native=native, assign=assign):
                if when != "before":
                    (assign if when == "later" else native)(self, *args)
                patch.undo()
                raise KeyboardInterrupt

            if interrupted and when == "later":
                patch.setattr(Effects, "apply", raising)
            elif interrupted:
                patch.setattr(Table, "run", raising)
            try:
                run.step()
                assert not interrupted or (jit == "0" and when != "later")
            except KeyboardInterrupt:
                assert interrupted
        if interrupted and jit != "0" and when == "before":
            assert bits(run.state()) == before
            run.step()
        states.append([bits(run.state()), *[bits(run.step()) for _ in range(3)]])
    assert states[0] == states[1]


def resident(replaced):
    from chainrule.jit.program import Program
    from chainrule.jit.resident import Resident

    x, w = leaf(np.ones(3, np.float32)), leaf(np.ones((), np.float32))
    return Resident(Program([x * w, w + x, x, x * w], [x, w]), [], 1, replaced)


class Caller:
    """One who runs a program and has the first output as his first value, the second as his own."""

    def __init__(self, replaced):
        self.run, self.alone = resident(replaced), True
        self.values = [np.ones(3, np.float32)]
        self.has = []

    def __call__(self):
        self.outputs = self.run(self.values, (2.0,), self.alone)
        self.values[0], _, _, _ = self.has = self.outputs
        del self.outputs

    def check(self, i):
        assert self.values[0].tolist() == [2.0**i] * 3
        assert self.has[1].tolist() == [2.0 + 2.0 ** (i - 1)] * 3
        assert self.has[2].tolist() in ([2.0 ** (i - 1)] * 3, [2.0**i] * 3)
        assert self.has[3] is self.has[0]


def test_a_resident_program_swaps_two_sets_of_arrays():
    caller, numbers = Caller({}), []
    for i in range(1, 9):
        caller()
        caller.check(i)
        numbers.append(id(caller.has[1]))
    assert len(set(numbers[2:])) <= 3


def test_an_array_that_is_held_is_left_alone():
    for replaced in ({}, {0: 0, 1: None}):
        caller, held = Caller(replaced), []
        for i in range(1, 12):
            caller()
            if i % 3 == 0:
                held.append((list(caller.has), [a.copy() for a in caller.has]))
            caller.check(i)
            for arrays, copies in held:
                assert all(map(np.array_equal, arrays[:2], copies[:2]))


def test_arrays_that_are_not_contiguous():
    f = torch.compile(lambda x: (x * 2).sum(0))
    for i in range(6):
        x = torch.arange(6.0).reshape(2, 3).T + i
        assert f(x).tolist() == (x * 2).sum(0).tolist()
        assert f(x[:, :1]).tolist() == (x[:, :1] * 2).sum(0).tolist()


def test_threads_count_for_nothing(monkeypatch):
    found = []
    for threads in (1, 2):
        monkeypatch.setattr(config, "_threads", [threads])
        torch.manual_seed(0)
        model = mlp(64, 256, 10)
        x, y = torch.rand(64, 64), torch.randint(0, 10, (64,))
        opt = optimizers.SGD(model.parameters(), lr=0.1)
        loss_of = functools.partial(lambda m, x, y: F.cross_entropy(m(x), y), model, x, y)
        step = training(torch.compile, model, opt, loss_of).step
        found.append([step().item() for _ in range(6)])
    assert found[0] == found[1]
