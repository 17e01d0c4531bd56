"""Batches made ahead of time by one thread that plays all workers of a DataLoader in turn."""

from __future__ import annotations

import contextlib
import queue
import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from ..errors import ChainruleError
from ..random import Generator, set_stream
from .collate import computed


class LoaderTimeout(ChainruleError, RuntimeError):
    """A batch that did not arrive in time."""


class WorkerInfo(NamedTuple):
    """The worker that a sample is fetched for: its number, how many there are, its seed."""

    id: int
    num_workers: int
    seed: int
    dataset: Any


class _Thread(threading.local):
    worker: WorkerInfo | None = None


_thread = _Thread()


def get_worker_info() -> WorkerInfo | None:
    """The worker that this code fetches a sample for; None outside of a prefetch thread.

    An IterableDataset shares its samples out by it: worker i of k yields samples i, i + k, ...
    """
    return _thread.worker


class Worker:
    """One of the workers: its share of a stream, its random numbers.  Used by the thread only."""

    def __init__(self, loader, number: int, seed: int):
        self.info = WorkerInfo(number, loader.num_workers, seed + number, loader.dataset)
        self._loader = loader
        self._started = False
        self._stream = Generator().manual_seed(self.info.seed)
        self.fetch: Callable[[Any], Any] | None = None

    def make(self, order) -> tuple[Any, BaseException | None]:
        """(batch, None), or (None, what was raised instead)."""
        _thread.worker = self.info
        set_stream(self._stream)
        try:
            if not self._started and self._loader.worker_init_fn is not None:
                self._loader.worker_init_fn(self.info.id)
            self._started = True
            self.fetch = self.fetch or self._loader.fetcher()
            return computed(self.fetch(order)), None
        except BaseException as error:  # whatever it is, it belongs to the caller
            return None, error


class PrefetchIterator:
    """One pass over a DataLoader with workers.

    The order of the samples is drawn here, in the program's own thread, so that the program's
    random numbers do not depend on how fast the thread is.  The thread ends when the iterator
    is dropped.
    """

    def __init__(self, loader):
        self._loader = loader
        self._tasks: queue.SimpleQueue = queue.SimpleQueue()
        self._results: queue.SimpleQueue = queue.SimpleQueue()
        self._sent: deque[Worker] = deque()  # whose batches are still to come, in order
        self._timeout = loader.timeout or None
        self._orders = iter(loader.orders)
        seed = loader.draw_seed()
        self._workers = [Worker(loader, i, seed) for i in range(loader.num_workers)]
        # Both know the queues only: a thread that knew the iterator would keep it alive.
        weakref.finalize(self, _end, self._tasks)
        threading.Thread(
            target=_serve, args=(self._tasks, self._results), daemon=True, name="chainrule-loader"
        ).start()
        self._begin()

    def restart(self) -> None:
        """Begin the next pass with the same workers; what is left of this one is thrown away."""
        while self._sent:
            self._results.get()
            self._sent.popleft()
        self._orders = iter(self._loader.orders)
        for worker in self._workers:
            worker.fetch = None
        self._begin()

    def _begin(self) -> None:
        self._received = 0
        self._active = deque(self._workers)  # the next one to get a task comes first
        for _ in range(self._loader.prefetch_factor * len(self._workers)):
            self._send()

    def _send(self) -> None:
        if not self._active:
            return
        try:
            order = next(self._orders)
        except StopIteration:
            return
        worker = self._active[0]
        self._active.rotate(-1)
        self._sent.append(worker)
        self._tasks.put((worker, order))

    def __iter__(self) -> PrefetchIterator:
        return self

    def __next__(self):
        while self._sent:
            batch, error = self._receive()
            worker = self._sent.popleft()
            if isinstance(error, StopIteration):
                # This worker's share of the stream has ended; those of the others go on.
                if worker in self._active:
                    self._active.remove(worker)
                    self._send()
                continue
            self._send()
            self._received += 1
            if error is not None:
                error.add_note(
                    f"raised in the DataLoader's prefetch thread, in batch {self._received - 1} "
                    f"(worker {worker.info.id})"
                )
                raise error
            return batch
        raise StopIteration

    def _receive(self) -> tuple[Any, BaseException | None]:
        try:
            return self._results.get(timeout=self._timeout)
        except queue.Empty:
            raise LoaderTimeout(
                f"DataLoader requires a batch within {self._timeout} seconds, got none"
            ) from None

    def __len__(self) -> int:
        return len(self._loader)


def _serve(tasks: queue.SimpleQueue, results: queue.SimpleQueue) -> None:
    """The thread: make batches until there is no task left to come (None)."""
    while (task := tasks.get()) is not None:
        worker, order = task
        results.put(worker.make(order))
        del task, worker, order  # hold nothing while waiting


def _end(tasks: queue.SimpleQueue) -> None:
    with contextlib.suppress(queue.Empty):
        while True:
            tasks.get_nowait()
    tasks.put(None)
