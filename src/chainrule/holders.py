"""Out of memory: what was asked for, and the arrays that hold the most of it."""

from __future__ import annotations

import gc
import heapq
from collections.abc import Iterable
from math import prod

import numpy as np

from .graph import Node

MOST = 5  # arrays that the error names


def out_of_memory(
    what: str, nbytes: int, node: Node | None = None, error: MemoryError | None = None,
    own: Iterable[tuple[int, str]] = (),
) -> MemoryError:
    """The error that says how many bytes were asked for, where, and who holds the most.

    `error`: NumPy's own, which may know the bytes better; `own`: what no node holds.
    """
    where = f"\n  recorded at {node.where}" if node is not None else ""
    held = heapq.nlargest(MOST, [*_held(), *own], key=lambda pair: pair[0])
    lines = "".join(f"\n    {n:,} bytes: {name}" for n, name in held if n)
    return MemoryError(f"{what} requires {_asked(error, nbytes):,} bytes, got none from the system"
                       f"{where}" + (f"\n  largest holders:{lines}" if lines else ""))


def _asked(error: MemoryError | None, nbytes: int) -> int:
    shape, dtype = getattr(error, "shape", None), getattr(error, "dtype", None)
    return nbytes if shape is None or dtype is None else prod(shape) * dtype.itemsize


def _held() -> Iterable[tuple[int, str]]:
    """Every array that is some node's value, and the first such node; views are one array."""
    named: dict[int, tuple[int, str]] = {}
    for node in gc.get_objects():
        if type(node) is Node and node.value is not None:
            array = node.value
            while isinstance(array.base, np.ndarray):
                array = array.base
            scope = f", in {node.scope.path}" if node.scope else ""
            named.setdefault(
                id(array), (array.nbytes, f"{node.name} {node.spec!r} at {node.where}{scope}"))
    return named.values()
