"""PyTorch's CPU random stream, from NumPy's Mersenne Twister.

Every draw is a formula over the next 32-bit words of the twister, or over the singles and doubles
made of them (twister.py), and takes exactly as many as PyTorch 2.13 takes, so that programs with
equal seeds see equal numbers.

Uniforms, integers, permutations and masks are PyTorch's bits; what goes through a logarithm or a
sine agrees to the last bit or two of its dtype.  Where PyTorch hands a draw to Intel's library
(Bernoulli and exponential draws on Intel processors) its stream depends on the host; this one
does not.  Arrays of more than a few thousand values are drawn in chunks that stay in the cache.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

import numpy as np

from .devices import CPU, require_cpu
from .devices import device as Device
from .errors import ChainruleError, DTypeError
from .twister import Twister

CHUNK = 1 << 15  # values of one chunk of a large array; a multiple of 16
DIGITS = {"float64": 53, "float32": 24, "float16": 11, "bfloat16": 8}  # of a dtype's significand
SQUEEZE = float(np.float32(0.0331))  # of Marsaglia and Tsang's quick acceptance

Shape = tuple[int, ...]


class DrawError(ChainruleError, RuntimeError):
    """A distribution that does not exist: a parameter outside of its range."""


class Generator(Twister):
    """A stream of random numbers; equal seeds give PyTorch's numbers.

    Every draw returns a new NumPy array and moves the stream on.  `dtype` is NumPy's.

    >>> from chainrule.random import Generator
    >>> Generator().manual_seed(0).uniform((2,), "float32")
    array([0.4962566, 0.7682218], dtype=float32)
    """

    def __init__(self, device: Device | str | None = None):
        require_cpu(device)
        self.device = CPU
        super().__init__()

    # ---- uniform numbers, integers, masks ----

    def uniform(self, shape: Shape, dtype="float32", low=0.0, high=1.0) -> np.ndarray:
        """low + (high - low) u; float16 and bfloat16 are rounded from singles."""
        dtype = _floating("uniform_", dtype)
        if (low, high) == (0.0, 1.0) and dtype.itemsize > 2:
            return _fill(lambda n: self._uniforms(n, dtype), shape, dtype)
        if not (low <= high and high - low <= _bounds(dtype)[1]):
            raise DrawError(
                f"uniform_ requires from <= to and to - from finite in {dtype}, "
                f"got from={low:g} and to={high:g}"
            )
        work = np.float64 if dtype == np.float64 else np.float32
        # The product of two float32 numbers is exact in float64: this is PyTorch's fused
        # multiply-add, with its one rounding.
        span, start = np.float64(work(high) - work(low)), float(work(low))
        first, past = dtype.type(low), dtype.type(high)

        def draw(count: int) -> np.ndarray:
            u = _rounded(self._uniforms(count, dtype) * span + start, dtype)
            u[u == past] = first  # rounding must not reach the open end
            return u

        return _fill(draw, shape, dtype)

    def integers(self, low: int, high: int | None, shape: Shape, dtype="int64") -> np.ndarray:
        """low + w mod (high - low); w is 64 bits wide from a range of 2^28 on.

        high=None means past the largest integer that the dtype holds exactly.
        """
        dtype = np.dtype(dtype)
        high = _last_integer(dtype) + 1 if high is None else high
        least, largest = _bounds(dtype)
        if not least <= low < high <= largest + 1:
            raise DrawError(
                f"random_ requires {least} <= from < to <= {largest} + 1 for {dtype}, "
                f"got from={low} and to={high}"
            )
        span = high - low
        if span == 1 << 64:
            return _fill(lambda n: self._integers64(n).view(np.int64), shape, dtype)
        if span < 1 << 28:
            return _fill(lambda n: self._words(n) % np.uint32(span) + np.int64(low), shape, dtype)
        return _fill(lambda n: _wrap(self._integers64(n), span, low), shape, dtype)

    def random(self, shape: Shape, dtype="int64") -> np.ndarray:
        """`random_()` without bounds: all that are not negative, up to 2^digits for floats."""
        dtype = np.dtype(dtype)
        span = _last_integer(dtype) + 1
        if dtype.itemsize == 8:
            return _fill(lambda n: _wrap(self._integers64(n), span, 0), shape, dtype)
        return _fill(lambda n: self._words(n) % np.uint32(span), shape, dtype)

    def seed64(self) -> int:
        """A seed for another generator, as a data loader draws one: an int64, not negative."""
        return int(self.random((), "int64"))

    def permutation(self, n: int) -> np.ndarray:
        """The numbers 0..n-1 in random order (int64): for i = 0..n-2 swap i and i + w mod (n-i).

        Source: Fisher and Yates (1938), as a loop over places; here all swaps at once.
        """
        if n < 0:
            raise DrawError(f"randperm requires n >= 0, got {n}")
        steps = np.arange(n)
        places = steps.copy()  # step i swaps places i and places[i]
        places[: n - 1] += self._words(max(n - 1, 0)) % np.arange(n, 1, -1, dtype=np.uint32)
        return _swapped(steps, places)

    def bernoulli(self, p: float | np.ndarray, shape: Shape, dtype="float32") -> np.ndarray:
        """1 where u < p, else 0.  u is a double for a number p or an array of float64, else a
        single; an array p broadcasts to `shape`."""
        dtype = np.dtype(dtype)
        if not isinstance(p, np.ndarray):
            if not 0.0 <= p <= 1.0:
                raise DrawError(f"bernoulli requires 0 <= p <= 1, got p={p:g}")
            return _fill(lambda n: self._below(n, p), shape, dtype)
        if not ((p >= 0) & (p <= 1)).all():
            raise DrawError(f"bernoulli requires 0 <= p <= 1, got p from {p.min()} to {p.max()}")
        u = self._uniforms(math.prod(shape), _floating("bernoulli", p.dtype))
        return (u.reshape(shape) < p.astype(u.dtype, copy=False)).astype(dtype)

    def _below(self, count: int, p: float) -> np.ndarray:
        """u < p for doubles u, by their 53-bit integers: the high word decides nearly always."""
        words = self._words(2 * count)
        high, low = divmod(math.ceil(p * 2.0**53), 1 << 32)
        head = words[0::2] & 0x1FFFFF
        below = head < high
        ties = head == high
        if ties.any():
            below |= ties & (words[1::2] < low)
        return below

    # ---- normal numbers ----

    def normal(
        self, shape: Shape, dtype="float32", mean=0.0, std=1.0, contiguous=True
    ) -> np.ndarray:
        """mean + std z.  From 16 values on z comes in blocks of 16: eight radii, then eight angles.

        Fewer values, or a destination that is not contiguous, take pairs of doubles and leave
        the second number of the last pair to the next draw of that kind.
        Source: Box and Muller (1958), "A note on the generation of random normal deviates".
        """
        dtype = _floating("normal_", dtype)
        if not std >= 0.0:
            raise DrawError(f"normal_ requires std >= 0, got std={std:g}")
        if math.prod(shape) >= 16 and contiguous:
            return self._normal_blocks(shape, dtype, mean, std)
        return _fill(lambda n: self._normal_pairs(n) * std + mean, shape, dtype)

    def _normal_blocks(self, shape: Shape, dtype: np.dtype, mean, std) -> np.ndarray:
        work = np.float64 if dtype == np.float64 else np.float32

        def draw(count: int) -> np.ndarray:
            u = self._uniforms(count, dtype).reshape(-1, 2, 8)
            np.subtract(1, u[:, 0], out=u[:, 0])
            radius = np.sqrt(np.log(u[:, 0]) * work(-2))
            angle = u[:, 1] * work(2 * math.pi)
            np.multiply(radius, np.cos(angle), out=u[:, 0])
            np.multiply(radius, np.sin(angle), out=u[:, 1])
            return (u if (mean, std) == (0, 1) else u * work(std) + work(mean)).reshape(-1)

        size = math.prod(shape)
        tail = size % 16
        z = _fill(draw, (size - tail,), dtype)
        if tail:
            # PyTorch fills every place first, and then draws the last 16 anew; the half dtypes
            # are filled block by block, so that nothing is drawn in vain.
            self._uniforms(tail if dtype.itemsize > 2 else 0, dtype)
            z = np.concatenate((z[: size - 16], _rounded(draw(16), dtype)))
        return z.reshape(shape)

    def _normal_pairs(self, count: int) -> np.ndarray:
        z = [] if self._spare is None else [self._spare]
        u = self._doubles(max(count - len(z) + 1, 0) // 2 * 2).tolist()
        for turn, chance in zip(u[0::2], u[1::2], strict=True):
            radius, angle = math.sqrt(-2.0 * math.log1p(-chance)), 2.0 * math.pi * turn
            z += radius * math.cos(angle), radius * math.sin(angle)
        self._spare = z[count] if len(z) > count else None
        return np.array(z[:count])

    def log_normal(self, shape: Shape, dtype="float32", mean=1.0, std=2.0) -> np.ndarray:
        """exp(mean + std z), z from pairs of doubles at every size."""
        dtype = _floating("log_normal_", dtype)
        if not std > 0.0:
            raise DrawError(f"log_normal_ requires std > 0, got std={std:g}")

        def draw(count: int) -> np.ndarray:
            with np.errstate(over="ignore"):
                return np.exp(self._normal_pairs(count) * std + mean)

        return _fill(draw, shape, dtype)

    # ---- other distributions, by inversion of one double ----

    def exponential(self, shape: Shape, dtype="float32", lambd=1.0) -> np.ndarray:
        """-log(1 - u) / lambd."""
        dtype = _floating("exponential_", dtype)
        if not lambd > 0.0:
            raise DrawError(f"exponential_ requires lambd > 0, got lambd={lambd:g}")
        return _fill(lambda n: np.log1p(-self._doubles(n)) * (-1.0 / lambd), shape, dtype)

    def cauchy(self, shape: Shape, dtype="float32", median=0.0, sigma=1.0) -> np.ndarray:
        """median + sigma tan(pi (u - 1/2))."""
        dtype = _floating("cauchy_", dtype)
        if not sigma > 0.0:
            raise DrawError(f"cauchy_ requires sigma > 0, got sigma={sigma:g}")
        return _fill(
            lambda n: np.tan((self._doubles(n) - 0.5) * math.pi) * sigma + median, shape, dtype
        )

    def geometric(self, shape: Shape, dtype, p: float) -> np.ndarray:
        """ceil(log u / log(1 - p)): the trial, from 1 on, of the first success."""
        if not 0.0 < p < 1.0:
            raise DrawError(f"geometric_ requires 0 < p < 1, got p={p:g}")

        def draw(count: int) -> np.ndarray:
            with np.errstate(divide="ignore"):
                return np.ceil(np.log(self._doubles(count)) / math.log1p(-p))

        return _fill(draw, shape, np.dtype(dtype))

    # ---- choices ----

    def multinomial(
        self, probs: np.ndarray, num_samples: int, replacement: bool = False
    ) -> np.ndarray:
        """Indices (int64) drawn from rows of weights (..., n); the rows need not sum to one.

        With replacement: the first index whose cumulated probability reaches a double u.
        Without, and for one sample: the largest p_i / e_i with exponential e_i (a race that
        index i wins with probability p_i / sum p);
        PyTorch leaves open in which order indices of weight 0 come, here it is theirs.
        """
        _check_weights(probs, num_samples, replacement)
        if not replacement or num_samples == 1:
            race = probs / self.exponential(probs.shape, probs.dtype)
            return _largest_first(race, num_samples)
        rows = probs.reshape(-1, probs.shape[-1])
        work = rows.astype(np.float64 if rows.dtype == np.float64 else np.float32)
        cumulated = np.cumsum(work, axis=1)
        cumulated = (cumulated / cumulated[:, -1:]).astype(np.float64)
        cumulated[:, -1] = 1.0
        u = self._doubles(len(rows) * num_samples).reshape(len(rows), num_samples)
        found = [np.searchsorted(c, v) for c, v in zip(cumulated, u, strict=True)]
        return np.array(found, np.int64).reshape(*probs.shape[:-1], num_samples)

    # ---- by rejection: a number of words that depends on them, hence one value at a time ----

    def poisson(self, rate: np.ndarray) -> np.ndarray:
        """Counts with the given rates, in rate's shape and dtype.

        Source: Knuth (1969), The Art of Computer Programming 2, 3.4.1, below rate 10; from there
        on Hörmann (1993), "The transformed rejection method for generating Poisson random
        variables", algorithm PTRS.
        """
        if not (rate >= 0).all():
            raise DrawError(f"poisson requires rate >= 0, got {rate.min()}")
        counts = [self._poisson(v) for v in rate.astype(np.float64).reshape(-1).tolist()]
        return np.array(counts, np.float64).astype(rate.dtype).reshape(rate.shape)

    def _poisson(self, rate: float) -> int:
        if rate >= 10.0:
            return self._poisson_transformed(rate)
        if rate == 0.0:
            return 0
        count, product, floor = 0, self._double(), math.exp(-rate)
        while product > floor:
            count += 1
            product *= self._double()
        return count

    def _poisson_transformed(self, rate: float) -> int:
        b = 0.931 + 2.53 * math.sqrt(rate)
        a = -0.059 + 0.02483 * b
        scale = math.log(1.1239 + 1.1328 / (b - 3.4))
        while True:
            u, v = self._double() - 0.5, self._double()
            margin = 0.5 - abs(u)
            k = math.floor((2.0 * a / margin + b) * u + rate + 0.43)
            if margin >= 0.07 and v <= 0.9277 - 3.6224 / (b - 2.0):
                return k
            if k < 0 or margin < 0.013 and v > margin:
                continue
            accept = math.log(v) + scale - math.log(a / (margin * margin) + b)
            if accept <= k * math.log(rate) - rate - math.lgamma(k + 1):
                return k

    def standard_gamma(self, concentration: np.ndarray) -> np.ndarray:
        """Gamma numbers of rate one, in the shape and dtype of `concentration`.

        Source: Marsaglia and Tsang (2000), "A simple method for generating gamma variables".
        """
        if not (concentration >= 0).all():
            raise DrawError(f"gamma requires concentration >= 0, got {concentration.min()}")
        numbers = [self._gamma(a) for a in concentration.reshape(-1)]
        drawn = np.array(numbers, np.float64).astype(concentration.dtype)
        return np.maximum(drawn, _tiny(concentration.dtype)).reshape(concentration.shape)

    def _gamma(self, concentration: np.floating) -> float:
        scale = 1.0
        if concentration < 1:
            if concentration == 0:
                return 0.0
            scale = (1.0 - self._double()) ** float(np.float32(1) / concentration)
            concentration = concentration + np.float32(1)
        # PyTorch writes 1/3 and 0.0331 in float32.
        d = float(concentration - np.float32(1) / np.float32(3))
        c = 1.0 / math.sqrt(9.0 * d)
        while True:
            z = float(self._normal_pairs(1)[0])
            if 1.0 + c * z <= 0.0:
                continue
            v = (1.0 + c * z) ** 3
            u = 1.0 - self._double()
            if u < 1.0 - SQUEEZE * z**4 or math.log(u) < 0.5 * z * z + d * (1.0 - v + math.log(v)):
                return scale * d * v


def _fill(draw: Callable[[int], np.ndarray], shape: Shape, dtype: np.dtype) -> np.ndarray:
    """`draw(count)`, chunk by chunk, as an array of this shape and dtype."""
    size = math.prod(shape)
    if size <= CHUNK:
        return _rounded(draw(size), dtype).reshape(shape)
    out = np.empty(size, dtype)
    for start in range(0, size, CHUNK):
        part = out[start : start + CHUNK]
        part[...] = _rounded(draw(part.size), dtype)
    return out.reshape(shape)


def _rounded(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    if values.dtype == dtype:
        return values
    with np.errstate(over="ignore"):  # past the largest number of a narrow dtype lies inf
        if dtype.itemsize == 2 and dtype.kind not in "iu":
            values = values.astype(np.float32)  # PyTorch rounds doubles to the half dtypes twice
        return values.astype(dtype)


def _swapped(steps: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The order that the swaps of i and places[i] >= i, for i = 0, 1, ..., leave behind.

    Step i takes away what lies at places[i] and puts there what lay at i.  So what lies at k when
    step k begins was put there by the last earlier step that drew k, which had it from its own
    place, and so on down: follow these links to their ends.  What step i takes away is what the
    step before it with the same place has put there, or else what has always been there.
    """
    origin = steps.copy()
    earlier = np.flatnonzero(places != steps)
    origin[places[earlier]] = earlier  # of several steps that draw one place, the last one stays
    while True:
        further = origin[origin]
        if np.array_equal(further, origin):
            break
        origin = further
    # Sorted by place, then by step: the steps that draw the same place stand side by side.
    key = np.sort(places << 32 | steps)
    step, again = key & 0xFFFFFFFF, np.flatnonzero(key[1:] >> 32 == key[:-1] >> 32)
    taken = places.copy()
    taken[step[again + 1]] = origin[step[again]]
    return taken


def _wrap(words: np.ndarray, span: int, low: int) -> np.ndarray:
    # Modulo 2^64, so that a negative `low` and ranges past 2^63 come out right as int64.
    return (words % np.uint64(span) + np.uint64(low % (1 << 64))).view(np.int64)


@cache
def _floating(op: str, dtype) -> np.dtype:
    dtype = np.dtype(dtype)
    if dtype.name not in DIGITS:
        raise DTypeError(f"{op} requires a floating-point dtype, got {dtype}")
    return dtype


@cache
def _bounds(dtype: np.dtype) -> tuple[int, int]:
    if dtype.name == "bfloat16":
        largest = 255 << 120
    elif dtype.kind == "f":
        largest = int(np.finfo(dtype).max)
    elif dtype == np.bool_:
        return 0, 1
    else:
        return int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    return -largest, largest


@cache
def _last_integer(dtype: np.dtype) -> int:
    """The end of the run of integers from 0 on that the dtype holds exactly."""
    return 1 << DIGITS[dtype.name] if dtype.name in DIGITS else _bounds(dtype)[1]


def _tiny(dtype: np.dtype):
    return dtype.type(2.0**-126) if dtype.name == "bfloat16" else np.finfo(dtype).tiny


def _check_weights(probs: np.ndarray, num_samples: int, replacement: bool) -> None:
    _floating("multinomial", probs.dtype)
    if probs.ndim not in (1, 2):
        raise DrawError(f"multinomial requires 1 or 2 dimensions, got shape {probs.shape}")
    if num_samples <= 0:
        raise DrawError(f"multinomial requires num_samples > 0, got {num_samples}")
    if not replacement and num_samples > probs.shape[-1]:
        raise DrawError(
            "multinomial requires num_samples <= probs.shape[-1] without replacement, "
            f"got {num_samples} of {probs.shape[-1]}"
        )
    if not (np.isfinite(probs) & (probs >= 0)).all():
        raise DrawError(f"multinomial requires finite weights >= 0, got {probs.min()} as the least")
    if not probs.any(-1).all():
        raise DrawError("multinomial requires a positive sum of weights, got 0")


def _largest_first(values: np.ndarray, count: int) -> np.ndarray:
    """The indices of the `count` largest of each row, largest first."""
    if count == 1:
        return values.argmax(-1, keepdims=True)
    return np.argsort(-values, axis=-1, kind="stable")[..., :count]


default_generator = Generator()
default_generator.seed()


class _Local(threading.local):
    own: Generator | None = None


_local = _Local()


def stream() -> Generator:
    """What a draw takes its numbers from when it names no generator: the default generator.

    In a data loader's thread it is the worker's own, so that the numbers the program draws do
    not depend on how far the thread has come.
    """
    return _local.own or default_generator


def set_stream(own: Generator | None) -> None:
    """Let this thread draw from `own`; None stands for the default generator again."""
    _local.own = own


def manual_seed(seed: int) -> Generator:
    """Start the default generator's stream that belongs to `seed`; returns that generator.

    >>> import chainrule as torch
    >>> generator = torch.manual_seed(0)
    >>> torch.rand(2), torch.initial_seed()
    (tensor([0.4963, 0.7682]), 0)
    """
    return stream().manual_seed(seed)


def seed() -> int:
    """Start a stream of the default generator that cannot be foretold; returns its seed."""
    return stream().seed()


@contextmanager
def fork_rng(devices=(), enabled: bool = True) -> Iterator[None]:
    """Draw inside from the default generator, and leave its stream where it was before.

    >>> import chainrule as torch
    >>> generator = torch.manual_seed(0)
    >>> with torch.random.fork_rng():
    ...     aside = torch.rand(5)
    >>> torch.rand(2)
    tensor([0.4963, 0.7682])
    """
    forked = stream()
    state = forked.get_state()
    try:
        yield
    finally:
        if enabled:
            forked.set_state(state)


def initial_seed() -> int:
    """The seed that the default generator's stream was started with."""
    return stream().initial_seed()
