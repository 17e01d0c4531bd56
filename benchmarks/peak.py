"""What this machine can do at most: arithmetic per second, bytes per second.

    python benchmarks/peak.py BYTES[,BYTES...] [--threads N]

Prints one JSON line: for each size, the bytes read and written per second while all threads copy
half of so many bytes to the other half.  What fits into the caches is copied faster.

There is no loop of our own yet that reaches the peak of arithmetic; `arithmetic` takes the best
that any library reaches in a matrix product of 1024 x 1024.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence

import common

LARGE = 1 << 29  # bytes that no cache holds


def copied(nbytes: int, threads: int, seconds: float = 0.1) -> float:
    """Bytes read and written per second by `threads` threads, each between two arrays of its own.

    NumPy copies with the interpreter's lock released.
    """
    import numpy as np

    size = max(nbytes // (2 * threads), 64)
    barrier, speeds = threading.Barrier(threads), []

    def copy():
        source, target = np.ones(size, np.uint8), np.ones(size, np.uint8)
        barrier.wait()
        start, count = time.perf_counter(), 0
        while (elapsed := time.perf_counter() - start) < seconds or not count:
            for _ in range(max(1, 1_000_000 // size)):
                np.copyto(target, source)
                count += 1
        speeds.append(2 * size * count / elapsed)

    workers = [threading.Thread(target=copy) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(speeds)


def best_copy(nbytes: int, threads: int) -> float:
    """The best of several: small sizes are copied faster by one thread than by all."""
    return max(copied(nbytes, n) for n in (threads, 1) for _ in range(2))


def bandwidth(sizes: Iterable[int], threads: int) -> dict[int, float]:
    """Bytes per second for every size, measured in one fresh process."""
    sizes = sorted(set(sizes))
    found = common.run_cell("peak.py", ",".join(map(str, sizes)), threads=threads)
    return {n: found.get(str(n)) for n in sizes}


def arithmetic(backends: Sequence[str], threads: int) -> float | None:
    """Floating point operations per second in float32: the best of the backends, fresh each."""
    import kernels

    square = kernels.CASES["product 1024 x 1024 x 1024"]
    cells = [common.run_cell("kernels.py", b, square.name, "--budget", 0.5, threads=threads)
             for b in backends]
    return max((square.amount / cell["min_us"] * 1e6 for cell in cells if "min_us" in cell),
               default=None)


if __name__ == "__main__":
    cell = common.cell_arguments("bytes")
    common.print_json(
        **{size: best_copy(int(size), cell.threads) for size in cell.bytes.split(",")}
    )
