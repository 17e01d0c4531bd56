"""What all distributions share: batches and events, expansion, sampling without history, checks."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Number
from typing import Any, ClassVar

import numpy as np

from .. import dtypes
from ..errors import ArgumentError
from ..grad_mode import no_grad
from ..methods import broadcast_tensors, tensor
from ..random import DIGITS
from ..shapes import Size
from ..tensor import Tensor
from .constraints import Constraint


class Distribution:
    """A batch of independent distributions over events.

    A sample has the shape sample_shape + batch_shape + event_shape, `log_prob` the shape
    sample_shape + batch_shape.  Parameters and values are checked when they are given, as
    PyTorch does, which computes them; `validate_args=False` leaves that out.

    >>> import chainrule as torch
    >>> d = torch.distributions.Normal(torch.zeros(3), 1.0)
    >>> d.batch_shape, d.sample((2,)).shape
    (torch.Size([3]), torch.Size([2, 3]))
    """

    has_rsample = False  # whether gradients pass through samples to the parameters
    has_enumerate_support = False
    arg_constraints: ClassVar[dict[str, Constraint]] = {}
    support: Any  # a Constraint, or a property that gives one
    _validate_args = True

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        """Whether distributions check their arguments unless they are told."""
        Distribution._validate_args = bool(value)

    def __init__(
        self,
        batch_shape: Sequence[int] = (),
        event_shape: Sequence[int] = (),
        validate_args: bool | None = None,
    ):
        self.batch_shape, self.event_shape = Size(batch_shape), Size(event_shape)
        if validate_args is not None:
            self._validate_args = validate_args
        if self._validate_args:
            for name, constraint in self.arg_constraints.items():
                if name in self.__dict__:
                    self._check(name, self.__dict__[name], constraint)

    def _check(self, name: str, value: Tensor, constraint: Constraint) -> None:
        found = value._value()
        if not np.all(constraint.holds(found)):
            shown = found.item() if found.size == 1 else f"{found.min()} to {found.max()}"
            raise ArgumentError(
                f"{type(self).__name__} requires {name} to be {constraint.rule}, got {shown}"
            )

    # ---- the shape ----

    def expand(self, batch_shape: Sequence[int], _instance=None) -> Distribution:
        """This distribution with its parameters expanded to a larger batch."""
        shape = Size(batch_shape)
        new = object.__new__(type(self))
        new.__dict__.update(self.__dict__, batch_shape=shape)
        for name in self.arg_constraints:
            if name in self.__dict__:
                parameter = self.__dict__[name]
                own = parameter.shape[len(self.batch_shape) :]
                new.__dict__[name] = parameter.expand(shape + own)
        return new

    def _extended_shape(self, sample_shape: Sequence[int] = ()) -> Size:
        return Size(tuple(sample_shape) + tuple(self.batch_shape) + tuple(self.event_shape))

    # ---- numbers ----

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Values drawn from the distribution; no gradient passes."""
        with no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Values drawn as a differentiable function of the parameters."""
        raise self._missing("rsample", "sample() draws without a gradient")

    def sample_n(self, n: int) -> Tensor:
        """`sample((n,))`."""
        return self.sample((n,))

    def log_prob(self, value: Tensor) -> Tensor:
        """ln of the density, or the probability, at `value`."""
        raise self._missing("log_prob")

    def cdf(self, value: Tensor) -> Tensor:
        """The probability of what is at most `value`."""
        raise self._missing("cdf")

    def icdf(self, value: Tensor) -> Tensor:
        """The inverse of `cdf`."""
        raise self._missing("icdf")

    def entropy(self) -> Tensor:
        """-E[ln p]."""
        raise self._missing("entropy")

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """All values, along a new first axis."""
        raise self._missing("enumerate_support")

    def perplexity(self) -> Tensor:
        """e^entropy."""
        return self.entropy().exp()

    @property
    def mean(self) -> Tensor:
        raise self._missing("mean")

    @property
    def mode(self) -> Tensor:
        raise self._missing("mode")

    @property
    def variance(self) -> Tensor:
        raise self._missing("variance")

    @property
    def stddev(self) -> Tensor:
        return self.variance.sqrt()

    def _missing(self, name: str, hint: str | None = None) -> NotImplementedError:
        text = f"{name} requires a distribution that defines it, got {type(self).__name__}"
        return NotImplementedError(text + (f"\n  hint: {hint}" if hint else ""))

    # ---- checks ----

    def _checked(self, value: Tensor) -> Tensor:
        """`value`, which must have the right shape and lie in the support."""
        if not self._validate_args:
            return value
        if not isinstance(value, Tensor):
            raise ArgumentError(
                f"{type(self).__name__} requires a Tensor as value, got {type(value).__name__}"
            )
        own = tuple(self.batch_shape) + tuple(self.event_shape)
        pairs = zip(reversed(value.shape), reversed(own))
        lacks_event = value.dim() < len(self.event_shape)
        if lacks_event or any(1 not in (n, m) and n != m for n, m in pairs):
            raise ArgumentError(
                f"{type(self).__name__} requires a value that broadcasts with {own}, "
                f"got shape {tuple(value.shape)}"
            )
        self._check("value", value, self.support)
        return value

    def __repr__(self) -> str:
        parameters = [(n, self.__dict__[n]) for n in self.arg_constraints if n in self.__dict__]
        shown = [f"{n}: {p if p.numel() == 1 else p.size()}" for n, p in parameters]
        return f"{type(self).__name__}({', '.join(shown)})"


def broadcast_all(name: str, *values: Tensor | float) -> Sequence[Tensor]:
    """All values as tensors of one shape; numbers take the dtype of the first tensor."""
    for value in values:
        if not isinstance(value, (Tensor, Number)):
            raise ArgumentError(f"{name} requires tensors or numbers, got {type(value).__name__}")
    given = [v.dtype for v in values if isinstance(v, Tensor)]
    dtype = given[0] if given else dtypes.default_dtype()
    return broadcast_tensors(
        *[v if isinstance(v, Tensor) else tensor(v, dtype=dtype) for v in values]
    )


def one_of(name: str, probs, logits) -> None:
    """Raise ArgumentError unless exactly one of the two parameters is given."""
    if (probs is None) == (logits is None):
        raise ArgumentError(
            f"{name} requires probs or logits, got {'neither' if probs is None else 'both'}"
        )


def within_unit(probs: Tensor) -> Tensor:
    """Probabilities kept so far from 0 and 1 that their logits are finite."""
    epsilon = 2.0 ** (1 - DIGITS[probs.dtype.name])
    return probs.clamp(epsilon, 1 - epsilon)
