"""Where the elements of many arrays lie, asked for at once.

NumPy tells the address of one array in half a microsecond.  Native code reads it where CPython and
NumPy keep it, a nanosecond each - if they keep it where this process is found to.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np

from .runtime import builtin, runtime


def address(array: np.ndarray) -> int:
    """Where the elements of an array lie."""
    return array.__array_interface__["data"][0]


def row_major(arrays: list[np.ndarray], table: int, words: np.ndarray) -> None:
    """Put the addresses of the arrays into `words`, whose own is `table`; an array that is not
    row-major is replaced by a copy."""
    count, done = len(arrays), 0
    while done < count:
        done = _addresses()(arrays, table, words)
        if done < count:
            arrays[done] = np.require(arrays[done], requirements=("C", "A"))


def are_read() -> bool:
    """Whether native code finds the elements of arrays."""
    return _addresses() is not _asked_for


Launch = Callable[[list[np.ndarray]], int]


def launcher(
    table: int, words: np.ndarray, count: int, moving: Sequence[tuple[int, int, int]]
) -> Launch | None:
    """launch(arrays) runs a table without scratch in this thread, on `count` arrays.

    `words` are its slots: those of the arrays come first, and each of `moving` (a slot, that of
    an array, how many bytes lie between) follows its array.  Gives 0, a fault as a table does, or
    -2 - i: array i is not row-major, and nothing was run.  It keeps the GIL, so it is for little
    work.  None where arrays cannot be read natively.
    """
    if not are_read():
        return None
    number = ctypes.cast(ctypes.pythonapi.PyLong_FromLongLong, ctypes.c_void_p).value or 0
    triples = [word for triple in moving for word in triple]
    own = np.array([number, table, address(words), count, len(moving), *triples], np.int64)
    return builtin(runtime().launch, "launch", own, single=True)


@cache
def _addresses() -> Callable[[list[np.ndarray], int, np.ndarray], int]:
    """Fills in addresses up to the first array that is not row-major; how many those are."""
    if (object.__basicsize__, list.__basicsize__) != (16, 40) or np.ndarray.__basicsize__ < 72:
        return _asked_for
    native = runtime().addresses

    def read(arrays: list[np.ndarray], table: int, words: np.ndarray) -> int:
        return native(id(arrays), table, len(arrays))

    return read if _agree(read) else _asked_for


def _asked_for(arrays: list[np.ndarray], table: int, words: np.ndarray) -> int:
    for i, array in enumerate(arrays):
        if not (array.flags.c_contiguous and array.flags.aligned):
            return i
        words[i] = address(array)
    return len(arrays)


def _agree(read: Callable) -> bool:
    """Whether CPython and NumPy keep things where the native code looks for them."""
    square = np.zeros((2, 3))
    samples: list[np.ndarray] = [np.zeros(5), square, np.array(1.0), square[1:], square.T,
                                 np.zeros((2, 3), np.int8)[:, :1]]
    found = []
    for k in range(len(samples) + 1):
        words = np.zeros((2, len(samples)), np.int64)
        arrays = samples[k:]
        found.append((read(arrays, address(words[0]), words[0]),
                      _asked_for(arrays, address(words[1]), words[1]),
                      (words[0] == words[1]).all()))
    return all(a == b and same for a, b, same in found)
