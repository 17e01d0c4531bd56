"""The training steps of all workloads as programs: what the interpreter computes, and the same
bits on any number of workers."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import chainrule as torch
from chainrule import config

HERE = Path(__file__).parent
agreement = SimpleNamespace(**runpy.run_path(str(HERE / "agreement.py")))
WORKLOADS = runpy.run_path(str(HERE / "models.py"))["WORKLOADS"]
REAL = [torch.float32, torch.float64]


def made(name, dtype):
    torch.manual_seed(0)
    return WORKLOADS[name](dtype)


def state(run):
    """Everything that a step changes."""
    if run.model is None:
        return [p.detach().numpy() for p in run.parameters]
    return [x.detach().numpy() for x in run.model.state_dict().values()]


def trained(name, dtype, steps, wrap=lambda f: f):
    run = made(name, dtype)
    step = wrap(run.step)
    losses = [step().item() for _ in range(steps)]
    return np.array(losses, dtype.np), state(run)


def graph(run):
    """The loss, its gradients, and parameters moved against them: one graph, nothing computed."""
    with agreement.jit("0"):
        loss = run.loss()
        grads = torch.autograd.grad(loss, run.parameters, allow_unused=True)
        moved = [p.detach() - 0.1 * g for p, g in zip(run.parameters, grads) if g is not None]
    return [t.node for t in (loss, *[g for g in grads if g is not None], *moved)]


@pytest.mark.parametrize("dtype", REAL, ids=str)
@pytest.mark.parametrize("tier", agreement.TIERS)
@pytest.mark.parametrize("name", WORKLOADS)
def test_forward_gradients_and_update_are_the_interpreters(name, tier, dtype):
    with agreement.on_tier(tier):
        program = agreement.check(graph(made(name, dtype)), note=name)
    assert [k for k in program.fusion.kernels if k.kind == "host"] == []
    assert len(program.segments) == 1  # one call into native code


@pytest.mark.parametrize("dtype", REAL, ids=str)
@pytest.mark.parametrize("name", WORKLOADS)
def test_steps_are_the_interpreters(name, dtype):
    """Five steps with the workload's own optimizer, recorded each time and then compiled whole."""
    with agreement.jit("0"):
        losses, wanted = trained(name, dtype, 5)
    rtol = 1e-12 if dtype is torch.float64 else 1e-5
    for wrap in (lambda f: f, torch.compile):
        with agreement.jit("1"):
            found, got = trained(name, dtype, 5, wrap)
        np.testing.assert_allclose(found, losses, rtol=5 * rtol)
        for a, b in zip(got, wanted):
            scale = agreement.largest(b)
            np.testing.assert_allclose(a, b, rtol=50 * rtol, atol=50 * rtol * scale)


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("wrap", [lambda f: f, torch.compile], ids=["recorded", "compiled"])
@pytest.mark.parametrize("name", WORKLOADS)
def test_any_number_of_workers_gives_the_same_bits(name, wrap, threads, monkeypatch):
    monkeypatch.setattr("chainrule.jit.program.ALONE", 0)  # however little there is to do
    monkeypatch.setattr("chainrule.jit.resident.ALONE", 0)
    monkeypatch.setattr(config, "jit", "1")
    found = []
    for workers in (1, 2, 3, 8):
        torch.set_num_threads(workers)
        losses, values = trained(name, torch.float32, 20, wrap)
        found.append([losses.tobytes(), *[v.tobytes() for v in values]])
    assert found[0] == found[1] == found[2] == found[3]
