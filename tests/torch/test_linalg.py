"""Linear algebra against PyTorch: values, gradients, gradients of gradients.

Signs of vectors are LAPACK's choice, so what is compared is made of them without it.
"""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import chainrule  # noqa: E402

RNG = np.random.default_rng(0)
SYMMETRIC = RNG.standard_normal((2, 3, 3))
SYMMETRIC = SYMMETRIC + SYMMETRIC.transpose(0, 2, 1) + np.diag([0.0, 4.0, 9.0])
INPUTS = {
    "q": RNG.standard_normal((3, 3)) + 2 * np.eye(3),
    "c": RNG.standard_normal((2, 3, 3)) + 2 * np.eye(3),
    "sy": SYMMETRIC,
    "pos": SYMMETRIC @ SYMMETRIC + np.eye(3),
    "tall": RNG.standard_normal((2, 4, 3)),
    "wide": RNG.standard_normal((3, 5)),
    "b": RNG.standard_normal((3, 2)),
    "v": RNG.standard_normal(3),
}

SMOOTH = """
torch.det(q) ; c.det() ; torch.linalg.det(c) ; torch.slogdet(c)[1] ; c.slogdet().logabsdet
torch.linalg.slogdet(c).sign * q.sum() ; torch.logdet(pos) ; pos.logdet() ; torch.logdet(-pos)
torch.linalg.inv(c) ; q.inverse() ; torch.linalg.pinv(tall) ; torch.pinverse(wide)
torch.linalg.solve(q, b) ; torch.linalg.solve(c, b) ; torch.linalg.solve(q, v)
torch.linalg.solve(c, tall[:, 0]) ; torch.linalg.solve(q, b.T, left=False)
torch.linalg.solve_triangular(q, b, upper=False)
torch.linalg.solve_triangular(c, b, upper=True, unitriangular=True)
torch.linalg.solve_triangular(q, b.T, upper=True, left=False)
torch.linalg.lstsq(tall, c[:, :1].mT.expand(2, 3, 2).repeat(1, 2, 1)[:, :4]).solution
torch.linalg.lstsq(wide, b).solution
torch.cholesky(pos) ; torch.linalg.cholesky(pos) ; torch.linalg.cholesky(pos, upper=True)
torch.linalg.cholesky(torch.tril(pos)) ; pos.cholesky() ; torch.linalg.eigvalsh(sy)
torch.linalg.eigh(sy)[0] ; torch.linalg.eigh(sy).eigenvectors ** 2 ; torch.linalg.eigh(q, 'U')[0]
torch.linalg.eigh(q, UPLO='L')[1].abs() ; torch.linalg.eigvalsh(c, 'U')
torch.linalg.svdvals(tall) ; torch.linalg.svd(wide)[1] ; torch.linalg.svd(c).U ** 2
torch.linalg.svd(tall, full_matrices=False).U ** 2 ; torch.linalg.svd(tall, False).Vh.abs()
torch.linalg.svd(wide, full_matrices=False)[2] ** 2 ; torch.linalg.svd(wide)[0].abs()
torch.linalg.svd(wide, False)[0] @ torch.linalg.svd(wide, False)[2] ; torch.svd(wide).V ** 2
torch.linalg.qr(tall)[0] ** 2 ; torch.linalg.qr(tall).R ** 2 ; torch.linalg.qr(wide)[1].abs()
torch.linalg.qr(wide).Q.abs() ; torch.linalg.qr(c)[0].abs() ; torch.qr(q).R.abs()
torch.linalg.norm(q) ; torch.linalg.norm(c) ; torch.linalg.norm(q, 'nuc')
torch.linalg.norm(v, 3)
torch.linalg.norm(q, 2) ; torch.linalg.norm(c, -2, (0, 2)) ; torch.linalg.norm(c, 1, dim=(1, 2))
torch.linalg.norm(c, float('inf'), (2, 0), True) ; torch.linalg.norm(c, dim=1)
torch.linalg.norm(c, dim=(0, 1)) ; torch.linalg.norm(q, 'fro')
torch.linalg.norm(v, float('-inf'))
torch.linalg.matrix_norm(c) ; torch.linalg.matrix_norm(c, -1, (0, 1))
torch.linalg.matrix_norm(c, 'nuc', (1, 0), keepdim=True)
torch.linalg.vector_norm(c) ; torch.linalg.vector_norm(c, 1, (0, 1), keepdim=True)
torch.linalg.cond(c) ; torch.linalg.cond(q, -2) ; torch.linalg.multi_dot([v, q, b])
torch.linalg.multi_dot((q, q, b, b.T))
torch.linalg.cross(q, v[None]) ; torch.linalg.cross(c, c.mT, dim=1)
torch.linalg.vecdot(c, q) ; torch.linalg.vecdot(q, b[:, :1], dim=0)
torch.linalg.diagonal(c) ; torch.linalg.diagonal(c, offset=1, dim1=0)
torch.linalg.vander(v) ; torch.linalg.vander(q, N=5)
torch.linalg.matrix_power(q, 3) ; c.matrix_power(5) ; torch.matrix_power(q, -2)
torch.matrix_power(c, 0) + c.sum() ; torch.linalg.matmul(q, b)
"""


def rows(text):
    return [e.strip() for line in text.strip().splitlines() for e in line.split(" ; ")]


def names_of(lib):
    made = {k: lib.tensor(v, dtype=lib.float64, requires_grad=True) for k, v in INPUTS.items()}
    return {"torch": lib, **made}


def weights(shape):
    return np.cos(np.arange(np.prod(shape, dtype=int), dtype=float)).reshape(shape)


def orders(lib, expression):
    """The value, the gradients of a sum of it, and the gradients of a sum of those."""
    names = names_of(lib)
    leaves = [names[k] for k in INPUTS]
    value = eval(expression, names)
    loss = (value * lib.tensor(weights(value.shape))).sum()
    first = lib.autograd.grad(loss, leaves, create_graph=True, allow_unused=True)
    total = sum((g * lib.tensor(weights(g.shape))).sum() for g in first if g is not None)
    second = [None] * len(leaves)
    if total.requires_grad:
        second = lib.autograd.grad(total, leaves, allow_unused=True)
    return [value, *first, *second]


@pytest.mark.parametrize("expression", rows(SMOOTH))
def test_value_and_two_derivatives(expression):
    ours, theirs = orders(chainrule, expression), orders(torch, expression)
    for i, (a, b) in enumerate(zip(ours, theirs)):
        if a is None or b is None:
            assert all(x is None or not x.abs().sum() for x in (a, b)), (i, a, b)
            continue
        assert tuple(a.shape) == tuple(b.shape) and str(a.dtype) == str(b.dtype)
        np.testing.assert_allclose(a.tolist(), (b + 0).tolist(), 1e-7, 1e-7, err_msg=i)


NAMES = """
torch.linalg.inv(q) ; torch.det(q) ; torch.slogdet(q)[1] ; torch.logdet(pos) ; torch.cholesky(pos)
torch.linalg.cholesky(pos) ; torch.linalg.eigh(sy)[1] ; torch.linalg.eigvalsh(sy)
torch.linalg.svdvals(tall) ; torch.linalg.svd(tall)[1] ; torch.linalg.qr(tall)[0]
torch.linalg.solve(q, b) ; torch.linalg.pinv(tall) ; torch.linalg.norm(q)
torch.linalg.solve_triangular(q, b, upper=True)
"""


@pytest.mark.parametrize("expression", rows(NAMES))
def test_grad_fn_names(expression):
    ours, theirs = (eval(expression, names_of(lib)) for lib in (chainrule, torch))
    assert ours.grad_fn.name() == theirs.grad_fn.name()


PLAIN = """
torch.linalg.vander(torch.arange(4))
repr(torch.slogdet(torch.eye(2)))
repr(torch.linalg.svd(torch.eye(2))) ; repr(torch.linalg.eigh(torch.eye(2)))
repr(torch.linalg.lstsq(torch.eye(2), torch.eye(2)))
repr(torch.linalg.qr(torch.eye(2) * 0)).split()[0]
repr(torch.svd(torch.eye(2)))
torch.linalg.matrix_rank(tall) ; torch.linalg.matrix_rank(torch.ones(3, 4)) ; torch.linalg.det(e)
torch.linalg.matrix_rank(q, atol=2.0) ; torch.linalg.matrix_rank(q, rtol=0.9)
torch.linalg.matrix_rank(torch.zeros(2, 3, 3)) ; torch.linalg.slogdet(e)[1] ; torch.inverse(e)
torch.linalg.svd(tall).U.shape ; torch.linalg.svd(wide).Vh.shape
torch.svd(tall, some=False).U.shape
torch.linalg.qr(tall, 'complete').Q.shape ; torch.linalg.qr(tall, 'complete').R.abs()
torch.linalg.qr(tall, 'r').Q ; torch.linalg.qr(tall, 'r').R.abs() ; torch.slogdet(c).sign
torch.linalg.lstsq(tall, tall).rank ; torch.linalg.lstsq(tall, tall).singular_values
torch.linalg.svdvals(torch.ones(0, 3)) ; torch.linalg.eigvalsh(e) ; torch.logdet(torch.ones(2, 2))
torch.linalg.svd(wide.float()).S ; torch.det(torch.eye(3, dtype=torch.float32))
torch.linalg.cond(q, 1) ; torch.linalg.cond(c, 'fro') ; torch.svd(q, compute_uv=False).U
torch.linalg.lstsq(tall, tall[..., :1] ** 2).residuals ; torch.slogdet(torch.zeros(2, 2)).sign
"""


@pytest.mark.parametrize("expression", rows(PLAIN))
def test_value(expression):
    ours, theirs = (
        eval(expression, names_of(lib) | {"e": lib.zeros(0, 0)}) for lib in (chainrule, torch)
    )
    if not isinstance(theirs, torch.Tensor):
        assert ours == theirs
        return
    assert tuple(ours.shape) == tuple(theirs.shape) and str(ours.dtype) == str(theirs.dtype)
    np.testing.assert_allclose(ours.tolist(), theirs.tolist(), 1e-6, 1e-6)


REFUSED = """
torch.inverse(z) ; torch.linalg.solve(z, z) ; torch.linalg.cholesky(-torch.eye(3))
torch.linalg.svd(z * nan) ; torch.linalg.eigh(z * nan)
torch.det(torch.ones(2, 3)) ; torch.linalg.svd(torch.ones(3))
torch.linalg.eigh(torch.ones(2, 3))
torch.linalg.qr(torch.ones(3)) ; torch.linalg.cholesky(torch.ones(3))
torch.logdet(torch.ones(2, 3))
torch.det(z.long()) ; torch.linalg.svdvals(z.half()) ; torch.linalg.inv(z.bool())
torch.linalg.solve(z, z.double()) ; torch.linalg.solve(z, torch.ones(4, 1))
torch.linalg.norm(torch.ones(2, 2, 2), 2) ; torch.linalg.matrix_norm(z, 3)
torch.linalg.qr(z, 'raw')
"""


@pytest.mark.parametrize("expression", rows(REFUSED))
def test_what_is_refused(expression):
    for lib in (torch, chainrule):
        with pytest.raises(RuntimeError) as caught:
            found = eval(expression, {"torch": lib, "z": lib.zeros(3, 3), "nan": float("nan")})
            for x in found if isinstance(found, tuple) else (found,):
                x.tolist()
        kind = caught.type
        if lib is torch:
            expected = issubclass(kind, torch.linalg.LinAlgError)
    assert issubclass(kind, chainrule.linalg.LinAlgError) == expected
    assert "\n  recorded at <string>:1" in str(caught.value)


@pytest.mark.parametrize("expression", [
    "torch.linalg.eigh(a)[1].sum()", "torch.linalg.svd(a)[0].square().sum()",
    "torch.linalg.eigvalsh(a).sum()", "torch.linalg.svdvals(a).sum()",
    "torch.linalg.norm(a, 'nuc')", "torch.slogdet(a - torch.eye(3))[1]",
])
def test_gradients_at_equal_values(expression):
    """NaN or inf where PyTorch's is, finite where it exists."""
    found = []
    for lib in (torch, chainrule):
        a = lib.eye(3, dtype=lib.float64, requires_grad=True)
        eval(expression, {"torch": lib, "a": a}).backward()
        found.append(np.array(a.grad.tolist()))
    finite = [np.isfinite(g).all() for g in found]
    assert finite[0] == finite[1], found
    if finite[0]:
        np.testing.assert_allclose(found[1], found[0], 1e-12, 1e-12)
