"""PyTorch's functions and methods, one expression a row: same values, dtypes, shapes, gradients.

Every expression is evaluated with `torch` meaning PyTorch and meaning chainrule.
"""

import math

import numpy as np
import pytest

import chainrule

torch = pytest.importorskip("torch")

RNG = np.random.default_rng(0)
A = RNG.standard_normal((2, 3))
B = RNG.standard_normal((3, 4))
C = RNG.standard_normal((2, 3, 4))
POS = RNG.uniform(0.3, 2.0, (2, 3))
UNIT = RNG.uniform(-0.9, 0.9, (2, 3))
V = RNG.standard_normal(3)
SQ = RNG.standard_normal((3, 3)) + 3 * np.eye(3)
INT = RNG.integers(-5, 6, (2, 3))
NAT = RNG.integers(1, 6, (2, 3))
IDX = np.array([[0, 1, 1], [1, 0, 0]])
MASK = RNG.random((2, 3)) < 0.5
FLOATS = {"a": A, "b": B, "c": C, "pos": POS, "unit": UNIT, "v": V, "sq": SQ}
OTHERS = {"i": INT, "n": NAT, "idx": IDX, "mask": MASK}

SMOOTH = """
a + 1 | 1 - a | a * pos | a / pos | 2 / pos | -a | +a | abs(a) | a ** 2 | a ** 3 | pos ** 0.5
pos ** -1
2 ** a | pos ** a | a % pos | a @ b | v @ b | a @ v | c @ b.T | c.mT @ c | v @ v
torch.outer(v, v)
a.add(pos, alpha=2) | a.sub(pos, alpha=2) | torch.rsub(a, pos) | a.mul(pos) | a.div(pos) | a.neg()
pos.reciprocal()
torch.addcmul(a, pos, unit, value=2) | torch.addcdiv(a, unit, pos, value=2)
torch.lerp(a, pos, 0.3) | a.lerp(pos, unit)
a.exp() | pos.log() | pos.log1p() | a.expm1() | pos.log2() | pos.log10() | pos.sqrt()
pos.rsqrt() | a.square() | torch.exp2(a)
a.abs() | a.sign() | a.sin() | a.cos() | unit.tan() | a.tanh() | a.sinh() | a.cosh() | unit.asin()
unit.acos() | a.atan()
torch.atan2(a, pos) | a.asinh() | (pos + 1).acosh() | unit.atanh() | a.sigmoid() | a.erf()
a.erfc() | unit.erfinv()
pos.lgamma() | (pos + 1).digamma() | torch.logit(pos / 3) | torch.hypot(a, pos)
torch.logaddexp(a, unit) | torch.xlogy(a, pos)
a.floor() | a.ceil() | a.round() | a.trunc() | a.frac() | a.clamp(-0.5, 0.5) | a.clamp(min=0.1)
a.clamp(max=0.1) | a.clip(0, 1)
torch.maximum(a, unit) | torch.minimum(a, unit) | torch.fmax(a, unit) | torch.where(mask, a, pos)
torch.where(a > 0, a, 0.0)
a.where(mask, pos) | a.masked_fill(mask, 2.0) | a.nan_to_num() | torch.sinc(a) | torch.deg2rad(a)
a.relu() | a.remainder(0.7) | a.fmod(0.7)
a.sum() | a.sum(0) | a.sum(1, keepdim=True) | c.sum((0, 2)) | a.mean() | c.mean(dim=-1)
c.mean((0, 1), keepdim=True) | a.prod() | a.prod(1)
c.prod(1, keepdim=True) | a.var() | a.var(1) | c.var((0, 2), unbiased=False) | a.std()
a.std(0, correction=0) | c.std(-1, keepdim=True)
torch.var_mean(a, 1)[0] | torch.std_mean(a)[1] | a.max() | a.min() | a.max(1)[0] | a.max(1).values
a.min(0, keepdim=True)[0] | a.amax(1)
c.amin((0, 2)) | a.amax() | a.norm() | a.norm(dim=1) | a.norm(1) | a.norm(p=3, dim=0)
a.norm(float('inf')) | torch.linalg.norm(a)
a.cumsum(1) | pos.cumprod(1) | a.logsumexp(1) | c.logsumexp((0, 2), keepdim=True) | a.softmax(1)
a.log_softmax(0) | torch.softmax(c, -1)
a.median() | c.median(1).values | torch.dist(a, pos) | torch.nanmean(a) | torch.nansum(a, 1)
a.reshape(3, 2) | a.view(-1) | c.flatten() | c.flatten(1) | c.flatten(0, 1) | a.unsqueeze(0)
a.unsqueeze(-1).squeeze(-1) | a.t() | a.T | c.mT
c.permute(2, 0, 1) | c.transpose(0, -1) | c.swapaxes(0, 1) | torch.movedim(c, 0, -1)
v.expand(2, 3) | v.expand(2, -1) | v.repeat(2, 2)
v.tile((2, 1)) | torch.cat([a, pos]) | torch.cat((a, pos), dim=1) | torch.stack([a, pos], 1)
torch.stack((v, v)) | torch.hstack((a, pos))
torch.vstack((a, v)) | torch.dstack((a, pos)) | torch.column_stack((v, v)) | c.split(2, 1)[1]
c.split([1, 3], 2)[1] | c.chunk(2, -1)[0]
c.unbind(1)[2] | c.narrow(2, 1, 2) | torch.roll(a, 1) | torch.roll(c, (1, -1), (0, 2)) | a.flip(1)
a.flip((0, 1)) | c.unflatten(2, (2, 2))
a.tril() | a.triu(1) | sq.tril(-1) | torch.diag(v) | torch.diag(sq) | sq.diagonal(1)
torch.diag_embed(a) | torch.diag(v, 1) | sq.trace()
torch.rot90(a) | torch.fliplr(a) | torch.flipud(a) | torch.atleast_2d(v)
torch.meshgrid(v, v, indexing='ij')[0] | torch.meshgrid(v, v, indexing='xy')[1]
torch.broadcast_to(v, (2, 3)) | torch.broadcast_tensors(v, a)[0] | torch.repeat_interleave(v, 2)
a.repeat_interleave(2, dim=0) | c.unfold(2, 2, 1)
a[0] | a[:, 1] | a[..., -1] | a[None] | c[:, ::2] | c[0, 1:, [0, 2]] | c[[0, 1], [1, 2]]
c[:, idx[0]] | c[idx] | a[mask] | c[mask] | c[:, :, None]
c[0][1][2] | c[1:, 0] | a[torch.tensor(1)] | c[..., torch.tensor([0, 3])] | a[a > 0]
c[:, [0, 1], :][0] | c[0, :, [1]] | c[[0], :, [1]]
a.gather(1, idx) | a.scatter(1, idx[:, :1], 5.0) | a.scatter_add(1, idx, pos)
a.index_select(1, torch.tensor([2, 0])) | a.masked_select(mask)
a.index_add(0, torch.tensor([1, 1]), pos) | a.index_fill(1, torch.tensor([0]), 3.0)
a.index_copy(0, torch.tensor([1, 0]), pos) | torch.take(a, idx)
a.sort(1)[0] | a.sort(1, descending=True).values | a.topk(2)[0]
c.topk(2, 1, largest=False).values | a.kthvalue(2, 1).values
torch.mm(a, b) | torch.bmm(c, c.mT) | torch.addmm(torch.zeros(4).double(), a, b)
torch.addmm(v, a, sq, beta=2, alpha=3)
torch.baddbmm(c, c, torch.eye(4).double().expand(2, 4, 4))
torch.mv(sq, v) | torch.dot(v, v) | torch.tensordot(a, b, 1)
torch.tensordot(c, c, ([0, 1], [0, 1])) | torch.inner(v, v) | torch.inner(a, pos)
torch.einsum('ij,jk->ik', a, b) | torch.einsum('bij->bji', c) | torch.einsum('ii->i', sq)
torch.einsum('ij->', a) | torch.einsum('bij,bik->jk', c, c)
torch.einsum('i,j->ij', v, v) | torch.einsum('ij,kj,j->ik', a, pos, v)
torch.einsum('...ij,jk->...ik', a, b) | torch.einsum('bij,ij->b', c, b)
torch.kron(a, pos) | torch.cross(sq, sq.T, dim=1) | torch.cdist(a, pos) | torch.inverse(sq)
torch.linalg.inv(sq) | sq.matrix_power(2) | torch.block_diag(a, sq)
a.clone() | a.contiguous() | a.float().double() | a.to(torch.float32) | a.type_as(pos) | (a * i)
(a + i.float()) | (i / 2 + a) | a * mask
torch.cosine_similarity(a, pos) | a.nan_to_num(0.0) | torch.atleast_3d(a) | torch.select(a, 1, 2)
c.view(2, 12)[:, 3:] | a.expand_as(a) | a.view_as(pos)
"""

PLAIN = """
torch.zeros(2, 3) | torch.ones((2,)) | torch.full((2, 2), 7) | torch.full((2,), 1.5)
torch.eye(2, 3) | torch.arange(5) | torch.arange(1, 10, 3)
torch.arange(0, 1, 0.1) | torch.arange(5.) | torch.linspace(0, 1, 7) | torch.linspace(-3, 5, 4)
torch.logspace(0, 2, 3) | torch.tensor([1, 2.5]) | torch.tensor(3) | torch.tensor([True, False])
torch.tensor([[1, 2], [3, 4]], dtype=torch.int32) | torch.zeros_like(a) | torch.ones_like(i)
torch.full_like(a, 2) | torch.empty(2).fill_(3) | a.new_zeros(2) | a.new_full((2,), 3)
a.new_tensor([1, 2]) | torch.as_tensor([1., 2.]) | torch.tril(torch.ones(3, 3))
torch.zeros(3, dtype=torch.bool) | torch.Tensor([1, 2]) | torch.LongTensor([1, 2])
torch.FloatTensor([[1], [2]])
a > 0 | a == a | i != n | i < n | i >= 2 | ~mask | mask & (a > 0) | mask | (a > 0) | mask ^ mask
i & 3 | i | 4 | i ^ n | n << 1 | n >> 1
torch.logical_and(mask, i) | torch.logical_not(i) | torch.logical_xor(mask, i) | i + n | i - n
i * n | i / n | i // n | i % n | i ** 2 | -i | i.abs() | i.sign() | i + 1.5 | i * True
i.sum() | i.sum(1) | i.prod() | mask.sum() | mask.sum(0) | i.max() | i.min(1)[0] | i.max(1)[1]
a.argmax() | a.argmax(1) | a.argmin(0, keepdim=True) | i.cumsum(0) | mask.any() | mask.all(1)
i.any(0)
torch.any(mask) | a.isnan() | a.isinf() | a.isfinite() | torch.isclose(a, a + 1e-9) | i.float()
a.int() | a.long() | a.bool() | a.half() | i.double() | a.to(torch.int64) | mask.float()
mask.int() | a.type(torch.float16)
a.max(1)[1] | a.sort(1)[1] | a.argsort() | a.argsort(0, descending=True) | a.topk(2).indices
torch.nonzero(mask) | mask.nonzero() | torch.unique(i) | torch.bincount(n.flatten())
torch.argwhere(i)
torch.unique(i, return_counts=True)[1] | torch.unique(i, return_inverse=True)[1]
torch.where(mask)[0] | torch.where(i > 0, i, 0) | torch.where(mask, 1, 2)
torch.where(mask, 1.0, 0) | torch.tril_indices(3, 3) | torch.triu_indices(3, 4, 1)
torch.nn.functional.one_hot(idx) | torch.nn.functional.one_hot(idx, 4)
torch.meshgrid(torch.arange(2), torch.arange(3), indexing='ij')[1]
torch.cartesian_prod(torch.arange(2), torch.arange(3)) | torch.combinations(torch.arange(4))
torch.searchsorted(torch.tensor([1., 3., 5.]), torch.tensor([2., 5.]))
torch.bucketize(a, torch.tensor([-1., 0., 1.]).double()) | torch.isin(i, torch.tensor([1, 2]))
torch.histc(a, 4) | torch.unique_consecutive(torch.tensor([1, 1, 2, 2, 1]))
torch.result_type(a, i) | torch.promote_types(torch.int8, torch.uint8)
torch.can_cast(torch.float32, torch.int64) | a.dtype | i.dtype | (i + 1).dtype | (i * 1.0).dtype
(a.float() + 1).dtype | (a.half() * a.float()).dtype | (mask + 1).dtype | (mask + mask).dtype
(torch.tensor(1) + torch.tensor([1.], dtype=torch.float16)).dtype
(torch.tensor(1., dtype=torch.float64) * torch.ones(2)).dtype | (i / i).dtype
i.mean(dtype=torch.float32) | i.sum(dtype=torch.float32)
torch.tensor([1], dtype=torch.uint8) - 2
a.shape | a.size() | a.size(1) | c.size(-1) | a.numel() | a.dim() | a.ndim | c.stride()
c.permute(2, 0, 1).stride() | c[:, ::2].stride()
c.mT.is_contiguous() | c[0].is_contiguous() | v.expand(2, 3).stride()
a.is_floating_point() | a.element_size() | torch.is_tensor(a) | a.tolist() | i.tolist()
a[0, 0].item() | int(i[0, 0]) | float(a[0, 0]) | bool(mask[0, 0]) | len(a) | a.storage_offset()
c[1, 1:].storage_offset() | torch.equal(a, a) | torch.allclose(a, a + 1e-10)
torch.Size([2, 3]).numel() | torch.finfo(torch.float32).max | torch.iinfo(torch.int8).min
torch.broadcast_shapes((2, 1), (3,)) | a.type() | i.type() | str(a.dtype) | repr(a.shape)
repr(a[0, :2]) | repr(i) | str(mask) | repr(torch.zeros(0)) | f"{a[0, 0]:.3f}"
3 in i | [x.item() for x in v] | torch.tensor(5).__index__()
torch.stack([*v]).tolist() | i.eq(n).sum().item() | a.ge(0).tolist() | torch.numel(c)
a.mT.contiguous().stride() | torch.heaviside(a, torch.tensor(0.5).double()) | torch.signbit(a)
torch.count_nonzero(i) | torch.aminmax(a)[1] | a.median(1).indices | i.mode(1).values
torch.copysign(a, -pos) | torch.floor_divide(i, n) | torch.div(a, pos, rounding_mode='floor')
torch.div(i, n, rounding_mode='trunc') | torch.float_power(i, 2) | a.unique().numel()
torch.logcumsumexp(a, 1)
"""


def rows(text: str) -> list[str]:
    return [e.strip() for line in text.strip().splitlines() for e in _cut(line)]


def _cut(line: str) -> list[str]:
    # " | " separates rows; the operator | occurs in rows that start with a mask or an integer.
    parts = line.split(" | ")
    joined, i = [], 0
    while i < len(parts):
        part = parts[i]
        if part.strip() in ("mask", "i") and i + 1 < len(parts):
            part, i = f"{part} | {parts[i + 1]}", i + 1
        joined.append(part)
        i += 1
    return joined


def evaluate(lib, expression: str, requires_grad: bool):
    names = {"torch": lib, "math": math}
    for name, value in FLOATS.items():
        names[name] = lib.tensor(value.tolist(), dtype=lib.float64, requires_grad=requires_grad)
    for name, value in OTHERS.items():
        names[name] = lib.tensor(value.tolist())
    return eval(expression, names), names


def plain(value):
    """Something that can be compared: an array, or text."""
    if hasattr(value, "detach"):
        return np.asarray(value.detach().tolist()), str(value.dtype), tuple(value.shape)
    if isinstance(value, (list, tuple)) and not value.__class__.__name__ == "Size":
        return [plain(v) if hasattr(v, "detach") else v for v in value]
    return value if isinstance(value, (int, float, str)) else str(value)


def assert_same(ours, theirs, rtol=1e-10):
    if isinstance(theirs, tuple) and len(theirs) == 3 and isinstance(theirs[0], np.ndarray):
        assert ours[1:] == theirs[1:]
        np.testing.assert_allclose(ours[0], theirs[0], rtol=rtol, atol=rtol)
    elif isinstance(theirs, float):
        assert ours == pytest.approx(theirs, rel=1e-6)
    else:
        assert ours == theirs


@pytest.mark.parametrize("expression", rows(SMOOTH))
def test_value_and_gradient(expression):
    theirs, their_names = evaluate(torch, expression, True)
    ours, our_names = evaluate(chainrule, expression, True)
    rtol = 1e-3 if "half" in expression else 1e-6 if "float32" in expression else 1e-9
    assert_same(plain(ours), plain(theirs), rtol)
    assert ours.requires_grad == theirs.requires_grad
    if not theirs.requires_grad:
        return
    weights = np.linspace(-1, 1, max(theirs.numel(), 1))[: theirs.numel()].reshape(theirs.shape)
    for lib, out in ((torch, theirs), (chainrule, ours)):
        given = lib.tensor(weights.tolist(), dtype=lib.float64).reshape(out.shape)
        (out.double() * given).sum().backward()
    for name in FLOATS:
        expected, got = their_names[name].grad, our_names[name].grad
        if expected is None:
            assert got is None or not got.abs().sum().item(), name
        else:
            np.testing.assert_allclose(got.tolist(), expected.tolist(), 1e-6, 1e-6, err_msg=name)


@pytest.mark.parametrize("expression", rows(PLAIN))
def test_value(expression):
    theirs, _ = evaluate(torch, expression, False)
    ours, _ = evaluate(chainrule, expression, False)
    rtol = 1e-3 if "half" in expression or "float16" in expression else 1e-6
    assert_same(plain(ours), plain(theirs), rtol)


GRAD_FN = """
a + 1 | a - 1 | a * a | a / 2 | -a | a ** 2 | a.exp() | a.sum() | a.mean() | a @ b | a.reshape(-1)
a.view(-1) | a.t() | c.transpose(0, 1) | c.permute(1, 0, 2)
a[0] | a[:, 1:] | a[mask] | a.clone() | a.relu() | a.sigmoid() | a.tanh() | a.softmax(1)
a.log_softmax(1) | torch.cat([a, a]) | torch.stack([a, a]) | a.max() | a.unsqueeze(0)
a.squeeze() | v.expand(2, 3)
a.abs() | a.var() | a.std() | a.prod() | torch.where(mask, a, a) | a.clamp(0, 1)
a.masked_fill(mask, 0.) | a.gather(1, idx) | torch.bmm(c, c.mT) | a.cumsum(0) | a.norm()
a.pow(3) | a.sqrt() | a.float() | a.T
"""


@pytest.mark.parametrize("expression", rows(GRAD_FN))
def test_grad_fn_name(expression):
    ours, theirs = (evaluate(lib, expression, True)[0] for lib in (chainrule, torch))
    assert ours.grad_fn.name() == theirs.grad_fn.name()


OUT = """
torch.cat([a, a], out=o) | torch.stack([a, a], out=o) | torch.sum(a, 0, out=o) | torch.exp(a, out=o)
torch.mean(a, 1, out=o) | torch.cumsum(a, 1, out=o) | torch.add(a, 1, out=o)
torch.max(a, pos, out=o) | torch.tensordot(a, b, 1, out=o)
torch.gather(a, 1, idx, out=o) | torch.tril(a, out=o) | torch.where(mask, a, pos, out=o)
torch.matmul(a, b, out=o) | torch.arange(3, out=o) | torch.zeros(2, out=o)
torch.full((2,), 3., out=o)
"""


@pytest.mark.parametrize("expression", rows(OUT))
def test_out_holds_the_result(expression):
    for size in (0, None):
        written = []
        for lib in (torch, chainrule):
            _, names = evaluate(lib, "None", False)
            fitting = eval(expression, names | {"o": lib.empty(0, dtype=lib.float64)})
            out = lib.empty(fitting.shape if size is None else size, dtype=lib.float64)
            assert eval(expression, names | {"o": out}) is out
            written.append(plain(out))
        assert_same(*reversed(written))


def test_out_of_two_results():
    for lib in (torch, chainrule):
        values, indices = lib.empty(2), lib.empty(2, dtype=lib.int64)
        lib.max(lib.tensor([[1.0, 3.0], [5.0, 4.0]]), 1, out=(values, indices))
        assert values.tolist() == [3, 5] and indices.tolist() == [1, 0]
