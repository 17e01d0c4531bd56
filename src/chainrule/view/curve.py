"""A loss curve as an SVG: axes with round ticks, one line per series, each named at its end."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence

from ..errors import ArgumentError
from .svg import Page, text_width, write

Points = Sequence[tuple[float, float]]

WIDTH, HEIGHT = 720.0, 400.0
LEFT, TOP, BOTTOM = 72.0, 52.0, 56.0
_INKS = ("first", "second", "third")
_MOST_POINTS = 600


def draw_curve(
    lines: Mapping[str, Points | Sequence[float]],
    path: str | os.PathLike | None = None,
    *,
    title: str = "loss",
    x_label: str = "step",
    y_label: str = "loss",
) -> str:
    """Draw y over x for up to three named lines; returns the SVG, and writes it to `path`.

    A line is a sequence of (x, y), or of y alone, at x = 1, 2, ...  Points that are not finite
    leave a gap.

    >>> svg = draw_curve({"train": [2.3, 1.1, 0.6], "test": [(1, 2.4), (3, 0.9)]})
    >>> svg.count('class="curve')
    2
    """
    if not 1 <= len(lines) <= len(_INKS):
        raise ArgumentError(f"draw_curve requires 1 to {len(_INKS)} lines, got {len(lines)}")
    series = {name: _thin(_pairs(line)) for name, line in lines.items()}
    seen = [p for line in series.values() for p in line if math.isfinite(p[1])]
    x_ticks = ticks(*_range([x for x, _ in seen]))
    y_ticks = ticks(*_range([0.0, *(y for _, y in seen)]))
    page = Page(WIDTH, HEIGHT, title)
    right = 28 + max(text_width(name) for name in lines)
    place = _Scale(x_ticks, y_ticks, WIDTH - LEFT - right, HEIGHT - TOP - BOTTOM)
    page.text(LEFT, 24.0, title, "title")
    _axes(page, place, x_ticks, y_ticks, x_label, y_label)
    ends = []
    for ink, (name, line) in zip(_INKS, series.items()):
        _line(page, place, line, ink)
        finite = [p for p in line if math.isfinite(p[1])]
        if finite:
            ends.append((place(*finite[-1])[1], place(*finite[-1])[0], name, ink))
    _names(page, ends)
    text = str(page)
    if path is not None:
        write(path, text)
    return text


def ticks(low: float, high: float, about: int = 6) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart) from at most low to at least high.

    >>> ticks(0.0, 2.3)
    [0.0, 0.5, 1.0, 1.5, 2.0, 2.5]
    """
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(f * power for f in (1, 2, 5, 10) if f * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    digits = max(0, -math.floor(math.log10(step)))
    return [round(i * step, digits) + 0.0 for i in range(first, last + 1)]


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values, default=0.0), max(values, default=1.0)
    if high - low <= 1e-12 * max(abs(low), abs(high)):
        return low, low + (abs(low) or 1.0)
    return low, high


def _pairs(line) -> list[tuple[float, float]]:
    if line and isinstance(line[0], (tuple, list)):
        return [(float(x), float(y)) for x, y in line]
    return [(float(i), float(y)) for i, y in enumerate(line, 1)]


def _thin(line: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most _MOST_POINTS points: the means of equal runs.  More could not be seen."""
    run = math.ceil(len(line) / _MOST_POINTS)
    if run < 2:
        return line
    groups = [line[i : i + run] for i in range(0, len(line), run)]
    return [(sum(x for x, _ in g) / len(g), sum(y for _, y in g) / len(g)) for g in groups]


class _Scale:
    """Data to pixels."""

    def __init__(self, x_ticks, y_ticks, width: float, height: float):
        self.x0, self.x1 = x_ticks[0], x_ticks[-1]
        self.y0, self.y1 = y_ticks[0], y_ticks[-1]
        self.width, self.height = width, height

    def __call__(self, x: float, y: float) -> tuple[float, float]:
        across = (x - self.x0) / (self.x1 - self.x0)
        up = (y - self.y0) / (self.y1 - self.y0)
        return LEFT + across * self.width, TOP + (1 - up) * self.height


def _axes(page: Page, place: _Scale, x_ticks, y_ticks, x_label: str, y_label: str) -> None:
    left, right = LEFT, LEFT + place.width
    bottom = TOP + place.height
    for y in y_ticks:
        level = place(x_ticks[0], y)[1]
        page.add("line", "gridline", x1=left, y1=level, x2=right, y2=level)
        page.text(left - 10, level, _tick(y, y_ticks), "faint end")
    for x in x_ticks:
        at = place(x, y_ticks[0])[0]
        page.add("line", "axis", x1=at, y1=bottom, x2=at, y2=bottom + 5)
        page.text(at, bottom + 17, _tick(x, x_ticks), "faint middle")
    page.add("line", "axis", x1=left, y1=bottom, x2=right, y2=bottom)
    page.text((left + right) / 2, bottom + 40, x_label, "middle")
    turned = f"rotate(-90 18 {(TOP + bottom) / 2:.1f})"
    page.add("text", "middle", y_label, x=18.0, y=(TOP + bottom) / 2, transform=turned)


def _tick(value: float, all_ticks: Sequence[float]) -> str:
    digits = max(len(f"{t:g}".partition(".")[2]) if "e" not in f"{t:g}" else 0 for t in all_ticks)
    return f"{value:,.{digits}f}" if 1e-5 < abs(value) < 1e7 or not value else f"{value:g}"


def _line(page: Page, place: _Scale, line: Points, ink: str) -> None:
    path, pen_down = [], False
    for x, y in line:
        if not math.isfinite(y):
            pen_down = False
            continue
        u, v = place(x, y)
        path.append(f"{'L' if pen_down else 'M'}{u:.1f} {v:.1f}")
        pen_down = True
    page.add("path", f"curve {ink}", d="".join(path))


def _names(page: Page, ends: list[tuple[float, float, str, str]]) -> None:
    """Write each line's name at its end, pushed up where two would overlap: below is the axis."""
    highest = math.inf
    for y, x, name, ink in sorted(ends, reverse=True):
        highest = min(y, highest - 15)
        page.text(x + 8, highest, name, f"name {ink}-ink")
