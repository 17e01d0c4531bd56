"""Random tensors: drawn when they are recorded, in program order, from PyTorch's stream."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .. import dtypes
from .. import random as rnd
from ..devices import require_cpu
from ..errors import ArgumentError, DTypeError
from ..random import Generator
from ..scope import composite
from ..tensor import Tensor, from_array
from .create import _keyword_size, shape_of
from .register import method

__all__ = [
    "bernoulli", "get_rng_state", "initial_seed", "manual_seed", "multinomial", "normal",
    "poisson", "rand", "rand_like", "randint", "randint_like", "randn", "randn_like", "randperm",
    "seed", "set_rng_state", "Generator", "default_generator",
]

default_generator = rnd.default_generator


def _from(generator: Generator | None) -> Generator:
    return rnd.default_generator if generator is None else generator


def manual_seed(seed: int) -> Generator:
    """Start the stream of PyTorch's CPU generator for this seed.

    >>> import chainrule as torch
    >>> _ = torch.manual_seed(0); torch.rand(2)
    tensor([0.4963, 0.7682])
    """
    return rnd.manual_seed(int(seed))


def seed() -> int:
    """Start a stream that no other run has; returns its seed."""
    return rnd.default_generator.seed()


def initial_seed() -> int:
    """The seed that the stream was started with."""
    return rnd.initial_seed()


def get_rng_state() -> Tensor:
    """The state of the stream, as bytes."""
    return from_array(rnd.default_generator.get_state())


def set_rng_state(new_state: Tensor) -> None:
    """Continue the stream from a state that get_rng_state gave."""
    rnd.default_generator.set_state(new_state._value())


# --------------------------------------------------------------------------- new tensors
def _floating(name: str, dtype) -> dtypes.dtype:
    dtype = dtype or dtypes.default_dtype()
    if not dtype.is_floating_point:
        raise DTypeError(f"{name} requires a floating point dtype, got {dtype} (not implemented "
                         f"for '{dtype.name}')")
    return dtype


@_keyword_size
def rand(*size, generator=None, dtype=None, device=None, requires_grad=False, out=None,
         layout=None, pin_memory=False) -> Tensor:
    """Uniform numbers from [0, 1)."""
    require_cpu(device)
    dtype = _floating("rand", dtype)
    return from_array(_from(generator).uniform(shape_of("rand", size), dtype.np), requires_grad)


@_keyword_size
def randn(*size, generator=None, dtype=None, device=None, requires_grad=False, out=None,
          layout=None, pin_memory=False) -> Tensor:
    """Standard normal numbers."""
    require_cpu(device)
    dtype = _floating("randn", dtype)
    return from_array(_from(generator).normal(shape_of("randn", size), dtype.np), requires_grad)


def randint(low, high=None, size=None, *, generator=None, dtype=None, device=None,
            requires_grad=False) -> Tensor:
    """Integers from [low, high), or from [0, low)."""
    require_cpu(device)
    if size is None:
        low, high, size = 0, low, high
    if high is None:
        low, high = 0, low
    dtype = dtype or dtypes.int64
    low, high = int(low), int(high)
    if low >= high:
        raise ArgumentError(f"randint requires low < high, got {low} and {high} (random_ expects "
                            "'from' to be less than 'to')")
    shape = shape_of("randint", tuple(size))
    return from_array(_from(generator).integers(low, high, shape, dtype.np), requires_grad)


def randperm(n: int, *, generator=None, dtype=None, device=None, requires_grad=False) -> Tensor:
    """The numbers 0 .. n-1 in random order."""
    require_cpu(device)
    order = _from(generator).permutation(int(n))
    return from_array(order.astype((dtype or dtypes.int64).np, copy=False))


def rand_like(input: Tensor, *, generator=None, dtype=None, device=None, requires_grad=False,
              memory_format=None) -> Tensor:
    """Uniform numbers in the shape of `input`."""
    return rand(tuple(input.shape), generator=generator, dtype=dtype or input.dtype,
                device=device, requires_grad=requires_grad)


def randn_like(input: Tensor, *, generator=None, dtype=None, device=None, requires_grad=False,
               memory_format=None) -> Tensor:
    """Standard normal numbers in the shape of `input`."""
    return randn(tuple(input.shape), generator=generator, dtype=dtype or input.dtype,
                 device=device, requires_grad=requires_grad)


def randint_like(input: Tensor, low, high=None, *, dtype=None, device=None) -> Tensor:
    """Integers in the shape of `input`."""
    low, high = (0, low) if high is None else (low, high)
    return randint(low, high, tuple(input.shape), dtype=dtype or input.dtype, device=device)


@composite()
def normal(mean, std=1.0, size=None, *, generator=None, dtype=None, device=None) -> Tensor:
    """mean + std z with standard normal z; mean and std are numbers or tensors.

    Raises ArgumentError for a negative number as std.
    """
    require_cpu(device)
    if not isinstance(std, Tensor) and std < 0:
        raise ArgumentError(f"normal requires std >= 0, got {std}")
    if not isinstance(mean, Tensor) and not isinstance(std, Tensor):
        shape = shape_of("normal", tuple(size) if size is not None else ())
        d = _floating("normal", dtype)
        return from_array(_from(generator).normal(shape, d.np, float(mean), float(std)))
    like = mean if isinstance(mean, Tensor) else std
    shapes = [tuple(x.shape) for x in (mean, std) if isinstance(x, Tensor)]
    shape = np.broadcast_shapes(*shapes)
    z = from_array(_from(generator).normal(shape, like.dtype.np))
    mean, std = (x.detach() if isinstance(x, Tensor) else x for x in (mean, std))
    return z * std + mean


@method()
def bernoulli(input: Tensor, p: float | None = None, *, generator=None) -> Tensor:
    """1 with the probability that `input` holds (or p), else 0."""
    if p is not None:
        value = _from(generator).bernoulli(float(p), tuple(input.shape), input.dtype.np)
        return from_array(value)
    _floating("bernoulli", input.dtype)
    probs = input._value()
    if probs.size and not ((probs >= 0) & (probs <= 1)).all():
        raise ArgumentError("bernoulli requires probabilities in [0, 1], got "
                            f"{probs.min()} to {probs.max()}")
    return from_array(_from(generator).bernoulli(probs, probs.shape, input.dtype.np))


@method()
def multinomial(input: Tensor, num_samples: int, replacement: bool = False, *, generator=None
                ) -> Tensor:
    """Indices drawn with the (unnormalised) probabilities in each row."""
    found = _from(generator).multinomial(input._value(), num_samples, replacement)
    return from_array(np.asarray(found, np.int64))


def poisson(input: Tensor, generator=None) -> Tensor:
    """Poisson-distributed counts with the given rates."""
    return from_array(_from(generator).poisson(input._value()))


# --------------------------------------------------------------------------- in place
def _drawn(name: str, formula: str) -> Callable:
    """The method that fills a tensor with numbers from a draw of the generator."""

    def install(draw: Callable) -> Callable:
        def fill(self: Tensor, *args, generator: Generator | None = None, **kwargs) -> Tensor:
            self._check_writable()
            array = draw(_from(generator), tuple(self.shape), self.dtype, *args, **kwargs)
            return self._inplace(from_array(np.asarray(array, self.dtype.np)))

        fill.__name__ = name
        fill.__doc__ = formula
        setattr(Tensor, name, fill)
        return fill

    return install


def _numbers(*values):
    return [v.item() if isinstance(v, Tensor) else v for v in values]


@_drawn("uniform_", "Uniform numbers from [from, to).")
def _uniform(g, shape, dtype, from_=0.0, to=1.0, **kw):
    low, high = _numbers(kw.get("from", from_), to)
    if low > high:
        raise ArgumentError(f"uniform_ requires from <= to, got {low} and {high}")
    return g.uniform(shape, dtype.np, low, high)


@_drawn("normal_", "mean + std z with standard normal z.")
def _normal(g, shape, dtype, mean=0.0, std=1.0):
    mean, std = _numbers(mean, std)
    if std < 0:
        raise ArgumentError(f"normal_ requires std >= 0, got {std}")
    return g.normal(shape, dtype.np, mean, std)


@_drawn("random_", "Integers from [from, to), or all that the dtype holds.")
def _random(g, shape, dtype, from_=None, to=None, **kw):
    from_ = kw.get("from", from_)
    if from_ is None:
        return g.random(shape, dtype.np)
    low, high = (0, from_) if to is None else (from_, to)
    return g.integers(low, high, shape, dtype.np)


@_drawn("bernoulli_", "1 with probability p (a number or a tensor), else 0.")
def _bernoulli(g, shape, dtype, p=0.5):
    p = p._value() if isinstance(p, Tensor) else float(p)
    return g.bernoulli(p, shape, dtype.np)


@_drawn("exponential_", "-ln(1 - u) / lambd.")
def _exponential(g, shape, dtype, lambd=1.0):
    return g.exponential(shape, dtype.np, lambd)


@_drawn("cauchy_", "median + sigma tan(pi (u - 1/2)).")
def _cauchy(g, shape, dtype, median=0.0, sigma=1.0):
    return g.cauchy(shape, dtype.np, median, sigma)


@_drawn("log_normal_", "exp(mean + std z).")
def _log_normal(g, shape, dtype, mean=1.0, std=2.0):
    return g.log_normal(shape, dtype.np, mean, std)


@_drawn("geometric_", "The trial of the first success with probability p.")
def _geometric(g, shape, dtype, p):
    return g.geometric(shape, dtype.np, p)
