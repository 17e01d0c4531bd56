"""The order in which samples are visited.  Equal seeds give PyTorch's order."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import Generic, TypeVar

import numpy as np

from ..errors import ArgumentError, ArgumentTypeError
from ..random import Generator, stream

T_co = TypeVar("T_co", covariant=True)

# PyTorch draws with replacement in runs of this length, each from the stream on its own.
RUN = 32


class Sampler(Generic[T_co]):
    """An order of indices; a subclass defines `__iter__`, and `__len__` where it is known."""

    def __init__(self, data_source: Sized | None = None):
        pass

    def __iter__(self) -> Iterator[T_co]:
        raise NotImplementedError(
            f"Sampler requires its subclass to define __iter__, got {type(self).__name__}"
        )


class SequentialSampler(Sampler[int]):
    """0, 1, ..., n - 1.

    >>> list(SequentialSampler("abc"))
    [0, 1, 2]
    """

    def __init__(self, data_source: Sized):
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(Sampler[int]):
    """A random permutation of 0 ... n - 1, or `num_samples` indices drawn with replacement.

    Without a generator, each pass takes one seed from the default generator and draws from a
    generator of its own.  More than n samples without replacement are several permutations.
    Raises ArgumentError (a ValueError) or ArgumentTypeError (a TypeError) for bad arguments.

    >>> import chainrule as torch
    >>> generator = torch.manual_seed(0)
    >>> list(RandomSampler("abcde"))
    [1, 3, 4, 2, 0]
    """

    def __init__(
        self,
        data_source: Sized,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Generator | None = None,
    ):
        _check_flag("RandomSampler", "replacement", replacement, ArgumentTypeError)
        self.data_source = data_source
        self.replacement = replacement
        self.generator = generator
        self._num_samples = num_samples
        _check_positive("RandomSampler", "num_samples", self.num_samples)

    @property
    def num_samples(self) -> int:
        """How many indices one pass gives; the dataset may have grown since the last one."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self) -> Iterator[int]:
        n, total = len(self.data_source), self.num_samples
        source = self.generator
        if source is None:
            source = Generator().manual_seed(stream().seed64())
        if self.replacement:
            for start in range(0, total, RUN):
                yield from source.integers(0, n, (min(RUN, total - start),)).tolist()
        else:
            for _ in range(total // n):
                yield from source.permutation(n).tolist()
            # PyTorch draws the last permutation also when nothing of it is needed.
            yield from source.permutation(n).tolist()[: total % n]

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(Sampler[int]):
    """A random permutation of the given indices.

    >>> import chainrule as torch
    >>> generator = torch.manual_seed(0)
    >>> list(SubsetRandomSampler([2, 3, 5, 7]))
    [2, 3, 7, 5]
    """

    def __init__(self, indices: Sequence[int], generator: Generator | None = None):
        self.indices = indices
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        source = self.generator or stream()
        for i in source.permutation(len(self.indices)).tolist():
            yield self.indices[i]

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler[int]):
    """`num_samples` indices, index i with a probability proportional to `weights[i]`.

    Raises ArgumentError (a ValueError) for bad arguments, and what `multinomial` raises for
    weights that are no distribution.

    >>> import chainrule as torch
    >>> generator = torch.manual_seed(0)
    >>> list(WeightedRandomSampler([0.0, 1.0, 1.0], 6))
    [2, 2, 1, 2, 2, 2]
    """

    def __init__(
        self,
        weights: Sequence[float],
        num_samples: int,
        replacement: bool = True,
        generator: Generator | None = None,
    ):
        _check_positive("WeightedRandomSampler", "num_samples", num_samples)
        _check_flag("WeightedRandomSampler", "replacement", replacement)
        self.weights = np.asarray(weights, np.float64)
        if self.weights.ndim != 1:
            raise ArgumentError(
                "WeightedRandomSampler requires weights of one dimension, "
                f"got shape {self.weights.shape}"
            )
        self.num_samples = num_samples
        self.replacement = replacement
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        source = self.generator or stream()
        chosen = source.multinomial(self.weights, self.num_samples, self.replacement)
        yield from chosen.tolist()

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler[list[int]]):
    """The indices of another sampler in lists of `batch_size`; the last list may be shorter.

    Raises ArgumentError (a ValueError) for bad arguments.

    >>> from chainrule.data import BatchSampler
    >>> list(BatchSampler(range(5), batch_size=2, drop_last=False))
    [[0, 1], [2, 3], [4]]
    """

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool):
        _check_positive("BatchSampler", "batch_size", batch_size)
        _check_flag("BatchSampler", "drop_last", drop_last)
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __iter__(self) -> Iterator[list[int]]:
        indices = iter(self.sampler)
        while batch := list(itertools.islice(indices, self.batch_size)):
            if len(batch) < self.batch_size and self.drop_last:
                return
            yield batch

    def __len__(self) -> int:
        whole, rest = divmod(len(self.sampler), self.batch_size)  # type: ignore[arg-type]
        return whole if self.drop_last or not rest else whole + 1


def _check_positive(owner: str, name: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise ArgumentError(f"{owner} requires a positive integer {name}, got {value!r}")


def _check_flag(owner: str, name: str, value: object, error: type = ArgumentError) -> None:
    if not isinstance(value, bool):
        raise error(f"{owner} requires {name} to be True or False, got {value!r}")
