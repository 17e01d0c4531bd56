"""The random stream against PyTorch's: values, and the stream's state after every draw."""

import random

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import ml_dtypes  # noqa: E402

from chainrule.random import Generator  # noqa: E402

NUMPY = {
    torch.float16: np.float16,
    torch.bfloat16: ml_dtypes.bfloat16,
    torch.float32: np.float32,
    torch.float64: np.float64,
    torch.bool: np.bool_,
    torch.uint8: np.uint8,
    torch.int8: np.int8,
    torch.int16: np.int16,
    torch.int32: np.int32,
    torch.int64: np.int64,
}
FLOATS = list(NUMPY)[:4]
INTEGERS = list(NUMPY)[5:]
SHAPES = [(), (0,), (1,), (5,), (15,), (16,), (17,), (3, 7), (33,), (700,), (40_000,)]


def array(tensor) -> np.ndarray:
    if tensor.dtype == torch.bfloat16:
        return tensor.float().numpy().astype(ml_dtypes.bfloat16)
    return tensor.numpy()


def agree(theirs, ours, seed=3, ulps=0, atol=0.0):
    """Same shape, same dtype, same state afterwards; values equal up to `ulps` or `atol`."""
    torch.manual_seed(seed)
    generator = Generator().manual_seed(seed)
    expected, got = array(theirs()), ours(generator)
    assert (got.shape, got.dtype) == (expected.shape, expected.dtype)
    close(expected, got, ulps, atol)
    np.testing.assert_array_equal(torch.get_rng_state().numpy(), generator.get_state())


def close(expected, got, ulps=0, atol=0.0):
    if ulps or atol:
        digits = {"float64": 53, "float32": 24, "float16": 11, "bfloat16": 8}[expected.dtype.name]
        expected, got = expected.astype(np.float64), got.astype(np.float64)
        np.testing.assert_allclose(got, expected, rtol=ulps * 2.0 ** (1 - digits), atol=atol)
    else:
        np.testing.assert_array_equal(got, expected)


# ---- uniform numbers ----


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_rand(shape, dtype):
    agree(lambda: torch.rand(shape, dtype=dtype), lambda g: g.uniform(shape, NUMPY[dtype]))


BOUNDS = [(-0.31, 0.77), (0, 2), (1.1, 1.9), (1000, 1001), (5, 5), (-1e4, 1e4)]


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("low, high", BOUNDS)
def test_uniform(low, high, dtype):
    if dtype is torch.float64 and low == 1000:
        pytest.skip("PyTorch rounds once, NumPy twice: either may reach the open end alone")
    atol = 2.0**-52 * max(abs(low), abs(high)) if dtype is torch.float64 else 0.0
    for shape in [(), (7,), (3000,)]:
        agree(
            lambda shape=shape: torch.empty(shape, dtype=dtype).uniform_(low, high),
            lambda g, shape=shape: g.uniform(shape, NUMPY[dtype], low, high),
            atol=atol,
        )


# ---- normal numbers: the last bits of log, sin and cos differ ----

ULPS = {torch.float16: 1, torch.bfloat16: 1, torch.float32: 4, torch.float64: 4}


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_randn(shape, dtype):
    exact = dtype is not torch.float64 and np.prod(shape, dtype=int) < 16
    agree(
        lambda: torch.randn(shape, dtype=dtype),
        lambda g: g.normal(shape, NUMPY[dtype]),
        ulps=0 if exact else ULPS[dtype],
        atol=0.0 if exact else 1e-7 if dtype is torch.float32 else 1e-15,
    )


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_normal(shape, dtype):
    agree(
        lambda: torch.empty(shape, dtype=dtype).normal_(2.3, 0.7),
        lambda g: g.normal(shape, NUMPY[dtype], 2.3, 0.7),
        ulps=ULPS[dtype],
        atol={torch.float32: 5e-7, torch.float64: 1e-15}.get(dtype, 0.0),
    )


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("shape", [(5, 2), (16, 2), (40, 2)], ids=str)
def test_normal_into_a_view(shape, dtype):
    agree(
        lambda: torch.empty(shape, dtype=dtype)[:, 0].normal_(2.3, 0.7),
        lambda g: g.normal(shape[:1], NUMPY[dtype], 2.3, 0.7, contiguous=False),
        ulps=ULPS[dtype] if dtype is torch.float64 else 0,
    )


@pytest.mark.parametrize("counts", [(1, 1), (3, 20, 1), (5, 5), (1, 0, 1), (2, 17, 3, 3)])
def test_the_spare_normal_number_waits_for_the_next_small_draw(counts):
    torch.manual_seed(1)
    g = Generator().manual_seed(1)
    for n in counts:
        close(torch.randn(n).numpy(), g.normal((n,)), 4, 1e-7)
        np.testing.assert_array_equal(torch.get_rng_state().numpy(), g.get_state())


# ---- integers ----


@pytest.mark.parametrize("dtype", list(NUMPY), ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (5,), (700,), (40_000,)], ids=str)
def test_random_(shape, dtype):
    agree(
        lambda: torch.empty(shape, dtype=dtype).random_(), lambda g: g.random(shape, NUMPY[dtype])
    )
    agree(
        lambda: torch.empty(shape, dtype=dtype).random_(1, None),
        lambda g: g.integers(1, None, shape, NUMPY[dtype]),
    )


@pytest.mark.parametrize("dtype", INTEGERS + FLOATS, ids=str)
def test_randint(dtype):
    for shape in SHAPES:
        agree(
            lambda shape=shape: torch.randint(3, 120, shape, dtype=dtype),
            lambda g, shape=shape: g.integers(3, 120, shape, NUMPY[dtype]),
        )


RANGES = [
    (-5, 7),
    (0, 2**28 - 1),
    (-3, 2**28 - 3),
    (0, 2**31),
    (5, 2**40),
    (-(2**62), 2**62),
    (-(2**63), 2**63 - 1),
    (-(2**63), None),
    (-5, None),
]


@pytest.mark.parametrize("low, high", RANGES)
def test_wide_ranges(low, high):
    for n in (1, 5, 700):
        agree(
            lambda n=n: torch.empty(n, dtype=torch.int64).random_(low, high),
            lambda g, n=n: g.integers(low, high, (n,)),
        )


@pytest.mark.parametrize("n", [0, 1, 2, 3, 10, 625, 5000, 60_000])
def test_randperm(n):
    for seed in range(3):
        agree(lambda: torch.randperm(n), lambda g: g.permutation(n), seed)


def test_loader_seed():
    agree(lambda: torch.empty((), dtype=torch.int64).random_(), lambda g: np.array(g.seed64()))


# ---- masks ----


@pytest.mark.usefixtures("common_stream")
@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 1 / 3, 1.0])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_bernoulli_of_a_number(shape, p):
    for dtype in (torch.float32, torch.float64, torch.int64):
        agree(
            lambda dtype=dtype: torch.empty(shape, dtype=dtype).bernoulli_(p),
            lambda g, dtype=dtype: g.bernoulli(p, shape, NUMPY[dtype]),
        )


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_bernoulli_of_a_tensor(shape, dtype):
    p = torch.rand(shape, dtype=dtype)
    agree(lambda: torch.bernoulli(p), lambda g: g.bernoulli(array(p), shape, NUMPY[dtype]))


def test_bernoulli_broadcasts_its_probabilities():
    p = torch.rand(4, 1)
    agree(
        lambda: torch.empty(3, 4, 5).bernoulli_(p),
        lambda g: g.bernoulli(array(p), (3, 4, 5), np.float32),
    )


@pytest.mark.usefixtures("common_stream")
@pytest.mark.parametrize("p", [0.1, 0.5])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_dropout(p, dtype):
    for shape in SHAPES:
        agree(
            lambda shape=shape: torch.nn.functional.dropout(torch.ones(shape, dtype=dtype), p) != 0,
            lambda g, shape=shape: g.bernoulli(1 - p, shape, np.bool_),
        )


# ---- other distributions ----

LAST_BITS = {torch.float64: 2}


@pytest.mark.usefixtures("common_stream")
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_exponential(shape, dtype):
    agree(
        lambda: torch.empty(shape, dtype=dtype).exponential_(1.3),
        lambda g: g.exponential(shape, NUMPY[dtype], 1.3),
        ulps=LAST_BITS.get(dtype, 1),
    )


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("n", [1, 15, 700, 5000])
def test_log_normal_cauchy_geometric(n, dtype):
    as_numpy, ulps = NUMPY[dtype], LAST_BITS.get(dtype, 1)
    agree(
        lambda: torch.empty(n, dtype=dtype).log_normal_(0.2, 0.3),
        lambda g: g.log_normal((n,), as_numpy, 0.2, 0.3),
        ulps=ulps,
    )
    agree(
        lambda: torch.empty(n, dtype=dtype).cauchy_(0.2, 1.3),
        lambda g: g.cauchy((n,), as_numpy, 0.2, 1.3),
        ulps=20 * ulps,
        atol=1e-12 if dtype is torch.float64 else 0.0,
    )
    agree(
        lambda: torch.empty(n, dtype=dtype).geometric_(0.3),
        lambda g: g.geometric((n,), as_numpy, 0.3),
    )


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("shape", [(1,), (5,), (40,), (3, 5), (64, 10)], ids=str)
@pytest.mark.parametrize("replacement", [False, True])
def test_multinomial(shape, dtype, replacement):
    p = torch.rand(shape, dtype=dtype) + 0.01
    if dtype.itemsize == 2 and not replacement and shape[-1] > 5:
        pytest.skip("races in a half dtype tie, and PyTorch leaves the order of ties open")
    for count in {1, min(3, shape[-1]), shape[-1]}:
        agree(
            lambda count=count: torch.multinomial(p, count, replacement),
            lambda g, count=count: g.multinomial(array(p), count, replacement),
        )


@pytest.mark.parametrize("seed", range(5))
def test_multinomial_with_weights_of_zero(seed):
    p = torch.tensor([0.0, 1.0, 0.0, 2.0, 0.0, 0.5])
    for count, replacement in ((3, False), (30, True)):
        agree(
            lambda count=count, replacement=replacement: torch.multinomial(p, count, replacement),
            lambda g, count=count, replacement=replacement: g.multinomial(
                p.numpy(), count, replacement
            ),
            seed,
        )


def test_poisson_and_gamma():
    for dtype in (torch.float32, torch.float64):
        rate = torch.linspace(0, 40, 200, dtype=dtype)
        agree(lambda rate=rate: torch.poisson(rate), lambda g, rate=rate: g.poisson(rate.numpy()))
        shape = torch.linspace(0.01, 10, 200, dtype=dtype)
        agree(
            lambda shape=shape: torch._standard_gamma(shape),
            lambda g, shape=shape: g.standard_gamma(shape.numpy()),
            ulps=4,
        )


# ---- programs ----

DRAWS = [
    (lambda n: torch.rand(n), lambda g, n: g.uniform((n,)), 0),
    (lambda n: torch.rand(n, dtype=torch.float64), lambda g, n: g.uniform((n,), "float64"), 0),
    (lambda n: torch.randn(n), lambda g, n: g.normal((n,)), 4),
    (lambda n: torch.randn(n, dtype=torch.float64), lambda g, n: g.normal((n,), "float64"), 4),
    (lambda n: torch.randn(n).half(), lambda g, n: g.normal((n,)).astype(np.float16), 1),
    (lambda n: torch.randn(2 * n)[::2].normal_(), lambda g, n: _into_view(g, n), 4),
    (lambda n: torch.randint(0, 10, (n,)), lambda g, n: g.integers(0, 10, (n,)), 0),
    (lambda n: torch.randint(0, 2**40, (n,)), lambda g, n: g.integers(0, 2**40, (n,)), 0),
    (lambda n: torch.randperm(n), lambda g, n: g.permutation(n), 0),
    (lambda n: torch.bernoulli(torch.full((n,), 0.3)), lambda g, n: _coins(g, n), 0),
    (lambda n: torch.poisson(torch.full((n,), 4.0)), lambda g, n: _counts(g, n), 0),
    (lambda n: torch.empty(n).log_normal_(), lambda g, n: g.log_normal((n,)), 2),
    (lambda n: torch.empty(n).cauchy_(), lambda g, n: g.cauchy((n,)), 20),
    (lambda n: torch.empty((), dtype=torch.int64).random_(), lambda g, n: np.array(g.seed64()), 0),
    (
        lambda n: torch.multinomial(torch.ones(7), n + 2, replacement=True),
        lambda g, n: g.multinomial(np.ones(7, np.float32), n + 2, replacement=True),
        0,
    ),
]
COMMON_DRAWS = [
    (lambda n: torch.empty(n).exponential_(), lambda g, n: g.exponential((n,)), 1),
    (
        lambda n: torch.nn.functional.dropout(torch.ones(n), 0.2) != 0,
        lambda g, n: g.bernoulli(0.8, (n,), np.bool_),
        0,
    ),
]


def _into_view(g, n):
    g.normal((2 * n,))
    return g.normal((n,), contiguous=n < 2)


def _coins(g, n):
    return g.bernoulli(np.full(n, 0.3, np.float32), (n,))


def _counts(g, n):
    return g.poisson(np.full(n, 4.0, np.float32))


@pytest.mark.parametrize("program", range(40))
def test_interleaved_draws(program, intel_stream):
    """Thirty draws of any kind and size in a row: every value, and the state after each."""
    choose = random.Random(program)
    draws = DRAWS if intel_stream else DRAWS + COMMON_DRAWS
    torch.manual_seed(program)
    g = Generator().manual_seed(program)
    for _ in range(30):
        theirs, ours, ulps = choose.choice(draws)
        n = choose.choice([0, 1, 2, 3, 8, 15, 16, 17, 31, 100, 623, 624, 1000])
        close(array(theirs(n)), ours(g, n), ulps, 1e-7 if ulps else 0.0)
        np.testing.assert_array_equal(torch.get_rng_state().numpy(), g.get_state())


def test_states_pass_between_the_two():
    torch.manual_seed(8)
    torch.randn(5)
    torch.rand(1000)
    g = Generator().set_state(torch.get_rng_state().numpy())
    np.testing.assert_array_equal(torch.rand(700).numpy(), g.uniform((700,)))
    close(torch.randn(2).numpy(), g.normal((2,)), 2)
    g.uniform((77,))
    torch.set_rng_state(torch.from_numpy(g.get_state()))
    np.testing.assert_array_equal(torch.rand(700).numpy(), g.uniform((700,)))
    assert torch.initial_seed() == g.initial_seed()


def test_seeds():
    for seed in (0, -1, -5, -(2**63), 2**64 - 1, 2**40 + 7):
        assert torch.Generator().manual_seed(seed).initial_seed() == (
            Generator().manual_seed(seed).initial_seed()
        )
    assert torch.Generator().initial_seed() == Generator().initial_seed()
