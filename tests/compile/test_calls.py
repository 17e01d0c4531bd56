"""Arguments, results, modes and random numbers of compiled functions."""

from __future__ import annotations

import functools
import gc
import sys
import threading
import warnings
import weakref
from dataclasses import dataclass

import pytest

import chainrule as torch
from chainrule.graph import Node
from chainrule.nn import functional as F

from .kit import bits, calls_agree, recorded, regression, same, skipped


# -------------------------------------------------------------------------- arguments
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

    with pytest.warns(UserWarning, match="a number out of a tensor at test_calls.py"):
        same(make, skips=False)


@pytest.mark.parametrize("look", [
    lambda x: bool(x.sum() > 3), lambda x: x.tolist(), lambda x: int(x[0]), lambda x: x[x > 1],
    lambda x: x.nonzero(), lambda x: f"{x[0]:.2f}", lambda x: str(x), lambda x: x.numpy().sum(),
    lambda x: "%.2f" % x[0].item(),  # noqa: UP031
    lambda x: __import__("math").floor(x[0].item()),
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
        views = x[2:], y.view(2, 3), loss.detach()
        return x, views[0], y, views[1], loss, views[2], w.grad, w, None, "text", torch.float32

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


# -------------------------------------------------------------------------- modes and randomness
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


# -------------------------------------------------------------------------- what is refused
def refused(function, *calls, match):
    """Check that a function is recorded in every call, and that the warning says why."""
    compiled = torch.compile(function)
    with pytest.warns(UserWarning, match=match):
        for args in calls * 6:
            compiled(*args())
    assert not skipped(compiled)


def test_containers_that_are_changed():
    def collect(x, found):
        found.append(x * 2)

    refused(collect, lambda: (torch.ones(2), []), match="changes what is in its arguments")
    shared = []

    def share(x):
        shared[:] = [x]
        return shared

    x = torch.ones(2)
    refused(share, lambda: (x,), match="returns a list or dict that it also reaches otherwise")


def test_modes_that_are_left():
    def leave(x):
        torch.set_grad_enabled(False)
        return x * 2

    def call():
        torch.set_grad_enabled(True)
        return (torch.ones(2),)

    refused(leave, call, match="changes the grad mode")
    torch.set_grad_enabled(True)


def test_views_that_are_written_to():
    def write(x):
        x.add_(1.0)
        return x * 2

    base = torch.zeros(4)
    refused(write, lambda: (base[:2],), match="writes to a tensor that an argument is a view of")
    assert base.tolist() == [6.0, 6.0, 0.0, 0.0]


def test_tensors_that_no_variable_leads_to():
    @functools.lru_cache
    def mask(n):
        return torch.ones(n)

    refused(lambda: mask(2) * 2, lambda: (), match="none of its variables leads to a tensor")


def test_values_from_outside_that_no_tensor_holds():
    w = torch.ones(2, requires_grad=True)

    def backward(loss):
        loss.backward()
        return w.grad.sum()

    for compiled in (torch.compile(backward), backward):
        w.grad = None
        found = [compiled((w * i).sum()).item() for i in range(8)]
        assert found == [0.0, 2.0, 6.0, 12.0, 20.0, 30.0, 42.0, 56.0]


def test_arguments_that_never_come_again():
    compiled = torch.compile(lambda x, i: x * i)
    with pytest.warns(UserWarning, match="its arguments are others in every call"):
        for i in range(50):
            assert compiled(torch.ones(1), i).item() == i
    assert not compiled._recordings


def test_a_warning_comes_once():
    function = lambda x: print(end="") or x * 2  # noqa: E731
    compiled, line = torch.compile(function), function.__code__.co_firstlineno
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(40):
            compiled(torch.ones(1))
    assert [str(w.message) for w in caught] == [
        "compile: <lambda> is recorded in every call, since it calls print() at "
        f"test_calls.py:{line}"
    ]


def test_what_is_not_understood_is_recorded(monkeypatch):
    from chainrule.compiled.survey import Survey

    def broken(self, name, x):
        raise LookupError("strange")

    monkeypatch.setattr(Survey, "_visit", broken)
    refused(lambda x: x * 2, lambda: (torch.ones(2),), match="not understood .LookupError: strange")


def test_a_profiler_keeps_its_place():
    seen = []
    compiled = torch.compile(lambda x: x * 2)
    sys.setprofile(lambda frame, event, arg: seen.append(event))
    try:
        for _ in range(5):
            compiled(torch.ones(1))
        assert sys.getprofile() is not None
    finally:
        sys.setprofile(None)
    assert seen and not skipped(compiled)


def test_threads():
    """Another thread may compute while one is watched, and both may call one function."""
    compiled = torch.compile(lambda x: (x * x).sum())
    wrong = []

    def work(k):
        for i in range(30):
            x = torch.full((2,), float(i + k))
            if compiled(x).item() != 2.0 * (i + k) ** 2:
                wrong.append((i, k))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong and skipped(compiled)


def test_arguments_and_results_are_let_go():
    compiled = torch.compile(lambda x: (torch.sigmoid(x), x))
    kept = []
    for _ in range(6):
        x = torch.ones(3)
        results = compiled(x)
        kept += [weakref.ref(x), *[weakref.ref(r._node) for r in results]]
    del x, results
    gc.collect()
    # What was recorded lasts only until a recording agrees with it.
    assert skipped(compiled) and not any(r() for r in kept)


def test_memory_stays_flat():
    def step(x):
        w.grad = None
        loss = (w * x).sum() ** 2
        loss.backward()
        return loss

    w = torch.ones(1000, requires_grad=True)
    compiled = torch.compile(step)
    for _ in range(10):
        compiled(torch.ones(1000))
    gc.collect()
    before = sum(isinstance(x, Node) for x in gc.get_objects())
    for _ in range(50):
        compiled(torch.ones(1000))
    gc.collect()
    assert sum(isinstance(x, Node) for x in gc.get_objects()) <= before + 5
