"""`draw`: the graph of a tensor as an SVG, left to right, with its values and gradients."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Mapping

import numpy as np

from ..graph import Node
from ..tensor import Tensor
from .facts import Facts, facts_of
from .figure import LINE, SMALL, Figure
from .labels import describe, names_of, norm, shape_text, short
from .layout import Box, Edge, Region, layout
from .picture import Element, Picture, Wire, picture_of
from .svg import MARGIN, Page, smooth, text_width, write

TOP = 58.0
LEGEND = 46.0
ARROW = 7.0
MOST_PARAMETERS = 4


def draw(
    tensor: Tensor,
    path: str | os.PathLike | None = None,
    *,
    backward: bool | None = None,
    values: bool = True,
    names: Mapping[str, Tensor] | None = None,
    title: str | None = None,
    limit: int = 60,
    depth: int | None = None,
) -> str:
    """The graph that `tensor` was made from as an SVG; written to `path` if one is given.

    Squares are variables, circles operators.  Each wire carries its value above and, below it in
    a second colour, what flows back through it: the gradient of `tensor` with respect to that
    use of the value.  Uses add up to the gradient of the value, written below its box.  An array
    too large to print is a tile: the darker a cell, the larger the number; its hue is the sign.

    `backward=None` draws gradients if `tensor` has any.  `names` maps names to tensors; the
    caller's variables are found by themselves.  Regions (modules, composite functions) nested
    deeper than `depth` become one box; by default as many as it takes to show at most `limit`.

    All values are computed aside: drawing changes no later bit of the program.

    >>> import chainrule as torch
    >>> x = torch.tensor(3.0, requires_grad=True)
    >>> y = x * x
    >>> svg = torch.draw(y)
    >>> svg.count(">3.00<"), svg.count(">9.00<")
    (2, 1)
    """
    node = tensor.node
    known = names_of(sys._getframe(1), names)
    picture = picture_of(node, known, limit, depth)
    facts = facts_of(node, picture.order, backward) if values else Facts()
    svg = str(_Drawing(picture, facts, title or _title(node, known)).page)
    if path is not None:
        write(path, svg)
    return svg


def _title(node: Node, names: Mapping[Node, str]) -> str:
    name = names.get(node, "output")
    return f"{name}, recorded at {node.where}"


class _Drawing:
    """Sizes, then places, then draws everything in a picture."""

    def __init__(self, picture: Picture, facts: Facts, title: str):
        self.picture, self.facts = picture, facts
        self.uses = Counter(wire.tail for wire in picture.wires)
        self.boxes = {e: self._box(e) for e in picture.elements}
        self.labels = {w: self._label(w) for w in picture.wires}
        edges = {w: self._edge(w) for w in picture.wires}
        regions = {e.scopes[: i + 1] for e in picture.elements for i in range(len(e.scopes))}
        widths = {path: text_width(path[-1].label) for path in regions}
        width, height, placed = layout(list(self.boxes.values()), list(edges.values()), widths)
        for box in self.boxes.values():
            box.x, box.y = box.x + MARGIN, box.y + TOP
        legend = _Legend(picture, facts)
        wide = max(width, legend.width, text_width(title, 15))
        self.page = Page(wide + 2 * MARGIN, TOP + height + LEGEND, title)
        self.page.text(MARGIN, 26.0, title, "title")
        for region in sorted(placed, key=lambda region: len(region.path)):
            self._draw_region(region)
        for wire, edge in edges.items():
            self._draw_wire(edge)
        for wire, edge in edges.items():
            self._draw_label(self.labels[wire], edge)
        for element in picture.elements:
            self._draw_element(element)
        legend.draw(self.page, TOP + height + LEGEND - 20)

    # -------------------------------------------------------------------------- sizes

    def _box(self, element: Element) -> Box:
        path = element.scopes
        if element.kind == "module":
            width, height = self._module_size(element)
            return Box(width, height, path, radius=8.0)
        clearance = 0.0
        if total := self._total(element):
            clearance = total.height + 3
        if element.kind == "operator":
            width = max(30.0, text_width(element.label) + 14)
            return Box(width, 30.0, path, radius=15.0, clearance=clearance)
        width = max(28.0, text_width(element.label) + 16)
        return Box(width, 26.0, path, radius=2.0, clearance=clearance)

    def _total(self, element: Element) -> Figure | None:
        """What the uses of a value add up to, where that is not written on one wire."""
        gradient = self.facts.gradients.get(element.node)
        forks = self.uses[element] > 1 and element.kind in ("data", "parameter", "operator")
        return Figure(gradient, "gradient") if forks and gradient is not None else None

    def _label(self, wire: Wire) -> list[Figure | None]:
        """[value, gradient] of a wire, each None where another place shows it already."""
        shown_by_tail = wire.tail.kind == "module" and wire.node is wire.tail.node
        passes_on = wire.tail.kind == "variable" and self.uses[wire.tail] == 1
        if shown_by_tail or passes_on:
            return [None, None]
        value = self.facts.values.get(wire.node)
        gradient = self._gradient(wire)
        return [
            None if value is None else Figure(value, "value"),
            None if gradient is None else Figure(gradient, "gradient"),
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
        self.page.text(x + 10, y + 12, region.path[-1].label, "faint")

    def _draw_wire(self, edge: Edge) -> None:
        points = [(x + MARGIN, y + TOP) for x, y in edge.points]
        x, y = points[-1]
        self.page.add("path", "edge", d=smooth([*points[:-1], (x - ARROW + 1, y)]))
        self.page.add("path", "arrow", d=f"M{x:.1f} {y:.1f}l-{ARROW} -3.2v6.4z")

    def _draw_label(self, figures: list[Figure | None], edge: Edge) -> None:
        x, y = edge.label_at[0] + MARGIN, edge.label_at[1] + TOP
        value, gradient = figures
        if value:
            value.draw(self.page, x, y - 2 - value.height)
        if gradient:
            gradient.draw(self.page, x, y + 2)

    def _draw_element(self, element: Element) -> None:
        box = self.boxes[element]
        node = element.node
        x, y = box.x - box.width / 2, box.y - box.height / 2
        tip = describe(node, self.facts.values.get(node), self.facts.gradients.get(node))
        kind = {"variable": "data", "module": "operator"}.get(element.kind, element.kind)
        self.page.rect(x, y, box.width, box.height, f"box {kind}", rx=box.radius, tip=tip)
        if element.kind == "module":
            self._draw_module(element, box)
            return
        self.page.text(box.x, box.y, element.label, "name middle" if element.is_variable else "middle")
        if total := self._total(element):
            total.draw(self.page, box.x, box.y + box.height / 2 + 2)

    # -------------------------------------------------------------------------- modules

    def _module_figures(self, element: Element) -> list[Figure]:
        node = element.node
        pair = (self.facts.values.get(node), "value"), (self.facts.gradients.get(node), "gradient")
        return [Figure(array, role) for array, role in pair if array is not None]

    def _parameters(self, element: Element) -> list[tuple[str, str, str]]:
        """(shape, norm of the value, norm of the gradient) of each parameter inside."""
        rows = []
        for node in element.inside:
            if node.op is None and node.requires_grad or node.owner is not None:
                arrays = self.facts.values.get(node), self.facts.gradients.get(node)
                norms = ["" if a is None else short(norm(a)) for a in arrays]
                rows.append((shape_text(node.shape), *norms))
        return rows[:MOST_PARAMETERS]

    def _module_size(self, element: Element) -> tuple[float, float]:
        figures, rows = self._module_figures(element), self._parameters(element)
        across = sum(f.width for f in figures) + 12 * (len(figures) - 1)
        table = max((sum(text_width(c, SMALL) + 10 for c in row) for row in rows), default=0.0)
        width = max(text_width(element.label) + 8, across, table) + 20
        tallest = max((f.height for f in figures), default=0.0)
        return width, 26 + tallest + LINE * len(rows) + (10 if rows or figures else 0)

    def _draw_module(self, element: Element, box: Box) -> None:
        top = box.y - box.height / 2
        self.page.text(box.x, top + 13, element.label, "name middle")
        figures = self._module_figures(element)
        x = box.x - (sum(f.width for f in figures) + 12 * (len(figures) - 1)) / 2
        tallest = max((f.height for f in figures), default=0.0)
        for figure in figures:
            figure.draw(self.page, x + figure.width / 2, top + 26)
            x += figure.width + 12
        y = top + 26 + tallest + 6
        for row in self._parameters(element):
            self._draw_row(row, box, y + LINE / 2)
            y += LINE

    def _draw_row(self, row: tuple[str, str, str], box: Box, y: float) -> None:
        x = box.x - sum(text_width(c, SMALL) + 10 for c in row) / 2
        for cell, kind in zip(row, ("faint small", "value small", "gradient small")):
            self.page.text(x + 5, y, cell, kind)
            x += text_width(cell, SMALL) + 10


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
