"""Random tensors: drawn when they are recorded, in program order, from PyTorch's stream."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .. import dtypes
from .. import random as rnd
from ..devices import require_cpu
from ..errors import DTypeError
from ..random import Generator
from ..scope import composite
from ..tensor import Tensor, from_array
from .create import keyword_size, shape_of
from .register import into, method

__all__ = [
    "bernoulli", "get_rng_state", "initial_seed", "manual_seed", "multinomial", "normal",
    "poisson", "rand", "rand_like", "randint", "randint_like", "randn", "randn_like", "randperm",
    "seed", "set_rng_state", "Generator", "default_generator",
]

default_generator = rnd.default_generator


def _from(generator: Generator | None) -> Generator:
    return rnd.stream() if generator is None else generator


def manual_seed(seed: int) -> Generator:
    """Start the stream of PyTorch's CPU generator for this seed.

    >>> import chainrule as torch
    >>> _ = torch.manual_seed(0); torch.rand(2)
    tensor([0.4963, 0.7682])
    """
    return rnd.manual_seed(int(seed))


def seed() -> int:
    """Start a stream that no other run has; returns its seed."""
    return rnd.stream().seed()


def initial_seed() -> int:
    """The seed that the stream was started with."""
    return rnd.initial_seed()


def get_rng_state() -> Tensor:
    """The state of the stream, as bytes."""
    return from_array(rnd.stream().get_state())


def set_rng_state(new_state: Tensor) -> None:
    """Continue the stream from a state that get_rng_state gave."""
    rnd.stream().set_state(new_state._value())


# --------------------------------------------------------------------------- new tensors
def _floating(name: str, dtype) -> dtypes.dtype:
    dtype = dtype or dtypes.default_dtype()
    if not dtype.is_floating_point:
        raise DTypeError(f"{name} requires a floating point dtype, got {dtype} (not implemented "
                         f"for '{dtype.name}')")
    return dtype


@keyword_size
def rand(*size, generator=None, dtype=None, device=None, requires_grad=False, out=None,
         layout=None, pin_memory=False) -> Tensor:
    """Uniform numbers from [0, 1), PyTorch's own for the same seed.

    >>> import chainrule as torch
    >>> _ = torch.manual_seed(0); torch.rand(2)
    tensor([0.4963, 0.7682])
    """
    require_cpu(device)
    dtype = _floating("rand", dtype)
    drawn = _from(generator).uniform(shape_of("rand", size), dtype.np)
    return into(out, from_array(drawn, requires_grad))


@keyword_size
def randn(*size, generator=None, dtype=None, device=None, requires_grad=False, out=None,
          layout=None, pin_memory=False) -> Tensor:
    """Standard normal numbers, PyTorch's own for the same seed.

    >>> import chainrule as torch
    >>> _ = torch.manual_seed(0); torch.randn(2)
    tensor([ 1.5410, -0.2934])
    """
    require_cpu(device)
    dtype = _floating("randn", dtype)
    drawn = _from(generator).normal(shape_of("randn", size), dtype.np)
    return into(out, from_array(drawn, requires_grad))


def randint(*bounds, low=0, high=None, size=None, generator=None, dtype=None, device=None,
            requires_grad=False) -> Tensor:
    """Integers from [low, high), given as f(high, size) or f(low, high, size).

    >>> import chainrule as torch
    >>> _ = torch.manual_seed(0); torch.randint(0, 10, (5,))
    tensor([4, 9, 3, 0, 3])
    """
    require_cpu(device)
    given = list(bounds)
    size = given.pop() if size is None else size
    high = given.pop() if high is None else high
    low = int(given[0] if given else low)
    shape = shape_of("randint", tuple(size))
    dtype = dtype or dtypes.int64
    return from_array(_from(generator).integers(low, int(high), shape, dtype.np), requires_grad)


def randperm(n: int, *, generator=None, dtype=None, device=None, requires_grad=False) -> Tensor:
    """The numbers 0 .. n-1 in random order.

    >>> import chainrule as torch
    >>> _ = torch.manual_seed(0); torch.randperm(4)
    tensor([0, 1, 3, 2])
    """
    require_cpu(device)
    order = _from(generator).permutation(int(n))
    return from_array(order.astype((dtype or dtypes.int64).np, copy=False))


def _memory_axes(tensor: Tensor) -> list[int]:
    """The axes from the slowest to the fastest in memory: PyTorch draws in this order."""
    axes = list(range(tensor.ndim))
    if tensor._base is None:
        return axes
    strides = tensor.stride()
    long = [a for a in axes if tensor.shape[a] > 1]
    ordered = sorted(long, key=lambda a: -strides[a])
    return axes if ordered == long else ordered + [a for a in axes if a not in long]


def _in_memory_order(tensor: Tensor, draw: Callable[[tuple[int, ...]], np.ndarray]) -> np.ndarray:
    """draw(shape) in the shape of `tensor`, its numbers along the memory of `tensor`."""
    axes = _memory_axes(tensor)
    drawn = draw(tuple([tensor.shape[a] for a in axes]))
    return drawn.transpose(np.argsort(axes)).copy() if axes != sorted(axes) else drawn


def rand_like(input: Tensor, *, generator=None, dtype=None, device=None, requires_grad=False,
              memory_format=None) -> Tensor:
    """Uniform numbers in the shape of `input`."""
    require_cpu(device)
    dtype, stream = _floating("rand_like", dtype or input.dtype), _from(generator)
    drawn = _in_memory_order(input, lambda shape: stream.uniform(shape, dtype.np))
    return from_array(drawn, requires_grad)


def randn_like(input: Tensor, *, generator=None, dtype=None, device=None, requires_grad=False,
               memory_format=None) -> Tensor:
    """Standard normal numbers in the shape of `input`."""
    require_cpu(device)
    dtype, stream = _floating("randn_like", dtype or input.dtype), _from(generator)
    axes = _memory_axes(input)
    drawn = _in_memory_order(
        input, lambda shape: stream.normal(shape, dtype.np, contiguous=axes == sorted(axes))
    )
    return from_array(drawn, requires_grad)


def randint_like(input: Tensor, low, high=None, *, generator=None, dtype=None, device=None,
                 requires_grad=False) -> Tensor:
    """Integers from [low, high), or from [0, low), in the shape of `input`."""
    require_cpu(device)
    low, high = (0, low) if high is None else (low, high)
    dtype, stream = dtype or input.dtype, _from(generator)
    drawn = _in_memory_order(
        input, lambda shape: stream.integers(int(low), int(high), shape, dtype.np)
    )
    return from_array(drawn, requires_grad)


def bernoulli_like(input: Tensor, p: float) -> Tensor:
    """1 with probability p, else 0, in the shape of `input`: a dropout mask."""
    stream, dtype = rnd.stream(), input.dtype
    return from_array(
        _in_memory_order(input, lambda shape: stream.bernoulli(p, shape, dtype.np))
    )


@composite()
def normal(mean, std=1.0, size=None, *, generator=None, dtype=None, device=None) -> Tensor:
    """mean + std z with standard normal z; mean and std are numbers or tensors.

    Raises RuntimeError for a negative number as std; a tensor is not looked at, unlike in
    PyTorch, since it may not be computed yet.
    """
    require_cpu(device)
    if not isinstance(mean, Tensor) and not isinstance(std, Tensor):
        shape = shape_of("normal", tuple(size) if size is not None else ())
        d = _floating("normal", dtype)
        return from_array(_from(generator).normal(shape, d.np, float(mean), float(std)))
    like = mean if isinstance(mean, Tensor) else std
    shapes = [tuple(x.shape) for x in (mean, std) if isinstance(x, Tensor)]
    shape = np.broadcast_shapes(*shapes)
    scale = 1.0 if isinstance(std, Tensor) else float(std)
    z = from_array(_from(generator).normal(shape, like.dtype.np, 0.0, scale))
    if isinstance(std, Tensor):
        z = z * std.detach()
    return z + (mean.detach() if isinstance(mean, Tensor) else mean)


@method()
def bernoulli(input: Tensor, p: float | None = None, *, generator=None) -> Tensor:
    """1 with the probability that `input` holds (or p), else 0."""
    stream, shape = _from(generator), tuple(input.shape)
    if p is not None:
        return from_array(stream.bernoulli(float(p), shape, input.dtype.np))
    dtype = _floating("bernoulli", input.dtype)
    return from_array(stream.bernoulli(input._value(), shape, dtype.np))


@method()
def multinomial(input: Tensor, num_samples: int, replacement: bool = False, *, generator=None
                ) -> Tensor:
    """Indices drawn with the (unnormalised) probabilities in each row.

    >>> import chainrule as torch
    >>> _ = torch.manual_seed(0); torch.multinomial(torch.tensor([0.0, 1.0]), 3, replacement=True)
    tensor([1, 1, 1])
    """
    found = _from(generator).multinomial(input._value(), num_samples, replacement)
    return from_array(np.asarray(found, np.int64))


def poisson(input: Tensor, generator=None) -> Tensor:
    """Poisson-distributed counts with the given rates."""
    return from_array(_from(generator).poisson(input._value()))


# --------------------------------------------------------------------------- in place
def _fill(self: Tensor, draw: Callable[[tuple[int, ...]], np.ndarray]) -> Tensor:
    self._check_writable()
    return self._inplace(from_array(_in_memory_order(self, draw)))


def _number(value) -> float:
    return value.item() if isinstance(value, Tensor) else value


@method()
def uniform_(self, from_=0.0, to=1.0, *, generator=None) -> Tensor:
    """Uniform numbers from [from, to)."""
    low, high, stream = _number(from_), _number(to), _from(generator)
    return _fill(self, lambda shape: stream.uniform(shape, self.dtype.np, low, high))


@method()
def normal_(self, mean=0.0, std=1.0, *, generator=None) -> Tensor:
    """mean + std z with standard normal z."""
    mean, std, stream, whole = _number(mean), _number(std), _from(generator), self.is_contiguous()
    return _fill(self, lambda shape: stream.normal(shape, self.dtype.np, mean, std, whole))


@method()
def random_(self, *bounds, generator=None) -> Tensor:
    """Integers from [from, to), from [0, to), or all the dtype has; `to` None means the last."""
    stream = _from(generator)
    if not bounds:
        return _fill(self, lambda shape: stream.random(shape, self.dtype.np))
    low, high = (0, *bounds) if len(bounds) == 1 else bounds
    return _fill(self, lambda shape: stream.integers(low, high, shape, self.dtype.np))


@method()
def bernoulli_(self, p=0.5, *, generator=None) -> Tensor:
    """1 with probability p, a number or a tensor that broadcasts, else 0."""
    stream = _from(generator)
    if isinstance(p, Tensor):
        p = np.broadcast_to(p._value(), self.shape).transpose(_memory_axes(self))
    else:
        p = float(p)
    return _fill(self, lambda shape: stream.bernoulli(p, shape, self.dtype.np))


@method()
def exponential_(self, lambd=1.0, *, generator=None) -> Tensor:
    """-ln(1 - u) / lambd."""
    stream = _from(generator)
    return _fill(self, lambda shape: stream.exponential(shape, self.dtype.np, lambd))


@method()
def cauchy_(self, median=0.0, sigma=1.0, *, generator=None) -> Tensor:
    """median + sigma tan(pi (u - 1/2))."""
    stream = _from(generator)
    return _fill(self, lambda shape: stream.cauchy(shape, self.dtype.np, median, sigma))


@method()
def log_normal_(self, mean=1.0, std=2.0, *, generator=None) -> Tensor:
    """exp(mean + std z)."""
    stream = _from(generator)
    return _fill(self, lambda shape: stream.log_normal(shape, self.dtype.np, mean, std))


@method()
def geometric_(self, p, *, generator=None) -> Tensor:
    """The trial of the first success with probability p."""
    stream = _from(generator)
    return _fill(self, lambda shape: stream.geometric(shape, self.dtype.np, p))
