"""MultivariateNormal against PyTorch's: samples of the same stream, densities, gradients, facts."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import chainrule  # noqa: E402

RNG = np.random.default_rng(0)
ROOT = RNG.standard_normal((2, 3, 3)).astype(np.float32)
COVARIANCE = ROOT @ ROOT.transpose(0, 2, 1) + np.eye(3, dtype=np.float32)
LOWER = np.linalg.cholesky(COVARIANCE)
LOC = RNG.standard_normal((4, 1, 3)).astype(np.float32)
CASES = {
    "covariance": (LOC[0, 0], {"covariance_matrix": COVARIANCE[0]}),
    "factor": (LOC[0, 0], {"scale_tril": LOWER[0]}),
    "precision": (LOC[0, 0], {"precision_matrix": COVARIANCE[0]}),
    "batch": (LOC, {"covariance_matrix": COVARIANCE}),
    "one factor": (LOC, {"scale_tril": LOWER[0]}),
    "one loc": (LOC[0, 0], {"precision_matrix": COVARIANCE}),
}


def both(name):
    """For PyTorch and chainrule: the library, the distribution and its leaves."""
    loc, matrix = CASES[name]
    for lib in (torch, chainrule):
        leaf = lib.tensor(loc, requires_grad=True)
        given = {k: lib.tensor(v, requires_grad=True) for k, v in matrix.items()}
        yield lib, lib.distributions.MultivariateNormal(leaf, **given), [leaf, *given.values()]


def assert_close(results, tolerance=2e-5):
    theirs, ours = results
    for a, b in zip(theirs, ours):
        assert tuple(a.shape) == tuple(b.shape)
        np.testing.assert_allclose(b.tolist(), a.tolist(), tolerance, tolerance)


@pytest.mark.parametrize("name", CASES)
def test_samples_and_their_gradient(name):
    found = []
    for lib, d, leaves in both(name):
        lib.manual_seed(3)
        sample, path = d.sample((2,)), d.rsample((3,))
        (path**2).sum().backward()
        assert not sample.requires_grad
        found.append([sample, path, *[x.grad for x in leaves], lib.rand(3)])
    assert_close(found)


@pytest.mark.parametrize("name", CASES)
def test_densities_facts_and_gradients(name):
    found, shapes = [], []
    for lib, d, leaves in both(name):
        text = repr(d)
        value = lib.tensor(LOC[:1, 0] * 0.5)
        probability = d.log_prob(value)
        facts = [d.mean, d.mode, d.variance, d.stddev, d.entropy(), d.covariance_matrix,
                 d.precision_matrix, d.scale_tril, d.perplexity()]
        wide = d.expand((5, *d.batch_shape))
        facts += [wide.variance, wide.scale_tril, wide.entropy(), wide.log_prob(value[0])]
        (probability.sum() + d.entropy().sum() + d.covariance_matrix.sum()).backward()
        found.append([probability, *facts, *[x.grad for x in leaves]])
        shapes.append((tuple(d.batch_shape), tuple(d.event_shape), text))
    assert shapes[0] == shapes[1]
    assert_close(found, 1e-4)


def test_kl_divergence():
    found = []
    for lib in (torch, chainrule):
        make = lib.distributions.MultivariateNormal
        p = make(lib.tensor(LOC), scale_tril=lib.tensor(LOWER))
        q = make(lib.tensor(LOC[1, 0]), lib.tensor(COVARIANCE[1]))
        found.append([lib.distributions.kl_divergence(p, q)])
    assert_close(found)
