"""Layers from top to bottom, steps from left to right, and a colour for each number."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..svg import escape, png, text_width
from .charts import BOTTOM, RIGHT, WIDE, _text, x_ticks
from .curves import Curve
from .palette import heat
from .scales import Scale, written

TOP = 8.0
MOST_COLUMNS = 240
MOST_ROWS = 80
LONGEST_NAME = 210.0


class Heatmap:
    """The logarithms of curves, one row each."""

    def __init__(self, key: str, title: str, subtitle: str, curves: Mapping[str, Curve]):
        self.key, self.title, self.subtitle = key, title, subtitle
        self.left_out = max(0, len(curves) - MOST_ROWS)
        self.names = list(curves)[:MOST_ROWS]
        self.columns = _columns([curves[name] for name in self.names])
        self.values = np.array([_row(curves[name], self.columns) for name in self.names])
        known = self.values[np.isfinite(self.values) & (self.values > 0)]
        low, high = (known.min(), known.max()) if known.size else (1e-3, 1.0)
        self.low = min(low, high / 10)  # a decade at least: equal numbers are to look alike
        self.high = high
        widest = max((text_width(name, 11) for name in self.names), default=0.0)
        self.left = min(LONGEST_NAME, widest) + 12
        self.row = max(7.0, min(22.0, 300 / max(1, len(self.names))))
        self.height = TOP + self.row * len(self.names) + BOTTOM

    @property
    def width(self) -> float:
        return WIDE[0] - self.left - RIGHT

    def data(self) -> dict[str, Any]:
        return {
            "key": self.key, "names": self.names, "steps": [int(x) for x in self.columns],
            "box": [self.left, TOP, self.width, self.row * len(self.names)],
            "values": [[_short(v) for v in row] for row in self.values],
        }

    def html(self) -> str:
        return (
            f'<figure class="heatmap wide" data-heatmap="{escape(self.key)}"><figcaption>'
            f'<b>{escape(self.title)}</b><span class="sub">{escape(self.subtitle)}</span>'
            f'<span class="space"></span>{self._scale()}</figcaption>{self._svg()}</figure>'
        )

    def _svg(self) -> str:
        box = f"0 0 {WIDE[0]:g} {self.height:.1f}"
        names = "".join(
            _text(self.left - 8, TOP + (i + 0.5) * self.row + 4, _cut(name), "end")
            for i, name in enumerate(self.names) if self.row >= 11 or i % 2 == 0
        )
        image = (
            f'<image x="{self.left:.1f}" y="{TOP:.1f}" width="{self.width:.1f}" '
            f'height="{self.row * len(self.names):.1f}" preserveAspectRatio="none" '
            f'href="{png(self._pixels())}"/>'
        )
        more = f"and {self.left_out} more layers" if self.left_out else ""
        label = f"{self.title}, {len(self.names)} layers over {len(self.columns)} columns of steps"
        return (
            f'<svg viewBox="{box}" role="img" aria-label="{escape(label)}">{image}'
            f'<g class="axes">{names}{self._axis()}{_text(0, self.height - 9, more, "")}</g>'
            '<g class="cross"></g></svg>'
        )

    def _axis(self) -> str:
        bottom = TOP + self.row * len(self.names)
        if not self.columns:
            return ""
        width = self.columns[1] - self.columns[0] if len(self.columns) > 1 else 1.0
        scale = Scale(self.columns[0] - width + 1, self.columns[-1] + 1)
        found = []
        for tick in x_ticks(scale, is_wide=True):
            if tick >= scale.high:
                continue
            at = self.left + scale(tick + 0.5) * self.width
            found.append(f'<path class="axis" d="M{at:.1f} {bottom:.1f}v4"/>')
            found.append(_text(at, bottom + 17, written(tick), "middle"))
        return "".join(found)

    def _scale(self) -> str:
        """The colours and the numbers that they stand for."""
        bar = png(heat(np.linspace(0.0, 1.0, 64))[None])
        bad = '<i></i><span>not finite</span>' if np.isposinf(self.values).any() else ""
        return (
            f'<span class="heat">{bad}<span>{escape(written(_round(self.low), True))}</span>'
            f'<img src="{bar}" alt="from small to large">'
            f"<span>{escape(written(_round(self.high), True))}</span></span>"
        )

    def _pixels(self) -> np.ndarray:
        with np.errstate(all="ignore"):
            logs = np.log(np.where(self.values > 0, self.values, self.low))
            shares = (logs - math.log(self.low)) / (math.log(self.high) - math.log(self.low))
        shares = np.where(np.isnan(self.values), np.nan, np.clip(shares, 0.0, 1.0))
        shares[np.isposinf(self.values)] = np.inf
        return heat(shares)


def _columns(curves: list[Curve]) -> list[float]:
    """The last steps of columns of equal width."""
    xs = [p.x for curve in curves for p in curve.points()]
    if not xs:
        return []
    first, last = min(xs), max(xs)
    count = int(min(MOST_COLUMNS, last - first + 1))
    width = (last - first + 1) / count
    return [first + width * (i + 1) - 1 for i in range(count)]


def _row(curve: Curve, columns: list[float]) -> list[float]:
    """The mean in each column, or what was measured last; NaN where nothing was yet, inf where
    it is not finite."""
    sums, counts = np.zeros(len(columns)), np.zeros(len(columns))
    bad = np.zeros(len(columns), bool)
    for p in curve.points():
        at = min(int(np.searchsorted(columns, p.x - 1e-6)), len(columns) - 1)
        if p.size:
            sums[at] += p.mean * p.size
            counts[at] += p.size
        else:
            bad[at] = True
    with np.errstate(all="ignore"):
        found = sums / counts
    found[bad & (counts == 0)] = math.inf
    for i in range(1, len(found)):
        if math.isnan(found[i]):
            found[i] = found[i - 1]
    return found.tolist()


def _cut(name: str) -> str:
    """The end of a name says more than its beginning."""
    if text_width(name, 11) <= LONGEST_NAME:
        return name
    while len(name) > 4 and text_width(f"…{name}", 11) > LONGEST_NAME:
        name = name[1:]
    return f"…{name}"


def _round(value: float) -> float:
    return float(f"{value:.1g}")


def _short(value: float) -> float | str | None:
    if math.isnan(value):
        return None
    return float(f"{value:.4g}") if math.isfinite(value) else "inf"
