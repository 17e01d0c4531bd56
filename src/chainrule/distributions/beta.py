"""The beta distribution."""

from __future__ import annotations

import numpy as np

from ..methods import stack, xlogy
from ..random import stream
from ..tensor import Tensor, from_array
from .constraints import positive, unit_interval
from .distribution import Distribution, broadcast_all


class Beta(Distribution):
    """p(x) = x^(a-1) (1 - x)^(b-1) / B(a, b), a and b = concentration1 and concentration0.

    Samples carry no gradient; PyTorch's rsample differentiates through the sampler.

    >>> import chainrule as torch
    >>> torch.distributions.Beta(1.0, 3.0).mean
    tensor(0.2500)
    """

    arg_constraints = {"concentration1": positive, "concentration0": positive}
    support = unit_interval

    def __init__(self, concentration1, concentration0, validate_args: bool | None = None):
        self.concentration1, self.concentration0 = broadcast_all(
            "Beta", concentration1, concentration0
        )
        super().__init__(self.concentration0.shape, (), validate_args)

    @property
    def _total(self) -> Tensor:
        return self.concentration1 + self.concentration0

    @property
    def mean(self) -> Tensor:
        return self.concentration1 / self._total

    @property
    def variance(self) -> Tensor:
        a, b, n = self.concentration1, self.concentration0, self._total
        return a * b / (n**2 * (n + 1))

    def sample(self, sample_shape=()) -> Tensor:
        """x / (x + y) with gamma numbers x and y of the two concentrations."""
        shape = self._extended_shape(sample_shape)
        pairs = stack([self.concentration1.detach(), self.concentration0.detach()], -1)
        drawn = stream().standard_gamma(pairs.expand((*shape, 2))._value().astype(np.float64))
        return from_array((drawn[..., 0] / drawn.sum(-1)).astype(pairs.dtype.np))

    def log_prob(self, value: Tensor) -> Tensor:
        value, a, b = self._checked(value), self.concentration1, self.concentration0
        return xlogy(a - 1, value) + (b - 1) * (-value).log1p() - self._log_beta()

    def _log_beta(self) -> Tensor:
        a, b = self.concentration1, self.concentration0
        return a.lgamma() + b.lgamma() - self._total.lgamma()

    def entropy(self) -> Tensor:
        a, b, n = self.concentration1, self.concentration0, self._total
        tails = (a - 1) * a.digamma() + (b - 1) * b.digamma()
        return self._log_beta() - tails + (n - 2) * n.digamma()
