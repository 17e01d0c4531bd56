"""DataLoader: a dataset, an order and a rule for making batches become batches."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

from ..errors import ArgumentError
from ..random import Generator, stream
from .collate import computed, default_collate, default_convert
from .dataset import Dataset, IterableDataset, batch_gather
from .prefetch import PrefetchIterator
from .sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler

T_co = TypeVar("T_co", covariant=True)


class DataLoader(Generic[T_co]):
    """Batches of a dataset, made when they are asked for or by a thread ahead of time.

    dataset          anything with `__getitem__` and `__len__`, or an IterableDataset
    batch_size       samples in a batch; None gives single samples
    shuffle          a new random order in each pass; `sampler`, `batch_sampler` replace it
    num_workers      k > 0: one thread prefetches, in the order k processes of PyTorch's have
    collate_fn       list of samples -> batch, by default `default_collate`
    drop_last        leave out a last batch that is not full
    timeout          seconds to wait for a batch of the thread; 0 waits for ever
    worker_init_fn   called in the thread with 0, ..., k - 1 before a worker's first sample
    generator        source of the random order, instead of the default generator
    prefetch_factor  batches made ahead for each worker, by default 2

    Equal seeds give PyTorch's batches.  A pass draws one number from the generator when it
    starts, the seed of the workers, and the order when its first batch is asked for.
    Different from PyTorch: there are no processes, so the thread shares the dataset, Python's
    and NumPy's random numbers with the program; `pin_memory`, `multiprocessing_context`,
    `pin_memory_device` and `in_order` change nothing.  Raises ArgumentError (a ValueError) for
    arguments that contradict each other.

    >>> import chainrule as torch
    >>> from chainrule.data import DataLoader, TensorDataset
    >>> [x for (x,) in DataLoader(TensorDataset(torch.arange(5)), batch_size=2)]
    [tensor([0, 1]), tensor([2, 3]), tensor([4])]
    """

    def __init__(
        self,
        dataset: Dataset[T_co],
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Sampler | Iterable | None = None,
        batch_sampler: Sampler[list] | Iterable[list] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None,
        multiprocessing_context: object = None,
        generator: Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ):
        _check_workers(num_workers, timeout, prefetch_factor, persistent_workers)
        _check_order(dataset, batch_size, shuffle, sampler, batch_sampler, drop_last)
        self.dataset = dataset
        self.num_workers = num_workers
        self.prefetch_factor = prefetch_factor or (2 if num_workers else None)
        self.persistent_workers = persistent_workers
        self.pin_memory = pin_memory
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.generator = generator
        self.drop_last = drop_last
        self.sampler = _default_sampler(dataset, shuffle, generator) if sampler is None else sampler
        if batch_sampler is not None:
            batch_size = None
        elif batch_size is not None:
            batch_sampler = BatchSampler(self.sampler, batch_size, drop_last)
        self.batch_size = batch_size
        self.batch_sampler = batch_sampler
        if collate_fn is None:
            collate_fn = default_convert if batch_sampler is None else default_collate
        self.collate_fn: Callable[[Any], Any] = collate_fn
        self._kept: PrefetchIterator | None = None  # with persistent workers

    def __iter__(self) -> Iterator:
        if not self.num_workers:
            return BatchIterator(self)
        if self._kept is not None:
            self._kept.restart()
            return self._kept
        iterator = PrefetchIterator(self)
        if self.persistent_workers:
            self._kept = iterator
        return iterator

    def __len__(self) -> int:
        if not isinstance(self.dataset, IterableDataset):
            return len(self.orders)  # type: ignore[arg-type]
        n = len(self.dataset)  # type: ignore[arg-type]
        if self.batch_size is None:
            return n
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)

    @property
    def orders(self) -> Iterable:
        """What one pass asks for, batch by batch: lists of indices, or single indices."""
        return self.sampler if self.batch_sampler is None else self.batch_sampler

    def draw_seed(self) -> int:
        """The seed of this pass's workers; drawn also where there are none, as in PyTorch."""
        return (self.generator or stream()).seed64()

    def fetcher(self) -> Callable[[Any], Any]:
        """The function that makes one batch from one of `orders`.

        It raises StopIteration where a stream of samples has ended.
        """
        dataset, collate = self.dataset, self.collate_fn
        batched = self.batch_sampler is not None
        if isinstance(dataset, IterableDataset):
            samples = iter(dataset)
            if not batched:
                return lambda order: collate(next(samples))
            return lambda order: collate(_take(samples, len(order), self.drop_last))
        if not batched:
            return lambda index: collate(dataset[index])
        gather = batch_gather(dataset) if collate is default_collate else None
        return gather or (lambda indices: collate(_samples(dataset, indices)))


class BatchIterator:
    """One pass over a DataLoader without workers: a batch is made when it is asked for."""

    def __init__(self, loader: DataLoader):
        self._loader = loader
        self._orders = iter(loader.orders)
        loader.draw_seed()
        self._fetch = loader.fetcher()

    def __iter__(self) -> BatchIterator:
        return self

    def __next__(self):
        return computed(self._fetch(next(self._orders)))

    def __len__(self) -> int:
        return len(self._loader)


def _samples(dataset: Any, indices: list) -> list:
    """The samples at these indices; a dataset may define `__getitems__` to fetch them at once."""
    fetch = getattr(dataset, "__getitems__", None)
    return fetch(indices) if fetch else [dataset[i] for i in indices]


def _take(samples: Iterator, count: int, only_full: bool) -> list:
    batch = list(itertools.islice(samples, count))
    if not batch or (only_full and len(batch) < count):
        raise StopIteration
    return batch


def _default_sampler(dataset, shuffle: bool | None, generator: Generator | None) -> Any:
    if isinstance(dataset, IterableDataset):
        return itertools.repeat(None)  # a stream has no indices, only its length of batches
    return RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)


def _check_workers(num_workers, timeout, prefetch_factor, persistent_workers) -> None:
    if num_workers < 0:
        raise ArgumentError(f"DataLoader requires num_workers >= 0, got {num_workers}")
    if timeout < 0:
        raise ArgumentError(f"DataLoader requires timeout >= 0, got {timeout}")
    if prefetch_factor is not None and (num_workers == 0 or prefetch_factor < 1):
        raise ArgumentError(
            "DataLoader requires prefetch_factor >= 1 with num_workers > 0, or None, "
            f"got prefetch_factor={prefetch_factor} with num_workers={num_workers}"
        )
    if persistent_workers and num_workers == 0:
        raise ArgumentError("DataLoader requires num_workers > 0 for persistent_workers, got 0")


def _check_order(dataset, batch_size, shuffle, sampler, batch_sampler, drop_last) -> None:
    chosen = {"shuffle": shuffle, "sampler": sampler, "batch_sampler": batch_sampler}
    given = [name for name, value in chosen.items() if value is not None and value is not False]
    if isinstance(dataset, IterableDataset) and given:
        raise ArgumentError(f"DataLoader requires no order for a stream, got {', '.join(given)}")
    if len(given) > 1 or (batch_sampler is not None and (batch_size != 1 or drop_last)):
        given += ["batch_size"] if batch_size != 1 else []
        given += ["drop_last"] if drop_last else []
        raise ArgumentError(f"DataLoader requires one rule for the order, got {', '.join(given)}")
    if batch_size is None and drop_last:
        raise ArgumentError("DataLoader requires a batch_size for drop_last, got None")
