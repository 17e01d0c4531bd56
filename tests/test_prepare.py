"""Preparing a graph for the compiler keeps what it computes, up to the order of sums."""

from functools import reduce

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as torch
from chainrule.dtypes import float16, float64
from chainrule.graph import leaf, toposort, verify
from chainrule.interpreter import evaluate
from chainrule.ops import elementwise as ew
from chainrule.ops import indexing as ix
from chainrule.ops import movement as mv
from chainrule.ops import reduction as rd
from chainrule.ops.contraction import contract
from chainrule.ops.op import ALL_OPS, cast, expand, reshape, sum_
from chainrule.prepare import prepare
from chainrule.rewrite import rewrite

F = torch.nn.functional


def values(outputs):
    """The values of the outputs, computed without keeping any on a node."""
    known = {}
    with np.errstate(all="ignore"):
        for n in toposort(outputs):
            known[n] = n.value if n.value is not None else evaluate(n, [known[x] for x in n.inputs])
    return [known[n] for n in outputs]


def names(outputs):
    return [n.op.name for n in toposort(outputs, enter=lambda n: n.value is None)]


def check(*outputs):
    """Prepare, compare with the interpreter, and return the new nodes."""
    before = rewrite([getattr(x, "node", x) for x in outputs])
    after = prepare(before)
    verify(after)
    for old, new, a, b in zip(before, after, values(before), values(after)):
        assert old.spec is new.spec
        tolerance = 1e-12 if a.dtype == np.float64 else 1e-5
        scale = np.abs(a[np.isfinite(a)]).max(initial=1.0) if a.dtype.kind == "f" else 1
        np.testing.assert_allclose(b, a, rtol=0, atol=tolerance * scale)
    return after


def draw(seed, *shape, dtype=float64):
    value = np.random.default_rng(seed).standard_normal(shape)
    return leaf(value.astype(dtype.np), requires_grad=True)


def tensor(seed, *shape):
    return torch.Tensor._from_node(draw(seed, *shape))


# --------------------------------------------------------------------------- fold
@st.composite
def folds(draw):
    rank = draw(st.integers(1, 3))
    most = {1: 7, 2: 4, 3: 2}[rank]
    pick = [(draw(st.integers(1, most)), draw(st.integers(1, most)), draw(st.integers(1, 4)),
             draw(st.integers(1, 3)), draw(st.integers(0, 2))) for _ in range(rank)]
    shape = tuple((n - 1) * s + (k - 1) * d + 1 + e for n, k, s, d, e in pick)
    cuts = []
    for n in shape:
        a = draw(st.integers(0, min(n - 1, 3)))
        cuts.append((a, n - draw(st.integers(0, min(n - a - 1, 3))), 1))
    n, k, s, d, _ = zip(*pick)
    return n, k, s, d, shape, tuple(cuts)


@given(folds(), st.booleans())
@settings(max_examples=150, deadline=None)
def test_a_fold_of_anything(case, cut):
    n, k, s, d, shape, cuts = case
    out = mv.fold(draw(0, 2, *n, *k), shape=shape, stride=s, dilation=d)
    if cut:
        out = mv.slice_(out, bounds=((0, 2, 1), *cuts))
    after = check(out)
    if np.prod(k) <= 36 and np.prod(s) <= 36:
        assert "fold" not in names(after)


@given(folds(), st.booleans(), st.booleans(), st.booleans())
@settings(max_examples=150, deadline=None)
def test_a_fold_of_a_contraction_has_no_windows(case, cut, swap, groups):
    n, k, s, d, shape, cuts = case
    rank = len(n)
    at, tap = tuple(range(10, 10 + rank)), tuple(range(20, 20 + rank))
    lead = (0, 1) if groups else (0,)
    g = draw(1, *((3, 2) if groups else (3,)), 4, *n)
    w = draw(2, *((2,) if groups else ()), 4, 5, *k)
    gl, wl = (*lead, 3, *at), (*lead[1:], 3, 2, *tap)
    ol = (*lead, 2, *at, *tap)
    x = contract(w, g, labels=(wl, gl, ol)) if swap else contract(g, w, labels=(gl, wl, ol))
    out = mv.fold(x, shape=shape, stride=s, dilation=d)
    if cut:
        out = mv.slice_(out, bounds=(*((0, m, 1) for m in out.shape[: -rank]), *cuts))
    after = check(out)
    if np.prod(s) <= 36:
        assert "fold" not in names(after)


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("stride, padding, dilation", [
    (1, 0, 1), (1, 1, 1), (2, 1, 1), (2, 0, 2), (3, 2, 1), (1, 2, 2)])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_gradients_of_convolutions(rank, stride, padding, dilation, groups):
    convolve = (F.conv1d, F.conv2d, F.conv3d)[rank - 1]
    x, w = tensor(0, 2, 4, *(7, 6, 5)[:rank]), tensor(1, 4, 4 // groups, *(3, 2, 2)[:rank])
    y = convolve(x, w, None, stride, padding, dilation, groups)
    ct = tensor(2, *y.shape)
    gradients = torch.autograd.grad(y, [x, w], ct)
    assert "fold" not in names(check(y, *gradients))


def test_pooling_that_does_not_overlap_is_movement():
    x = tensor(0, 2, 3, 7, 8)
    (gx,) = torch.autograd.grad(F.avg_pool2d(x, 2).exp().sum(), [x])
    assert {"fold", "add"}.isdisjoint(names(check(gx)))
    (gx,) = torch.autograd.grad(F.max_pool2d(x, 2).exp().sum(), [x])
    assert {"fold", "add"}.isdisjoint(names(check(gx)))


def test_pooling_that_overlaps():
    x = tensor(0, 2, 3, 7, 8)
    (gx,) = torch.autograd.grad(F.max_pool2d(x, 3, 2, 1).exp().sum(), [x])
    assert "fold" not in names(check(gx))


def test_transposed_convolutions():
    x, w = tensor(0, 2, 4, 5, 4), tensor(1, 4, 3, 3, 3)
    y = F.conv_transpose2d(x, w, None, 2, 1, 1)
    assert "fold" not in names(check(y, *torch.autograd.grad(y.exp().sum(), [x, w])))


# --------------------------------------------------------------------------- sums
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 4)), min_size=1, max_size=8),
       st.booleans(), st.integers(0, 2))
@settings(max_examples=100, deadline=None)
def test_sums_of_paddings(places, flat, axis):
    total = None
    for i, (start, n) in enumerate(places):
        shape, widths = [2, 3, 2], [(0, 0, 0)] * 3
        shape[axis], widths[axis] = n, (start, 13 - start - n, 0)
        x = mv.pad(draw(i, *shape), widths=tuple(widths))
        x = reshape(x, shape=(x.shape[0], x.shape[1] * x.shape[2])) if flat else x
        total = x if total is None else total + x
    after = check(total)
    spans = sorted((s, s + n) for s, n in places)
    if len(places) > 1 and all(a[1] <= b[0] for a, b in zip(spans, spans[1:])):
        assert {"pad", "add"}.isdisjoint(names(after))
        assert names(after).count("cat") == 1


def test_a_padding_counts_as_often_as_it_is_added():
    x = mv.pad(draw(0, 2), widths=((1, 2, 0),))
    check((x + x) + mv.pad(draw(1, 1), widths=((0, 4, 0),)))


def test_the_gradient_of_a_split_is_a_cat():
    x = tensor(0, 6, 4)
    loss = sum((part * i).exp().sum() for i, part in enumerate(x.split(2, 0)))
    after = check(*torch.autograd.grad(loss, [x]))
    assert {"pad", "add"}.isdisjoint(names(after))


LABELS = [((0, 2), (0, 1), (1, 2)), ((2, 0), (1, 0), (2, 1)), ((3, 0, 2), (3, 0, 1), (3, 1, 2)),
          ((0, 4, 2), (0, 4, 1), (2, 1))]


@given(st.sampled_from(LABELS), st.integers(1, 7), st.booleans(), st.booleans(), st.booleans())
@settings(max_examples=60, deadline=None)
def test_sums_of_contractions_are_one(labels, terms, turned, mixed, flat):
    total = None
    xl, yl, ol = labels
    for i in range(terms):
        size = [2 + i % 3 * (mixed and xl[0] == 0), 4, 5, 3, 2]
        x, y = draw(2 * i, *(size[a] for a in xl)), draw(2 * i + 1, *(size[a] for a in yl))
        z = contract(x, y, labels=labels)
        z = mv.permute(z, axes=tuple(range(z.ndim))[::-1]) if turned else z
        z = reshape(z, shape=(int(np.prod(z.shape)),)) if flat else z
        total = z if total is None else total + z
    after = check(total)
    if terms >= 4:
        assert names(after).count("contract") == 1


@pytest.mark.parametrize("axes", [(0,), (1,), (0, 1), (0, 2)])
def test_sums_of_sums_are_one(axes):
    xs = [draw(i, 3, 4, 2) for i in range(5)]
    after = check(reduce(ew.add, [sum_(x * x, axis=axes) for x in xs]))
    assert names(after).count("sum") == 1 and "add" not in names(after)


def test_what_others_need_too_is_not_merged():
    products = [contract(draw(i, 3, 2), draw(9 + i, 3, 4), labels=LABELS[0]) for i in range(5)]
    check(reduce(ew.add, products), *products)


def test_one_weight_used_at_many_times_has_one_gradient():
    torch.manual_seed(0)
    net = torch.nn.LSTM(3, 4)
    out, _ = net(torch.rand(6, 2, 3))
    gradients = torch.autograd.grad(out[-1].sum(), list(net.parameters()))
    after = check(*gradients)
    kinds = names(after)
    # Forward: one product for the input and one for each time; backward: one for each time but
    # the first, and one for each weight.
    assert "pad" not in kinds and kinds.count("contract") == 1 + 6 + 5 + 2


# --------------------------------------------------------------------------- reductions
@pytest.mark.parametrize("op", [sum_, rd.amax, rd.amin, rd.any_, rd.all_], ids=repr)
@pytest.mark.parametrize("shape, axes", [
    ((200, 300), (0, 1)), ((2, 30, 40, 50), (0, 2, 3)), ((40000,), (0,)), ((16411,), (0,)),
    ((3, 20011), (1,)), ((20011, 3), (0,)), ((3, 8, 2000), (1, 2)), ((5, 20000), (0, 1)),
    ((7, 50, 60), (0, 1, 2)), ((70000, 2), (0, 1)), ((100, 200), (0,)), ((1 << 20,), (0,)),
])
def test_large_reductions_are_taken_in_blocks(op, shape, axes):
    after = check(op(draw(0, *shape), axis=axes))
    few = np.prod([n for a, n in enumerate(shape) if a not in axes]) < 16
    sizes = [n.inputs[0].shape for n in toposort(after) if n.op is op]
    assert len(sizes) > 1 if few else len(sizes) == 1
    assert not few or np.prod(sizes[-1]) <= 1 << 14


@pytest.mark.parametrize("n", [1 << 15, 20011])
def test_large_products_are_taken_in_blocks(n):
    x = leaf(1 + 0.001 * np.random.default_rng(0).standard_normal((2, n)))
    after = check(rd.prod(x, axis=1))
    assert names(after).count("prod") > 1


def test_counts_stay_integers():
    check(sum_(leaf(np.arange(1 << 15) % 3), axis=(0,)))


def test_factors_leave_a_sum():
    x, y, c = draw(0, 6, 5), draw(1, 6, 5), draw(2, 6, 1)
    a = sum_(-(x * c) * y / expand(c, shape=(6, 5)), axis=(1,))
    b = sum_(x * (y * 3.0), axis=(1,))
    after = check(a, b)
    assert names(after).count("sum") == 1


def test_a_sum_of_normalised_values_needs_no_pass_of_its_own():
    x, y, c = draw(0, 6, 5), draw(1, 6, 5), draw(2, 6, 1)
    s, t = sum_(x * y, axis=(1,)), sum_(x, axis=(1,))
    scaled = x * c + y * reshape(s, shape=(6, 1))
    after = check(sum_(scaled, axis=(1,)), t, sum_(y, axis=(1,)), scaled)
    assert names(after).count("sum") == 3


def test_what_was_centred_is_summed_as_it_is():
    x = leaf(1e9 + np.random.default_rng(0).standard_normal((6, 5)))
    mean = expand(reshape(sum_(x, axis=(1,)) / 5, shape=(6, 1)), shape=(6, 5))
    y = draw(1, 6, 5)
    check(sum_((x - mean) * 2.0, axis=(1,)), sum_((x - mean) * y, axis=(1,)), sum_(y, axis=(1,)))


def test_products_that_others_need_are_not_undone():
    x, c = draw(0, 6, 5), draw(1, 6, 1)
    scaled = ew.exp(x) * c
    before = names([rewrite([scaled])[0]])
    after = check(scaled, sum_(scaled, axis=(1,)))
    assert names(after).count("exp") == before.count("exp") == 1
    assert names(after).count("mul") == 1


@pytest.mark.parametrize("make", [
    lambda: torch.nn.BatchNorm2d(3), lambda: torch.nn.LayerNorm([3, 4, 4]),
    lambda: torch.nn.GroupNorm(3, 3), lambda: torch.nn.InstanceNorm2d(3)],
    ids=["batch", "layer", "group", "instance"])
def test_gradients_of_normalisations(make):
    norm = make().double()
    x = tensor(0, 5, 3, 4, 4)
    loss = (norm(x) * tensor(1, 5, 3, 4, 4)).sum()
    check(loss, *torch.autograd.grad(loss, [x, *norm.parameters()]))


# --------------------------------------------------------------------------- products
@st.composite
def products(draw):
    size = {a: draw(st.integers(1, 4)) for a in range(6)}
    names = draw(st.permutations(range(6)))
    kinds = [draw(st.sampled_from(["batch", "inner", "row", "column"])) for _ in names]
    with_x = [a for a, k in zip(names, kinds) if k != "column"]
    with_y = [a for a, k in zip(names, kinds) if k != "row"]
    out = [a for a, k in zip(names, kinds) if k != "inner"]
    xl, yl, ol = (tuple(draw(st.permutations(ls))) for ls in (with_x, with_y, out))
    return size, (xl, yl, ol)


def operand(draw_, seed, shape):
    """Something with the shape that the rules see through."""
    how = draw_(st.sampled_from(["leaf", "stretched", "padded", "turned", "constant", "cut"]))
    if how == "stretched":
        some = tuple(draw_(st.sampled_from([1, n])) for n in shape)
        return expand(draw(seed, *some), shape=shape)
    if how == "padded":
        widths = tuple((draw_(st.integers(0, n - 1)), 0, 0) for n in shape)
        return mv.pad(draw(seed, *(n - lo for n, (lo, _, _) in zip(shape, widths))), widths=widths)
    if how == "turned":
        return mv.permute(draw(seed, *shape[::-1]), axes=tuple(range(len(shape)))[::-1])
    if how == "constant":
        return ew.constant(value=2.5, like=draw(seed, *shape).spec)
    if how == "cut":
        bounds = tuple((1, n + 1, 1) for n in shape)
        return mv.slice_(draw(seed, *(n + 2 for n in shape)), bounds=bounds)
    return draw(seed, *shape)


@given(products(), st.data())
@settings(max_examples=200, deadline=None)
def test_contractions_of_anything(case, data):
    size, (xl, yl, ol) = case
    x = operand(data.draw, 0, tuple(size[a] for a in xl))
    y = operand(data.draw, 1, tuple(size[a] for a in yl))
    out = contract(x, y, labels=(xl, yl, ol))
    if data.draw(st.booleans()):
        out = mv.permute(out, axes=tuple(range(out.ndim))[::-1])
    if data.draw(st.booleans()):
        out = mv.slice_(out, bounds=tuple((n // 2, n, 1) for n in out.shape))
    check(out)


def test_outer_and_inner_products_are_no_contractions():
    x, y = draw(0, 3, 4), draw(1, 5, 4)
    outer = contract(draw(2, 3), draw(3, 5), labels=((0,), (1,), (0, 1)))
    inner = contract(x, draw(4, 3, 4), labels=((0, 1), (0, 1), (0,)))
    twice = contract(expand(draw(5, 3, 1), shape=(3, 4)), y, labels=((0, 1), (2, 1), (0, 2)))
    ones = contract(ew.fill(x, 1.0), y, labels=((0, 1), (2, 1), (0, 2)))
    assert "contract" not in names(check(outer, inner, twice, ones))


def test_zeros_are_not_multiplied():
    x = mv.pad(draw(0, 2, 3), widths=((1, 4, 0), (0, 5, 0)))
    after = check(contract(x, draw(1, 8, 6), labels=((0, 1), (1, 2), (0, 2))))
    (product,) = [n for n in toposort(after) if n.name == "contract"]
    assert [x.shape for x in product.inputs] == [(2, 3), (3, 6)]


# --------------------------------------------------------------------------- writes
def test_rows_written_one_by_one_are_a_cat():
    w = tensor(0, 4, 4)
    x = tensor(1, 6, 2, 4)
    out = torch.zeros(6, 2, 4, dtype=torch.float64)
    h = torch.zeros(2, 4, dtype=torch.float64)
    for t in range(6):
        out[t] = (x[t] + h @ w).tanh()
        h = out[t]
    gradients = torch.autograd.grad((out * out).sum(), [w, x])
    after = check(out, *gradients)
    assert {"setslice", "pad"}.isdisjoint(names(after))


STEPS = st.tuples(st.sampled_from(["write", "read", "fork", "wide", "add"]), st.integers(0, 5))


@given(st.lists(STEPS, min_size=1, max_size=12), st.integers(0, 1))
@settings(max_examples=100, deadline=None)
def test_writes_and_reads_in_any_order(steps, axis):
    shape = [3, 3]
    shape[axis] = 12
    tensors, seen = [draw(0, *shape)], []
    for i, (what, at) in enumerate(steps):
        bounds = [(0, n, 1) for n in shape]
        bounds[axis] = (2 * at, 2 * at + 2, 1) if what != "wide" else (at, at + 3, 1)
        x = tensors[0 if what == "fork" else -1]
        if what == "add":
            widths = [(0, 0, 0)] * 2
            widths[axis] = (2 * at, 10 - 2 * at, 0)
            part = [b - a for a, b, _ in bounds]
            tensors.append(x + mv.pad(draw(i, *part), widths=tuple(widths)))
        elif what == "read":
            seen.append(mv.slice_(x, bounds=tuple(bounds)))
        else:
            part = [b - a for a, b, _ in bounds]
            value = draw(i, *part) if at % 2 else draw(i, 1)
            tensors.append(mv.setslice(x, value, bounds=tuple(bounds)))
    check(*tensors[-2:], *seen)


# --------------------------------------------------------------------------- one by one
def test_there_is_nothing_to_reduce_along_one_element():
    x = draw(0, 4, 1, 3)
    after = check(sum_(x, axis=(1,)), rd.amax(x, axis=(1,)), rd.amin(x, axis=(1,)))
    assert {"sum", "amax", "amin"}.isdisjoint(names(after))


@pytest.mark.parametrize("dtypes", [
    "float32 float64 float32", "float16 float32 bfloat16", "bfloat16 float32 bfloat16",
    "bool int64 float32", "int32 float64 int64", "float64 float32 float64",
    "float32 bfloat16 float32", "int64 float64 int64", "float16 bfloat16 float32",
    "int64 bool float32"])
def test_casts_of_casts(dtypes):
    first, *others = (getattr(torch, d) for d in dtypes.split())
    x = out = torch.arange(-4, 6).to(first) * 3
    for d in others:
        out = out.to(d)
    check(out, x)


def test_a_gather_of_the_largest_is_the_largest():
    x = torch.Tensor._from_node(leaf(np.array([[1.0, 3, 3], [np.nan, 5, 2], [-np.inf] * 3])))
    after = check(x.gather(1, x.argmax(1, keepdim=True)))
    assert names(after) == ["amax", "reshape"]


def test_zeros_are_not_added():
    x = draw(0, 3, 4)
    zero = ew.fill(x, 0.0)
    index = leaf(np.array([2, 0, 2]))
    put = ix.put(zero, draw(1, 3, 4), index, axis=0, accumulate=True)
    after = check(x + zero, zero + x, x - zero, zero - x, put + ew.exp(x))
    assert sorted(names(after)) == ["exp", "neg", "put"]


# --------------------------------------------------------------------------- loops over time
@pytest.mark.parametrize("time", [0, 1])
def test_a_loop_over_a_cell_multiplies_its_inputs_at_once(time):
    torch.manual_seed(0)
    cell = torch.nn.GRUCell(3, 4)
    x = torch.rand(6, 6, 3, requires_grad=True)
    h, outputs = torch.zeros(6, 4), []
    for row in x.unbind(time):
        h = cell(row, h)
        outputs.append(h)
    gradients = torch.autograd.grad(torch.stack(outputs).exp().sum(), [x, *cell.parameters()])
    kinds = names(check(h, *gradients))
    # Forward: one product for the inputs and one for each time; backward: one for the inputs,
    # one for each time but the first, and one for each weight.
    assert "pad" not in kinds and kinds.count("contract") == 1 + 6 + 1 + 5 + 2


@given(st.lists(st.integers(0, 5), min_size=1, max_size=9), st.integers(0, 2), st.booleans())
@settings(max_examples=60, deadline=None)
def test_rows_of_one_tensor(places, axis, joined):
    x, w = draw(0, 6, 6, 6), draw(1, 6, 5)
    rows = []
    for p in places:
        bounds = [(0, 6, 1)] * 3
        bounds[axis] = (p, p + 1, 1)
        rows.append(reshape(mv.slice_(x, bounds=tuple(bounds)), shape=(6, 6)))
    products = [contract(r, w, labels=((0, 1), (1, 2), (0, 2))) for r in rows]
    check(*([mv.cat(*rows, axis=0), mv.cat(*products, axis=0)] if joined else products))


@given(st.lists(st.integers(0, 8), min_size=2, max_size=4), st.integers(0, 1), st.integers(0, 1))
@settings(max_examples=60, deadline=None)
def test_slices_side_by_side(cuts, axis, other):
    x = draw(0, 8, 8)
    parts = []
    for a, b in zip(sorted(cuts), sorted(cuts)[1:]):
        bounds = [(0, 8, 1)] * 2
        bounds[axis] = (a, b, 1)
        parts.append(mv.slice_(x, bounds=tuple(bounds)))
    if axis == other or len({p.shape for p in parts}) == 1:
        check(mv.cat(*parts, axis=other))


# --------------------------------------------------------------------------- everything
@pytest.mark.parametrize("op", ALL_OPS, ids=repr)
def test_every_op_and_its_gradient(op):
    arrays, attrs = op.sample(np.random.default_rng(0))
    inputs = [leaf(a, requires_grad=True) for a in arrays]
    out = op(*inputs, **attrs)
    gradients = op.vjp(ew.fill(out, 1.0), out, *inputs, **attrs) if op.differentiable else ()
    check(out, *[g for g in gradients if g is not None])


MODELS = {
    "conv": lambda: (torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3, 2, 1, groups=1), torch.nn.BatchNorm2d(4), torch.nn.ReLU(),
        torch.nn.MaxPool2d(3, 2, 1), torch.nn.Conv2d(4, 6, 3, dilation=2, padding=2, groups=2),
        torch.nn.AvgPool2d(2), torch.nn.Flatten(), torch.nn.LazyLinear(3)), (2, 3, 16, 16)),
    "up": lambda: (torch.nn.Sequential(
        torch.nn.ConvTranspose2d(3, 4, 4, 2, 1), torch.nn.GELU(), torch.nn.Upsample(scale_factor=2),
        torch.nn.Conv2d(4, 2, 1, 2)), (2, 3, 4, 4)),
    "transformer": lambda: (torch.nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True),
                            (2, 5, 8)),
    "rnn": lambda: (torch.nn.RNN(3, 4, 2, bidirectional=True), (6, 2, 3)),
    "gru": lambda: (torch.nn.GRU(3, 4, batch_first=True), (2, 6, 3)),
    "lstm": lambda: (torch.nn.LSTM(3, 4, 2, proj_size=2), (6, 2, 3)),
}


@pytest.mark.parametrize("name", MODELS)
def test_models_and_their_gradients(name):
    torch.manual_seed(0)
    model, shape = MODELS[name]()
    x = torch.rand(*shape, requires_grad=True)
    model(x)
    model = model.double()
    x = x.detach().double().requires_grad_()
    out = model(x)
    out = out[0] if isinstance(out, tuple) else out
    check(out, *torch.autograd.grad((out * out).sum(), [x, *model.parameters()]))


@pytest.mark.parametrize("stride", [1, 2])
def test_gradients_of_gradients_of_convolutions(stride):
    x, w = tensor(0, 2, 3, 6, 5), tensor(1, 4, 3, 3, 2)
    (g,) = torch.autograd.grad(F.conv2d(x, w, None, stride, 1).tanh().sum(), [x],
                               create_graph=True)
    assert "fold" not in names(check(*torch.autograd.grad((g * g).sum(), [x, w])))


def test_depthwise_convolutions_and_their_gradients_have_no_windows():
    x, w = tensor(0, 2, 4, 6, 5), tensor(1, 4, 1, 3, 3)
    y = F.conv2d(x, w, None, 1, 1, 1, 4)
    (gx,) = torch.autograd.grad(y, [x], tensor(2, *y.shape))
    after = check(gx)
    assert {"fold", "add"}.isdisjoint(names(after))
    (product,) = [n for n in toposort(after) if n.name == "contract"]
    assert product.shape[-2:] == (6, 5)  # not what the padding cuts off again


def test_rows_appended_one_by_one_are_one_cat():
    w = tensor(0, 4, 4)
    rows = [tensor(1, 1, 4)]
    out = rows[0]
    for _ in range(5):
        rows.append((rows[-1] @ w).tanh())
        out = torch.cat([out, rows[-1]])
    after = check(out, *torch.autograd.grad(out.exp().sum(), [w]))
    assert [len(n.inputs) for n in toposort(after) if n.name == "cat" and len(n.inputs) < 5] == []


def test_deep_movement_is_no_deep_recursion():
    x = out = draw(0, 2, 3)
    for i in range(1500):
        grown = mv.cat(out, x, axis=0) if i % 2 else mv.pad(out, widths=((0, 2, 0), (0, 0, 0)))
        out = mv.permute(mv.slice_(grown, bounds=((1, 3, 1), (0, 3, 1))), axes=(1, 0))
        out = mv.permute(out, axes=(1, 0))
    check(out)


def test_many_additions_to_one_row_and_reads_between_them():
    x = draw(0, 4, 3)
    seen = []
    for i in range(30):
        x = x + mv.pad(draw(i, 1, 3), widths=((1, 2, 0), (0, 0, 0)))
        seen.append(mv.slice_(x, bounds=((1, 2, 1), (0, 3, 1))))
    assert len(names(check(x, *seen))) < 400


def test_numbers_are_multiplied_after_a_contraction():
    x, y, scale = draw(0, 4, 3), draw(1, 3, 5), leaf(0.5)
    out = contract(x * scale, scale * y, labels=((0, 1), (1, 2), (0, 2)))
    after = check(out, ew.exp(out))
    (product,) = [n for n in toposort(after) if n.name == "contract"]
    assert set(product.inputs) == {x, y}
    half = cast(x, dtype=float16) * cast(scale, dtype=float16)
    out = contract(half, cast(y, dtype=float16), labels=((0, 1), (1, 2), (0, 2)))
    assert names(check(out)).index("mul") < names(check(out)).index("contract")


def test_the_gradient_of_a_depthwise_weight_is_a_sum():
    x, w = tensor(0, 2, 4, 6, 5), tensor(1, 4, 1, 3, 3)
    y = F.conv2d(x, w, None, 1, 1, 1, 4)
    (gw,) = torch.autograd.grad(y, [w], tensor(2, *y.shape))
    assert "contract" not in names(check(gw))
