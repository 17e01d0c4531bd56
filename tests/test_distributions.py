"""Distributions: what is refused, and in which words."""

import math

import pytest

import chainrule as torch
from chainrule.distributions import (
    Bernoulli,
    Beta,
    Categorical,
    Distribution,
    Gamma,
    Independent,
    Normal,
    Uniform,
    kl_divergence,
    register_kl,
)

REFUSED = {
    "Normal requires scale to be > 0, got -1.0": lambda: Normal(0.0, -1.0),
    "Normal requires loc to be a real number, got nan": lambda: Normal(math.nan, 1.0),
    "Normal requires tensors or numbers, got str": lambda: Normal("0", 1.0),
    "Uniform requires low < high, got low=1.0 and high=0.0": lambda: Uniform(1.0, 0.0),
    "Uniform requires value to be between low and high, got 2.0": lambda: Uniform(
        0.0, 1.0
    ).log_prob(torch.tensor(2.0)),
    "Bernoulli requires probs or logits, got neither": Bernoulli,
    "Categorical requires probs or logits, got both": lambda: Categorical(
        torch.ones(2), torch.ones(2)
    ),
    "Bernoulli requires probs to be between 0 and 1, got 1.5": lambda: Bernoulli(1.5),
    "Bernoulli requires value to be 0 or 1, got 0.5": lambda: Bernoulli(0.5).log_prob(
        torch.tensor(0.5)
    ),
    "Categorical requires probs to be numbers >= 0 that sum to 1, got -1.0 to 2.0": (
        lambda: Categorical(torch.tensor([-1.0, 2.0]))
    ),
    "Categorical requires at least one axis of weights, got a scalar": lambda: Categorical(
        torch.tensor(1.0)
    ),
    "Categorical requires value to be an integer from 0 to 1, got 2": lambda: Categorical(
        torch.ones(2)
    ).log_prob(torch.tensor(2)),
    "Categorical requires logits to be real numbers, got nan": lambda: Categorical(
        logits=torch.tensor([math.nan])
    ),
    "Gamma requires concentration to be > 0, got 0.0": lambda: Gamma(0.0, 1.0),
    "Normal requires a Tensor as value, got float": lambda: Normal(0.0, 1.0).log_prob(0.0),
    "Normal requires a value that broadcasts with (3,), got shape (2,)": lambda: Normal(
        torch.zeros(3), 1.0
    ).log_prob(torch.zeros(2)),
    "Independent requires reinterpreted_batch_ndims from 0 to 0, got 1": lambda: Independent(
        Normal(0.0, 1.0), 1
    ),
}


@pytest.mark.parametrize("message", REFUSED)
def test_refused(message):
    with pytest.raises(ValueError) as caught:
        REFUSED[message]()
    assert message in str(caught.value)


MISSING = {
    "rsample requires a distribution that defines it, got Gamma\n"
    "  hint: sample() draws without a gradient": lambda: Gamma(1.0, 1.0).rsample(),
    "cdf requires a distribution that defines it, got Categorical": lambda: Categorical(
        torch.ones(2)
    ).cdf(torch.tensor(1)),
    "mode requires a distribution that defines it, got Beta": lambda: Beta(1.0, 1.0).mode,
    "mean requires a distribution that defines it": lambda: Distribution().mean,
    "variance requires a distribution that defines it": lambda: Distribution().stddev,
    "entropy requires a distribution that defines it": lambda: Distribution().perplexity(),
    "icdf requires a distribution that defines it": lambda: Gamma(1.0, 1.0).icdf(torch.ones(1)),
    "enumerate_support requires a distribution": lambda: Normal(0.0, 1.0).enumerate_support(),
    "log_prob requires a distribution that defines it, got Distribution": lambda: (
        Distribution().log_prob(torch.tensor(1.0))
    ),
    "kl_divergence requires a registered pair, got Normal and Gamma": lambda: kl_divergence(
        Normal(0.0, 1.0), Gamma(1.0, 1.0)
    ),
    "kl_divergence requires equal reinterpreted_batch_ndims, got 1 and 0": lambda: kl_divergence(
        Independent(Normal(torch.zeros(2), 1.0), 1), Independent(Normal(torch.zeros(2), 1.0), 0)
    ),
}


@pytest.mark.parametrize("message", MISSING)
def test_missing(message):
    with pytest.raises(NotImplementedError) as caught:
        MISSING[message]()
    assert message in str(caught.value)


def test_independent_is_its_base_with_other_events():
    base = Normal(torch.tensor([1.0, 2.0]), 1.0)
    joint = Independent(base, 1)
    assert (tuple(joint.batch_shape), tuple(joint.event_shape)) == ((), (2,))
    assert joint.mean.tolist() == joint.mode.tolist() == [1.0, 2.0]
    assert joint.has_rsample and joint.support is base.support
    assert repr(joint.support) == "a real number"
    assert repr(joint) == "Independent(Normal(loc: torch.Size([2]), scale: torch.Size([2])), 1)"
    assert joint.sample_n(3).shape == (3, 2)
    assert joint.log_prob(torch.zeros(3, 2)).shape == (3,)


def test_checks_can_be_left_out():
    assert Normal(0.0, -1.0, validate_args=False).scale.item() == -1.0
    assert Uniform(0.0, 1.0, validate_args=False).log_prob(torch.tensor(2.0)).item() == -math.inf
    Distribution.set_default_validate_args(False)
    try:
        assert Normal(0.0, -1.0).scale.item() == -1.0
    finally:
        Distribution.set_default_validate_args(True)


def test_a_rule_of_ones_own():
    class Narrow(Normal):
        pass

    @register_kl(Narrow, Gamma)
    def rule(p, q):
        return torch.tensor(7.0)

    assert kl_divergence(Narrow(0.0, 1.0), Gamma(1.0, 1.0)).item() == 7.0
    # A subclass uses the rule of its parents where it has none.
    assert kl_divergence(Narrow(0.0, 1.0), Normal(0.0, 1.0)).item() == 0.0


def test_moments_of_samples():
    torch.manual_seed(0)
    for d in (
        Normal(2.0, 0.5),
        Uniform(-1.0, 2.0),
        Gamma(3.0, 2.0),
        Beta(2.0, 3.0),
        Bernoulli(0.3),
    ):
        x = d.sample((4000,))
        assert abs(x.mean().item() - d.mean.item()) < 0.05
        assert abs(x.var().item() - d.variance.item()) < 0.06
        assert not x.requires_grad


def test_parameters_get_gradients():
    logits = torch.tensor([0.5, -0.5, 1.0], requires_grad=True)
    d = Categorical(logits=logits)
    d.log_prob(torch.tensor(1)).backward()
    expected = [-p for p in d.probs.tolist()]
    expected[1] += 1
    assert logits.grad.tolist() == pytest.approx(expected)
