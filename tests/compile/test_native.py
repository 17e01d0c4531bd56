"""Compiled steps as native programs: close to the interpreter, and what is held keeps its value."""

from __future__ import annotations

import functools

import numpy as np
import pytest

import chainrule as torch
from chainrule import config, nn
from chainrule import optim as optimizers
from chainrule.graph import leaf
from chainrule.nn import functional as F

from .kit import mlp, regression, skipped, training


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


def test_a_resident_program_reuses_what_nobody_holds():
    from chainrule.jit.program import Program
    from chainrule.jit.resident import Resident

    x, w = leaf(np.ones(3, np.float32)), leaf(np.ones((), np.float32))
    run = Resident(Program([x * w, x * x, x], [x, w]))
    value, numbers = np.ones(3, np.float32), []
    for i in range(1, 7):
        w_now = np.array(2.0, np.float32)
        product, square, same = run([value, w_now])
        assert product.tolist() == [2.0**i] * 3 and same is value
        assert square.tolist() == [4.0 ** (i - 1)] * 3
        numbers.append(id(product))
        value = product
        del product, square, same
    assert len(set(numbers)) == 2
    held = run([value, w_now])[1]
    before = held.tolist()
    for _ in range(4):
        run([value, w_now])
    assert held.tolist() == before


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
