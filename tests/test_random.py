"""The random stream: golden numbers of PyTorch 2.13, and what must hold at any seed."""

import math
import sys

import numpy as np
import pytest

from chainrule import random
from chainrule.random import CHUNK, Generator
from chainrule.twister import STATE_BYTES


def seeded(seed=0) -> Generator:
    return Generator().manual_seed(seed)


def weights(*values, dtype=np.float64) -> np.ndarray:
    return np.array(values, dtype)


# What PyTorch gives after manual_seed(0).
GOLDEN = {
    "rand": (lambda g: g.uniform((3,)), [0.49625658988952637, 0.7682217955589294, 0.0884774327]),
    "rand float64": (lambda g: g.uniform((2,), "float64"), [0.9700530018065531, 0.70781986439978]),
    "rand float16": (lambda g: g.uniform((2,), "float16"), [0.496337890625, 0.76806640625]),
    "uniform_": (lambda g: g.uniform((2,), low=-2, high=3), [0.481282949447632, 1.84110903739929]),
    "randint": (lambda g: g.integers(0, 10, (5,)), [4, 9, 3, 0, 3]),
    "randint wide": (lambda g: g.integers(0, 2**40, (2,)), [741280623151, 506137267392]),
    "random_": (lambda g: g.random((2,)), [900450186894289455, 3969543146641149120]),
    "random_ int32": (lambda g: g.random((3,), "int32"), [209652396, 398764591, 924231285]),
    "randperm": (lambda g: g.permutation(8), [4, 0, 7, 3, 2, 5, 1, 6]),
    "bernoulli_": (lambda g: g.bernoulli(0.5, (5,)), [0, 0, 1, 0, 0]),
    "bernoulli": (lambda g: g.bernoulli(np.full(5, 0.5, np.float32), (5,)), [1, 0, 1, 1, 1]),
    "randn": (lambda g: g.normal((3,)), [1.5409960746765137, -0.293428897857666, -2.1787893772]),
    "randn 17": (lambda g: g.normal((17,))[[0, 1, 16]], [-1.12583983, -1.69593120, 0.93182659]),
    "exponential_": (lambda g: g.exponential((2,)), [3.508326292037964, 1.2303847074508667]),
    "multinomial": (lambda g: g.multinomial(np.ones(6, np.float32), 6), [2, 4, 1, 5, 3, 0]),
    "multinomial replaced": (lambda g: g.multinomial(weights(0.4, 0.3, 0.3), 3, True), [2, 2, 1]),
    "poisson": (lambda g: g.poisson(weights(0.5, 3, 20, 0)), [2, 4, 21, 0]),
    "gamma": (lambda g: g.standard_gamma(weights(0.5, 3.0)), [0.000789358206347, 1.2728434178]),
    "cauchy_": (lambda g: g.cauchy((2,)), [10.597729682922363, 0.7647672891616821]),
    "log_normal_": (lambda g: g.log_normal((2,)), [59.2634162902832, 1.5115599632263184]),
    "geometric_": (lambda g: g.geometric((4,), "int64", 0.2), [1, 2, 4, 1]),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_numbers(name):
    draw, expected = GOLDEN[name]
    np.testing.assert_allclose(draw(seeded()).astype(np.float64), expected, rtol=2.4e-7)


# ---- the stream ----

PIECEWISE = {
    "uniform": lambda g, n: g.uniform((n,)),
    "uniform float64": lambda g, n: g.uniform((n,), "float64", -1.0, 2.0),
    "integers": lambda g, n: g.integers(-3, 11, (n,)),
    "integers wide": lambda g, n: g.integers(-(2**40), 2**40, (n,)),
    "bernoulli": lambda g, n: g.bernoulli(0.3, (n,), np.bool_),
    "exponential": lambda g, n: g.exponential((n,)),
    "normal pairs": lambda g, n: g.normal((n,), contiguous=False),
    "normal blocks": lambda g, n: g.normal((16 * n,)),
}


@pytest.mark.parametrize("name", PIECEWISE)
def test_pieces_of_a_draw_are_the_whole(name):
    """Blocks of the twister and chunks of an array must leave no seam."""
    draw, sizes = PIECEWISE[name], [1, 2, 300, 700, CHUNK // 8 + 3]
    whole, split = seeded(5), seeded(5)
    pieces = [draw(split, n) for n in sizes]
    np.testing.assert_array_equal(draw(whole, sum(sizes)), np.concatenate(pieces))
    np.testing.assert_array_equal(whole.get_state(), split.get_state())


def test_large_draws_equal_small_ones():
    size = 3 * CHUNK + 5
    whole, split = seeded(5), seeded(5)
    parts = [split.uniform((n,)) for n in (1, CHUNK, CHUNK, CHUNK, 4)]
    np.testing.assert_array_equal(whole.uniform((size,)), np.concatenate(parts))


def test_a_result_belongs_to_the_caller():
    g, untouched = seeded(), seeded()
    for draw in (
        lambda g: g.uniform((8,)),
        lambda g: g.integers(0, 9, (8,)),
        lambda g: g.random((8,)),
    ):
        draw(g)[...] = 0
        draw(untouched)
    np.testing.assert_array_equal(g.uniform((700,)), untouched.uniform((700,)))


@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 3), (2, 3, 4)])
def test_shapes_and_dtypes(shape):
    g = seeded()
    for dtype in ("float16", "float32", "float64"):
        for x in (g.uniform(shape, dtype), g.normal(shape, dtype), g.exponential(shape, dtype)):
            assert (x.shape, x.dtype) == (shape, dtype)
    for dtype in ("bool", "uint8", "int8", "int16", "int32", "int64", "float32"):
        for x in (
            g.integers(0, 2, shape, dtype),
            g.random(shape, dtype),
            g.bernoulli(0.5, shape, dtype),
        ):
            assert (x.shape, x.dtype) == (shape, dtype)


def test_moments():
    g, n = seeded(1), 200_000
    assert abs(g.uniform((n,), low=-1.0, high=3.0).mean() - 1.0) < 0.01
    z = g.normal((n,), mean=2.0, std=3.0)
    assert abs(z.mean() - 2.0) < 0.03 and abs(z.std() - 3.0) < 0.02
    assert abs(g.bernoulli(0.9, (n,)).mean() - 0.9) < 0.003
    assert abs(g.exponential((n,), lambd=2.0).mean() - 0.5) < 0.01
    assert abs(g.geometric((n,), "int64", 0.25).mean() - 4.0) < 0.05
    assert abs(np.median(g.cauchy((n,), median=3.0)) - 3.0) < 0.02
    assert abs(g.poisson(np.full(4000, 15.0)).mean() - 15.0) < 0.2
    assert abs(g.poisson(np.full(4000, 2.0)).mean() - 2.0) < 0.1
    assert abs(g.standard_gamma(np.full(4000, 2.5)).mean() - 2.5) < 0.1
    assert g.standard_gamma(np.zeros(1))[0] == sys.float_info.min


def test_uniform_never_reaches_its_open_end():
    g = seeded()
    for dtype in ("float16", "float32"):
        x = g.uniform((CHUNK,), dtype, 1000.0, 1001.0)
        assert x.min() >= 1000 and x.max() < 1001
    assert g.uniform((CHUNK,), "float16").max() < 1
    assert g.uniform((3,), low=2.0, high=2.0).tolist() == [2.0, 2.0, 2.0]


@pytest.mark.parametrize("n", [0, 1, 2, 3, 10, 1000])
def test_permutation_is_the_loop_of_swaps(n):
    g, order = seeded(n), list(range(n))
    for i in range(n - 1):
        j = i + int(g._words(1)[0]) % (n - i)
        order[i], order[j] = order[j], order[i]
    again = seeded(n)
    assert again.permutation(n).tolist() == order
    np.testing.assert_array_equal(again.get_state(), g.get_state())


def test_bernoulli_compares_all_53_bits():
    """Equal high words are decided by the low ones: u < p must be exact at p = u."""
    u = seeded(3).uniform((50,), "float64")
    for i in (0, 17, 49):
        for p in (u[i], math.nextafter(u[i], 1.0), math.nextafter(u[i], 0.0)):
            np.testing.assert_array_equal(seeded(3).bernoulli(float(p), (50,), np.bool_), u < p)


def test_certain_bernoulli():
    g = seeded()
    assert g.bernoulli(1.0, (9,)).all() and not g.bernoulli(0.0, (9,)).any()


def test_multinomial_draws_what_has_weight():
    g = seeded()
    rows = np.array([[0, 1, 0, 3], [2, 0, 0, 0]], np.float32)
    drawn = g.multinomial(rows, 50, replacement=True)
    assert drawn.shape == (2, 50) and drawn.dtype == np.int64
    assert set(drawn[0].tolist()) == {1, 3} and set(drawn[1].tolist()) == {0}
    assert g.multinomial(rows, 1).shape == (2, 1)
    for _ in range(20):
        assert sorted(g.multinomial(rows[0], 2).tolist()) == [1, 3]
    # Only two have weight: the others follow in the order of their indices.
    assert g.multinomial(rows[0], 4)[2:].tolist() == [0, 2]


def test_half_dtypes_overflow_to_infinity_silently():
    x = seeded().log_normal((2000,), "float16", mean=10.0, std=5.0)
    assert np.isinf(x).any()
    assert np.isinf(seeded().log_normal((2,), "float64", mean=1e4, std=1.0)).all()


# ---- seeds and states ----


def test_seeds():
    g = Generator()
    assert g.initial_seed() == 67280421310721 and str(g.device) == "cpu"
    assert g.manual_seed(-1) is g and g.initial_seed() == 2**64 - 1
    assert g.seed() == g.initial_seed() != 2**64 - 1
    # Only the low 32 bits of a seed count.
    np.testing.assert_array_equal(seeded(7).uniform((5,)), seeded(2**40 + 7).uniform((5,)))


def test_seed64_is_an_int64_of_two_words():
    g = seeded()
    assert g.seed64() == 900450186894289455
    assert seeded().random((2,)).tolist()[1] == g.seed64()


def test_default_generator():
    assert random.manual_seed(9) is random.default_generator
    assert random.initial_seed() == 9
    with random.fork_rng():
        random.default_generator.uniform((700,))
        assert random.seed() == random.initial_seed() != 9
    assert random.initial_seed() == 9
    with random.fork_rng(enabled=False):
        random.manual_seed(9)
    assert random.default_generator.uniform(()) == seeded(9).uniform(())


@pytest.mark.parametrize("taken", [0, 1, 623, 624, 625, 5000])
@pytest.mark.parametrize("normals", [0, 1, 2])
def test_state_goes_on_where_it_was(taken, normals):
    g = seeded(4)
    g.uniform((taken,))
    g.normal((normals,))
    state = g.get_state()
    assert state.dtype == np.uint8 and state.shape == (STATE_BYTES,)
    twin, clone = seeded(99).set_state(state), g.clone_state()
    assert twin.initial_seed() == 4
    np.testing.assert_array_equal(twin.get_state(), state)
    for draw in (lambda g: g.normal((3,)), lambda g: g.uniform((700,)), lambda g: g.get_state()):
        expected = draw(g)
        np.testing.assert_array_equal(draw(twin), expected)
        np.testing.assert_array_equal(draw(clone), expected)


# ---- errors ----

ERRORS = {
    "tensors require the device cpu, got cuda:0": lambda g: Generator("cuda:0"),
    "manual_seed requires an int, got float": lambda g: g.manual_seed(1.5),
    "manual_seed requires -2**63 <= seed < 2**64, got 18446744073709551616": lambda g: (
        g.manual_seed(2**64)
    ),
    "set_state requires 5056 values of uint8, got shape (5,) of uint8": lambda g: g.set_state(
        np.zeros(5, np.uint8)
    ),
    "set_state requires a state from get_state, got 0 words taken and -1 left of 624": (
        lambda g: g.set_state(np.zeros(STATE_BYTES, np.uint8))
    ),
    "uniform_ requires a floating-point dtype, got int64": lambda g: g.uniform((2,), "int64"),
    "uniform_ requires from <= to and to - from finite in float32, got from=1 and to=0": (
        lambda g: g.uniform((2,), low=1.0, high=0.0)
    ),
    "random_ requires 0 <= from < to <= 255 + 1 for uint8, got from=0 and to=300": (
        lambda g: g.integers(0, 300, (2,), "uint8")
    ),
    "for int64, got from=5 and to=5": lambda g: g.integers(5, 5, (2,)),
    "randperm requires n >= 0, got -1": lambda g: g.permutation(-1),
    "bernoulli requires 0 <= p <= 1, got p=1.5": lambda g: g.bernoulli(1.5, (2,)),
    "bernoulli requires 0 <= p <= 1, got p from 0.5 to 2.0": lambda g: g.bernoulli(
        weights(0.5, 2.0), (2,)
    ),
    "bernoulli requires a floating-point dtype, got int64": lambda g: g.bernoulli(
        np.array([1]), (1,)
    ),
    "normal_ requires std >= 0, got std=-1": lambda g: g.normal((2,), std=-1.0),
    "log_normal_ requires std > 0, got std=0": lambda g: g.log_normal((2,), std=0.0),
    "exponential_ requires lambd > 0, got lambd=0": lambda g: g.exponential((2,), lambd=0.0),
    "cauchy_ requires sigma > 0, got sigma=0": lambda g: g.cauchy((2,), sigma=0.0),
    "geometric_ requires 0 < p < 1, got p=1": lambda g: g.geometric((2,), "int64", 1.0),
    "multinomial requires a floating-point dtype, got int64": lambda g: g.multinomial(
        np.array([1]), 1
    ),
    "multinomial requires 1 or 2 dimensions, got shape ()": lambda g: g.multinomial(
        np.array(1.0), 1
    ),
    "multinomial requires num_samples > 0, got 0": lambda g: g.multinomial(weights(1), 0),
    "multinomial requires num_samples <= probs.shape[-1] without replacement, got 3 of 2": (
        lambda g: g.multinomial(weights(1, 1), 3)
    ),
    "multinomial requires finite weights >= 0, got -1.0 as the least": lambda g: g.multinomial(
        weights(-1, 1), 1
    ),
    "multinomial requires a positive sum of weights, got 0": lambda g: g.multinomial(
        weights(0, 0), 1
    ),
    "poisson requires rate >= 0, got -1.0": lambda g: g.poisson(weights(-1)),
    "gamma requires concentration >= 0, got -1.0": lambda g: g.standard_gamma(weights(-1)),
}


@pytest.mark.parametrize("message", ERRORS)
def test_errors_state_rule_and_facts_and_draw_nothing(message):
    g = seeded()
    before = g.get_state()
    with pytest.raises((RuntimeError, TypeError, ValueError)) as caught:
        ERRORS[message](g)
    assert message in str(caught.value)
    np.testing.assert_array_equal(g.get_state(), before)
