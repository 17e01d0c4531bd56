"""The parts of the page that are text: tiles, what happened, the table of parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ..labels import shape_text
from ..svg import escape
from .curves import Curve
from .history import Entry, History
from .naming import Parameter
from .scales import number_text

MOST_TILES = 3  # of losses
MOST_EVENTS = 12
MOST_NAMED = 6
MOST_ROWS = 400


def tiles(history: History, optimizers: Sequence[str], parameters: Sequence[Parameter]) -> str:
    """The run in a few numbers."""
    found = []
    for name, curve in list(history.losses.items())[:MOST_TILES]:
        best = f"lowest {number_text(curve.lowest)}" if math.isfinite(curve.lowest) else ""
        first = f"{number_text(curve.first)} → " if curve.values > 1 else ""
        found.append(_tile(name, first + number_text(curve.last), best))
    for name, curve in list(history.metrics.items())[:MOST_TILES]:
        span = f"{number_text(curve.lowest)} to {number_text(curve.highest)}" \
            if math.isfinite(curve.lowest) else ""
        found.append(_tile(name, number_text(curve.last), span))
    if history.steps:
        found.append(_tile("steps", f"{history.steps:,}", f"in {seconds_text(history.time)}"))
        found.append(_tile("a step takes", seconds_text(_median(history.seconds)), "median"))
    count = sum(math.prod(p.shape) for p in parameters)
    if count:
        names = ", ".join(optimizers)
        found.append(_tile("parameters", f"{count:,}", names))
    return f'<div class="tiles">{"".join(found)}</div>'


def _tile(name: str, value: str, more: str = "") -> str:
    return (f'<div class="tile"><span class="sub">{escape(name)}</span><b>{escape(value)}</b>'
            f'<span class="sub">{escape(more)}</span></div>')


def _median(curve: Curve) -> float:
    known = sorted(p.mean for p in curve.points() if p.size)
    return known[len(known) // 2] if known else 0.0


def seconds_text(seconds: float) -> str:
    """
    >>> [seconds_text(s) for s in (0.00042, 0.0123, 4.25, 75.0, 7322.0)]
    ['420 µs', '12.3 ms', '4.25 s', '1 min 15 s', '2 h 2 min']
    """
    if seconds < 1e-3:
        return f"{seconds * 1e6:.0f} µs"
    if seconds < 1:
        return f"{seconds * 1e3:.3g} ms"
    if seconds < 60:
        return f"{seconds:.3g} s"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
    return f"{seconds // 3600:,.0f} h {seconds % 3600 // 60:.0f} min"


def events(found: Mapping[tuple[int, str], Sequence[str]]) -> str:
    """What a reader should know first: where something is not finite, zero, or missing."""
    lines = [f"<li><span>step {step:,}</span>{escape(what)}: {escape(_named(where))}</li>"
             for (step, what), where in list(found.items())[:MOST_EVENTS]]
    more = len(found) - MOST_EVENTS
    if more > 0:
        lines.append(f"<li><span></span>and {more:,} more</li>")
    return f'<ul class="events">{"".join(lines)}</ul>'


def _named(names: Sequence[str]) -> str:
    shown = ", ".join(names[:MOST_NAMED])
    more = len(names) - MOST_NAMED
    return f"{shown} and {more:,} more" if more > 0 else shown


def parameters(entries: Mapping[Parameter, Entry], classes: Mapping[str, str]) -> str:
    """A table: the norms of every parameter, when they were last measured."""
    shown = list(entries.items())[:MOST_ROWS]
    rows = [_row(p, entry, classes.get(p.layer, "s0")) for p, entry in shown]
    head = "".join(f"<th>{text}</th>" for text in (
        "parameter", "shape", "|w|", "|g|", "over time", "|Δw| / |w|"))
    more = len(entries) - len(shown)
    rest = f'<p class="sub">and {more:,} more</p>' if more else ""
    return f'<div class="table"><table><thead><tr>{head}</tr></thead>' \
        f'<tbody>{"".join(rows)}</tbody></table>{rest}</div>'


def _row(p: Parameter, entry: Entry, kind: str) -> str:
    last = entry.last
    gradient = number_text(last.gradient_norm) if last.reached else "no gradient"
    cells = [f'<td><i class="{kind}"></i>{escape(p.name)}</td>',
             f"<td>{escape(shape_text(p.shape))}</td>"]
    cells += [f"<td>{escape(text)}</td>" for text in (number_text(last.weight_norm), gradient)]
    cells.append(f"<td>{_spark(entry.gradients, kind)}</td>")
    cells.append(f"<td>{escape(number_text(last.update_ratio))}</td>")
    return f"<tr>{''.join(cells)}</tr>"


def _spark(curve: Curve, kind: str) -> str:
    """A curve without axes, logarithmic."""
    points = [(p.x, math.log10(p.mean)) for p in curve.points() if p.size and p.mean > 0]
    if len(points) < 2:
        return ""
    xs, ys = [x for x, _ in points], [y for _, y in points]
    left, wide = min(xs), max(xs) - min(xs) or 1.0
    low = (min(ys) + max(ys)) / 2
    tall = max(max(ys) - min(ys), 1.0)  # a decade at least
    path = "L".join(f"{1 + 94 * (x - left) / wide:.1f} {9 - 14 * (y - low) / tall:.1f}"
                    for x, y in points)
    return f'<svg class="spark {kind}" viewBox="0 0 96 18"><path d="M{path}"/></svg>'
