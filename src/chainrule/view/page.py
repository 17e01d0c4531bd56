"""One HTML file that shows a graph: data, styles and scripts in it, and no request to anywhere."""

from __future__ import annotations

from string import Template
from typing import Any

from .document import asset, embedded
from .svg import COLOURS, escape

# Each script is a block of its own in one function; `app` is all they share.
SCRIPTS = (
    "core.js", "wrap.js", "place.js", "figures.js", "boxes.js", "camera.js", "graph.js", "walk.js",
    "colours.js", "export.js", "kernels.js", "bar.js",
    "numbers.js", "rules.js", "panel.js", "stepper.js", "memory.js", "lists.js", "main.js",
)  # fmt: skip
STYLES = ("page.css", "panels.css")

# The policy turns "no request" from a habit into something that the browser enforces.
_PAGE = Template("""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data: blob:; \
style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>$title</title>
<style>
$colours
$style
</style>
<style id="drawing">
$drawing
</style>
</head>
<body>
<header id="bar"></header>
<main id="stage"></main>
<aside id="panel" aria-label="details of the selection"></aside>
<section id="memory" aria-label="memory over the step" hidden></section>
<footer id="stepper"></footer>
<p id="spoken" role="status" aria-live="polite"></p>
<noscript>This page draws the graph with a script that is inside of it.</noscript>
<script type="application/json" id="data">$data</script>
<script>
(() => {
"use strict";
const app = {};
$scripts
})();
</script>
</body>
</html>
""")


def page(data: dict[str, Any]) -> str:
    """The HTML document for the data of a graph (format "chainrule.graph").

    Whatever stands in `data` is text to the page: names, paths and source lines cannot become
    markup or script.

    >>> node = {"id": 0, "name": "</script>", "op": "leaf", "label": "x", "kind": "data"}
    >>> html = page({"format": "chainrule.graph", "version": 1, "title": "f", "nodes": [node]})
    >>> html.count("</script>")  # the data and the scripts, each ended once
    2
    """
    return _PAGE.substitute(
        title=escape(str(data.get("title", "chainrule"))),
        colours=_colour_rules(),
        style="\n".join(asset(name) for name in STYLES),
        drawing=asset("drawing.css"),
        data=embedded(data),
        scripts="\n".join(f"{{ // {name}\n{asset(name)}}}" for name in SCRIPTS),
    )


def _colour_rules() -> str:
    """The colours of all drawings as variables: the reader's theme, unless one is chosen."""
    light, dark = (
        "".join(f"--{name}: {pair[i]}; " for name, pair in COLOURS.items()) for i in (0, 1)
    )
    return (
        f":root {{ color-scheme: light; {light}}}\n"
        f"@media (prefers-color-scheme: dark) {{ :root {{ color-scheme: dark; {dark}}} }}\n"
        f":root[data-theme=light] {{ color-scheme: light; {light}}}\n"
        f":root[data-theme=dark] {{ color-scheme: dark; {dark}}}"
    )
