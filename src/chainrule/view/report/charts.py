"""Line charts as SVG, laid out here: readable and printable without a script.

A script that comes with the page (assets/report.js) may draw the same lines anew - smoothed, with
some left out, on another axis - from the numbers that `Chart.data` gives it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..svg import escape, text_width
from .curves import Curve, Point, smoothed
from .palette import class_of
from .scales import Scale, number_text, scale_of, wants_log, written

LEFT, RIGHT, TOP, BOTTOM = 58.0, 16.0, 10.0, 26.0
NARROW, WIDE = (560.0, 232.0), (1144.0, 300.0)
FEW = 24  # points that are drawn as dots as well
MOST_CHIPS = 40
SMOOTH = 0.6
ENOUGH = 60  # points that are worth being smoothed


@dataclass
class Series:
    """A named line."""

    name: str
    points: list[Point]
    each: int = 1  # how many values a point stands for

    @property
    def xs(self) -> list[float]:
        return [p.x for p in self.points]

    @property
    def means(self) -> list[float]:
        return [p.mean for p in self.points]


@dataclass
class Chart:
    """Lines over the steps."""

    key: str
    title: str
    series: list[Series]
    subtitle: str = ""
    unit: str = ""
    is_wide: bool = False
    is_log: bool | None = None  # None: where a linear axis would show nothing
    is_steps: bool = True  # whether x is a training step: then the cross hairs go together
    may_smooth: bool = True
    marks: list[tuple[float, str]] = field(default_factory=list)  # what happened at a step
    guide: float | None = None  # a level to compare with

    def __post_init__(self) -> None:
        if self.is_log is None:
            self.is_log = wants_log([y for s in self.series for y in s.means])
        self.width, self.height = WIDE if self.is_wide else NARROW
        xs = [p.x for s in self.series for p in s.points]
        low, high = min(xs, default=0), max(xs, default=1)
        self.x = Scale(low - 0.5, high + 0.5) if low == high else Scale(low, high)
        self.y = self._y_scale()

    def _y_scale(self) -> Scale:
        values = [y for s in self.series for p in s.points for y in (p.low, p.high)]
        if self.guide is not None:
            values.append(self.guide)
        return scale_of(values, bool(self.is_log))

    @property
    def smooth(self) -> float:
        """The weight that the lines are smoothed with when the page opens."""
        enough = any(len(s.points) >= ENOUGH for s in self.series)
        return SMOOTH if self.may_smooth and enough else 0.0

    def data(self) -> dict[str, Any]:
        """What the page's script needs to draw this chart again."""
        return {
            "key": self.key, "log": self.is_log, "smooth": self.may_smooth, "unit": self.unit,
            "steps": self.is_steps, "guide": self.guide,
            "box": [LEFT, TOP, self.width - LEFT - RIGHT, self.height - TOP - BOTTOM],
            "x": [self.x.low, self.x.high],
            "series": [
                {"name": s.name, "each": s.each, "x": [_short(p.x) for p in s.points],
                 "y": [_short(p.mean) for p in s.points]}
                | ({"low": [_short(p.low) for p in s.points],
                    "high": [_short(p.high) for p in s.points]} if s.each > 1 else {})
                for s in self.series
            ],
        }

    # ------------------------------------------------------------------ drawing
    def html(self) -> str:
        """The chart as a figure: title, switches, legend, drawing."""
        said = ", ".join(filter(None, (self.unit, self.subtitle)))
        sub = f'<span class="sub">{escape(said)}</span>' if said else ""
        switch = (
            f'<button type="button" class="log" aria-pressed="{str(bool(self.is_log)).lower()}" '
            'title="logarithmic axis">log</button>'
        )
        return (
            f'<figure class="chart{" wide" if self.is_wide else ""}" '
            f'data-chart="{escape(self.key)}"><figcaption><b>{escape(self.title)}</b>{sub}'
            f'<span class="space"></span>{switch}</figcaption>{self._legend()}{self.svg()}</figure>'
        )

    def _legend(self) -> str:
        if len(self.series) < 2:
            return ""
        chips = [
            f'<button type="button" class="chip {self._class(i)}" data-series="{i}" '
            f'aria-pressed="true">{escape(s.name)}</button>'
            for i, s in enumerate(self.series[:MOST_CHIPS])
        ]
        more = len(self.series) - MOST_CHIPS
        rest = f'<span class="sub">and {more} more</span>' if more > 0 else ""
        return f'<div class="legend">{"".join(chips)}{rest}</div>'

    def _class(self, i: int) -> str:
        return class_of(i, len(self.series))

    def svg(self) -> str:
        w, h = f"{self.width:g}", f"{self.height:g}"
        lines = "".join(self._line(i, s) for i, s in enumerate(self.series))
        return (
            f'<svg viewBox="0 0 {w} {h}" role="img" aria-label="{escape(self._summary())}">'
            f'<g class="axes">{self._axes()}</g>{self._marks()}<g class="lines">{lines}</g>'
            '<g class="cross"></g></svg>'
        )

    def _summary(self) -> str:
        parts = [f"{s.name} from {number_text(s.points[0].mean)} to "
                 f"{number_text(s.points[-1].mean)}" for s in self.series[:8] if s.points]
        return f"{self.title}: {', '.join(parts)}"

    def place(self, x: float, y: float) -> tuple[float, float]:
        across, up = self.x(x), self.y(y)
        return (LEFT + across * (self.width - LEFT - RIGHT),
                TOP + (1 - up) * (self.height - TOP - BOTTOM))

    def _axes(self) -> str:
        left, right = LEFT, self.width - RIGHT
        bottom = self.height - BOTTOM
        found = []
        for tick in self.y.ticks():
            level = TOP + (1 - self.y(tick)) * (bottom - TOP)
            found.append(f'<path class="grid" d="M{left:.1f} {level:.1f}H{right:.1f}"/>')
            found.append(_text(left - 8, level + 4, written(tick, self.y.is_log), "end"))
        found.append(f'<path class="axis" d="M{left:.1f} {bottom:.1f}H{right:.1f}"/>')
        for tick in x_ticks(self.x, self.is_wide):
            at = LEFT + self.x(tick) * (right - left)
            found.append(f'<path class="axis" d="M{at:.1f} {bottom:.1f}v4"/>')
            found.append(_text(at, bottom + 17, written(tick), "middle"))
        return "".join(found) + self._guide()

    def _guide(self) -> str:
        if self.guide is None or not 0 <= self.y(self.guide) <= 1:
            return ""
        level = TOP + (1 - self.y(self.guide)) * (self.height - TOP - BOTTOM)
        return f'<path class="guide" d="M{LEFT:.1f} {level:.1f}H{self.width - RIGHT:.1f}"/>'

    def _marks(self) -> str:
        found = []
        for x, text in self.marks:
            at = min(max(self.x(x), 0.0), 1.0) * (self.width - LEFT - RIGHT) + LEFT
            end = "end" if at + text_width(text, 11) > self.width - RIGHT else ""
            found.append(
                f'<path class="mark" d="M{at:.1f} {TOP:.1f}V{self.height - BOTTOM:.1f}"/>'
                + _text(at + (-5 if end else 5), TOP + 10, text, f"mark-text {end}")
            )
        return f'<g class="marks">{"".join(found)}</g>' if found else ""

    def _line(self, i: int, series: Series) -> str:
        smooth = self.smooth
        points = series.points
        shown = smoothed(series.xs, series.means, smooth) if smooth else series.means
        kind = f"series {self._class(i)}" + (" many" if len(self.series) > 12 else "")
        body = ""
        if series.each > 1 and len(self.series) <= 4:
            body += f'<path class="band" d="{self._band(points)}"/>'
        if smooth:
            body += f'<path class="raw" d="{self._path(points, series.means)}"/>'
        body += f'<path class="line" d="{self._path(points, shown)}"/>'
        dots = "".join(f'<circle cx="{u:.1f}" cy="{v:.1f}" r="2.4"/>'
                       for u, v in self._dots(points, shown))
        return f'<g class="{kind}" data-series="{i}">{body}{dots}</g>'

    def _path(self, points: Sequence[Point], values: Sequence[float]) -> str:
        found, down = [], False
        for point, value in zip(points, values):
            x, y = self.place(point.x, value)
            if not math.isfinite(y):
                down = False
                continue
            found.append(f"{'L' if down else 'M'}{x:.1f} {y:.1f}")
            down = True
        return "".join(found)

    def _band(self, points: Sequence[Point]) -> str:
        """The range of the values that each point stands for."""
        known = [p for p in points if math.isfinite(self.place(p.x, p.low)[1])]
        if not known:
            return ""
        there = [self.place(p.x, p.high) for p in known]
        back = [self.place(p.x, p.low) for p in reversed(known)]
        return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in [*there, *back]) + "Z"

    def _dots(self, points: Sequence[Point], values: Sequence[float]) -> list[tuple[float, float]]:
        """Few points are dots as well, and so is one between gaps, which is no line."""
        places = [self.place(p.x, y) for p, y in zip(points, values)]
        known = [math.isfinite(y) for _, y in places]
        padded = [False, *known, False]
        few = len(points) <= FEW
        return [at for i, at in enumerate(places)
                if known[i] and (few or not (padded[i] or padded[i + 2]))]


def series_of(name: str, curve: Curve, factor: float = 1.0, most: int | None = None) -> Series:
    """A curve as a line of a chart, in other units."""
    points = list(curve.points(most))
    if factor != 1.0:
        points = [p._replace(mean=p.mean * factor, low=p.low * factor, high=p.high * factor)
                  for p in points]
    return Series(name, points, max((p.size for p in points), default=1))


def x_ticks(scale: Scale, is_wide: bool = False) -> list[float]:
    """Steps are whole numbers."""
    found = scale.ticks(10 if is_wide else 6)
    whole = [t for t in found if t == int(t)]
    return whole or [round((scale.low + scale.high) / 2)]


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'


def _short(value: float) -> float | str:
    """Six digits; what JSON lacks as text."""
    return float(f"{value:.6g}") if math.isfinite(value) else str(float(value))
