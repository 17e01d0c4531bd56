"""Graphs are deep, and loops are long: nothing recurses, and nothing is kept that nobody needs."""

import gc
import os
import sys
import weakref
from pathlib import Path

import pytest

import chainrule as torch

STATM = Path("/proc/self/statm")


def resident_bytes():
    """The memory of this process that is in RAM now."""
    gc.collect()
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


needs_statm = pytest.mark.skipif(not STATM.exists(), reason="reads /proc/self/statm")


# What the project promises; a recursion in C would overrun its 8 MiB stack long before.
DEEP = 1_000_000


def test_a_deep_chain_lives_and_dies():
    assert sys.getrecursionlimit() <= 1000
    count, factor = DEEP // 2, torch.tensor(1.000001, dtype=torch.float64)
    x = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    y = x
    for _ in range(count):
        y = -(y * factor)
    first = weakref.ref(y.node)
    y.backward()
    growth = 1.000001**count
    assert y.item() == pytest.approx(growth, rel=1e-9)
    assert x.grad.item() == pytest.approx(growth, rel=1e-9)
    del y
    assert first() is None


def test_a_deep_chain_dies_without_a_backward_pass():
    y = torch.zeros((), requires_grad=True)
    first = None
    for _ in range(DEEP):
        y = -y
        first = first or weakref.ref(y.node)
    del y
    assert first() is None


def test_dropping_a_graph_drops_its_nodes():
    x = torch.ones(3, requires_grad=True)
    hidden = torch.tanh(x * 2)
    node = weakref.ref(hidden.node)
    loss = (hidden * hidden).sum()
    del hidden
    assert node() is not None
    loss.backward()
    assert loss.item() > 0 and x.grad.sum().item() > 0
    assert node() is None


@needs_statm
def test_a_running_total_holds_values_not_graphs():
    w = torch.ones(1000, requires_grad=True)
    total = torch.zeros(())

    def resident_bytes_after(steps):
        nonlocal total
        for _ in range(steps):
            loss = (w * w).sum()
            loss.backward()
            total += loss.detach()
        assert total.item() == w.grad[0].item() * 500
        return resident_bytes()

    before = resident_bytes_after(1_000)
    assert resident_bytes_after(2_000) - before < 2**21


@needs_statm
def test_a_running_total_lets_go_of_the_batches():
    total = torch.zeros(())
    before = resident_bytes()
    for _ in range(600):
        total += torch.rand(512, 512).sum()  # one MiB each
    assert resident_bytes() - before < 400 * 2**20
    assert total.item() == pytest.approx(600 * 512 * 512 / 2, rel=1e-3)


@needs_statm
def test_a_value_that_is_never_looked_at_does_not_pile_up():
    state = torch.zeros(1000)
    for step in range(3_000):
        if step == 500:
            before = resident_bytes()
        state = 0.9 * state + 0.1
    assert resident_bytes() - before < 2**23
    assert state[0].item() == pytest.approx(1.0)


@needs_statm
def test_evaluation_under_no_grad_keeps_no_graph():
    w = torch.ones(256, 256, requires_grad=True)
    with torch.no_grad():
        h = torch.ones(256)
        for step in range(400):
            if step == 50:
                before = resident_bytes()
            h = torch.tanh(w @ h)
    assert resident_bytes() - before < 2**22
    assert h.shape == (256,)
