"""How an array looks in a drawing: a number, a few rows of numbers, or a tile of colours."""

from __future__ import annotations

import math

import numpy as np

from .labels import shape_text, short, statistics, summary
from .svg import SIZE, Page, png, text_width

LINE = 13.0
SMALL = 10.0
MOST_ROWS, MOST_COLUMNS = 3, 4
TILE = 52.0
LEAST = 10.0  # of a tile's sides
MOST_CELLS = 128

# Positive numbers take the colour of their role; zero is nearly white, in both themes.
_POSITIVE = {"value": (11, 122, 94), "gradient": (200, 53, 43)}
_NEGATIVE = {"value": (122, 62, 157), "gradient": (37, 99, 184)}
_ZERO, _NAN = (246, 246, 243), (30, 30, 30)


class Figure:
    """A picture of one array; `role` is 'value' or 'gradient' and gives the colour.

    A tile has the norm and, if `shape`, the shape written above it or `below` it.
    """

    def __init__(self, array: np.ndarray, role: str, *, shape: bool = False, below: bool = False):
        self.array, self.role, self.below = array, role, below
        self.rows = _rows(array)
        if self.rows is not None:
            self.size = SIZE if array.size == 1 else SMALL
            self.width = max(text_width(row, self.size) for row in self.rows)
            self.height = LINE * len(self.rows)
            return
        self.cells = cells_of(array)
        h, w = self.cells.shape
        scale = min(TILE / w, 0.8 * TILE / h, 8.0)
        self.tile = max(w * scale, LEAST), max(h * scale, LEAST)
        self.caption = ([shape_text(array.shape)] if shape else []) + [summary(array)]
        self.width = max(self.tile[0], *(text_width(line, SMALL) for line in self.caption))
        self.height = self.tile[1] + 3 + LINE * len(self.caption)

    def draw(self, page: Page, x: float, top: float) -> None:
        """Draw it centred at x, from `top` downward."""
        if self.rows is None:
            self._draw_tile(page, x, top)
            return
        kind = f"{self.role} middle" + (" small" if self.size == SMALL else "")
        for i, row in enumerate(self.rows):
            page.text(x, top + LINE * (i + 0.5), row, kind, tip=statistics(self.array))

    def _draw_tile(self, page: Page, x: float, top: float) -> None:
        width, height = self.tile
        written = LINE * len(self.caption)
        at, first = (top + 1, top + height + 3) if self.below else (top + written + 1, top)
        uri = png(colours(self.cells, self.role))
        page.image(x - width / 2, at, width, height, uri, statistics(self.array))
        page.rect(x - width / 2, at, width, height, f"{self.role}-frame")
        for i, line in enumerate(self.caption):
            kind = "faint" if i + 1 < len(self.caption) else self.role
            page.text(x, first + LINE * (i + 0.5), line, f"{kind} small middle")


def _rows(array: np.ndarray) -> list[str] | None:
    """The numbers themselves, when there are few."""
    if array.size == 1:
        return [short(array.item())]
    if array.ndim == 1 and 0 < array.size <= MOST_COLUMNS:
        return ["[" + " ".join(map(short, array)) + "]"]
    if array.ndim == 2 and 0 < array.shape[0] <= MOST_ROWS and 0 < array.shape[1] <= MOST_COLUMNS:
        return ["[" + " ".join(map(short, row)) + "]" for row in array]
    return None


def cells_of(array: np.ndarray) -> np.ndarray:
    """The array as a matrix of cells: more axes side by side, long vectors wrapped, both thinned.

    >>> cells_of(np.zeros((8, 1, 5, 5))).shape
    (17, 17)
    """
    array = np.asarray(array).astype(np.float64)
    if not array.size:
        return np.zeros((1, 1))
    if array.ndim < 2:
        return _wrapped(array.reshape(-1))
    if array.ndim > 2:
        return _montage(array.reshape(-1, *array.shape[-2:]))
    return _thinned(array)


def _wrapped(vector: np.ndarray) -> np.ndarray:
    """A row of up to 64 cells; a longer vector as a nearly square block, filled with nothing."""
    vector = vector[:: math.ceil(vector.size / MOST_CELLS**2)]
    if vector.size <= 64:
        return vector[None]
    columns = math.ceil(math.sqrt(2 * vector.size))
    rows = math.ceil(vector.size / columns)
    block = np.full(rows * columns, 0.0)
    block[: vector.size] = vector
    return block.reshape(rows, columns)


def _montage(images: np.ndarray) -> np.ndarray:
    """Up to nine images side by side, one empty cell between them."""
    images = images[:9, : MOST_CELLS // 3, : MOST_CELLS // 3]
    count, h, w = images.shape
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    page = np.zeros((rows * (h + 1) - 1, columns * (w + 1) - 1))
    for k, image in enumerate(images):
        top, left = k // columns * (h + 1), k % columns * (w + 1)
        page[top : top + h, left : left + w] = image
    return page


def _thinned(matrix: np.ndarray) -> np.ndarray:
    down, across = (math.ceil(n / MOST_CELLS) for n in matrix.shape)
    return matrix[::down, ::across]


def levels_of(cells: np.ndarray, role: str) -> tuple[np.ndarray, np.ndarray]:
    """(level of each cell, the 256 colours of the levels): its share of the largest magnitude, its
    sign as the hue.  Level 128 is zero, level 0 what is no number."""
    known = np.isfinite(cells)
    largest = np.abs(cells[known]).max(initial=0.0) or 1.0
    share = np.where(known, cells, 0.0) / largest
    levels = np.where(known, 128 + 127 * share, 0).round().astype(np.uint8)
    part = (np.arange(256) - 128) / 127
    hue = np.where((part > 0)[:, None], _POSITIVE[role], _NEGATIVE[role])
    palette = _ZERO + np.minimum(np.abs(part), 1)[:, None] * (hue - np.array(_ZERO))
    palette[0] = _NAN
    return levels, palette.round().astype(np.uint8)


def colours(cells: np.ndarray, role: str) -> np.ndarray:
    """Red, green, blue of each cell, large enough to be seen."""
    levels, palette = levels_of(cells, role)
    pixels = palette[levels]
    # Few cells are enlarged here, since not every viewer leaves them sharp when it does that.
    for axis, n in enumerate(cells.shape):
        pixels = pixels.repeat(math.ceil(MOST_CELLS / n), axis)
    return pixels
