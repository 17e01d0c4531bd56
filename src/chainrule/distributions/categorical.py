"""The categorical distribution."""

from __future__ import annotations

from functools import cached_property
from math import prod

import numpy as np

from ..errors import ArgumentError
from ..functional.activation import softmax
from ..methods import arange, broadcast_tensors, full
from ..random import stream
from ..tensor import Tensor, from_array
from .constraints import Constraint, integer_interval, real_vector, simplex
from .distribution import Distribution, one_of, within_unit


class Categorical(Distribution):
    """P(x = i) = probs[..., i] / sum(probs) = softmax(logits)[..., i]; one of the two is given.

    >>> import chainrule as torch
    >>> torch.distributions.Categorical(torch.tensor([1.0, 3.0])).entropy()
    tensor(0.5623)
    """

    arg_constraints = {"probs": simplex, "logits": real_vector}
    has_enumerate_support = True

    def __init__(self, probs=None, logits=None, validate_args: bool | None = None):
        one_of("Categorical", probs, logits)
        given = probs if logits is None else logits
        if given.dim() < 1:
            raise ArgumentError("Categorical requires at least one axis of weights, got a scalar")
        if logits is None:
            self.probs = given / given.sum(-1, keepdim=True)
        else:
            self.logits = given - given.logsumexp(-1, keepdim=True)
        self._num_events = given.shape[-1]
        super().__init__(given.shape[:-1], (), validate_args)

    @cached_property
    def probs(self) -> Tensor:
        return softmax(self.logits, -1)

    @cached_property
    def logits(self) -> Tensor:
        return within_unit(self.probs).log()

    @property
    def support(self) -> Constraint:
        return integer_interval(0, self._num_events - 1)

    @property
    def param_shape(self):
        """The shape of the parameter that was given."""
        return self.batch_shape + (self._num_events,)

    @property
    def mean(self) -> Tensor:
        """NaN: categories are not numbers."""
        return full(self.batch_shape, float("nan"), dtype=self.probs.dtype)

    @property
    def variance(self) -> Tensor:
        return self.mean

    @property
    def mode(self) -> Tensor:
        return self.probs.argmax(-1)

    def sample(self, sample_shape=()) -> Tensor:
        rows = self.probs._value().reshape(-1, self._num_events)
        # One row of draws for each distribution: the samples are the columns.
        drawn = stream().multinomial(rows, prod(sample_shape), replacement=True)
        return from_array(drawn.T.reshape(self._extended_shape(sample_shape)).copy())

    def log_prob(self, value: Tensor) -> Tensor:
        value = self._checked(value).long().unsqueeze(-1)
        value, logits = broadcast_tensors(value, self.logits)
        return logits.gather(-1, value[..., :1]).squeeze(-1)

    def entropy(self) -> Tensor:
        least = float(np.finfo(self.logits.dtype.np).min)  # p ln p = 0 where p = 0
        return -(self.probs * self.logits.clamp(min=least)).sum(-1)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        batch = self.batch_shape
        values = arange(self._num_events).view((-1,) + (1,) * len(batch))
        return values.expand((self._num_events, *batch)) if expand else values
