"""The uniform distribution."""

from __future__ import annotations

from ..errors import ArgumentError
from ..methods import full_like, rand
from ..tensor import Tensor
from .constraints import Constraint, interval, real
from .distribution import Distribution, broadcast_all


class Uniform(Distribution):
    """p(x) = 1 / (high - low) for low <= x < high.

    >>> import chainrule as torch
    >>> torch.distributions.Uniform(0.0, 4.0).entropy()
    tensor(1.3863)
    """

    arg_constraints = {"low": real, "high": real}
    has_rsample = True

    def __init__(self, low, high, validate_args: bool | None = None):
        self.low, self.high = broadcast_all("Uniform", low, high)
        super().__init__(self.low.shape, (), validate_args)
        if self._validate_args and not (self.low._value() < self.high._value()).all():
            raise ArgumentError(
                f"Uniform requires low < high, got low={self.low.tolist()} and "
                f"high={self.high.tolist()}"
            )

    @property
    def support(self) -> Constraint:
        return interval(self.low._value(), self.high._value())

    @property
    def mean(self) -> Tensor:
        return (self.high + self.low) / 2

    @property
    def mode(self) -> Tensor:
        """NaN: every value is as likely as the others."""
        return full_like(self.high, float("nan"))

    @property
    def variance(self) -> Tensor:
        return (self.high - self.low) ** 2 / 12

    def rsample(self, sample_shape=()) -> Tensor:
        u = rand(self._extended_shape(sample_shape), dtype=self.low.dtype)
        return self.low + u * (self.high - self.low)

    def log_prob(self, value: Tensor) -> Tensor:
        value = self._checked(value)
        inside = (self.low <= value) & (value < self.high)
        return inside.type_as(self.low).log() - (self.high - self.low).log()

    def cdf(self, value: Tensor) -> Tensor:
        return ((self._checked(value) - self.low) / (self.high - self.low)).clamp(0, 1)

    def icdf(self, value: Tensor) -> Tensor:
        return value * (self.high - self.low) + self.low

    def entropy(self) -> Tensor:
        return (self.high - self.low).log()
