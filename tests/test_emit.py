"""The lowering of every elementwise op, spoken to a builder made of NumPy, means what eval means.

A compiler's builder has the same few methods, for scalars of one loop; this one has them for
arrays, so that each op's `emit` can be run without a compiler.
"""

import numpy as np
import pytest
import scipy.special

from chainrule import dtypes
from chainrule.errors import DTypeError
from chainrule.graph import leaf
from chainrule.interpreter import run
from chainrule.ops import ALL_OPS

OPS = {op.name: op for op in ALL_OPS if op.kind == "elementwise"}
STRANGE = np.array([0.0, -0.0, 1.0, -2.5, np.inf, -np.inf, np.nan])


class Builder:
    """What `emit` may say."""

    def add(self, x, y):
        return x + y if x.dtype != bool else x | y

    def sub(self, x, y):
        return x - y

    def mul(self, x, y):
        return x * y if x.dtype != bool else x & y

    def div(self, x, y):
        return np.true_divide(x, y)

    def neg(self, x):
        return -x

    def abs(self, x):
        return np.abs(x)

    def max(self, x, y):
        return np.maximum(x, y)

    def min(self, x, y):
        return np.minimum(x, y)

    def const(self, value):
        return value  # it takes the type of what it meets

    def select(self, condition, x, y):
        return np.where(condition, x, y)

    def power(self, x, exponent):
        return x**exponent

    def cast(self, x, dtype):
        return x.astype(dtype.np)

    def compare(self, name, x, y):
        return {"eq": x == y, "ne": x != y, "lt": x < y, "le": x <= y, "gt": x > y, "ge": x >= y}[
            name]

    def bits(self, name, *xs):
        return BITS[name](*xs)

    def math(self, name, *xs):
        return MATH[name](*xs)


BITS = {
    "logical_and": np.logical_and, "logical_or": np.logical_or, "logical_xor": np.logical_xor,
    "logical_not": np.logical_not, "bitwise_and": lambda x, y: x & y,
    "bitwise_or": lambda x, y: x | y, "bitwise_xor": lambda x, y: x ^ y,
    "bitwise_not": lambda x: ~x, "left_shift": lambda x, y: x << y,
    "right_shift": lambda x, y: x >> y,
}
MATH = {
    **{
        name: getattr(np, name)
        for name in (
            "exp expm1 log log1p log2 log10 sqrt sin cos tan sinh cosh tanh floor ceil trunc "
            "isnan isinf isfinite fmod remainder floor_divide"
        ).split()
    },
    **{f"a{name}": getattr(np, f"arc{name}") for name in "sin cos tan sinh cosh tanh tan2".split()},
    "pow": lambda x, y: x**y,
    "sign": lambda x: x if x.dtype == bool else np.sign(x),
    "round": np.rint,
    "sigmoid": scipy.special.expit,
    "erf": scipy.special.erf,
    "erfinv": scipy.special.erfinv,
    "lgamma": scipy.special.gammaln,
    "digamma": scipy.special.psi,
    "polygamma": lambda x, n: scipy.special.polygamma(n, x),
}


def draw(name):
    """The arrays and attrs of one sample of the op."""
    arrays, attrs = OPS[name].sample(np.random.default_rng(0))
    return [np.asarray(a) for a in arrays], attrs


def takes_floats(name):
    return all(a.dtype.kind == "f" for a in draw(name)[0])


def emitted_and_evaluated(op, arrays, attrs):
    nodes = [leaf(a) for a in arrays]
    out = op(*nodes, **attrs)
    with np.errstate(all="ignore"):
        # What the op was recorded on: after promotion, which is the kind's business.
        inputs = [run(x)[0] for x in out.inputs]
        emitted = np.asarray(op.emit(Builder(), *inputs, **attrs))
        return np.broadcast_to(emitted, out.shape).astype(out.dtype.np), run(out)[0]


def close(a, b, dtype):
    rtol = 1e-6 if dtype == np.float32 else 1e-14
    np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol / 100)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", OPS)
def test_emit_is_eval_on_samples(name, dtype):
    arrays, attrs = draw(name)
    arrays = [a.astype(dtype) if a.dtype.kind == "f" else a for a in arrays]
    close(*emitted_and_evaluated(OPS[name], arrays, attrs), dtype)


@pytest.mark.parametrize("name", [name for name in OPS if takes_floats(name)])
def test_emit_is_eval_on_zeros_infinities_and_nan(name):
    arrays, attrs = draw(name)
    grids = np.meshgrid(*[STRANGE] * len(arrays), indexing="ij")
    emitted, evaluated = emitted_and_evaluated(OPS[name], grids, attrs)
    close(emitted, evaluated, np.float64)
    if evaluated.dtype.kind == "f":  # zeros too have the same sign
        numbers = ~np.isnan(evaluated)
        assert (np.signbit(emitted) == np.signbit(evaluated))[numbers].all()


@pytest.mark.parametrize("dtype", [dtypes.bool_, dtypes.uint8, dtypes.int64], ids=str)
@pytest.mark.parametrize("name", OPS)
def test_emit_is_eval_on_integers(name, dtype):
    arrays, attrs = draw(name)
    arrays = [(np.abs(a * 1) * 2 + 1).astype(dtype.np) for a in arrays]
    try:
        emitted, evaluated = emitted_and_evaluated(OPS[name], arrays, attrs)
    except DTypeError:
        return  # refused when recorded
    close(emitted, evaluated, np.float32)


def test_every_elementwise_op_has_a_lowering():
    assert [name for name, op in OPS.items() if op.emit is None] == []
