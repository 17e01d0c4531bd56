"""Every op and its derivative, as programs, compute what the interpreter computes.

The arrays have no axes, no elements, one element, odd sizes and more elements than a vector has
lanes; they lie in memory in any order; they broadcast; they are of every dtype.
"""

import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from chainrule import dtypes
from chainrule.autodiff import grad
from chainrule.errors import DTypeError
from chainrule.graph import leaf
from chainrule.ops import ALL_OPS

agreement = SimpleNamespace(**runpy.run_path(str(Path(__file__).parent / "agreement.py")))
BY_NAME = {op.name: op for op in ALL_OPS}
LOWER = agreement.TIERS[1:]
REAL = [dtypes.float32, dtypes.float64]
HALF = [dtypes.float16, dtypes.bfloat16]
WHOLE = [dtypes.bool_, dtypes.uint8, dtypes.int8, dtypes.int32, dtypes.int64]
SHAPES = [(), (1,), (0,), (2, 0, 3), (3,), (1, 7), (5, 1, 3), (33,), (4, 17)]
PAIRS = [((), (3,)), ((2, 1, 3), (5, 1)), ((0, 1), (4,)), ((1,), ()), ((17, 1), (1, 19)),
         ((3, 4), (4,)), ((1, 1), (2, 2))]


# --------------------------------------------------------------------------- other shapes
def resized(array, shape):
    """Numbers like those of a sample, as many as the shape asks for."""
    count = int(np.prod(shape))
    return np.resize(array, count).reshape(shape) if count else np.zeros(shape, array.dtype)


def elementwise(arrays):
    shapes = [(s,) * len(arrays) for s in SHAPES]
    if len(arrays) > 1:
        shapes += [(p, q, p)[: len(arrays)] for p, q in PAIRS]
        shapes += [(q, p, q)[: len(arrays)] for p, q in PAIRS]
    for each in shapes:
        yield [resized(a, s) for a, s in zip(arrays, each)], {}


def moved(*cases):
    """Variants of an op: the shapes of its inputs, which are drawn, and its attrs."""
    return lambda rng: [([rng.uniform(0.5, 2, s) * rng.choice([-1, 1], s) for s in shapes], attrs)
                        for shapes, attrs in cases]


def reductions(*axes):
    def variants(rng):
        for shape in [(1,), (3,), (1, 1), (5, 7), (33, 2), (2, 40), (2, 3, 4), (0, 3), (2, 1, 0)]:
            for axis in axes:
                kept = (axis,) if isinstance(axis, int) else axis
                if max(kept, default=0) < len(shape):
                    x = rng.permutation(max(int(np.prod(shape)), 1)) * 0.25 + 0.25
                    yield [resized(x, shape)], {"axis": axis}

    return variants


def nonempty(variants):
    """Those that an extreme or a position exists of."""
    return lambda rng: [v for v in variants(rng) if v[0][0].size]


def indexed(*cases):
    """Variants of an op: its inputs as shapes to draw, or (bound, shape) of index arrays."""
    def draw(rng, what):
        if isinstance(what, dict):
            return rng.integers(what.get("low", 0), what["below"], what["shape"])
        return rng.standard_normal(what)

    return lambda rng: [([draw(rng, w) for w in inputs], attrs) for inputs, attrs in cases]


def named(shape, below, low=0):
    return {"shape": shape, "below": below, "low": low}


def distinct(*cases):
    """Variants of a write without accumulation: no place is written twice."""
    def variants(rng):
        for shape, value, count, axis in cases:
            places = rng.permutation(shape[axis])[:count]
            yield [rng.standard_normal(shape), rng.standard_normal(value), places], \
                {"axis": axis, "accumulate": False}

    return variants


SUMS = reductions((0,), (1,), (0, 1), (0, 2), (), (0, 1, 2))
ONE = reductions(0, 1)
WINDOWS = [
    (((1, 5),), dict(size=(1,), stride=(1,), dilation=(1,))),
    (((3, 9),), dict(size=(3,), stride=(2,), dilation=(2,))),
    (((0, 4, 4),), dict(size=(2, 2), stride=(2, 2), dilation=(1, 1))),
    (((2, 3, 11, 8),), dict(size=(3, 2), stride=(1, 3), dilation=(2, 1))),
]
FOLDS = [
    (((1, 5, 1),), dict(shape=(5,), stride=(1,), dilation=(1,))),
    (((3, 3, 3),), dict(shape=(9,), stride=(2,), dilation=(2,))),
    (((0, 2, 2, 2, 2),), dict(shape=(4, 4), stride=(2, 2), dilation=(1, 1))),
    (((2, 3, 7, 3, 3, 2),), dict(shape=(11, 8), stride=(1, 3), dilation=(2, 1))),
]
MATRICES = [
    (((3, 5), (5, 7)), dict(labels=((0, 1), (1, 2), (0, 2)))),
    (((1, 1), (1, 1)), dict(labels=((0, 1), (1, 2), (0, 2)))),
    (((0, 5), (5, 7)), dict(labels=((0, 1), (1, 2), (0, 2)))),
    (((3, 0), (0, 7)), dict(labels=((0, 1), (1, 2), (0, 2)))),
    (((5, 3), (7, 5)), dict(labels=((1, 0), (2, 1), (2, 0)))),
    (((33, 40), (40, 17)), dict(labels=((0, 1), (1, 2), (0, 2)))),
    (((2, 3, 5), (2, 5, 4)), dict(labels=((3, 0, 1), (3, 1, 2), (3, 0, 2)))),
    (((9,), (9,)), dict(labels=((0,), (0,), ()))),
    (((9,), (4,)), dict(labels=((0,), (1,), (1, 0)))),
    (((9, 4), (4,)), dict(labels=((0, 1), (1,), (0,)))),
    (((2, 3, 4), (4, 3, 5)), dict(labels=((0, 1, 2), (2, 1, 3), (3, 0)))),
]
VARIANTS = {
    "reshape": moved((((),), dict(shape=(1, 1))), (((1, 1),), dict(shape=())),
                     (((0, 3),), dict(shape=(2, 0))), (((5, 7),), dict(shape=(7, 5))),
                     (((2, 3, 4),), dict(shape=(4, 6))), (((33,),), dict(shape=(3, 11)))),
    "expand": moved((((),), dict(shape=())), (((1,),), dict(shape=(0,))),
                    (((1, 5),), dict(shape=(3, 5))), (((1, 7, 1),), dict(shape=(2, 7, 9)))),
    "permute": moved((((),), dict(axes=())), (((0, 3),), dict(axes=(1, 0))),
                     (((1, 5),), dict(axes=(1, 0))), (((33, 18),), dict(axes=(1, 0))),
                     (((2, 3, 4, 5),), dict(axes=(2, 0, 3, 1)))),
    "flip": moved((((3,),), dict(axes=(0,))), (((0, 2),), dict(axes=(0, 1))),
                  (((1, 19),), dict(axes=(1,))), (((5, 33),), dict(axes=(0, 1)))),
    "slice": moved((((5,),), dict(bounds=((1, 1, 1),))), (((0,),), dict(bounds=((0, 0, 1),))),
                   (((1,),), dict(bounds=((0, 1, 1),))), (((40,),), dict(bounds=((3, 39, 5),))),
                   (((4, 19),), dict(bounds=((0, 4, 2), (1, 18, 1))))),
    "pad": moved((((3,),), dict(widths=((0, 0, 0),))), (((0,),), dict(widths=((1, 2, 0),))),
                 (((1,),), dict(widths=((0, 3, 2),))),
                 (((19, 2),), dict(widths=((1, 3, 1), (2, 0, 0)))),
                 (((4, 9),), dict(widths=((1, 0, 0), (2, 5, 2))))),
    "cat": moved((((3,),), dict(axis=0)), (((0, 2), (3, 2), (0, 2)), dict(axis=0)),
                 (((2, 17), (2, 1), (2, 3)), dict(axis=1)), (((1,),) * 40, dict(axis=0))),
    "setslice": moved((((5,), (0,)), dict(bounds=((2, 2, 1),))),
                      (((1,), (1,)), dict(bounds=((0, 1, 1),))),
                      (((19, 3), (6, 2)), dict(bounds=((1, 19, 3), (0, 2, 1))))),
    "window": moved(*WINDOWS), "fold": moved(*FOLDS), "contract": moved(*MATRICES),
    "sum": SUMS, "amax": nonempty(SUMS), "amin": nonempty(SUMS), "any": SUMS, "all": SUMS,
    "prod": ONE, "cumsum": ONE, "cumprod": ONE, "cummax_index": ONE, "cummin_index": ONE,
    "argmax": nonempty(ONE), "argmin": nonempty(ONE),
    "gather": indexed((((3, 4), named((2, 4), 3)), dict(axis=0)),
                      (((5, 7), named((5, 1), 7)), dict(axis=1)),
                      (((1, 33), named((1, 40), 33)), dict(axis=1)),
                      (((3,), named((0,), 3)), dict(axis=0))),
    "scatter": indexed((((3, 4), named((1, 4), 3), (1, 4)), dict(axis=0)),
                       (((5, 37), named((5, 1), 37), (5, 1)), dict(axis=1)),
                       (((3,), named((0,), 3), (0,)), dict(axis=0))),
    "scatter_add": indexed((((3, 4), named((5, 4), 3), (5, 4)), dict(axis=0)),
                           (((5, 37), named((5, 1), 37), (5, 1)), dict(axis=1)),
                           (((2, 7), named((2, 50), 7), (2, 50)), dict(axis=1)),
                           (((3,), named((0,), 3), (0,)), dict(axis=0))),
    "take": indexed((((5, 3), named((7,), 5, -5)), dict(axis=0)),
                    (((5, 33), named((), 5)), dict(axis=0)),
                    (((2, 1, 3), named((4,), 1, -1)), dict(axis=1)),
                    (((4, 6, 5), named((2, 3), 6), named((3,), 5, -5)), dict(axis=1)),
                    (((4, 6), named((0, 3), 4)), dict(axis=0))),
    "put": lambda rng: [
        *distinct(((5, 3), (2, 3), 2, 0), ((3, 9), (3, 4), 4, 1), ((4,), (0,), 0, 0))(rng),
        *indexed((((5, 3), (7, 3), named((7,), 5, -5)), dict(axis=0, accumulate=True)),
                 (((4, 6, 5), (4, 2, 3), named((2, 3), 6), named((3,), 5)),
                  dict(axis=1, accumulate=True)))(rng)],
}


def cases(name):
    """(arrays, attrs): the op's own sample, and other shapes."""
    op, rng = BY_NAME[name], np.random.default_rng(0)
    arrays, attrs = op.sample(rng)
    arrays = [np.asarray(a) for a in arrays]
    yield arrays, attrs
    if op.kind == "elementwise" and name != "constant":
        for more, _ in elementwise(arrays):
            yield more, attrs
    elif name in VARIANTS:
        yield from VARIANTS[name](rng)


# --------------------------------------------------------------------------- graphs
def in_dtype(arrays, dtype):
    return [a.astype(dtype.np) if a.dtype.kind == "f" else a for a in arrays]


def recorded(op, arrays, attrs, backward=True):
    """The op on these arrays, and its cotangents: nodes to compute, and the leaves."""
    inputs = [leaf(a, requires_grad=a.dtype.kind in "fV") for a in arrays]
    out = op(*inputs, **attrs)
    outputs = [out]
    if backward and op.differentiable and out.requires_grad:
        ct = np.random.default_rng(1).uniform(0.5, 1.5, out.shape).astype(out.dtype.np)
        outputs += [g for g in grad(out, inputs, leaf(ct)) if g is not None]
    return outputs, inputs


def strided(array):
    """The same elements, neither contiguous nor aligned to the front of their memory."""
    wide = np.zeros(tuple(2 * n + 1 for n in array.shape[::-1]), array.dtype).T
    view = wide[(*[slice(1, None, 2)] * array.ndim, ...)]
    view[...] = array
    return view


def check_all(name, dtype, note="", few=False):
    """One program of all the cases: the outputs of a program need not have to do with each other.

    Compiled together they cost a fraction of what they cost one by one.
    """
    op, outputs, values = BY_NAME[name], [], {}
    for k, (arrays, attrs) in enumerate(cases(name)):
        if few and k not in (0, 4, 6, 9, 11):
            continue
        try:
            found, leaves = recorded(op, in_dtype(arrays, dtype), attrs)
        except DTypeError:
            continue  # refused when recorded
        outputs += found
        if k % 2:
            values |= {x: strided(x.value) for x in leaves}
    return agreement.check(outputs, values, f"{name} {dtype} {note}") if outputs else None


@pytest.mark.parametrize("dtype", REAL, ids=str)
@pytest.mark.parametrize("name", BY_NAME)
def test_program_is_interpreter(name, dtype):
    check_all(name, dtype)


@pytest.mark.parametrize("dtype", REAL, ids=str)
@pytest.mark.parametrize("tier", LOWER)
@pytest.mark.parametrize("name", BY_NAME)
def test_on_lower_tiers(name, tier, dtype):
    with agreement.on_tier(tier):
        check_all(name, dtype, tier, few=True)


@pytest.mark.parametrize("name", BY_NAME)
def test_in_half_precision(name):
    for dtype in HALF:
        check_all(name, dtype, few=True)


@pytest.mark.parametrize("name", BY_NAME)
def test_of_whole_numbers(name):
    op, outputs = BY_NAME[name], []
    for k, (arrays, attrs) in enumerate(cases(name)):
        for dtype in WHOLE if k in (0, 4, 9) else ():
            whole = [(np.abs(a) * 2 + 1).astype(dtype.np) if a.dtype.kind == "f" else a
                     for a in arrays]
            try:
                outputs += recorded(op, whole, attrs, backward=False)[0]
            except DTypeError:
                continue  # refused when recorded
    if outputs:
        agreement.check(outputs, note=name)
