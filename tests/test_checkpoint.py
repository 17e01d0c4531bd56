"""Checkpointing: the same numbers as without, and the inside's values are not kept."""

import gc
import tracemalloc
import weakref

import numpy as np
import pytest

import chainrule as torch
from chainrule import config, nn
from chainrule.graph import toposort
from chainrule.tensor import run_tensors
from chainrule.utils.checkpoint import checkpoint, checkpoint_sequential

F = nn.functional


def plain(function, *args, **kwargs):
    return function(*args, **kwargs)


def block():
    return nn.Sequential(
        nn.Linear(6, 12), nn.GELU(), nn.Dropout(0.3), nn.LayerNorm(12), nn.Linear(12, 6)
    )


def train(run, program):
    """Loss, gradients and the next random number of a step with blocks called through `run`."""
    torch.manual_seed(0)
    blocks = nn.ModuleList([block() for _ in range(3)])
    x = torch.randn(5, 6, requires_grad=True)
    loss = program(run, blocks, x)
    loss.backward()
    gradients = [p.grad.tolist() for p in blocks.parameters() if p.grad is not None]
    return loss.item(), x.grad.tolist(), gradients, torch.rand(1).item()


def one_after_another(run, blocks, x):
    for b in blocks:
        x = run(b, x)
    return x.pow(2).mean()


def nested(run, blocks, x):
    def both(h):
        return blocks[2](run(blocks[1], blocks[0](h)))

    return run(both, x).sin().sum()


def closures_and_keywords(run, blocks, x):
    outside = blocks[0](x)
    mask = outside > 0

    def inside(h, *, scale):
        return (blocks[1](h) * outside).masked_fill(mask, 0.5) * scale

    return run(inside, x, scale=x.mean()).sum()


def several_outputs(run, blocks, x):
    def inside(h):
        h = blocks[0](h)
        values, places = h.sort(1)
        return {"values": (values, values.tanh()), "places": places, "same": x, "text": "t"}

    found = run(inside, x)
    assert found["same"] is x and found["text"] == "t"
    first, second = found["values"]
    return (first * second).sum() + (found["places"] * first).mean()


def one_of_several_outputs(run, blocks, x):
    return run(lambda h: (blocks[0](h), blocks[1](h).exp()), x)[0].sum()


def without_history_inside(run, blocks, x):
    def inside(h):
        with torch.no_grad():
            largest = h.exp().sum()
        return blocks[0](h) * largest + h.detach() * h

    return run(inside, x).sum()


def recurrent(run, blocks, x):
    torch.manual_seed(1)
    cell, h = nn.GRUCell(6, 6), torch.zeros(5, 6)
    for _ in range(3):
        h = run(cell, blocks[0](x), h)
    return h.sum()


PROGRAMS = [
    one_after_another, nested, closures_and_keywords, several_outputs, one_of_several_outputs,
    without_history_inside, recurrent,
]


def assert_close(a, b):
    for x, y in zip(a, b):
        if isinstance(x, list):
            assert_close(x, y)
        else:
            assert x == pytest.approx(y, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_numbers_are_the_same(program):
    ours, theirs = train(checkpoint, program), train(plain, program)
    assert ours[0] == theirs[0] and ours[-1] == theirs[-1]  # the loss, the next random number
    assert_close(ours[1], theirs[1])  # gradients may be added up in another order
    assert_close(ours[2], theirs[2])


def test_a_chain_of_blocks_gives_the_same_bits(monkeypatch):
    monkeypatch.setattr(config, "jit", "0")  # compiled, one and the other are different programs
    assert train(checkpoint, one_after_another) == train(plain, one_after_another)


def test_second_derivatives():
    def penalty(run):
        torch.manual_seed(0)
        net = block()
        x = torch.randn(5, 6, requires_grad=True)
        (g,) = torch.autograd.grad(run(net, x).sum(), x, create_graph=True)
        g.pow(2).sum().backward()
        return [x.grad.tolist()] + [None if p.grad is None else p.grad.tolist()
                                    for p in net.parameters()]

    for ours, theirs in zip(penalty(checkpoint), penalty(plain)):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_the_function_is_called_once():
    calls = []
    x = torch.randn(3, requires_grad=True)
    y = checkpoint(lambda h: (calls.append(1), h.exp())[1], x, use_reentrant=False)
    y.sum().backward()
    x.grad.tolist()
    assert calls == [1]


def test_running_statistics_are_updated_once():
    def statistics(run):
        torch.manual_seed(0)
        norm = nn.BatchNorm1d(4)
        run(norm, torch.randn(8, 4, requires_grad=True)).sum().backward()
        return norm.running_mean.tolist(), norm.num_batches_tracked.item()

    assert statistics(checkpoint) == statistics(plain)


def test_options_of_pytorch_are_accepted():
    x = torch.randn(3, requires_grad=True)
    y = checkpoint(
        torch.sin, x, use_reentrant=True, preserve_rng_state=False, determinism_check="none",
        debug=False, context_fn=None,
    )
    assert y.grad_fn.name() == "CheckpointFunctionBackward"


def test_without_gradients_it_is_a_call():
    x = torch.randn(3)
    assert checkpoint(torch.sin, x).grad_fn is None
    with torch.no_grad():
        assert not checkpoint(block(), torch.randn(2, 6)).requires_grad


def test_a_chain_in_pieces():
    torch.manual_seed(0)
    chain = nn.Sequential(*[nn.Linear(4, 4) for _ in range(5)])
    x = torch.randn(2, 4, requires_grad=True)
    want = chain(x).tolist()
    for segments in (1, 2, 3, 5):
        assert checkpoint_sequential(chain, segments, x).tolist() == want
    y = checkpoint_sequential([torch.sin, torch.cos], 2, x, use_reentrant=False)
    assert y.tolist() == x.sin().cos().tolist()


# --------------------------------------------------------------------------- memory
def a_deep_step(run, depth=6, width=64, batch=256):
    """The traced bytes after the forward pass and the peak of the whole step."""
    torch.manual_seed(0)
    blocks = [
        nn.Sequential(nn.Linear(width, 4 * width), nn.Tanh(), nn.Linear(4 * width, width))
        for _ in range(depth)
    ]
    parameters = [p for b in blocks for p in b.parameters()]
    h = torch.randn(batch, width)
    gc.collect()
    tracemalloc.start()
    for b in blocks:
        h = run(b, h)
    loss = h.pow(2).mean()
    loss.item()
    forward = tracemalloc.get_traced_memory()[0]
    loss.backward()
    run_tensors([p.grad for p in parameters])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return forward, peak


def test_the_insides_values_are_not_kept_and_come_back_one_at_a_time():
    hidden, through = 256 * 256 * 4, 256 * 64 * 4
    forward, peak = a_deep_step(plain)
    assert forward > 6 * (hidden + through)
    for _ in range(3):  # what compiling takes, at first or second sight, does not count
        forward, peak = a_deep_step(checkpoint)
    weights = 6 * 2 * 256 * 64 * 4
    assert forward < 8 * through + 2**19
    assert peak < 8 * through + weights + 5 * hidden


def test_nothing_is_held_after_backward():
    x = torch.randn(3, requires_grad=True)
    h = x * 2
    y = checkpoint(lambda t: t.exp().sin(), h, use_reentrant=False)
    entering = weakref.ref(h.node)
    del h
    y.sum().backward()
    run_tensors([x.grad, y])
    gc.collect()
    assert entering() is None and y.requires_grad


def test_a_second_backward_is_refused_unless_retained():
    x = torch.randn(3, requires_grad=True)
    y = checkpoint(torch.exp, x, use_reentrant=False).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == (2 * x.detach().exp()).tolist()
    with pytest.raises(RuntimeError, match="an earlier backward has freed"):
        y.backward()


def test_what_is_inside_carries_its_scope():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(2, 2)

        def forward(self, x):
            return checkpoint(self.fc, x, use_reentrant=False)

    y = Net()(torch.ones(1, 2, requires_grad=True))
    paths = {n.scope.path for n in toposort([y.node]) if n.scope is not None}
    assert "Net.checkpoint.fc.linear" in paths
