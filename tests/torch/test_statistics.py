"""Quantiles, covariances, differences, integrals and running extremes against PyTorch."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import chainrule  # noqa: E402

RNG = np.random.default_rng(0)
INPUTS = {
    "a": RNG.standard_normal((2, 5)),
    "c": RNG.standard_normal((2, 3, 4)),
    "v": RNG.standard_normal(6),
    "w": RNG.uniform(0.5, 2.0, 5),
    "n": np.where(RNG.random((3, 4)) < 0.3, np.nan, RNG.standard_normal((3, 4))),
    "t": np.array([1.0, 3.0, 3.0, 2.0, 3.0, np.nan, 4.0, np.nan, 5.0]),
}

ROWS = """
torch.diff(v) ; a.diff() ; torch.diff(c, dim=1) ; torch.diff(c, 2, 0) ; torch.diff(a, n=2)
torch.diff(a, 9) ; torch.diff(a, prepend=a[:, :1], append=a) ; torch.diff(i, 0) ; torch.diff(i > 1)
torch.diff(v[:0]) ; torch.diff(i, dim=0)
torch.trapezoid(v) ; torch.trapz(a, dx=0.5) ; torch.trapezoid(c, dim=1)
torch.trapezoid(c, a[0, :4])
torch.trapezoid(c, c ** 2, dim=0) ; torch.trapezoid(c, n, dim=1) ; torch.trapezoid(i)
torch.trapezoid(a, w) ; torch.trapezoid(v[:1])
torch.cumulative_trapezoid(v) ; torch.cumulative_trapezoid(c, dim=1) ; torch.cumulative_trapezoid(i)
torch.cumulative_trapezoid(a, w) ; torch.cumulative_trapezoid(a, dx=3)
torch.cummax(a, 1)[0] ; torch.cummax(c, 0).indices ; t.cummax(0).values ; t.cummax(0)[1]
torch.cummin(a, -1)[0] ; c.cummin(1).indices ; t.cummin(0).values ; t.cummin(0).indices
torch.cummax(i, 1)[1] ; torch.cummin(i, 0).values ; torch.cummax(v[0], 0)[1] ; v[0].cummin(0)[0]
torch.cummax(i > 1, 1)[0] ; torch.cummax(a.half(), 1)[1] ; torch.cummax(a.bfloat16(), 1)[1]
torch.quantile(v, 0.3) ; a.quantile(0.5, 1) ; torch.quantile(c, q, dim=1) ; torch.quantile(c, q)
torch.quantile(c, q, dim=0, keepdim=True) ; torch.quantile(c, 0.9, keepdim=True)
torch.quantile(c, q, keepdim=True) ; torch.quantile(v, 0.3, interpolation='lower')
torch.quantile(v, 0.3, interpolation='higher') ; torch.quantile(v, 0.3, interpolation='nearest')
torch.quantile(v, q, interpolation='midpoint') ; torch.quantile(n, 0.2, 1) ; torch.quantile(n, q, 0)
torch.nanquantile(n, q, 0) ; torch.nanquantile(n, 0.7) ; n.nanquantile(q, 1, keepdim=True)
torch.nanquantile(n * float('nan'), 0.5, 0) ; torch.quantile(v[0], 0.5)
torch.quantile(a, 0.25, dim=1, keepdim=True) ; torch.quantile(a.float(), 0.7, dim=0)
torch.cov(a) ; torch.cov(v) ; torch.cov(a, correction=0) ; torch.cov(a, aweights=w)
torch.cov(a, fweights=f) ; torch.cov(a, fweights=f, aweights=w) ; torch.cov(a[:, 0]) ; a.cov()
torch.cov(a.T, correction=2, aweights=a[:, 0] ** 2) ; torch.cov(i, correction=3)
torch.corrcoef(a) ; a.T.corrcoef() ; torch.corrcoef(v) ; torch.corrcoef(i)
"""


def rows(text):
    return [e.strip() for line in text.strip().splitlines() for e in line.split(" ; ")]


def names_of(lib):
    made = {k: lib.tensor(v, dtype=lib.float64, requires_grad=True) for k, v in INPUTS.items()}
    return {
        "torch": lib,
        "i": lib.tensor([[1, 3, 2], [2, 2, 7]]),
        "f": lib.tensor([1, 2, 1, 3, 1]),
        "q": lib.tensor([0.0, 0.25, 0.6, 1.0], dtype=lib.float64),
        **made,
    }


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("expression", rows(ROWS))
def test_value_and_gradient(expression):
    values, gradients = [], []
    for lib in (torch, chainrule):
        names = names_of(lib)
        value = eval(expression, names)
        values.append(value)
        if value.requires_grad:
            weights = np.cos(np.arange(value.numel(), dtype=float)).reshape(tuple(value.shape))
            (value * lib.tensor(weights)).sum().backward()
        gradients.append([names[k].grad for k in INPUTS])
    theirs, ours = values
    assert (tuple(ours.shape), str(ours.dtype)) == (tuple(theirs.shape), str(theirs.dtype))
    assert ours.requires_grad == theirs.requires_grad
    np.testing.assert_allclose(ours.tolist(), theirs.tolist(), 1e-6, 1e-6)
    for a, b in zip(*gradients):
        if a is None:
            assert b is None or not b.abs().sum().item()
        else:
            np.testing.assert_allclose(b.tolist(), a.tolist(), 1e-6, 1e-6)


@pytest.mark.parametrize("expression", rows("""
torch.quantile(i, 0.5) ; torch.quantile(v, q.float()) ; torch.quantile(v, 1.5)
torch.quantile(v, 0.5, interpolation='cubic') ; torch.quantile(v[:0], 0.5)
torch.quantile(v, q.reshape(2, 2)) ; torch.quantile(v.half(), 0.5) ; torch.nanquantile(v, -0.5)
torch.diff(v[0]) ; torch.trapezoid(v, w) ; torch.cov(c) ; torch.cov(a, aweights=v)
torch.diff(v, -1)
"""))
def test_what_is_refused(expression):
    with pytest.raises(RuntimeError):
        eval(expression, names_of(torch))
    with pytest.raises(RuntimeError, match="requires .*, got .*\n  recorded at <string>:1"):
        eval(expression, names_of(chainrule))
