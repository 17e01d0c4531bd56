"""The Bernoulli distribution."""

from __future__ import annotations

from functools import cached_property

from ..functional.activation import log1p_exp
from ..grad_mode import no_grad
from ..methods import arange, bernoulli, where
from ..tensor import Tensor
from .constraints import boolean, real, unit_interval
from .distribution import Distribution, broadcast_all, one_of, within_unit


class Bernoulli(Distribution):
    """P(x = 1) = probs = 1 / (1 + e^-logits); one of the two is given.

    >>> import chainrule as torch
    >>> torch.distributions.Bernoulli(0.25).variance
    tensor(0.1875)
    """

    arg_constraints = {"probs": unit_interval, "logits": real}
    support = boolean
    has_enumerate_support = True

    def __init__(self, probs=None, logits=None, validate_args: bool | None = None):
        one_of("Bernoulli", probs, logits)
        if logits is None:
            (self.probs,) = broadcast_all("Bernoulli", probs)
        else:
            (self.logits,) = broadcast_all("Bernoulli", logits)
        super().__init__(self.param_shape, (), validate_args)

    @cached_property
    def probs(self) -> Tensor:
        return self.logits.sigmoid()

    @cached_property
    def logits(self) -> Tensor:
        p = within_unit(self.probs)
        return p.log() - (-p).log1p()

    @property
    def param_shape(self):
        """The shape of the parameter that was given."""
        return (self.probs if "probs" in self.__dict__ else self.logits).shape

    @property
    def mean(self) -> Tensor:
        return self.probs

    @property
    def mode(self) -> Tensor:
        """1 or 0, whichever is likelier; NaN where they are equally likely."""
        likelier = (self.probs >= 0.5).type_as(self.probs)
        return where(self.probs == 0.5, float("nan"), likelier)

    @property
    def variance(self) -> Tensor:
        return self.probs * (1 - self.probs)

    def sample(self, sample_shape=()) -> Tensor:
        with no_grad():
            return bernoulli(self.probs.expand(self._extended_shape(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        return self._checked(value) * self.logits - log1p_exp(self.logits)

    def entropy(self) -> Tensor:
        return log1p_exp(self.logits) - self.probs * self.logits

    def enumerate_support(self, expand: bool = True) -> Tensor:
        batch = self.batch_shape
        values = arange(2, dtype=self.probs.dtype).view((2,) + (1,) * len(batch))
        return values.expand((2, *batch)) if expand else values
