"""Distributions against PyTorch's: samples of the same stream, densities, moments, gradients."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import chainrule  # noqa: E402
from chainrule import distributions as ours  # noqa: E402

theirs = torch.distributions


def row(*values):
    return np.array(values, np.float32)


# The class, its parameters, and values in its support.
CASES = {
    "Normal": ({"loc": row(-1, 0, 2), "scale": row(0.5, 1, 3)}, row(-2, 0.3, 5)),
    "Normal numbers": ({"loc": 0.0, "scale": 2.0}, row(-2, 0.3, 5)),
    "Normal broadcast": ({"loc": row(-1, 0, 2).reshape(3, 1), "scale": row(0.5, 1)}, row(1, 2)),
    "Uniform": ({"low": row(-1, 0, 2), "high": row(0.5, 1, 3)}, row(-0.7, 0.3, 2.5)),
    "Exponential": ({"rate": row(0.5, 1, 3)}, row(0.1, 2, 5)),
    "Bernoulli": ({"probs": row(0.1, 0.5, 0.9)}, row(0, 1, 1)),
    "Bernoulli logits": ({"logits": row(-3, 0, 2)}, row(1, 0, 1)),
    "Categorical": ({"probs": row(1, 2, 3, 4)}, np.array([0, 3, 1])),
    "Categorical logits": ({"logits": row(-1, 0, 2)}, np.array([0, 2])),
    "Categorical batch": (
        {"logits": np.sin(np.arange(24, dtype=np.float32)).reshape(2, 3, 4)},
        np.array([[0, 3, 1], [2, 2, 0]]),
    ),
    "Gamma": ({"concentration": row(0.5, 1, 3), "rate": row(1, 2, 0.5)}, row(0.1, 2, 5)),
    "Beta": (
        {"concentration1": row(0.5, 1, 3), "concentration0": row(1, 2, 5)},
        row(0.1, 0.5, 0.9),
    ),
}


def build(library, make, name, requires_grad=False):
    """The distribution of a case in one of the two libraries, and its tensor parameters."""
    parameters = {
        key: value if isinstance(value, float) else make(value, requires_grad=requires_grad)
        for key, value in CASES[name][0].items()
    }
    leaves = [p for p in parameters.values() if not isinstance(p, float)]
    return getattr(library, name.split()[0])(**parameters), leaves


def both(name, requires_grad=False):
    return (
        build(theirs, torch.tensor, name, requires_grad),
        build(ours, chainrule.tensor, name, requires_grad),
    )


def close(expected, got, tolerance=2e-6):
    assert tuple(expected.shape) == tuple(got.shape)
    assert str(expected.dtype) == str(got.dtype)
    np.testing.assert_allclose(
        got.detach().numpy(), expected.detach().numpy(), rtol=tolerance, atol=tolerance
    )


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("sample_shape", [(), (5,), (2, 7)])
def test_samples_and_stream(name, sample_shape):
    (p, _), (q, _) = both(name)
    torch.manual_seed(3)
    chainrule.manual_seed(3)
    close(p.sample(sample_shape), q.sample(sample_shape))
    close(torch.rand(3), chainrule.rand(3), 0)


@pytest.mark.parametrize("name", [n for n in CASES if n.split()[0] in "Normal Uniform Exponential"])
def test_rsample_and_its_gradient(name):
    (p, theirs_leaves), (q, our_leaves) = both(name, requires_grad=True)
    torch.manual_seed(3)
    chainrule.manual_seed(3)
    a, b = p.rsample((4,)), q.rsample((4,))
    assert p.has_rsample and q.has_rsample
    close(a, b)
    if our_leaves:
        (a**2).sum().backward()
        (b**2).sum().backward()
        for x, y in zip(theirs_leaves, our_leaves):
            close(x.grad, y.grad, 1e-5)
    assert not q.sample().requires_grad


@pytest.mark.parametrize("name", CASES)
def test_log_prob_and_its_gradient(name):
    value = CASES[name][1]
    (p, their_leaves), (q, our_leaves) = both(name, requires_grad=True)
    a, b = p.log_prob(torch.tensor(value)), q.log_prob(chainrule.tensor(value))
    close(a, b)
    if our_leaves:
        a.sum().backward()
        b.sum().backward()
        for x, y in zip(their_leaves, our_leaves):
            close(x.grad, y.grad, 1e-5)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(
    "fact", ["mean", "variance", "stddev", "mode", "entropy", "perplexity", "cdf", "icdf"]
)
def test_facts(name, fact):
    (p, _), (q, _) = both(name)
    value = CASES[name][1]

    def read(d, tensor):
        if fact in ("cdf", "icdf"):
            return getattr(d, fact)(tensor(value / 7 if fact == "icdf" else value))
        found = getattr(d, fact)
        return found() if callable(found) else found

    try:
        expected = read(p, torch.tensor)
    except NotImplementedError:
        with pytest.raises(NotImplementedError, match=f"{fact} requires a distribution that"):
            read(q, chainrule.tensor)
        return
    if (name, fact) in {("Beta", "mode"), ("Gamma", "cdf")}:
        pytest.skip("not offered")
    close(expected, read(q, chainrule.tensor), 1e-5)


@pytest.mark.parametrize("name", CASES)
def test_shapes_expansion_and_text(name):
    (p, _), (q, _) = both(name)
    assert (tuple(p.batch_shape), tuple(p.event_shape)) == (q.batch_shape, q.event_shape)
    if name != "Beta":  # PyTorch prints `Beta()`
        assert repr(p) == repr(q)
    shape = (4, *p.batch_shape)
    p, q = p.expand(shape), q.expand(shape)
    assert tuple(p.batch_shape) == q.batch_shape == shape
    torch.manual_seed(1)
    chainrule.manual_seed(1)
    close(p.sample((2,)), q.sample((2,)))
    close(p.entropy(), q.entropy(), 1e-5)


@pytest.mark.parametrize("name", [n for n in CASES if n[:3] in ("Ber", "Cat")])
@pytest.mark.parametrize("expand", [False, True])
def test_enumerate_support(name, expand):
    (p, _), (q, _) = both(name)
    close(p.enumerate_support(expand), q.enumerate_support(expand))
    close(p.probs, q.probs)
    close(p.logits, q.logits, 1e-5)
    assert tuple(p.param_shape) == q.param_shape


PAIRS = {
    "Normal": [(row(0, 1), row(1, 2)), (row(0.5, -1), row(2, 1))],
    "Uniform": [(row(0, 1), row(1, 2)), (row(-0.5, 1.5), row(2, 3))],
    "Exponential": [(row(0.5, 2),), (row(1, 1),)],
    "Bernoulli": [(row(0.1, 0, 0.5, 1, 1),), (row(0.3, 0.5, 0, 1, 0.5),)],
    "Categorical": [(row(0.1, 0, 0.9),), (row(0.3, 0.3, 0.4),)],
    "Gamma": [(row(0.5, 2), row(1, 2)), (row(1, 3), row(2, 1))],
    "Beta": [(row(0.5, 2), row(1, 2)), (row(1, 3), row(2, 1))],
}


@pytest.mark.parametrize("name", PAIRS)
def test_kl_divergence(name):
    first, second = PAIRS[name]

    def divergence(library, tensor):
        make = getattr(library, name)
        return library.kl_divergence(make(*map(tensor, first)), make(*map(tensor, second)))

    close(divergence(theirs, torch.tensor), divergence(ours, chainrule.tensor), 1e-5)


def test_kl_divergence_of_an_impossible_value_is_infinite():
    found = []
    for library, tensor in ((theirs, torch.tensor), (ours, chainrule.tensor)):
        p, q = (library.Categorical(tensor(row(*w))) for w in ((0.5, 0.5), (1, 0)))
        found.append(library.kl_divergence(p, q).item())
    assert found == [np.inf, np.inf]


def test_independent():
    made = []
    for library, tensor in ((theirs, torch.tensor), (ours, chainrule.tensor)):
        d = library.Independent(
            library.Normal(tensor(np.zeros((4, 3), np.float32)), tensor(np.ones(3, np.float32))), 1
        )
        made.append(d)
    p, q = made
    assert (tuple(p.batch_shape), tuple(p.event_shape)) == (q.batch_shape, q.event_shape)
    x = np.sin(np.arange(12, dtype=np.float32)).reshape(4, 3)
    close(p.log_prob(torch.tensor(x)), q.log_prob(chainrule.tensor(x)))
    close(p.entropy(), q.entropy())
    close(p.variance, q.variance)
    close(theirs.kl_divergence(p, p), ours.kl_divergence(q, q))
    torch.manual_seed(1)
    chainrule.manual_seed(1)
    close(p.rsample((2,)), q.rsample((2,)))
    close(p.expand((2, 4)).sample(), q.expand((2, 4)).sample())


def test_policy_gradient():
    """REINFORCE: sample an action, weigh its log-probability, and go backward."""
    grads = []
    for library in (torch, chainrule):
        library.manual_seed(0)
        policy = library.nn.Linear(4, 2)
        losses = []
        for step in range(5):
            state = library.arange(4, dtype=library.float32) * step
            choice = library.distributions.Categorical(library.softmax(policy(state), -1))
            action = choice.sample()
            losses.append(-choice.log_prob(action) * (action.item() + 1.0))
        library.stack(losses).sum().backward()
        grads.append(policy.weight.grad.numpy())
    np.testing.assert_allclose(grads[1], grads[0], rtol=1e-5, atol=1e-6)
