"""`draw`: the graph of a tensor as an SVG, left to right, with its values and gradients."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Mapping

import numpy as np

from ..autodiff import is_leaf
from ..errors import ArgumentError
from ..graph import Node
from ..tensor import Tensor
from .facts import Facts, facts_of, stages
from .figure import LINE, SMALL, Figure
from .labels import Names, describe, names_of, node_of, scope_label, shape_text, summary
from .layout import Box, Edge, Region, layout
from .picture import Element, Picture, Wire, picture_of
from .svg import MARGIN, Page, smooth, text_width, write

TOP = 58.0
LEGEND = 46.0
ARROW = 7.0
MOST_PARAMETERS = 4
MOST_BOXES = 1000
FREED = "without gradients: backward has freed this graph (draw before it, or retain_graph=True)"


def draw(
    tensor: Tensor,
    path: str | os.PathLike | None = None,
    *,
    backward: bool | None = None,
    values: bool = True,
    names: Mapping[str, Tensor] | None = None,
    title: str | None = None,
    limit: int = 24,
    depth: int | None = None,
) -> str:
    """The graph that `tensor` was made from as an SVG; written to `path` if one is given.

    Squares are variables, circles operators.  Each wire carries its value above and, below it in
    a second colour, what flows back through it: the gradient of `tensor` with respect to that
    use of the value.  Uses add up to the gradient of the value, written below its box.  An array
    too large to print is a tile: the darker a cell, the larger the number; its hue is the sign.

    `backward=None` draws gradients if `tensor` has any.  `names` maps names to tensors; the
    caller's variables are found by themselves.  Regions (modules, composite functions) nested
    deeper than `depth` become one box each, with the norms of what is inside; by default as many
    as it takes to show at most `limit` boxes, and layers open only if that makes half as many.

    All values are computed aside: drawing changes no later bit of the program.

    >>> import chainrule as torch
    >>> x = torch.tensor(3.0, requires_grad=True)
    >>> y = x * x
    >>> svg = torch.draw(y)  # x twice: 3 and its share 3 of the gradient on each wire, 6 below x
    >>> [svg.count(f">{number}<") for number in ("3.00", "6.00", "9.00")]
    [4, 1, 1]
    """
    node_of("draw", tensor)
    known = names_of(sys._getframe(1), names)
    svg = drawn(tensor, known, backward, values, title, limit, depth)
    if path is not None:
        write(path, svg)
    return svg


def drawn(
    tensor: Tensor, known: Names, backward: bool | None = None, values: bool = True,
    title: str | None = None, limit: int = 24, depth: int | None = None,
) -> str:
    """What `draw` returns, for names that are known already."""
    picture = picture_of(tensor.node, known, limit, depth)
    facts = facts_of(tensor, picture.order, backward) if values else Facts()
    return _Drawing(picture, facts, title or _title(tensor.node, known)).svg(facts)


def draw_steps(
    tensor: Tensor,
    folder: str | os.PathLike | None = None,
    *,
    names: Mapping[str, Tensor] | None = None,
    title: str | None = None,
) -> list[str]:
    """The same drawing gate by gate: one SVG after each op forward, then after each op backward.

    Picture k holds only the numbers that are known by then.  Forward, one more value; backward, in
    exactly the reverse order, what one more op hands to its inputs.  With `folder` they are
    written as step-00.svg, step-01.svg ...

    >>> import chainrule as torch
    >>> x = torch.tensor(3.0, requires_grad=True)
    >>> y = (x * x).exp()
    >>> [svg.count(">9.00<") for svg in torch.view.draw_steps(y)]
    [1, 1, 1, 1]
    """
    node = node_of("draw_steps", tensor)
    known = names_of(sys._getframe(1), names)
    picture = picture_of(node, known, sys.maxsize)
    facts = facts_of(tensor, picture.order, True)
    drawing = _Drawing(picture, facts, title or _title(node, known))
    svgs = [drawing.svg(now) for now in stages(picture.order, facts)]
    if folder is not None:
        for k, svg in enumerate(svgs):
            write(os.path.join(folder, f"step-{k:02d}.svg"), svg)
    return svgs


def _title(node: Node, names: Names) -> str:
    return f"{names.nodes.get(node, 'output')}, recorded at {node.where}"


class _Drawing:
    """Sizes and places for everything in a picture; `svg` draws what is known of its numbers."""

    def __init__(self, picture: Picture, facts: Facts, title: str):
        if len(picture.elements) > MOST_BOXES:
            raise ArgumentError(
                f"draw requires at most {MOST_BOXES} boxes, got a graph of {len(picture.elements)}",
                hint="print it with show(), or draw a tensor half-way",
            )
        self.picture, self.facts, self.title = picture, facts, title
        self.leaving = Counter(wire.tail for wire in picture.wires)
        self.boxes = {e: self._box(e) for e in picture.elements}
        self.labels = {w: self._label(w) for w in picture.wires}
        self.edges = {w: self._edge(w) for w in picture.wires}
        paths = {e.scopes[: i + 1] for e in picture.elements for i in range(len(e.scopes))}
        widths = {path: text_width(scope_label(path[-1])) for path in paths}
        boxes, edges = list(self.boxes.values()), list(self.edges.values())
        self.width, self.height, self.regions = layout(boxes, edges, widths)
        for box in boxes:
            box.x, box.y = box.x + MARGIN, box.y + TOP

    def svg(self, known: Facts) -> str:
        """The document, with the numbers that are in `known`."""
        legend = _Legend(self.picture, self.facts)
        wide = max(self.width, legend.width, text_width(self.title, 15))
        self.page = Page(wide + 2 * MARGIN, TOP + self.height + LEGEND, self.title)
        self.page.text(MARGIN, 26.0, self.title, "title")
        if any(node.freed for node in self.picture.order):
            self.page.text(MARGIN, 44.0, FREED, "faint small")
        for region in sorted(self.regions, key=lambda region: len(region.path)):
            self._draw_region(region)
        for edge in self.edges.values():
            self._draw_wire(edge)
        for wire in self.edges:
            self._draw_label(wire, known)
        for element in self.picture.elements:
            self._draw_element(element, known)
        legend.draw(self.page, TOP + self.height + LEGEND - 20)
        return str(self.page)

    # -------------------------------------------------------------------------- sizes

    def _box(self, element: Element) -> Box:
        path = element.scopes
        if element.kind == "module":
            width, height = self._module_size(element)
            return Box(width, height, path, radius=8.0)
        clearance = LINE + 3 if self._total(element) else 0.0
        if element.kind == "operator":
            width = max(30.0, text_width(element.label) + 14)
            return Box(width, 30.0, path, radius=15.0, clearance=clearance)
        width = max(28.0, text_width(element.label) + 16)
        return Box(width, 26.0, path, radius=2.0, clearance=clearance)

    def _total(self, element: Element) -> str:
        """What the uses of a value add up to, where that is not written on one wire."""
        gradient = self.facts.gradients.get(element.node)
        forks = self.leaving[element] > 1 and element.kind in ("data", "parameter", "operator")
        return summary(gradient) if forks and gradient is not None else ""

    def _label(self, wire: Wire) -> list[Figure | None]:
        """[value, gradient] of a wire, each None where another place shows it already."""
        shown_by_tail = wire.tail.kind == "module" and wire.node is wire.tail.node
        passes_on = wire.tail.kind == "variable" and self.leaving[wire.tail] == 1
        if shown_by_tail or passes_on:
            return [None, None]
        value = self.facts.values.get(wire.node)
        gradient = self._gradient(wire)
        return [
            None if value is None else Figure(value, "value", shape=True),
            None if gradient is None else Figure(gradient, "gradient", below=True),
        ]

    def _gradient(self, wire: Wire) -> np.ndarray | None:
        if not wire.uses:
            return self.facts.gradients.get(wire.node)
        shares = [self.facts.shares[use] for use in wire.uses if use in self.facts.shares]
        return sum(shares[1:], shares[0]) if shares else None

    def _edge(self, wire: Wire) -> Edge:
        figures = [figure for figure in self.labels[wire] if figure is not None]
        size = None
        if figures:
            tallest = max(figure.height for figure in figures)
            size = (max(figure.width for figure in figures) + 6, 2 * tallest + 4)
        return Edge(self.boxes[wire.tail], self.boxes[wire.head], size)

    # -------------------------------------------------------------------------- drawing

    def _draw_region(self, region: Region) -> None:
        x, y = region.left + MARGIN, region.top + TOP
        self.page.rect(x, y, region.width, region.height, "region", rx=8)
        self.page.text(x + 10, y + 12, scope_label(region.path[-1]), "faint")

    def _draw_wire(self, edge: Edge) -> None:
        points = [(x + MARGIN, y + TOP) for x, y in edge.points]
        x, y = points[-1]
        self.page.add("path", "edge", d=smooth([*points[:-1], (x - ARROW + 1, y)]))
        self.page.add("path", "arrow", d=f"M{x:.1f} {y:.1f}l-{ARROW} -3.2v6.4z")

    def _draw_label(self, wire: Wire, known: Facts) -> None:
        x, y = self.edges[wire].label_at
        x, y = x + MARGIN, y + TOP
        value, gradient = self.labels[wire]
        if value and wire.node in known.values:
            value.draw(self.page, x, y - 2 - value.height)
        arrived = any(use in known.shares for use in wire.uses) if wire.uses else (
            wire.node in known.gradients
        )
        if gradient and arrived:
            gradient.draw(self.page, x, y + 2)

    def _draw_element(self, element: Element, known: Facts) -> None:
        box = self.boxes[element]
        node = element.node
        x, y = box.x - box.width / 2, box.y - box.height / 2
        tip = describe(node, known.values.get(node), known.gradients.get(node))
        kind = {"variable": "data", "module": "operator"}.get(element.kind, element.kind)
        self.page.rect(x, y, box.width, box.height, f"box {kind}", rx=box.radius, tip=tip)
        if element.kind == "module":
            self._draw_module(element, box)
            return
        style = "name middle" if element.is_variable else "middle"
        self.page.text(box.x, box.y, element.label, style)
        total = self._total(element)
        if total and node in known.gradients:
            below = box.y + box.height / 2 + LINE / 2 + 2
            self.page.text(box.x, below, total, "gradient middle")

    # -------------------------------------------------------------------------- modules

    def _module_figures(self, element: Element) -> list[Figure]:
        node = element.node
        pair = (self.facts.values.get(node), "value"), (self.facts.gradients.get(node), "gradient")
        return [Figure(array, role, below=True) for array, role in pair if array is not None]

    def _table(self, element: Element) -> list[list[str]]:
        """Name, shape, norm of the value, norm of the gradient of each parameter inside."""
        rows = []
        for node in element.inside:
            if is_leaf(node) and node.requires_grad:
                arrays = self.facts.values.get(node), self.facts.gradients.get(node)
                norms = ["" if a is None else summary(a) for a in arrays]
                name = self.picture.names.nodes.get(node, "").rpartition(".")[2]
                rows.append([name, shape_text(node.shape), *norms])
        left_out = len(rows) - MOST_PARAMETERS
        more = [[f"and {left_out} more", "", "", ""]] if left_out > 0 else []
        return rows[:MOST_PARAMETERS] + more

    def _module_size(self, element: Element) -> tuple[float, float]:
        figures, rows = self._module_figures(element), self._table(element)
        across = sum(f.width for f in figures) + 12 * (len(figures) - 1)
        width = max(text_width(element.label) + 8, across, sum(_columns(rows))) + 20
        tallest = max((f.height for f in figures), default=0.0)
        return width, 42 + tallest + (6 if figures else 0) + LINE * len(rows) + (4 if rows else 0)

    def _draw_module(self, element: Element, box: Box) -> None:
        top = box.y - box.height / 2
        self.page.text(box.x, top + 14, element.label, "name middle")
        self.page.text(box.x, top + 29, shape_text(element.node.shape), "faint small middle")
        figures = self._module_figures(element)
        x = box.x - (sum(f.width for f in figures) + 12 * (len(figures) - 1)) / 2
        for figure in figures:
            figure.draw(self.page, x + figure.width / 2, top + 38)
            x += figure.width + 12
        rows = self._table(element)
        widths = _columns(rows)
        y = box.y + box.height / 2 - 6 - LINE * len(rows)
        for row in rows:
            x = box.x - sum(widths) / 2
            for cell, width, kind in zip(row, widths, ("", "faint", "value", "gradient")):
                self.page.text(x + 4, y + LINE / 2, cell, f"{kind} small".strip())
                x += width
            y += LINE


def _columns(rows: list[list[str]]) -> list[float]:
    """The widths of a table's columns."""
    return [max(text_width(cell, SMALL) for cell in column) + 8 for column in zip(*rows)]


class _Legend:
    """What the shapes and colours of this drawing mean; only what it contains."""

    def __init__(self, picture: Picture, facts: Facts):
        kinds = {element.kind for element in picture.elements}
        entries = [
            ("data", "variable", bool(kinds & {"data", "variable"})),
            ("parameter", "requires grad", "parameter" in kinds),
            ("operator", "operator", "operator" in kinds),
            ("module", "module or function", "module" in kinds),
            ("value", "value", bool(facts.values)),
            ("gradient", "gradient of the output", bool(facts.gradients)),
        ]
        self.entries = [(kind, text) for kind, text, used in entries if used]
        self.width = sum(self._advance(text) for _, text in self.entries)

    @staticmethod
    def _advance(text: str) -> float:
        return 24 + text_width(text, SMALL) + 18

    def draw(self, page: Page, y: float) -> None:
        x = MARGIN
        for kind, text in self.entries:
            if kind in ("value", "gradient"):
                page.text(x, y, "0.5", f"{kind} small")
            elif kind == "operator":
                page.add("circle", "box operator", cx=x + 8, cy=y, r=7)
            else:
                style = "operator" if kind == "module" else kind
                radius = 4 if kind == "module" else 1
                page.rect(x, y - 6, 16.0, 12.0, f"box {style}", rx=radius)
            page.text(x + 24, y, text, "faint small")
            x += self._advance(text)
