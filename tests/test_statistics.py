"""Quantiles, covariances, differences, integrals: known values, and what is refused."""

import re

import pytest

import chainrule as torch

X = torch.tensor([[1.0, 2.0, 4.0, 8.0], [2.0, 1.0, 1.0, 0.0]])


def test_differences_and_integrals_undo_each_other():
    x = torch.tensor([0.0, 0.5, 2.0])
    assert torch.diff(X).tolist() == [[1.0, 2.0, 4.0], [-1.0, 0.0, -1.0]]
    assert torch.cumulative_trapezoid(2 * x, x).tolist() == [0.25, 4.0]
    assert torch.trapezoid(2 * x, x).item() == 4.0
    assert torch.trapz is torch.trapezoid


def test_running_extremes():
    values, indices = torch.tensor([1, 3, 3, 2]).cummax(0)
    assert (values.tolist(), indices.tolist()) == ([1, 3, 3, 3], [0, 1, 2, 2])
    found = torch.cummin(X, 1)
    assert found.values[1].tolist() == [2.0, 1.0, 1.0, 0.0] and found.indices[1, 2].item() == 2


def test_quantiles():
    share = torch.tensor([0.0, 0.5, 1.0])
    assert torch.quantile(X, share, dim=1).T.tolist() == [[1.0, 3.0, 8.0], [0.0, 1.0, 2.0]]
    holes = torch.where(X > 1, X, float("nan"))
    assert torch.quantile(holes, 0.5, dim=1)[1].isnan().item()
    assert holes.nanquantile(0.5, dim=1).tolist() == [4.0, 2.0]


def test_covariance_and_correlation():
    centred = X - X.mean(1, keepdim=True)
    assert torch.allclose(torch.cov(X), centred @ centred.T / 3)
    r = torch.corrcoef(X)
    assert torch.allclose(r.diagonal(), torch.ones(2)) and -1 < r[0, 1].item() < -0.9


REFUSED = {
    "n": (lambda: torch.diff(X, -1), "diff requires n >= 0, got -1"),
    "no axis": (lambda: torch.diff(torch.tensor(1.0)), "diff requires at least one axis"),
    "x and dx": (lambda: torch.trapezoid(X, X, dx=1.0), "trapezoid requires x or dx, got both"),
    "points": (lambda: torch.trapezoid(X, X[0, :3]), "got 3 and 4"),
    "interpolation": (lambda: X.quantile(0.5, interpolation="cubic"), "got 'cubic'"),
    "integers": (lambda: X.long().quantile(0.5), "got torch.int64"),
    "dtypes": (lambda: X.quantile(torch.tensor([0.5]).double()), "torch.float64 and torch.float32"),
    "axes": (lambda: X.quantile(torch.full((2, 2), 0.5)), "got shapes (2, 2) and (2, 4)"),
    "no elements": (lambda: X[:0].nanquantile(0.5), "nanquantile requires a q of at most one axis"),
    "range": (lambda: X.quantile(1.5), "quantile requires q between 0 and 1, got 1.5"),
    "cov": (lambda: torch.cov(X[None]), "cov requires at most two axes, got shape (1, 2, 4)"),
    "weights": (lambda: torch.cov(X, aweights=X[0, :2]), "one of aweights for each observation"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name):
    make, part = REFUSED[name]
    with pytest.raises(RuntimeError) as caught:
        make()
    assert part in str(caught.value)
    assert re.search(r" requires .+, got .+\n  recorded at test_statistics\.py:\d+",
                     str(caught.value))
