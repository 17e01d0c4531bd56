"""MultivariateNormal: its moments, and what is refused."""

import pytest

import chainrule as torch
from chainrule.distributions import MultivariateNormal, Normal

C = torch.tensor([[2.0, 0.6], [0.6, 1.0]])


def test_samples_have_the_moments():
    torch.manual_seed(0)
    d = MultivariateNormal(torch.tensor([1.0, -1.0]), C)
    x = d.sample((20000,))
    assert torch.allclose(x.mean(0), d.mean, atol=0.03)
    assert torch.allclose(torch.cov(x.T), C, atol=0.05)


def test_a_diagonal_covariance_is_independent():
    loc, scale, x = torch.tensor([0.0, 1.0]), torch.tensor([0.5, 2.0]), torch.tensor([0.3, 0.4])
    d = MultivariateNormal(loc, scale_tril=torch.diag(scale))
    assert torch.allclose(d.log_prob(x), Normal(loc, scale).log_prob(x).sum())
    assert torch.allclose(d.entropy(), Normal(loc, scale).entropy().sum())


def test_a_fact_read_under_no_grad_keeps_its_history():
    root = torch.eye(2, requires_grad=True)
    d = MultivariateNormal(torch.zeros(2), scale_tril=root)
    with torch.no_grad():
        d.covariance_matrix  # noqa: B018
    assert d.covariance_matrix.requires_grad


REFUSED = {
    "none": (lambda: MultivariateNormal(torch.zeros(2)), "got none of them"),
    "two": (lambda: MultivariateNormal(torch.zeros(2), C, C),
            "got covariance_matrix and precision_matrix"),
    "shapes": (lambda: MultivariateNormal(torch.zeros(3), C), "got (3,) and (2, 2)"),
    "loc": (lambda: MultivariateNormal(torch.tensor(0.0), C), "got () and (2, 2)"),
    "not positive": (lambda: MultivariateNormal(torch.zeros(2), -C), "symmetric and positive"),
    "not symmetric": (lambda: MultivariateNormal(torch.zeros(2), C.tril()), "symmetric"),
    "not lower": (lambda: MultivariateNormal(torch.zeros(2), scale_tril=C), "lower triangular"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name):
    make, part = REFUSED[name]
    with pytest.raises(RuntimeError, match="MultivariateNormal requires") as caught:
        make()
    assert part in str(caught.value)
