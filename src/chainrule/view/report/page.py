"""The report as one HTML file: charts, styles and script in it, and no request to anywhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from string import Template
from typing import Any

from ..document import asset, embedded
from ..svg import COLOURS, escape
from .charts import Chart, Series, series_of
from .curves import Curve
from .heatmap import Heatmap
from .history import History
from .naming import Parameter
from .palette import class_of, rules
from .tables import events, parameters, tiles

MOST_LINES = 60  # layers that are lines of a chart; all are rows of the heatmap
MOST_IN_LAYERS = 60_000  # points of all layers' lines in one page

_PAGE = Template("""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data: blob:; \
style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
$refresh<title>$title</title>
<style>
$colours
$style
</style>
</head>
<body>
<header>
<div class="line"><h1>$title</h1>$state<span class="space"></span>$controls</div>
<nav>$links</nav>
</header>
<main>
$body
</main>
<div id="tip" role="status" hidden></div>
<script type="application/json" id="data">$data</script>
<script>
(() => {
"use strict";
$script
})();
</script>
</body>
</html>
""")
_CONTROLS = """\
<label class="slider">smoothing <input type="range" id="smooth" min="0" max="0.98" step="0.02">\
<output></output></label><button type="button" id="theme" title="light or dark">◐</button>"""


@dataclass
class Facts:
    """What a page says besides the curves."""

    title: str
    state: str = "running"  # running, finished, failed, interrupted
    when: str = ""
    optimizers: Sequence[str] = ()
    parameters: Sequence[Parameter] = ()
    error: str = ""
    sampling: str = ""
    notes: Sequence[str] = ()
    files: Sequence[str] = ()
    graph: str | None = None  # the page of a step's graph, to stand inside
    graph_file: str | None = None  # or beside, under this name
    graph_step: int = 0


@dataclass
class _Section:
    key: str
    title: str
    html: list[str] = field(default_factory=list)
    charts: list[Chart] = field(default_factory=list)
    maps: list[Heatmap] = field(default_factory=list)
    intro: str = ""

    def add(self, chart: Chart) -> None:
        self.charts.append(chart)
        self.html.append(chart.html())

    def add_map(self, heatmap: Heatmap) -> None:
        self.maps.append(heatmap)
        self.html.append(heatmap.html())

    def __str__(self) -> str:
        intro = f"<p>{self.intro}</p>" if self.intro else ""
        return (f'<section id="{self.key}"><h2>{escape(self.title)}</h2>{intro}'
                f'<div class="grid">{"".join(self.html)}</div></section>')


def page(history: History, facts: Facts) -> str:
    """The HTML document.  Whatever the user named is text to it."""
    sections = [s for s in _sections(history, facts) if s.html]
    charts = [c.data() for s in sections for c in s.charts]
    maps = [m.data() for s in sections for m in s.maps]
    graph = _graph(facts)
    links = [(s.key, s.title) for s in sections] + [("graph", "Graph")] * bool(graph)
    body = [_top(history, facts), *map(str, sections), graph, _about(facts)]
    running = facts.state == "running"
    return _PAGE.substitute(
        title=escape(facts.title), state=_state(facts), controls=_CONTROLS,
        refresh='<meta http-equiv="refresh" content="30">\n' if running else "",
        colours=_colours(), style=asset("report.css"), script=asset("report.js"),
        links="".join(f'<a href="#{key}">{escape(title)}</a>' for key, title in links),
        body="\n".join(body), data=embedded({"charts": charts, "heatmaps": maps}, _plain),
    )


# ---------------------------------------------------------------------------- parts
def _state(facts: Facts) -> str:
    return f'<span class="state {facts.state}">{escape(facts.state)}</span>' \
        f'<span class="sub">{escape(facts.when)}</span>'


def _top(history: History, facts: Facts) -> str:
    found = []
    if facts.error:
        found.append(f'<div class="error"><b>The script failed</b><pre>{escape(facts.error)}'
                     "</pre></div>")
    found.append(tiles(history, facts.optimizers, facts.parameters))
    if history.events:
        found.append(events(history.events))
    if not history.steps:
        found.append('<p class="note">No training step was seen: the script has called neither '
                     "backward() nor an optimizer's step().</p>")
    return "".join(found)


def _sections(history: History, facts: Facts) -> list[_Section]:
    return [_loss(history), _metrics(history), _gradients(history), _updates(history),
            _pace(history), _parameters(history)]


def _loss(history: History) -> _Section:
    found = _Section("loss", "Loss")
    if not history.losses:
        return found
    series = [series_of(name, curve) for name, curve in history.losses.items()]
    marks = [mark for name, curve in history.losses.items() for mark in _bad(name, curve)]
    one = len(history.losses) == 1
    title = next(iter(history.losses)) if one else "losses"
    found.add(Chart("loss", title, series, _of_points(series), is_wide=True, marks=marks))
    return found


def _bad(name: str, curve: Curve) -> list[tuple[float, str]]:
    if curve.first_not_finite is None:
        return []
    x, y = curve.first_not_finite
    return [(x, f"{name} is {y} from step {x:.0f}" if curve.not_finite > 1
             else f"{name} is {y} at step {x:.0f}")]


def _of_points(series: Sequence[Series]) -> str:
    each = max((s.each for s in series), default=1)
    return f"mean and range of {each} steps a point" if each > 1 else ""


def _metrics(history: History) -> _Section:
    found = _Section("metrics", "Metrics")
    for i, (name, curve) in enumerate(history.metrics.items()):
        if curve.values:
            series = [series_of(name, curve)]
            found.add(Chart(f"metric {i}", name, series, _of_points(series), is_steps=False,
                            marks=_bad(name, curve)))
    return found


def _gradients(history: History) -> _Section:
    found = _Section("gradients", "Gradient flow")
    curves = {history.titles[name]: layer.gradient for name, layer in history.layers.items()
              if layer.gradient.values}
    if not curves:
        return found
    found.intro = ("The length |g| of each layer's gradient, from the first layer to the last: "
                   "where it fades or grows from layer to layer, so does learning.")
    if len(curves) > 1:
        found.add_map(Heatmap("gradients", "gradient by layer",
                              "each row a layer, colour: |g|", curves))
    found.add(_by_layer("gradient", "gradient norm", curves, "|g|"))
    total = [series_of("all parameters", history.gradient_norm)]
    found.add(Chart("gradient all", "gradient norm of all parameters", total, unit="|g|"))
    return found


def _by_layer(key: str, title: str, curves: dict[str, Curve], unit: str, **more: Any) -> Chart:
    chosen = _chosen(list(curves))
    most = max(60, MOST_IN_LAYERS // (3 * len(chosen)))
    series = [series_of(name, curves[name], most=most) for name in chosen]
    subtitle = f"{len(chosen)} of {len(curves)} layers" if len(chosen) < len(curves) else ""
    return Chart(key, title, series, subtitle, unit, is_log=True, **more)


def _chosen(names: list[str]) -> list[str]:
    """All, or as many as can be told apart, evenly from the first to the last."""
    if len(names) <= MOST_LINES:
        return names
    step = (len(names) - 1) / (MOST_LINES - 1)
    return [names[round(i * step)] for i in range(MOST_LINES)]


def _updates(history: History) -> _Section:
    found = _Section("updates", "Updates")
    titles, layers = history.titles, history.layers.items()
    ratios = {titles[name]: layer.ratio for name, layer in layers if layer.ratio.values}
    weights = {titles[name]: layer.weight for name, layer in layers if layer.weight.values}
    if ratios:
        found.intro = ("How far a step moves a layer, relative to its weights: |Δw| / |w|. "
                       "The dashed line is at 10⁻³, a common rule of thumb.")
        found.add(_by_layer("ratio", "update ratio", ratios, "|Δw| / |w|", guide=1e-3))
    if weights:
        found.add(_by_layer("weight", "weight norm", weights, "|w|"))
    return found


def _pace(history: History) -> _Section:
    found = _Section("pace", "Learning rate and time")
    if history.lrs:
        series = [series_of(name, curve) for name, curve in history.lrs.items()]
        found.add(Chart("lr", "learning rate", series, _of_points(series), may_smooth=False))
    if history.seconds.values:
        factor, unit = _time_unit(history.seconds)
        series = [series_of("a step", history.seconds, factor)]
        subtitle = _of_points(series) or "without what the report takes"
        found.add(Chart("time", "time per step", series, subtitle, unit))
    return found


def _time_unit(curve: Curve) -> tuple[float, str]:
    known = sorted(p.mean for p in curve.points() if p.size)
    middle = known[len(known) // 2] if known else 1.0
    return (1e6, "µs") if middle < 1e-3 else (1e3, "ms") if middle < 1 else (1.0, "s")


def _parameters(history: History) -> _Section:
    found = _Section("parameters", "Parameters")
    if history.parameters:
        layers = list(history.layers)
        classes = {name: class_of(i, len(layers)) for i, name in enumerate(layers)}
        found.html.append(parameters(history.parameters, classes))
    return found


def _graph(facts: Facts) -> str:
    if facts.graph is None and facts.graph_file is None:
        return ""
    step = f"of step {facts.graph_step:,}" if facts.graph_step else ""
    head = f'<h2>Graph <span class="sub">{escape(step)}</span></h2>'
    if facts.graph is not None:
        inside = (f'<iframe title="the graph of a step" loading="lazy" '
                  f'srcdoc="{escape(facts.graph)}"></iframe>')
    else:
        inside = (f'<p><a href="{escape(facts.graph_file or "")}">The graph, a page of its own'
                  "</a></p>")
    return f'<section id="graph">{head}{inside}</section>'


def _about(facts: Facts) -> str:
    lines = [facts.sampling, *facts.notes]
    if facts.files:
        lines.append("The same numbers: " + ", ".join(facts.files) + ".")
    lines = [f"<li>{escape(text)}</li>" for text in lines if text]
    return f'<footer id="about"><ul>{"".join(lines)}</ul></footer>' if lines else ""


# ---------------------------------------------------------------------------- resources
def _plain(x: Any) -> Any:
    number = float(x)
    return number if math.isfinite(number) else str(number)


def _colours() -> str:
    """The colours of all drawings as variables: the reader's theme, unless one is chosen."""
    light, dark = (
        "".join(f"--{name}: {pair[i]}; " for name, pair in COLOURS.items()) for i in (0, 1)
    )
    return (
        f":root {{ color-scheme: light; {light}}}\n{rules(False)}\n"
        f"@media screen and (prefers-color-scheme: dark) {{\n"
        f":root:not([data-theme=light]) {{ color-scheme: dark; {dark}}}\n"
        f"{rules(True, ':root:not([data-theme=light])')}\n}}\n"
        f"@media screen {{\n:root[data-theme=dark] {{ color-scheme: dark; {dark}}}\n"
        f"{rules(True, ':root[data-theme=dark]')}\n}}"
    )
