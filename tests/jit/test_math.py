"""The elementary functions against exact values, on every tier of instructions of this machine."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.special

from chainrule.graph import leaf
from chainrule.jit import engine as engines
from chainrule.jit.math import COST, DIVISION_BY_ZERO, FUNCTIONS, power
from chainrule.jit.program import Fault, Program
from chainrule.ops.elementwise import _pow as integer_pow
from chainrule.ops.elementwise import floor_divide

harness = SimpleNamespace(**runpy.run_path(str(Path(__file__).parent / "harness.py")))
TIERS = list(harness.TIERS)
NEON = engines.Target("neon", 128, 32, True, "generic", "")
WIDE = np.longdouble
SAME = ["exp", "expm1", "log", "log1p", "log2", "log10", "sqrt", "sin", "cos", "tan", "sinh",
        "cosh", "tanh"]
EXACT = {
    **{name: getattr(np, name) for name in SAME},
    **{f"a{name}": getattr(np, f"arc{name}") for name in "sin cos tan sinh cosh tanh".split()},
    "sigmoid": lambda x: np.where(x < 0, np.exp(x), 1) / (1 + np.exp(-np.abs(x))),
    "floor": np.floor, "ceil": np.ceil, "trunc": np.trunc, "round": np.rint, "sign": np.sign,
}
SPECIAL = {
    "erf": scipy.special.erf, "erfinv": scipy.special.erfinv, "lgamma": scipy.special.gammaln,
    "digamma": scipy.special.psi,
}


def numbers(dtype, count=20_000):
    """Numbers of every size, near 0 and near 1, and the special ones."""
    rng = np.random.default_rng(0)
    whole = {4: np.uint32, 8: np.uint64}[np.dtype(dtype).itemsize]
    kind = np.finfo(dtype)
    special = [0.0, -0.0, 1, -1, 0.5, 2, -2.5, 1000, -1000, np.inf, -np.inf, np.nan, kind.max,
               -kind.max, kind.tiny, -kind.tiny, kind.smallest_subnormal, kind.eps]
    parts = [
        rng.integers(0, np.iinfo(whole).max, count, dtype=whole, endpoint=True).view(dtype),
        rng.normal(size=count), rng.uniform(-20, 20, count), rng.uniform(-110, 110, count),
        rng.uniform(-760, 760, count // 4), 1 + rng.normal(size=count) * 1e-2, special,
    ]
    with np.errstate(all="ignore"):
        return np.concatenate([np.asarray(part).astype(dtype) for part in parts])


def agree_on_signs(got, expected):
    known = ~np.isnan(expected)
    return (np.signbit(got) == np.signbit(expected))[known].all()


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("name", EXACT)
def test_float32_is_exact_to_two_units(name, tier):
    near_1 = np.arange(0x3F000000, 0x40000000, 149, np.uint32).view(np.float32)
    x = np.concatenate([numbers(np.float32), near_1])
    with np.errstate(all="ignore"):
        expected = EXACT[name](x.astype(WIDE))
    got, _ = harness.run(tier, FUNCTIONS[name], [x])
    assert harness.ulps(got, expected).max() < 2.0
    assert agree_on_signs(got, expected)


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("name", EXACT)
def test_float64_is_exact_to_three_units(name, tier):
    x = numbers(np.float64)
    with np.errstate(all="ignore"):
        expected = EXACT[name](x.astype(WIDE))
    got, _ = harness.run(tier, FUNCTIONS[name], [x])
    bound = 3.0 if np.finfo(WIDE).nmant > 52 else 4.5  # the reference is no better than that
    assert harness.ulps(got, expected).max() < bound
    assert agree_on_signs(got, expected)


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("name", SPECIAL)
def test_special_functions_are_scipys(name, tier):
    x = numbers(np.float32, 5000)
    with np.errstate(invalid="ignore"):  # a signalling NaN
        expected = SPECIAL[name](x.astype(np.float64))
    got, _ = harness.run(tier, FUNCTIONS[name], [x])
    assert harness.ulps(got, expected).max() < 2.0
    x = np.concatenate([np.random.default_rng(1).uniform(-1, 60, 5000), [1.0, 2.0, 8.5, 1e200]])
    got, _ = harness.run(tier, FUNCTIONS[name], [x])
    np.testing.assert_allclose(got, SPECIAL[name](x), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_polygamma_is_scipys_also_where_it_is_reflected(n):
    x = np.concatenate([np.random.default_rng(0).uniform(0.01, 50, 2000), [-0.3, -7.25, 1e9],
                        [0.0, -1.0, -np.inf, np.inf, np.nan]])
    got, _ = harness.run(TIERS[0], lambda b, v: FUNCTIONS["polygamma"](b, v, n), [x])
    np.testing.assert_allclose(got, scipy.special.polygamma(n, x), rtol=1e-12)


@pytest.mark.parametrize("n", [30, 155, 171, 250])
def test_polygamma_of_a_large_order_may_overflow_and_compiles(n):
    x = np.array([0.3, 1.5, 7, 40])
    got, _ = harness.run(TIERS[0], lambda b, v: FUNCTIONS["polygamma"](b, v, n), [x])
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(got, scipy.special.polygamma(n, x), rtol=1e-11)
    harness.run(TIERS[0], lambda b, v: FUNCTIONS["polygamma"](b, v, n), [-x])


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_of_many_in_one_kernel_the_later_ones_are_called(tier, dtype):
    """With the same bits, and little more text for each."""
    x, y = numbers(dtype, 500), numbers(dtype, 500)[::-1].copy()
    lines = {}

    def run(count, k):
        def kernel(b, v, w):
            given = [("sin", v), ("pow", v, w), ("sigmoid", w)]
            found = [b.math(*arguments) for arguments in given for _ in range(count)]
            lines[count] = len(b.text().splitlines())
            return found[k]

        return harness.run(tier, kernel, [x, y])[0].tobytes()

    for k in range(3):
        assert run(9, 9 * k) == run(9, 9 * k + 8) == run(1, k)
    assert lines[9] < 6 * lines[1]


def test_erfinv_up_to_the_last_number_below_one():
    x = 1 - 2.0 ** -np.arange(2, 54)
    got, _ = harness.run(TIERS[0], FUNCTIONS["erfinv"], [x])
    np.testing.assert_allclose(scipy.special.erfc(got), 1 - x, rtol=3e-14)


def test_lgamma_and_digamma_keep_their_digits_near_their_zeros():
    mpmath = pytest.importorskip("mpmath")
    for name, exact, zero in (("lgamma", mpmath.loggamma, 1.0), ("lgamma", mpmath.loggamma, 2.0),
                              ("digamma", mpmath.digamma, 1.4616321449683622)):
        x = zero + np.geomspace(1e-9, 0.1, 20)
        got, _ = harness.run(TIERS[0], FUNCTIONS[name], [x])
        with mpmath.workdps(40):
            expected = [float(exact(mpmath.mpf(v))) for v in x]
        np.testing.assert_allclose(got, expected, rtol=3e-15)


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_angles_next_to_multiples_of_a_right_angle_and_huge_ones(dtype, tier):
    mpmath = pytest.importorskip("mpmath")
    near = np.arange(1, 200_000, 991) * (np.pi / 2)
    huge = np.geomspace(1e5, np.finfo(dtype).max / 2, 150)
    worst = 6381956970095103 * 2.0**797 if dtype is np.float64 else 16367173 * 2.0**72
    x = np.concatenate([near, huge, [worst]]).astype(dtype)
    with mpmath.workdps(400):
        for name in ("sin", "cos", "tan"):
            exact = [getattr(mpmath, name)(mpmath.mpf(float(v))) for v in x]
            got, _ = harness.run(tier, FUNCTIONS[name], [x])
            np.testing.assert_allclose(got, np.array(exact, float),
                                       rtol=3 * np.finfo(dtype).eps / 2)


# --------------------------------------------------------------------------- two operands
def pairs(dtype):
    rng = np.random.default_rng(0)
    kind = np.finfo(dtype)
    special = [0.0, -0.0, 1, -1, 2, -2, 0.5, -0.5, 3, -3, 2.5, -2.5, 1e30, -1e-30, np.inf, -np.inf,
               np.nan, kind.max, -kind.max, kind.tiny, kind.smallest_subnormal, 0.1, 7, 2**24 + 2]
    x, y = map(np.ravel, np.meshgrid(special, special))
    size = np.log10(kind.max)
    x = np.concatenate([x, rng.normal(size=4000) * 9, 10 ** rng.uniform(-size, size, 4000)])
    y = np.concatenate([y, rng.normal(size=4000) * 3, 10 ** rng.uniform(-size, size, 4000)])
    return x.astype(dtype), y.astype(dtype)


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["fmod", "remainder", "floor_divide"])
def test_divisions_with_a_remainder_are_numpys_bit_by_bit(name, dtype, tier):
    x, y = pairs(dtype)
    with np.errstate(all="ignore"):
        expected = getattr(np, name)(x, y)
    got, _ = harness.run(tier, FUNCTIONS[name], [x, y])
    np.testing.assert_array_equal(got, expected)
    assert agree_on_signs(got, expected)


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_atan2_in_every_quadrant(dtype, tier):
    y, x = pairs(dtype)
    expected = np.arctan2(y.astype(WIDE), x.astype(WIDE))
    got, _ = harness.run(tier, FUNCTIONS["atan2"], [y, x])
    assert harness.ulps(got, expected).max() < 2.5
    assert agree_on_signs(got, expected)


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_pow(dtype, tier):
    rng = np.random.default_rng(0)
    x, y = pairs(dtype)
    x = np.concatenate([x, rng.uniform(0, 3, 9000), rng.integers(-5, 6, 900)]).astype(dtype)
    y = np.concatenate([y, rng.normal(size=9000) * 99, rng.integers(-9, 9, 900)]).astype(dtype)
    with np.errstate(all="ignore"):
        expected = np.power(x.astype(WIDE), y.astype(WIDE))
    got, _ = harness.run(tier, FUNCTIONS["pow"], [x, y])
    assert harness.ulps(got, expected).max() < (1.0 if dtype is np.float32 else 4.0)
    assert agree_on_signs(got, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 5, 8, 33, 200, -1, -2, -3, -7, 0.5, -0.5, 1.5, 1 / 3,
                               np.inf])
def test_power_to_a_fixed_number(n, dtype):
    x = numbers(dtype, 2000)
    with np.errstate(all="ignore"):
        expected = np.power(x.astype(WIDE), WIDE(dtype(n)))
        if n == 0.5:
            expected = np.sqrt(x.astype(WIDE))  # as NumPy has it: -0.0 of -0.0, NaN of -inf
    got, _ = harness.run(TIERS[0], lambda b, v: power(b, v, n), [x])
    assert harness.ulps(got, expected).max() < (2.0 if dtype is np.float32 else 5.0)
    assert agree_on_signs(got, expected)


# --------------------------------------------------------------------------- integers
INTEGERS = ["int8", "uint8", "int16", "int32", "int64", "uint32"]


def integers(dtype, low=-9, high=9):
    """Small and large ones, none of the divisors zero, with the smallest divided by -1."""
    rng, kind = np.random.default_rng(0), np.iinfo(dtype)
    low = max(low, kind.min)
    x = np.concatenate([[kind.min], rng.integers(kind.min, kind.max, 500, dtype=dtype),
                        rng.integers(low, high, 500)]).astype(dtype)
    y = np.concatenate([[1 if low == 0 else -1], rng.integers(kind.min, kind.max, 500, dtype=dtype),
                        rng.integers(low, high, 500)]).astype(dtype)
    return x, np.where(y == 0, 1, y).astype(dtype)


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("name", ["fmod", "remainder", "floor_divide"])
def test_integer_divisions_are_numpys(name, dtype):
    x, y = integers(dtype)
    with np.errstate(over="ignore"):
        expected = getattr(np, name)(x, y)
    got, code = harness.run(TIERS[0], FUNCTIONS[name], [x, y])
    np.testing.assert_array_equal(got, expected)
    assert code == 0


@pytest.mark.parametrize("name", ["fmod", "remainder", "floor_divide"])
@pytest.mark.parametrize("dtype", ["int32", "bool"])
def test_an_integer_divisor_zero_is_reported(dtype, name):
    x, y = np.ones(40, dtype), np.ones(40, dtype)
    assert harness.run(TIERS[0], FUNCTIONS[name], [x, y])[1] == 0
    y[37] = 0
    assert harness.run(TIERS[0], FUNCTIONS[name], [x, y])[1] == DIVISION_BY_ZERO


def test_a_divisor_zero_in_a_lane_that_does_not_count_is_no_error():
    def divide(b, x, y):
        b.active = b.first_lanes(3, 4)
        return b.math("remainder", x, y)

    x = np.arange(1, 5, dtype=np.int32)
    got, code = harness.run(TIERS[0], divide, [x, np.array([2, 2, 2, 0], np.int32)], lanes=4)
    assert code == 0 and got[:3].tolist() == [1, 0, 1]


@pytest.mark.parametrize("n", [1, 7, 37, 5000])
def test_a_program_reports_a_divisor_zero_and_nothing_else(n):
    x, y = leaf(np.arange(1, n + 1)), leaf(np.full(n, -2))
    program = Program([floor_divide(x, y)], [x, y])
    np.testing.assert_array_equal(program.run([x.value, y.value])[0], x.value // -2)
    with pytest.raises(Fault):
        program.run([x.value, np.where(np.arange(n) == n - 1, 0, y.value)])


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integer_powers(dtype):
    rng, low = np.random.default_rng(0), max(np.iinfo(dtype).min, -6)
    x, y = rng.integers(low, 6, 500).astype(dtype), rng.integers(low, 60, 500).astype(dtype)
    got, _ = harness.run(TIERS[0], FUNCTIONS["pow"], [x, y])
    np.testing.assert_array_equal(got, integer_pow(x, y))
    got, _ = harness.run(TIERS[0], lambda b, v: power(b, v, 5), [x])
    np.testing.assert_array_equal(got, x**5)


@pytest.mark.parametrize("dtype", ["int32", "uint8"])
def test_steps_and_questions_of_integers(dtype):
    x = integers(dtype)[0]
    for name in ("floor", "ceil", "trunc", "round"):
        np.testing.assert_array_equal(harness.run(TIERS[0], FUNCTIONS[name], [x])[0], x)
    np.testing.assert_array_equal(harness.run(TIERS[0], FUNCTIONS["sign"], [x])[0], np.sign(x))
    for name in ("isnan", "isinf", "isfinite"):
        got, _ = harness.run(TIERS[0], FUNCTIONS[name], [x], bool)
        assert (got == (name == "isfinite")).all()


# --------------------------------------------------------------------------- as a whole
@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_questions_of_floats(dtype, tier):
    x = numbers(dtype, 100)
    for name in ("isnan", "isinf", "isfinite"):
        got, _ = harness.run(tier, FUNCTIONS[name], [x], bool)
        np.testing.assert_array_equal(got, getattr(np, name)(x))


@pytest.mark.skipif("avx512" not in TIERS, reason="one tier with fused multiply-adds")
@pytest.mark.parametrize("name", [*EXACT, "erf", "erfinv"])
def test_hosts_with_fused_multiply_adds_agree_on_every_bit(name):
    for dtype in (np.float32, np.float64):
        x = numbers(dtype, 2000)
        runs = [("avx512", None), ("avx512", 1), ("avx2", None), ("avx512", 32)]
        results = [harness.run(tier, FUNCTIONS[name], [x], lanes=lanes)[0] for tier, lanes in runs]
        for other in results[1:]:
            np.testing.assert_array_equal(results[0], other)
            assert agree_on_signs(results[0], other)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_neon_calls_no_library_either(name):
    engines.llvm.initialize_all_targets()
    engines.llvm.initialize_all_asmprinters()
    compiler = engines.Compiler(NEON, "aarch64-linux-gnu")
    count = 2 if name in ("pow", "atan2", "fmod", "remainder", "floor_divide") else 1
    attrs = (2,) if name == "polygamma" else ()
    result = "bool" if name.startswith("is") else None
    for elem in ("float32", "float64"):
        text = harness.kernel(lambda b, *xs: b.math(name, *xs, *attrs), [elem] * count,
                              result or elem, NEON.lanes(elem), NEON)
        compiler.code(text)  # which refuses calls


def test_every_function_has_a_cost():
    assert COST.keys() == FUNCTIONS.keys()
