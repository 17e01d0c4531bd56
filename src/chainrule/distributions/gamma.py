"""The gamma distribution."""

from __future__ import annotations

from ..methods import xlogy
from ..random import stream
from ..tensor import Tensor, from_array
from .constraints import nonnegative, positive
from .distribution import Distribution, broadcast_all


class Gamma(Distribution):
    """p(x) = rate^a x^(a-1) e^(-rate x) / Gamma(a), a = concentration.

    Samples carry no gradient; PyTorch's rsample differentiates through the sampler.

    >>> import chainrule as torch
    >>> torch.distributions.Gamma(3.0, 2.0).mean
    tensor(1.5000)
    """

    arg_constraints = {"concentration": positive, "rate": positive}
    support = nonnegative

    def __init__(self, concentration, rate, validate_args: bool | None = None):
        self.concentration, self.rate = broadcast_all("Gamma", concentration, rate)
        super().__init__(self.rate.shape, (), validate_args)

    @property
    def mean(self) -> Tensor:
        return self.concentration / self.rate

    @property
    def mode(self) -> Tensor:
        return ((self.concentration - 1) / self.rate).clamp(min=0)

    @property
    def variance(self) -> Tensor:
        return self.concentration / self.rate**2

    def sample(self, sample_shape=()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        concentration = self.concentration.detach().expand(shape)._value()
        drawn = from_array(stream().standard_gamma(concentration))
        return drawn / self.rate.detach()

    def log_prob(self, value: Tensor) -> Tensor:
        value, a, rate = self._checked(value), self.concentration, self.rate
        return xlogy(a, rate) + xlogy(a - 1, value) - rate * value - a.lgamma()

    def entropy(self) -> Tensor:
        a = self.concentration
        return a - self.rate.log() + a.lgamma() + (1 - a) * a.digamma()
