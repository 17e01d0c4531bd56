"""Collections of samples: by index (`Dataset`), or one after the other (`IterableDataset`)."""

from __future__ import annotations

import bisect
import itertools
import math
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

import numpy as np

from ..errors import ArgumentError, ChainruleError, OutOfRange
from ..random import Generator, default_generator, stream
from ..tensor import Tensor, from_array

T_co = TypeVar("T_co", covariant=True)


class DatasetError(ChainruleError, AssertionError):
    """Parts that do not make a dataset."""


class Dataset(Generic[T_co]):
    """A map from an index to a sample; a subclass defines `__getitem__` and `__len__`."""

    def __getitem__(self, index) -> T_co:
        raise NotImplementedError(
            f"Dataset requires its subclass to define __getitem__, got {type(self).__name__}"
        )

    def __add__(self, other: Dataset[T_co]) -> ConcatDataset[T_co]:
        return ConcatDataset([self, other])


class IterableDataset(Dataset[T_co]):
    """A stream of samples; a subclass defines `__iter__`.

    >>> class Count(IterableDataset):
    ...     def __iter__(self):
    ...         return iter(range(3))
    >>> list(Count() + Count())
    [0, 1, 2, 0, 1, 2]
    """

    def __iter__(self) -> Iterator[T_co]:
        raise NotImplementedError(
            f"IterableDataset requires its subclass to define __iter__, got {type(self).__name__}"
        )

    def __add__(self, other: Dataset[T_co]) -> ChainDataset:  # type: ignore[override]
        return ChainDataset([self, other])


class TensorDataset(Dataset[tuple[Tensor, ...]]):
    """Sample i is (t0[i], t1[i], ...); all tensors have the same length.

    Raises DatasetError (an AssertionError) for tensors of different lengths.

    >>> import chainrule as torch
    >>> from chainrule.data import TensorDataset
    >>> TensorDataset(torch.arange(3.0), torch.tensor([4, 5, 6]))[1]
    (tensor(1.), tensor(5))
    """

    tensors: tuple[Tensor, ...]

    def __init__(self, *tensors: Tensor):
        lengths = [t.shape[0] if t.ndim else None for t in tensors]
        if not tensors or None in lengths or len(set(lengths)) != 1:
            raise DatasetError(
                "TensorDataset requires tensors of one length in dimension 0, "
                f"got shapes {', '.join(str(tuple(t.shape)) for t in tensors) or 'no tensor'}"
            )
        self.tensors = tensors

    def __getitem__(self, index):
        return tuple(t[index] for t in self.tensors)

    def __len__(self) -> int:
        return self.tensors[0].shape[0]


class Subset(Dataset[T_co]):
    """Sample i is `dataset[indices[i]]`.

    >>> import chainrule as torch
    >>> Subset(TensorDataset(torch.arange(4)), [3, 1])[0]
    (tensor(3),)
    """

    def __init__(self, dataset: Dataset[T_co], indices: Sequence[int]):
        self.dataset = dataset
        self.indices = indices

    def __getitem__(self, index):
        if isinstance(index, list):
            return self.dataset[[self.indices[i] for i in index]]
        return self.dataset[self.indices[index]]

    def __len__(self) -> int:
        return len(self.indices)


class ConcatDataset(Dataset[T_co]):
    """The samples of several datasets, one dataset after the other.

    Raises DatasetError (an AssertionError) for no dataset or for a stream of samples, and
    OutOfRange (an IndexError) for an index outside of -n <= index < n.

    >>> import chainrule as torch
    >>> both = ConcatDataset([TensorDataset(torch.arange(2)), TensorDataset(torch.arange(5, 8))])
    >>> len(both), both[3]
    (5, (tensor(6),))
    """

    def __init__(self, datasets: Iterable[Dataset]):
        self.datasets = list(datasets)
        if not self.datasets:
            raise DatasetError("ConcatDataset requires at least one dataset, got none")
        for dataset in self.datasets:
            if isinstance(dataset, IterableDataset):
                raise DatasetError(
                    f"ConcatDataset requires datasets with an index, got {type(dataset).__name__}",
                    hint="add IterableDatasets with + or ChainDataset",
                )
        self.cumulative_sizes = list(itertools.accumulate(map(len, self.datasets)))  # type: ignore

    def __getitem__(self, index: int):
        n = len(self)
        if not -n <= index < n:
            raise OutOfRange(f"ConcatDataset requires -{n} <= index < {n}, got {index}")
        index %= n
        k = bisect.bisect_right(self.cumulative_sizes, index)
        return self.datasets[k][index - (self.cumulative_sizes[k - 1] if k else 0)]

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]


class ChainDataset(IterableDataset):
    """The samples of several streams, one stream after the other."""

    def __init__(self, datasets: Iterable[Dataset]):
        self.datasets = datasets

    def __iter__(self):
        return itertools.chain.from_iterable(self.datasets)

    def __len__(self) -> int:
        return sum(len(dataset) for dataset in self.datasets)  # type: ignore[arg-type,misc]


def random_split(
    dataset: Dataset[T_co],
    lengths: Sequence[int | float],
    generator: Generator | None = default_generator,
) -> list[Subset[T_co]]:
    """Disjoint random subsets of the given lengths, or of the given fractions of the dataset.

    Fractions sum to 1; what is left after rounding down goes to the first subsets, one sample
    each.  Raises ArgumentError (a ValueError) for lengths that do not add up to the dataset's.
    Equal seeds give PyTorch's split.

    >>> import chainrule as torch
    >>> generator = torch.manual_seed(0)
    >>> [part.indices for part in random_split(TensorDataset(torch.arange(4)), [3, 1])]
    [[0, 1, 3], [2]]
    """
    n = len(dataset)  # type: ignore[arg-type]
    if math.isclose(sum(lengths), 1) and sum(lengths) <= 1:
        sizes = _sizes_of_fractions(lengths, n)
    else:
        sizes = list(lengths)  # type: ignore[arg-type]
    if sum(sizes) != n:
        raise ArgumentError(
            f"random_split requires lengths that sum to {n}, or fractions that sum to 1, "
            f"got {list(lengths)}"
        )
    order = (generator or stream()).permutation(n).tolist()
    ends = itertools.accumulate(sizes)
    return [Subset(dataset, order[end - size : end]) for size, end in zip(sizes, ends)]


def _sizes_of_fractions(fractions: Sequence[float], n: int) -> list[int]:
    for fraction in fractions:
        if not 0 <= fraction <= 1:
            raise ArgumentError(f"random_split requires 0 <= fraction <= 1, got {fraction}")
    sizes = [math.floor(n * fraction) for fraction in fractions]
    for k in range(n - sum(sizes)):
        sizes[k % len(sizes)] += 1
    return sizes


def batch_gather(dataset: Any) -> Callable[[Sequence[int]], list[Tensor]] | None:
    """indices -> what `default_collate([dataset[i] for i in indices])` gives, in one gather.

    None for a dataset that this is not possible for: one that computes its samples.
    """
    kind = type(dataset)
    if hasattr(dataset, "__getitems__"):
        return None
    if isinstance(dataset, TensorDataset) and kind.__getitem__ is TensorDataset.__getitem__:
        return lambda indices: [_gather(t, indices) for t in dataset.tensors]
    if isinstance(dataset, Subset) and kind.__getitem__ is Subset.__getitem__:
        inner, chosen = batch_gather(dataset.dataset), dataset.indices
        return inner and (lambda indices: inner([chosen[i] for i in indices]))
    return None


def _gather(t: Tensor, indices: Sequence[int]) -> Tensor:
    rows = np.fromiter(map(operator.index, indices), np.intp, len(indices))
    n = t.shape[0]
    outside = rows[(rows < -n) | (rows >= n)]
    if outside.size:
        raise OutOfRange(f"TensorDataset requires -{n} <= index < {n}, got {outside[0]}")
    # A batch is a leaf: the graph of a step begins with it, not with the whole dataset.
    return t[rows] if t.requires_grad else from_array(t._value()[rows])
