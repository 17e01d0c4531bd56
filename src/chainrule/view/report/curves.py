"""A curve of bounded size: long runs are thinned, and say so."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

MOST_POINTS = 2000


class Point(NamedTuple):
    """What is known of a few values in a row: where they end, how many there were, their range."""

    x: float
    size: int
    mean: float
    low: float
    high: float


class Curve:
    """Values over x.  When there are too many points, neighbours are joined two by two.

    A point keeps the mean and the range of the values that it stands for.  Values that are not
    finite leave a gap: they are counted, and the first of them is remembered.

    >>> curve = Curve(most=4)
    >>> for x in range(8):
    ...     curve.add(x, 10 * x)
    >>> [tuple(p) for p in curve.points()][:2]
    [(1, 2, 5.0, 0, 10), (3, 2, 25.0, 20, 30)]
    """

    def __init__(self, most: int = MOST_POINTS):
        self.most = most
        self.each = 1  # how many values a whole point stands for
        self.values = 0
        self.not_finite = 0
        self.first_not_finite: tuple[float, float] | None = None
        self.first: float | None = None
        self.last: float | None = None
        self.lowest, self.highest = math.inf, -math.inf
        self._points: list[Point] = []
        self._open: Point | None = None  # a point that waits for more values

    def add(self, x: float, y: float) -> None:
        """One more value; x must not fall."""
        self.values += 1
        self.first = y if self.first is None else self.first
        self.last = y
        if math.isfinite(y):
            self.lowest, self.highest = min(self.lowest, y), max(self.highest, y)
            new = Point(x, 1, y, y, y)
        else:
            self.not_finite += 1
            self.first_not_finite = self.first_not_finite or (x, y)
            new = Point(x, 0, math.nan, math.nan, math.nan)
        self._open = new if self._open is None else _joined(self._open, new)
        if self.values % self.each == 0:
            self._close()

    def _close(self) -> None:
        if self._open is not None:
            self._points.append(self._open)
            self._open = None
        if len(self._points) > self.most:
            pairs = zip(self._points[::2], self._points[1::2])
            rest = self._points[len(self._points) // 2 * 2 :]
            self._points = [_joined(a, b) for a, b in pairs]
            self._open = rest[0] if rest else None
            self.each *= 2

    def points(self, most: int | None = None) -> Iterator[Point]:
        """The points in order, at most about `most` of them."""
        found = [*self._points, *([self._open] if self._open is not None else [])]
        together = 1 if most is None else math.ceil(len(found) / most)
        for i in range(0, len(found), max(together, 1)):
            point = found[i]
            for other in found[i + 1 : i + together]:
                point = _joined(point, other)
            yield point

    def __len__(self) -> int:
        return len(self._points) + (self._open is not None)


def _joined(a: Point, b: Point) -> Point:
    """The point for the values of both; a size of 0 stands for values that are not finite."""
    if not a.size or not b.size:
        known = b if b.size else a
        return known._replace(x=b.x)
    count = a.size + b.size
    mean = (a.mean * a.size + b.mean * b.size) / count
    return Point(b.x, count, mean, min(a.low, b.low), max(a.high, b.high))


def smoothed(xs: Sequence[float], values: Sequence[float], weight: float) -> list[float]:
    """Exponential moving averages s <- w s + (1 - w) y, without the bias of their start.

    At points further apart than they are on average, less is left of what was before: there
    w = weight^(distance / mean distance).  Values that are not finite stay, and do not count.

    >>> smoothed([1, 2], [1.0, 3.0], 0.5)
    [1.0, 2.3333333333333335]
    """
    mean = (xs[-1] - xs[0]) / (len(xs) - 1) if len(xs) > 1 else 0.0
    found, total, share = [], 0.0, 0.0
    for i, y in enumerate(values):
        if math.isfinite(y):
            w = weight ** (max(0, xs[i] - xs[i - 1]) / mean) if i and mean > 0 else weight
            total = w * total + (1 - w) * y
            share = w * share + 1 - w
            y = total / share if share else y
        found.append(y)
    return found
