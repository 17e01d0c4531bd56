"""One generic test over all ops, from their own samples.

The interpreter is judged by itself (shapes, dtypes, purity, batching) and the vjp by central
differences in float64 along a random direction, to second order.
"""

import itertools
import math

import numpy as np
import pytest

from chainrule import dtypes
from chainrule.autodiff import grad
from chainrule.dtypes import from_numpy
from chainrule.errors import DTypeError
from chainrule.graph import leaf, toposort, verify
from chainrule.interpreter import run
from chainrule.ops import ALL_OPS

BY_NAME = {op.name: op for op in ALL_OPS}
DIFFERENTIABLE = [op.name for op in ALL_OPS if op.differentiable]
# reattach is the value of y with the history of x: its vjp is not its derivative, on purpose.
SMOOTH = [name for name in DIFFERENTIABLE if name != "reattach"]
FLOATS = [dtypes.float64, dtypes.float32, dtypes.float16, dtypes.bfloat16]


def of_kind(kind, inputs=1):
    """The ops of a kind that have at least so many inputs."""
    found = [op for op in ALL_OPS if op.kind == kind]
    return [op.name for op in found if len(op.sample(np.random.default_rng(0))[0]) >= inputs]


def draw(op, seed=0):
    """Return a random generator, and the arrays and attrs of one sample of the op."""
    rng = np.random.default_rng(seed)
    arrays, attrs = op.sample(rng)
    return rng, [np.asarray(a) for a in arrays], attrs


def is_float(array):
    return array.dtype.kind == "f"


def nodes(arrays):
    return [leaf(a, requires_grad=is_float(a)) for a in arrays]


def evaluate(op, arrays, attrs):
    return run(op(*nodes(arrays), **attrs))[0]


def assert_same(a, b, name):
    np.testing.assert_array_equal(a, b, err_msg=name)
    assert a.dtype == b.dtype, name


def test_names_are_unique_and_every_op_has_a_sample_and_a_batching_rule():
    assert len(BY_NAME) == len(ALL_OPS)
    for op in ALL_OPS:
        assert op.sample is not None and op.batch is not None, op


@pytest.mark.parametrize("name", BY_NAME)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_inferred_is_computed_and_inputs_stay(name, dtype):
    op = BY_NAME[name]
    _, arrays, attrs = draw(op)
    arrays = [a.astype(dtype.np) if is_float(a) else a for a in arrays]
    copies = [a.copy() for a in arrays]
    try:
        out = op(*nodes(arrays), **attrs)
    except DTypeError:
        return  # refused when recorded: nothing is computed in a dtype that was not foreseen
    (value,) = run(out)
    assert value.shape == out.shape and from_numpy(value.dtype) is out.dtype
    for array, copy in zip(arrays, copies):
        assert_same(array, copy, name)
    verify([out])


def directional(f, arrays, directions, h=1e-4):
    """The derivative of f along the directions, by fourth-order central differences."""

    def at(t):
        moved = [a if v is None else a + t * v for a, v in zip(arrays, directions)]
        return f(moved)

    return (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)


def random_directions(rng, arrays):
    return [rng.standard_normal(a.shape) if is_float(a) else None for a in arrays]


def inner(gradients, directions):
    pairs = zip(gradients, directions)
    return sum(float(np.sum(g * v)) for g, v in pairs if g is not None and v is not None)


@pytest.mark.parametrize("name", SMOOTH)
def test_vjp_is_the_derivative(name):
    op = BY_NAME[name]
    rng, arrays, attrs = draw(op)
    ct = rng.standard_normal(evaluate(op, arrays, attrs).shape)
    inputs = nodes(arrays)
    gradients = grad(op(*inputs, **attrs), inputs, leaf(ct))
    for g, x in zip(gradients, inputs):
        assert g is None or (g.shape, g.dtype) == (x.shape, x.dtype)
    directions = random_directions(rng, arrays)
    got = inner([None if g is None else run(g)[0] for g in gradients], directions)
    want = directional(
        lambda moved: float(np.sum(ct * evaluate(op, moved, attrs))), arrays, directions
    )
    assert math.isclose(got, want, rel_tol=1e-7, abs_tol=1e-7)


@pytest.mark.parametrize("name", SMOOTH)
def test_vjp_of_vjp_is_the_second_derivative(name):
    op = BY_NAME[name]
    rng, arrays, attrs = draw(op, seed=1)
    ct = rng.standard_normal(evaluate(op, arrays, attrs).shape)
    weights = [rng.standard_normal(a.shape) for a in arrays]

    def weighted(moved, ct):
        """A scalar function of the first derivatives, and its leaves: inputs and ct."""
        inputs = nodes(moved)
        cotangent = leaf(ct, requires_grad=True)
        first = grad(op(*inputs, **attrs), inputs, cotangent)
        terms = [(g * g * leaf(w), g) for g, w in zip(first, weights) if g is not None]
        return [t for t, _ in terms], [*inputs, cotangent]

    def value(moved):
        terms, _ = weighted(moved[:-1], moved[-1])
        return sum(float(np.sum(v)) for v in run(*terms))

    terms, leaves = weighted(arrays, ct)
    gradients = [np.zeros(x.shape) for x in leaves]
    for term in terms:
        for total, g in zip(gradients, grad(term, leaves)):
            total += 0 if g is None else run(g)[0]
    directions = random_directions(rng, [*arrays, ct])
    want = directional(value, [*arrays, ct], directions)
    assert math.isclose(inner(gradients, directions), want, rel_tol=1e-6, abs_tol=1e-6)


@pytest.mark.parametrize("name", [op.name for op in ALL_OPS if not op.differentiable])
def test_what_has_no_derivative_says_so(name):
    op = BY_NAME[name]
    _, arrays, attrs = draw(op)
    inputs = nodes(arrays)
    out = op(*inputs, **attrs)
    assert not out.requires_grad
    assert out.lost is not None or not any(x.requires_grad for x in inputs)
    assert grad(out, inputs) == [None] * len(inputs)


@pytest.mark.parametrize("name", BY_NAME)
def test_batching_is_a_loop(name):
    op, count = BY_NAME[name], 3
    samples = [draw(op, seed)[1] for seed in range(count)]
    _, _, attrs = draw(op)
    for flags in itertools.product([False, True], repeat=len(samples[0])):
        if not any(flags):
            continue
        rows = [[s[i] if f else samples[0][i] for i, f in enumerate(flags)] for s in samples]
        stacked = [np.stack([r[i] for r in rows]) if f else rows[0][i] for i, f in enumerate(flags)]
        (got,) = run(op.batch(flags, *nodes(stacked), **attrs))
        want = np.stack([evaluate(op, row, attrs) for row in rows])
        np.testing.assert_allclose(got, want, rtol=1e-13, atol=1e-13, err_msg=f"{name} {flags}")
        assert got.dtype == want.dtype


def strided(array):
    """The same elements, neither contiguous nor aligned to the front of their memory."""
    wide = np.zeros(tuple(2 * n + 1 for n in array.shape[::-1]), array.dtype).T
    view = wide[tuple(slice(1, None, 2) for _ in array.shape)]
    view[...] = array
    return view


@pytest.mark.parametrize("name", BY_NAME)
def test_memory_order_does_not_matter(name):
    op = BY_NAME[name]
    _, arrays, attrs = draw(op)
    want = evaluate(op, arrays, attrs)
    got = evaluate(op, [strided(a) for a in arrays], attrs)
    np.testing.assert_allclose(got, want, rtol=1e-14, atol=1e-14)
    assert got.dtype == want.dtype


@pytest.mark.parametrize("shape", [(), (0,), (2, 0, 3), (1, 1)], ids=str)
@pytest.mark.parametrize("name", [n for n in of_kind("elementwise") if n != "constant"])
def test_elementwise_of_no_axes_and_of_no_elements(name, shape):
    op = BY_NAME[name]
    _, arrays, attrs = draw(op)
    arrays = [np.full(shape, a.flat[0], a.dtype) for a in arrays]
    inputs = nodes(arrays)
    out = op(*inputs, **attrs)
    assert run(out)[0].shape == out.shape == shape
    if op.differentiable:
        for g, x in zip(grad(out, inputs), inputs):
            assert g is None or run(g)[0].shape == x.shape


@pytest.mark.parametrize("name", of_kind("elementwise", inputs=2))
def test_elementwise_broadcasts_and_sums_back(name):
    op = BY_NAME[name]
    _, arrays, attrs = draw(op)
    shapes = [(2, 1, 3), (4, 1), (3,)]
    arrays = [np.resize(a, s) for a, s in zip(arrays, shapes)]
    inputs = nodes(arrays)
    out = op(*inputs, **attrs)
    full = [np.broadcast_to(a, out.shape) for a in arrays]
    assert_same(run(out)[0], evaluate(op, full, attrs), name)
    if op.differentiable:
        for g, x in zip(grad(out, inputs), inputs):
            assert g is None or g.shape == x.shape


@pytest.mark.parametrize("name", [n for n in of_kind("reduction") if n != "fold"])
def test_reductions_over_one_element_and_over_rows_that_are_not_there(name):
    op = BY_NAME[name]
    _, (sample,), attrs = draw(op)
    for shape in ((1, 1, 1), (0, 1, 1)):
        x = leaf(np.full(shape, sample.flat[0]), requires_grad=True)
        out = op(x, **{**attrs, "axis": 1 if isinstance(attrs["axis"], int) else (1,)})
        assert run(out)[0].shape == out.shape
        (g,) = grad(out, [x])
        assert (g is None) == (not op.differentiable)
        assert g is None or run(g)[0].shape == shape


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradients_are_recorded_not_computed(name):
    op = BY_NAME[name]
    _, arrays, attrs = draw(op)
    inputs = nodes(arrays)
    out = op(*inputs, **attrs)
    found = [g for g in grad(out, inputs) if g is not None]
    assert found, "a differentiable op has a path to an input"
    assert all(n.value is None for n in toposort([out, *found]) if n.op is not None)
