"""Every call that draws numbers against PyTorch: values, dtypes, and the stream afterwards."""

import random

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import chainrule  # noqa: E402

# Calls that are the same text in both libraries; t is torch or chainrule, g a generator.
EXACT = """
t.rand(5)
t.rand((2, 3))
t.rand([4])
t.rand(size=(3,))
t.rand(())
t.rand(0)
t.rand(t.Size([2, 2]), dtype=t.float64)
t.rand(7, dtype=t.float16).float()
t.rand(7, dtype=t.bfloat16).float()
t.rand(3, generator=g)
t.rand(3, requires_grad=True).detach()
t.rand_like(t.zeros(2, 3))
t.rand_like(t.zeros(2, 3), dtype=t.float64)
t.rand_like(t.zeros(3, dtype=t.float64))
t.randint(10, (5,))
t.randint(3, 10, (2, 4))
t.randint(low=3, high=10, size=(4,))
t.randint(high=9, size=(4,))
t.randint(0, 2, (9,), dtype=t.bool)
t.randint(0, 200, (9,), dtype=t.uint8)
t.randint(-5, 5, (9,), dtype=t.float32)
t.randint(0, 2**40, (5,))
t.randint(10, (5,), generator=g)
t.randint(10, size=(5,), dtype=t.int32)
t.randint_like(t.zeros(4, dtype=t.int64), 7)
t.randint_like(t.zeros(4), 3, 9)
t.randperm(10)
t.randperm(1)
t.randperm(700, generator=g)
t.randperm(10, dtype=t.int32)
t.bernoulli(t.full((9,), 0.3))
t.bernoulli(t.full((9,), 0.3, dtype=t.float64))
t.bernoulli(t.rand(3, 4), generator=g)
t.rand(3, 3).bernoulli()
t.empty(9).bernoulli_(t.full((9,), 0.3))
t.empty(2, 9).bernoulli_(t.full((9,), 0.3))
t.multinomial(t.tensor([0.1, 0.2, 0.3, 0.4]), 10, replacement=True)
t.multinomial(t.rand(3, 5), 4, True, generator=g)
t.tensor([0.5, 0.5, 3.0]).multinomial(6, replacement=True)
t.poisson(t.tensor([0.5, 3.0, 20.0]))
t.poisson(t.tensor([0.5, 3.0, 20.0]), generator=g)
t.empty(5).uniform_()
t.empty(5).uniform_(-1, 3)
t.empty(5).uniform_(-0.25, to=0.5)
t.empty(2, 3).uniform_(0, 2, generator=g)
t.zeros(4, 4).t().uniform_()
t.zeros(4, 4)[:, 1].uniform_()
t.zeros(2, 3, 4).permute(2, 0, 1).uniform_()
t.zeros(2, 3, 4).permute(2, 0, 1)[1:3].random_(100)
t.rand_like(t.zeros(2, 3, 4).permute(1, 2, 0))
t.rand_like(t.zeros(4, 6)[:, ::2])
t.rand_like(t.zeros(4, 6)[1].unsqueeze(1).t())
t.randint_like(t.zeros(3, 4).t(), 9)
t.bernoulli(t.rand(3, 4).t())
t.zeros(5, 3).t().bernoulli_(t.rand(5))
t.zeros(3, dtype=t.int64).random_()
t.zeros(3, dtype=t.int32).random_()
t.zeros(3).random_()
t.zeros(3, dtype=t.int64).random_(10)
t.zeros(3, dtype=t.int64).random_(5, 10)
t.zeros(3, dtype=t.int64).random_(5, None)
t.zeros(3, dtype=t.uint8).random_(generator=g)
t.zeros(3, dtype=t.int64).random_(0, 2, generator=g)
t.zeros(5).geometric_(0.3)
t.zeros(5, dtype=t.int64).geometric_(0.3)
t.tensor(t.initial_seed())
t.get_rng_state()
t.empty((), dtype=t.int64).random_()
t.nn.functional.dropout(t.ones(5), 0.0)
t.nn.functional.dropout(t.ones(5), 1.0)
t.nn.functional.dropout(t.ones(5), 0.5, training=False)
""".strip().splitlines()

# What PyTorch draws from Intel's library on Intel processors.
BERNOULLI = """
t.empty(9).bernoulli_()
t.empty(9).bernoulli_(0.3)
t.empty(9).bernoulli_(p=0.3, generator=g)
t.empty(9, dtype=t.int64).bernoulli_(0.3)
t.bernoulli(t.zeros(9), 0.3)
t.bernoulli(t.zeros(4, 5).t(), 0.3)
t.zeros(4, 5).t().bernoulli_(0.3)
t.zeros(4, 5).t().exponential_()
t.nn.functional.dropout(t.ones(4, 5).t(), 0.3)
t.bernoulli(t.zeros(9), p=0.3)
t.nn.functional.dropout(t.ones(9), 0.25)
t.nn.functional.dropout(t.ones(3, 9, dtype=t.float64), 0.1)
t.nn.functional.dropout2d(t.ones(2, 3, 2, 2), 0.5)
t.nn.functional.alpha_dropout(t.zeros(9), 0.5) > 0
t.nn.Dropout(0.4)(t.ones(70))
t.empty(5).exponential_()
t.empty(5).exponential_(2.0)
t.empty(5).exponential_(lambd=0.5, generator=g)
t.multinomial(t.tensor([0.1, 0.2, 0.3, 0.4]), 1)
t.multinomial(t.tensor([0.1, 0.2, 0.3, 0.4]), 3)
t.multinomial(t.rand(3, 5), 2)
t.multinomial(t.tensor([0.0, 2.0, 1.0]), 2, generator=g)
""".strip().splitlines()

# The last bits of log, sin and cos differ.
CLOSE = """
t.randn(5)
t.randn(16)
t.randn((3, 7))
t.randn(size=(2, 3))
t.randn(33, dtype=t.float64)
t.randn(9, dtype=t.float16).float()
t.randn(5, generator=g)
t.randn_like(t.zeros(3, 6))
t.randn_like(t.zeros(6), dtype=t.float64)
t.normal(0.0, 2.0, (5,))
t.normal(0, 1, size=(3, 7))
t.normal(1.0, 2.0, (20,), generator=g)
t.normal(mean=0.0, std=t.arange(1.0, 6.0))
t.normal(t.arange(5.0), 0.5)
t.normal(t.arange(20.0), t.arange(1.0, 21.0))
t.normal(mean=t.arange(5.0), std=t.ones(5), generator=g)
t.empty(5).normal_()
t.empty(5, 5).normal_(1.0, 0.02)
t.empty(5).normal_(mean=0.0, std=0.02)
t.empty(40).normal_(std=2.0, generator=g)
t.zeros(40, 2)[:, 1].normal_()
t.zeros(6, 8).t().normal_()
t.randn_like(t.zeros(6, 8).t())
t.randn_like(t.zeros(6, 8)[:, ::2])
t.randn_like(t.zeros(1, 30).t())
t.zeros(1, 30).t().normal_()
t.empty(7).log_normal_()
t.empty(7).log_normal_(0.5, 0.25)
t.empty(7).cauchy_()
t.empty(7).cauchy_(1.0, 2.0)
t.nn.functional.gumbel_softmax(t.zeros(5))
t.nn.init.trunc_normal_(t.empty(50), std=0.02)
t.nn.init.kaiming_uniform_(t.empty(5, 7), a=5**0.5)
t.nn.init.kaiming_normal_(t.empty(5, 7))
t.nn.init.xavier_uniform_(t.empty(5, 7))
t.nn.init.xavier_normal_(t.empty(5, 7))
t.nn.init.orthogonal_(t.empty(5, 3)).abs()
""".strip().splitlines()


def call(library, text, seed=11):
    """The value of a call, and the states of the default and the given stream after it."""
    library.manual_seed(seed)
    generator = library.Generator().manual_seed(seed + 1)
    value = eval(text, {"t": library, "g": generator})
    states = [np.asarray(s) for s in (library.get_rng_state(), generator.get_state())]
    return value, states


def compare(text, tolerance=0.0):
    expected, their_states = call(torch, text)
    got, our_states = call(chainrule, text)
    assert tuple(expected.shape) == tuple(got.shape) and str(expected.dtype) == str(got.dtype)
    np.testing.assert_allclose(
        got.detach().numpy(), expected.detach().numpy(), rtol=tolerance, atol=tolerance
    )
    for ours, theirs in zip(our_states, their_states):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("text", EXACT)
def test_exact(text):
    compare(text)


@pytest.mark.usefixtures("common_stream")
@pytest.mark.parametrize("text", BERNOULLI)
def test_bernoulli(text):
    compare(text, 1e-7 if "exponential" in text else 0.0)


@pytest.mark.parametrize("text", CLOSE)
def test_close(text, intel_stream):
    if "gumbel" in text and intel_stream:
        pytest.skip("PyTorch draws exponential numbers from Intel's library here")
    compare(text, 2e-3 if "float16" in text else 2e-6)


REFUSED = """
t.rand(3, dtype=t.int64)
t.randint(5, 5, (2,))
t.randint(0, 300, (2,), dtype=t.uint8)
t.randperm(-1)
t.empty(3).uniform_(1, 0)
t.empty(3).normal_(0, -1)
t.normal(0.0, -1.0, (3,))
t.empty(3).exponential_(0)
t.empty(3).bernoulli_(1.5)
t.bernoulli(t.tensor([1.5]))
t.multinomial(t.tensor([-1.0, 1.0]), 1)
t.multinomial(t.tensor([0.0, 0.0]), 1)
t.multinomial(t.tensor([1.0, 1.0]), 3)
t.multinomial(t.tensor([1, 1]), 1)
t.multinomial(t.tensor([1.0, 1.0]), 0)
t.poisson(t.tensor([-1.0]))
t.empty(3, dtype=t.int64).normal_()
t.empty(3, dtype=t.int64).uniform_()
t.empty(3).geometric_(0)
t.empty(3).cauchy_(0, 0)
t.empty(3).log_normal_(0, 0)
t.zeros(3, requires_grad=True).uniform_()
t.ones(3).expand(2, 3).normal_()
t.set_rng_state(t.zeros(5, dtype=t.uint8))
""".strip().splitlines()


@pytest.mark.parametrize("text", REFUSED)
def test_refused_as_pytorch_does_and_nothing_drawn(text):
    with pytest.raises(RuntimeError):
        call(torch, text)
    with pytest.raises(RuntimeError):
        call(chainrule, text)
    chainrule.manual_seed(4)
    before = chainrule.get_rng_state().tolist()
    with pytest.raises(RuntimeError):
        eval(text, {"t": chainrule})
    assert chainrule.get_rng_state().tolist() == before


def test_draws_into_parts_change_only_the_parts():
    made = []
    for library in (torch, chainrule):
        library.manual_seed(2)
        x = library.zeros(6, 5)
        x[1].normal_()
        x[:, 2].uniform_(1, 2)
        x[2:4, 3:].random_(0, 9)
        x.t()[4].normal_(5.0, 1.0)
        made.append(x.numpy())
    np.testing.assert_allclose(made[1], made[0], atol=5e-7)


def test_a_draw_is_made_when_it_is_recorded():
    """The order of the calls counts, not the order in which values are looked at."""
    chainrule.manual_seed(0)
    torch.manual_seed(0)
    a, b = chainrule.rand(3) * 2, chainrule.randn(3) + 1
    expected_a, expected_b = torch.rand(3) * 2, torch.randn(3) + 1
    np.testing.assert_allclose(b.numpy(), expected_b.numpy(), atol=2e-7)
    np.testing.assert_array_equal(a.numpy(), expected_a.numpy())


def test_states_can_be_kept_and_restored():
    for library in (torch, chainrule):
        library.manual_seed(5)
        library.randn(3)
        state = library.get_rng_state()
        first = library.randn(4).tolist()
        library.set_rng_state(state)
        assert library.randn(4).tolist() == first
        generator = library.Generator()
        generator.set_state(state)
        assert library.randn(4, generator=generator).tolist() == first
        assert state.dtype is library.uint8 and state.shape == (5056,)


@pytest.mark.parametrize("program", range(20))
def test_interleaved_calls(program, intel_stream):
    """Twenty calls in a row, without a new seed between them."""
    calls = EXACT + CLOSE + ([] if intel_stream else BERNOULLI)
    order = random.Random(program).choices(calls, k=20)
    streams = []
    for library in (torch, chainrule):
        library.manual_seed(program)
        generator = library.Generator().manual_seed(program)
        for text in order:
            eval(text, {"t": library, "g": generator})
        streams.append((library.rand(9).tolist(), library.rand(9, generator=generator).tolist()))
    assert streams[0] == streams[1]
