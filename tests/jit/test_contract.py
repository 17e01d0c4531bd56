"""Contractions of every shape, on every tier of instructions, against einsum in float64."""

from __future__ import annotations

import ctypes
from dataclasses import replace

import ml_dtypes  # noqa: F401  (bfloat16 has a name)
import numpy as np
import pytest

from chainrule.jit import choice, contract
from chainrule.jit import engine as engines
from chainrule.jit.access import linear
from chainrule.jit.contract import Access, Contraction, Guard, plan
from chainrule.jit.emit import Builder
from chainrule.jit.engine import Engine
from chainrule.jit.tiles import Tiled

HOST = engines.host()
ENGINES = {target.name: Engine(target) for target in engines.tiers()}
KERNEL = ctypes.CFUNCTYPE(
    ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64,
    ctypes.c_void_p,
)


def row_major(c: Contraction) -> tuple[int, ...]:
    """Strides of the result in the order batch, rows, columns."""
    strides = [0] * len(c.sizes)
    step = 1
    for v in reversed(c.batch + c.rows + c.columns):
        strides[v] = step
        step *= c.sizes[v]
    return tuple(strides)


def storing(place: int, strides: tuple[int, ...]):
    """The finish that only stores."""

    def finish(b, where, vector, value, mask):
        out = b.buffer(place)
        index = linear(b, 0, strides, where)
        if value.lanes == 1:
            b.store(out, index, value, mask)
        elif strides[vector] == 1:
            b.store(out, index, value, mask)
        else:
            lanes = b.iota(value.lanes, "int64", strides[vector])
            b.scatter(out, b.splat(b.index(index), value.lanes) + lanes, value, mask)

    return finish


def run(c: Contraction, x, y, tier="", prefer=None, pieces=0, how=None):
    """The result by the jit, all units in one call or `pieces` at a time."""
    engine = ENGINES[tier or HOST.name]
    how = how or plan(c, engine.target, prefer)
    strides = row_major(c)
    out = np.full([c.sizes[v] for v in c.batch + c.rows + c.columns], -77).astype(c.elem)
    temporaries = [aligned(n) for n in how.temporaries]
    buffers = [x, y, *temporaries, out]
    slots = np.array([a.ctypes.data for a in buffers])
    places = np.arange(len(buffers), dtype=np.int32)
    for phase in how.phases:
        b = Builder("kernel", engine.target)
        phase.emit(b, storing(len(buffers) - 1, strides) if phase.last else None)
        call = KERNEL(engine.address(b.text()))
        scratch = aligned(phase.scratch)
        step = pieces or max(phase.units, 1)
        for low in range(0, phase.units, step):
            assert call(slots.ctypes.data, places.ctypes.data, low, min(low + step, phase.units),
                        scratch.ctypes.data) == 0
    return out


def aligned(size: int) -> np.ndarray:
    raw = np.full(size + 64, 0xFF, np.uint8)  # NaN, if it is read before it is written
    start = -raw.ctypes.data % 64
    return raw[start : start + size]


def elements(c: Contraction, access: Access, data: np.ndarray, variables) -> np.ndarray:
    """The operand over the index space of some variables, by NumPy."""
    grid = np.indices([c.sizes[v] for v in variables])
    index = access.offset + sum(access.strides[v] * g for v, g in zip(variables, grid))
    index = np.broadcast_to(index, [c.sizes[v] for v in variables])
    exists = np.ones(index.shape, bool)
    for guard in access.guards:
        at = guard.offset + sum(guard.strides[v] * g for v, g in zip(variables, grid))
        exists &= (at >= 0) & (at < guard.size)
    return np.where(exists, data.reshape(-1)[np.where(exists, index, 0)], 0)


def reference(c: Contraction, x, y) -> np.ndarray:
    left, right = c.batch + c.rows + c.inner, c.batch + c.columns + c.inner
    wide = np.float64 if np.dtype(c.elem).kind == "f" else c.elem
    out = list(c.batch + c.rows + c.columns)
    a = elements(c, c.x, x, left).astype(wide)
    b = elements(c, c.y, y, right).astype(wide)
    return np.einsum(a, list(left), b, list(right), out)


def agree(got, want, c: Contraction):
    assert got.shape == want.shape
    if np.dtype(c.elem).kind != "f":
        np.testing.assert_array_equal(got, want.astype(c.elem))
        return
    terms = max(c.extent(c.inner), 1)
    tiny = np.finfo(c.elem).eps
    np.testing.assert_allclose(got, want, rtol=8 * tiny, atol=4 * tiny * terms)


def matmul(m, n, k, *, batch=1, tx=False, ty=False, elem="float32", pad=0):
    """x (m, k) @ y (k, n); tx, ty: stored transposed; pad: rows longer than needed."""
    lx, ly = (m if tx else k) + pad, (k if ty else n) + pad
    x = Access(0, elem, 0, ((k if tx else m) * lx, *((1, 0, lx) if tx else (lx, 0, 1))))
    y = Access(1, elem, 0, ((n if ty else k) * ly, *((0, ly, 1) if ty else (0, 1, ly))))
    return Contraction((batch, m, n, k), (0,), (1,), (2,), (3,), x, y, elem)


def data_for(access: Access, c: Contraction, seed: int) -> np.ndarray:
    """Random numbers of the operand's dtype, as many as it reads."""
    low = high = access.offset
    for v, s in enumerate(access.strides):
        reach = s * max(c.sizes[v] - 1, 0)
        low, high = min(low, low + reach), max(high, high + reach)
    rng = np.random.default_rng(seed)
    if np.dtype(c.elem).kind == "f":
        return rng.uniform(-1, 1, high + 1).astype(access.elem)
    return rng.integers(0, 2 if c.elem == "bool" else 9, high + 1).astype(access.elem)


def check(c: Contraction, tier="", prefer=None):
    x, y = data_for(c.x, c, 0), data_for(c.y, c, 1)
    whole = run(c, x, y, tier, prefer)
    agree(whole, reference(c, x, y), c)
    np.testing.assert_array_equal(whole, run(c, x, y, tier, prefer, pieces=1))


SIZES = [0, 1, 2, 3, 5, 7, 16, 17, 31, 33, 64, 100]


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("tier", ENGINES)
def test_matrix_products(tier, seed):
    rng = np.random.default_rng(seed)
    m, n, k = rng.choice(SIZES, 3).tolist()
    tx, ty = rng.integers(0, 2, 2)
    elem = "float64" if seed % 4 == 3 else "float32"
    c = matmul(m, n, k, batch=int(rng.integers(1, 4)), tx=tx, ty=ty, elem=elem,
               pad=int(rng.integers(0, 3)))
    check(c, tier, prefer=[None, 1, 2][seed % 3])


@pytest.mark.parametrize("elem", ["int64", "int32", "uint8", "bool"])
def test_integers_are_summed_as_they_are(elem):
    check(matmul(5, 33, 7, elem=elem))


def test_an_operand_may_be_broadcast():
    c = matmul(5, 40, 7)
    check(Contraction(c.sizes, c.batch, c.rows, c.columns, c.inner,
                      c.x, Access(1, "float32", 3, (0, 0, 0, 2)), c.elem))
    check(Contraction(c.sizes, c.batch, c.rows, c.columns, c.inner,
                      Access(0, "float32", 3, (0, 1, 0, 0)), c.y, c.elem))


def conv(n, ci, h, w, co, kh, kw, *, stride=1, pad=0, dilation=1, groups=1, elem="float32"):
    """out[n, g, o, oh, ow] = sum over c, kh, kw of weight[g, o, c, kh, kw] x[n, g, c, ...]"""
    oh = (h + 2 * pad - dilation * (kh - 1) - 1) // stride + 1
    ow = (w + 2 * pad - dilation * (kw - 1) - 1) // stride + 1
    i, o = ci // groups, co // groups
    # Variables: 0 n, 1 g, 2 o, 3 oh, 4 ow, 5 c, 6 kh, 7 kw.
    sizes = (n, groups, o, oh, ow, i, kh, kw)
    weight = (0, o * i * kh * kw, i * kh * kw, 0, 0, kh * kw, kw, 1)
    across = (0, 0, 0, 0, stride, 0, 0, dilation)
    down = (0, 0, 0, stride, 0, 0, dilation, 0)
    image = tuple(p + q + r for p, q, r in zip(
        (ci * h * w, i * h * w, 0, 0, 0, h * w, 0, 0), [w * s for s in down], across))
    guards = (Guard(-pad, down, h), Guard(-pad, across, w)) if pad else ()
    x = Access(0, elem, 0, weight)
    y = Access(1, elem, -pad * w - pad, image, guards)
    return Contraction(sizes, (1,), (2,), (0, 3, 4), (5, 6, 7), x, y, elem)


def test_conv_is_what_it_says():
    c = conv(2, 4, 6, 7, 6, 3, 2, stride=2, pad=1, groups=2)
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(6, 2, 3, 2)).astype("f")
    x = rng.normal(size=(2, 4, 6, 7)).astype("f")
    got = run(c, weight.ravel(), x.ravel())  # g, o, n, oh, ow
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1))).astype(float)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 2), axis=(2, 3))[:, :, ::2, ::2]
    windows = windows.reshape(2, 2, 2, *windows.shape[2:])
    want = np.einsum("goikl,ngihwkl->gonhw", weight.reshape(2, 3, 2, 3, 2), windows)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


CONVS = [
    dict(n=2, ci=1, h=12, w=12, co=8, kh=3, kw=3),
    dict(n=2, ci=3, h=9, w=20, co=5, kh=3, kw=3, pad=1),
    dict(n=1, ci=8, h=8, w=8, co=17, kh=3, kw=3, pad=1, stride=2),
    dict(n=3, ci=16, h=4, w=4, co=33, kh=3, kw=3, pad=1),
    dict(n=2, ci=6, h=5, w=17, co=9, kh=1, kw=1, stride=2),
    dict(n=2, ci=6, h=10, w=11, co=4, kh=3, kw=2, dilation=2, pad=2),
    dict(n=2, ci=8, h=6, w=6, co=8, kh=3, kw=3, pad=1, groups=2),
    dict(n=2, ci=8, h=6, w=18, co=8, kh=3, kw=3, pad=1, groups=8),
    dict(n=1, ci=4, h=3, w=3, co=4, kh=3, kw=3),
]


@pytest.mark.parametrize("case", CONVS)
@pytest.mark.parametrize("tier", ENGINES)
def test_convolutions(tier, case):
    check(conv(**case), tier, prefer=4)


@pytest.mark.parametrize("case", CONVS)
@pytest.mark.parametrize("tier", ENGINES)
def test_gradients_of_weights(tier, case):
    check(weight_gradient(**case), tier, prefer=7)


def weight_gradient(**case):
    """weight[g, o, c, kh, kw] = sum over n, oh, ow of out[n, g, o, oh, ow] x[n, g, c, ...]"""
    c = conv(**case)
    n, g, o, oh, ow = c.sizes[:5]
    out = (g * o * oh * ow, o * oh * ow, oh * ow, ow, 1, 0, 0, 0)
    return Contraction(c.sizes, (1,), (2,), (5, 6, 7), (0, 3, 4), Access(0, c.elem, 0, out), c.y,
                       c.elem)


@pytest.mark.parametrize("case", [case for case in CONVS if case.get("stride", 1) == 1])
@pytest.mark.parametrize("tier", ENGINES)
def test_gradients_of_images(tier, case):
    check(image_gradient(**case), tier, prefer=4)


def image_gradient(n, ci, h, w, co, kh, kw, pad=0, dilation=1, groups=1):
    """x[n, g, c, h, w] = sum over o, kh, kw of weight[g, o, c, kh, kw] out[n, g, o, h - kh ...]"""
    oh, ow = h + 2 * pad - dilation * (kh - 1), w + 2 * pad - dilation * (kw - 1)
    i, o = ci // groups, co // groups
    # Variables: 0 n, 1 g, 2 c, 3 h, 4 w, 5 o, 6 kh, 7 kw.
    sizes = (n, groups, i, h, w, o, kh, kw)
    weight = (0, o * i * kh * kw, kh * kw, 0, 0, i * kh * kw, kw, 1)
    down, across = (0, 0, 0, 1, 0, 0, -dilation, 0), (0, 0, 0, 0, 1, 0, 0, -dilation)
    out = (co * oh * ow, o * oh * ow, 0, ow, 1, oh * ow, -dilation * ow, -dilation)
    guards = (Guard(pad, down, oh), Guard(pad, across, ow))
    return Contraction(sizes, (1,), (2,), (0, 3, 4), (5, 6, 7), Access(0, "float32", 0, weight),
                       Access(1, "float32", pad * ow + pad, out, guards), "float32")


@pytest.mark.parametrize("half", ["bfloat16", "float16"])
@pytest.mark.parametrize("tier", ENGINES)
def test_half_precision_is_summed_in_single(tier, half):
    if (tier, half) == ("baseline", "float16"):
        pytest.skip("no instruction widens float16")
    case = dict(n=2, ci=8, h=9, w=9, co=16, kh=3, kw=3, pad=1)
    for c in (matmul(20, 48, 33), matmul(20, 48, 33, ty=True), matmul(1, 7, 3), conv(**case),
              weight_gradient(**case), image_gradient(**case)):
        check(replace(c, x=replace(c.x, elem=half), y=replace(c.y, elem=half)), tier)


LAYERS = [(64, 784, 256), (5, 784, 500), (5, 500, 10), (100, 1024, 10), (1, 32, 32), (1, 32, 1),
          (77, 128, 96), (333, 2, 50), (100, 50, 1), (16, 64, 256), (40, 5000, 40), (1000, 16, 1)]


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("tier", ENGINES)
def test_the_three_products_of_a_linear_layer(tier, layer):
    n, inside, outside = layer
    check(matmul(n, outside, inside, ty=True), tier, prefer=2)  # x @ weight.T
    check(matmul(n, inside, outside), tier, prefer=2)  # ct @ weight
    check(matmul(outside, inside, n, tx=True), tier, prefer=2)  # ct.T @ x


LARGER = [
    dict(n=3, ci=1, h=28, w=28, co=32, kh=3, kw=3),
    dict(n=8, ci=96, h=4, w=4, co=64, kh=3, kw=3, pad=1),
    dict(n=2, ci=16, h=32, w=32, co=32, kh=1, kw=1, stride=2),
    dict(n=40, ci=8, h=16, w=16, co=24, kh=3, kw=3, pad=1),
    dict(n=2, ci=3, h=60, w=50, co=8, kh=3, kw=3, pad=1),
]


@pytest.mark.parametrize("case", LARGER)
def test_larger_convolutions(case):
    check(conv(**case), prefer=4)
    check(weight_gradient(**case), prefer=7)
    if "stride" not in case:
        check(image_gradient(**case), prefer=4)


def tiled(c: Contraction, prefer=None, **changes):
    """The tiles planned for c, but with other sizes."""
    return Tiled(c, replace(choice._tiled(c, HOST, prefer, False)[1].t, **changes))


@pytest.mark.parametrize("changes", [
    dict(rows=3, vectors=1), dict(rows=5, vectors=2, panels=3), dict(pack_x="unit", panels=2),
    dict(pack_x="phase"), dict(pack_y="unit", panels=2), dict(chunk=16), dict(chunk=40, panels=9),
    dict(pack_x="phase", chunk=32, panels=2), dict(rows=8, turned=True),
    dict(rows=16, vectors=1, turned=True, pack_x="unit", panels=1),
])
@pytest.mark.parametrize("pack", ["", "unit"])
@pytest.mark.parametrize("tx", [False, True])
def test_every_tiling_gives_the_same_bits(changes, pack, tx):
    """... as any other with the same chunks."""
    lanes = HOST.lanes("float32")
    c = matmul(37, 3 * lanes + 5, 72, batch=2, tx=tx)
    x, y = data_for(c.x, c, 0), data_for(c.y, c, 1)
    kernel = tiled(c, **{"chunk": 72, "pack_y": pack} | changes)
    got = run(c, x, y, how=contract.plan_of(kernel))
    agree(got, reference(c, x, y), c)
    plain = tiled(c, rows=1, vectors=1, panels=1, chunk=kernel.t.chunk)
    np.testing.assert_array_equal(got, run(c, x, y, how=contract.plan_of(plain)))


def random_access(rng, place, elem, sizes, used) -> Access:
    """Any order in memory, with gaps, broadcast and backward axes, and guards."""
    strides, step = [0] * len(sizes), int(rng.choice([1, 1, 2, 3]))
    for v in rng.permutation(used).tolist():
        kind = int(rng.integers(0, 12))
        if kind:
            strides[v] = -step if kind == 1 else step
            step = step * sizes[v] + int(rng.integers(1, 9)) * (kind == 2)
    guards = []
    for _ in range(int(rng.choice([0, 0, 0, 1, 2]))):
        along = [int(rng.choice([0, 0, -2, -1, 1, 2])) if v in used else 0
                 for v in range(len(sizes))]
        reach = [s * (n - 1) for s, n in zip(along, sizes)]
        low, high = sum(min(r, 0) for r in reach), sum(max(r, 0) for r in reach)
        guards.append(Guard(int(rng.integers(-high - 1, 2 - low)), tuple(along),
                            int(rng.integers(1, high - low + 2))))
    start = -sum(min(s, 0) * (n - 1) for s, n in zip(strides, sizes))
    return Access(place, elem, start, tuple(strides), tuple(guards))


@pytest.mark.parametrize("seed", range(90))
def test_any_contraction(seed):
    rng = np.random.default_rng(seed)
    sizes = rng.choice([1, 2, 3, 4, 5], rng.integers(2, 8))
    sizes[:2] = rng.choice([1, 8, 17, 33, 64]), rng.choice([3, 16, 26, 40])
    sizes = tuple(sizes.tolist())
    groups = [tuple(np.flatnonzero(group).tolist())
              for group in rng.choice(4, len(sizes), p=[0.1, 0.3, 0.3, 0.3]) == np.c_[:4]]
    batch, rows, columns, inner = groups
    elem = ["float32", "float32", "float64", "int32"][seed % 4]
    x = random_access(rng, 0, elem, sizes, batch + rows + inner)
    y = random_access(rng, 1, elem, sizes, batch + columns + inner)
    out = [None, *batch, *rows, *columns]
    check(Contraction(sizes, *groups, x, y, elem), [*ENGINES][seed % len(ENGINES)],
          out[rng.integers(len(out))])


@pytest.mark.skipif(HOST.name == "baseline", reason="narrow vectors choose otherwise")
def test_a_plan_says_what_it_does():
    c = matmul(64, 64, 64)
    how = plan(c, HOST, prefer=2)
    assert str(how).startswith("tile ") and len(how.phases) == 1 and not how.temporaries
    assert how.phases[0].last and how.phases[0].work == 2 * 64**3
    long = plan(matmul(40, 40, 5000), HOST)
    assert [p.last for p in long.phases] == [False, True] and len(long.temporaries) == 1
    assert str(plan(matmul(4, 4, 4, elem="int32"), HOST)).startswith("plain loops")
    assert str(plan(matmul(3, 500, 784, ty=True), HOST, 2)).startswith("inner products")


def test_nothing_is_done_where_there_is_nothing():
    assert plan(matmul(0, 5, 3), HOST).phases[0].units == 0
    assert plan(matmul(5, 0, 3), HOST).phases[0].units == 0
    np.testing.assert_array_equal(
        run(matmul(2, 3, 0), np.zeros(1, "f"), np.zeros(1, "f")), np.zeros((1, 2, 3)))
