"""Every elementwise op, compiled through its own `emit`, means what its `eval` means."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from chainrule import dtypes
from chainrule.errors import DTypeError
from chainrule.graph import leaf
from chainrule.ops import ALL_OPS

harness = SimpleNamespace(**runpy.run_path(str(Path(__file__).parent / "harness.py")))
TIERS = list(harness.TIERS)
OPS = {op.name: op for op in ALL_OPS if op.kind == "elementwise"}
STRANGE = np.array([0.0, -0.0, 1.0, -1.0, -2.5, 0.5, 1e30, np.inf, -np.inf, np.nan])


def draw(name):
    """The arrays and attrs of one sample of the op."""
    arrays, attrs = OPS[name].sample(np.random.default_rng(0))
    return [np.asarray(a) for a in arrays], attrs


def takes_floats(name):
    arrays = draw(name)[0]
    return bool(arrays) and all(a.dtype.kind == "f" for a in arrays)


def meaning(node):
    """Its value as the ops' `eval` say; the interpreter itself might compile."""
    if node.value is not None:
        return node.value
    return np.asarray(node.op.eval(*map(meaning, node.inputs), **node.attrs), node.dtype.np)


def compiled_and_evaluated(op, arrays, attrs, tier, lanes=None):
    nodes = [leaf(a) for a in arrays]
    out = op(*nodes, **attrs)
    with np.errstate(all="ignore"):
        # What the op was recorded on: after promotion, which is the kind's business.
        inputs = [meaning(x) for x in out.inputs]
        expected = np.broadcast_to(meaning(out), out.shape)
    whole = [np.broadcast_to(a, out.shape) for a in inputs] or [np.zeros(out.shape)]
    got, code = harness.run(tier, lambda b, *xs: op.emit(b, *xs[:len(inputs)], **attrs), whole,
                            out.dtype.np, lanes)
    assert code == 0
    return got, expected


def close(got, expected, dtype):
    rtol = 3e-7 if dtype == np.float32 else 2e-15
    np.testing.assert_allclose(got, expected, rtol=rtol, atol=rtol / 100)
    if expected.dtype.kind == "f":  # zeros too have the same sign
        numbers = ~np.isnan(expected)
        assert (np.signbit(got) == np.signbit(expected))[numbers].all()


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", OPS)
def test_emit_is_eval_on_samples(name, dtype, tier):
    arrays, attrs = draw(name)
    arrays = [a.astype(dtype) if a.dtype.kind == "f" else a for a in arrays]
    close(*compiled_and_evaluated(OPS[name], arrays, attrs, tier), dtype)


@pytest.mark.parametrize("name", OPS)
def test_emit_is_eval_on_one_lane(name):
    arrays, attrs = draw(name)
    arrays = [a.astype(np.float32) if a.dtype.kind == "f" else a for a in arrays]
    close(*compiled_and_evaluated(OPS[name], arrays, attrs, TIERS[0], 1), np.float32)


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", [name for name in OPS if takes_floats(name)])
def test_emit_is_eval_on_strange_numbers(name, dtype, tier):
    arrays, attrs = draw(name)
    grids = np.meshgrid(*[STRANGE.astype(dtype)] * len(arrays), indexing="ij")
    close(*compiled_and_evaluated(OPS[name], grids, attrs, tier), dtype)


@pytest.mark.parametrize("dtype", [dtypes.bool_, dtypes.uint8, dtypes.int8, dtypes.int64], ids=str)
@pytest.mark.parametrize("name", OPS)
def test_emit_is_eval_on_integers(name, dtype):
    arrays, attrs = draw(name)
    arrays = [(np.abs(a * 1) * 2 + 1).astype(dtype.np) for a in arrays]
    try:
        pair = compiled_and_evaluated(OPS[name], arrays, attrs, TIERS[0])
    except DTypeError:
        return  # refused when recorded
    close(*pair, np.float32)
