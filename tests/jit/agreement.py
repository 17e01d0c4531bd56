"""Whether a program computes what the interpreter computes, on any tier of instructions."""

from contextlib import contextmanager
from unittest import mock

import numpy as np

from chainrule import config
from chainrule.graph import toposort
from chainrule.interpreter import evaluate
from chainrule.jit import build, program
from chainrule.jit import engine as engines

ENGINES = {target.name: engines.Engine(target) for target in engines.tiers()}
TIERS = list(ENGINES)
TOLERANCE = {"float64": 1e-12, "float32": 1e-5, "float16": 2e-3, "bfloat16": 2e-2}


@contextmanager
def on_tier(name):
    """Programs made here are made for this tier of instructions."""
    engine = ENGINES[name]
    with mock.patch.object(build, "host", lambda: engine.target), \
            mock.patch.object(program, "engine", lambda: engine):
        yield


@contextmanager
def jit(mode):
    """Graphs that are run here are compiled: "0" never, "1" at first sight."""
    with mock.patch.object(config, "jit", mode):
        yield


def interpreted(outputs):
    """The definition, node by node, without touching the nodes; and the largest number met."""
    values = {}
    with np.errstate(all="ignore"):
        for node in toposort(outputs):
            if node.value is not None:
                values[node] = node.value
            else:
                value = evaluate(node, [values[x] for x in node.inputs])
                values[node] = np.asarray(value, node.dtype.np)
    met = [largest(v) for v in values.values()]
    return [values[n] for n in outputs], max(met, default=0.0)


def largest(array):
    """The largest finite number of a floating-point array."""
    if array.dtype.kind not in "fV" or not array.size:
        return 0.0
    wide = np.abs(array.astype(np.float64))
    return wide[np.isfinite(wide)].max(initial=0.0)


def assert_close(got, wanted, scale, note=""):
    """Equal, or as near as the dtype allows beside numbers of this scale."""
    assert got.shape == wanted.shape and got.dtype == wanted.dtype, note
    rtol = TOLERANCE.get(wanted.dtype.name)
    if rtol is None:
        np.testing.assert_array_equal(got, wanted, err_msg=note)
    else:
        np.testing.assert_allclose(got.astype(np.float64), wanted.astype(np.float64), rtol=rtol,
                                   atol=rtol * scale, err_msg=note)


def check(outputs, values=None, note=""):
    """Compile, run twice, and compare with the interpreter; returns the program.

    `values` may give the leaves other arrays of the same numbers (strided ones).
    """
    leaves = [n for n in toposort(outputs) if n.value is not None]
    made = program.Program(outputs, leaves)
    wanted, scale = interpreted(outputs)
    values = values or {}
    for _ in range(2):
        got = made.run([values.get(n, n.value) for n in leaves])
        for g, w in zip(got, wanted):
            assert_close(g, w, scale, note)
    return made
