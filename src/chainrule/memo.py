"""A dict that forgets the oldest: of graphs seen before, whose keys can be long."""

from __future__ import annotations

from typing import Any


class Memo(dict):
    """Holds at most `most` entries, and keys of `room` parts in all.

    >>> memo = Memo(2, 10)
    >>> for n in range(4): memo.remember((n,), (n,), n)
    >>> list(memo.values())
    [2, 3]
    """

    def __init__(self, most: int, room: int):
        super().__init__()
        self._most, self._room = most, room
        self._sizes: dict[Any, int] = {}
        self._size = 0

    def clear(self) -> None:
        super().clear()
        self._sizes.clear()
        self._size = 0

    def remember(self, key: Any, parts: Any, value: Any) -> None:
        """Keep `value`; `parts` is what makes the key long."""
        self._size += len(parts) - self._sizes.get(key, 0)
        self._sizes[key] = len(parts)
        self[key] = value
        while len(self) > 1 and (len(self) > self._most or self._size > self._room):
            oldest = next(iter(self))
            del self[oldest]
            self._size -= self._sizes.pop(oldest)
