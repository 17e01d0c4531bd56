"""A page of SVG: shapes, text and images under one style sheet, escaped exactly, without scripts.

The colours follow the reader's light or dark theme.
"""

from __future__ import annotations

import base64
import os
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..files import write_atomically

SIZE = 12.0  # of the text, in pixels
MARGIN = 24.0

# name: (light, dark)
COLOURS = {
    "page": ("#ffffff", "#14181f"),
    "ink": ("#1f2933", "#e4e8ee"),
    "faint": ("#6b7684", "#93a0b0"),
    "line": ("#8d98a6", "#76839a"),
    "grid": ("#e6e9ee", "#2a313c"),
    "data": ("#eaf1fb", "#1d2c40"),
    "parameter": ("#fdeedb", "#3d2e1a"),
    "operator": ("#ffffff", "#222934"),
    "region": ("#5b7fa8", "#7fa3cc"),
    "value": ("#0b7a5e", "#4fd1a5"),
    "gradient": ("#c8352b", "#ff8b7b"),
    "first": ("#2563b8", "#6fa8f5"),
    "second": ("#d9730d", "#f5a65b"),
    "third": ("#7b3fb5", "#c39af0"),
}

_RULES = """
text {{ font: {size}px system-ui, "Segoe UI", Helvetica, Arial, "DejaVu Sans", sans-serif; }}
.small {{ font-size: 10px; }} .title {{ font-size: 15px; font-weight: 600; }}
.name {{ font-weight: 600; }} .middle {{ text-anchor: middle; }} .end {{ text-anchor: end; }}
.edge, .curve, .gridline {{ fill: none; }} .edge {{ stroke-width: 1.3; }}
.curve {{ stroke-width: 2; stroke-linejoin: round; }}
.region {{ fill-opacity: 0.07; stroke-opacity: 0.45; }}
.box {{ stroke-width: 1.2; }} image {{ image-rendering: pixelated; }}
"""
_COLOUR_RULES = """
.page {{ fill: {page}; }} text {{ fill: {ink}; }} .faint {{ fill: {faint}; }}
.value {{ fill: {value}; }} .gradient {{ fill: {gradient}; }}
.edge {{ stroke: {line}; }} .arrow {{ fill: {line}; }} .gridline {{ stroke: {grid}; }}
.axis {{ stroke: {line}; }} .box {{ stroke: {line}; }} .data {{ fill: {data}; }}
.parameter {{ fill: {parameter}; }} .operator {{ fill: {operator}; }}
.region {{ fill: {region}; stroke: {region}; }}
.first {{ stroke: {first}; }} .second {{ stroke: {second}; }} .third {{ stroke: {third}; }}
.first-ink {{ fill: {first}; }} .second-ink {{ fill: {second}; }} .third-ink {{ fill: {third}; }}
.value-frame, .gradient-frame {{ fill: none; }}
.value-frame {{ stroke: {value}; }} .gradient-frame {{ stroke: {gradient}; }}
"""


def _style() -> str:
    light, dark = ({name: pair[i] for name, pair in COLOURS.items()} for i in (0, 1))
    both = _RULES.format(size=SIZE) + _COLOUR_RULES.format(**light)
    dark_rules = _COLOUR_RULES.format(**dark)
    return f"<style>{both}@media (prefers-color-scheme: dark) {{{dark_rules}}}</style>"


def escape(text: str) -> str:
    """Text as XML character data: markup escaped, what XML cannot hold replaced.

    >>> escape('a < b & "c"')
    'a &lt; b &amp; &quot;c&quot;'
    """
    allowed = (c if _is_xml(ord(c)) else "\ufffd" for c in text)
    names = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"}
    return "".join(names.get(c, c) for c in allowed)


def _is_xml(code: int) -> bool:
    return code in (9, 10, 13) or 32 <= code < 0xD800 or 0xE000 <= code < 0xFFFE or code > 0xFFFF


def text_width(text: str, size: float = SIZE) -> float:
    """The width of a line of text, estimated for a wide sans-serif so that none is too narrow."""
    return sum(_advance(c) for c in text) * size


def _advance(c: str) -> float:
    if c in "iljI.,:;|!'()[] /\\ft":
        return 0.42
    if c in "mwMW@%—→":
        return 0.98
    if c in "×÷−+=<>≠≤≥":
        return 0.84
    return 0.72 if c.isupper() or ord(c) > 0x2E80 else 0.64


class Page:
    """Collects elements in drawing order; `str(page)` is the SVG document."""

    def __init__(self, width: float, height: float, title: str):
        self.width, self.height, self.title = width, height, title
        self.elements: list[str] = []

    def add(self, tag: str, kind: str = "", content: str = "", tip: str = "", **attrs: Any) -> None:
        """One element of CSS classes `kind`; `content` is its text, `tip` shows on hovering."""
        given = {"class": kind, **attrs} if kind else attrs
        written = "".join(f' {k.replace("_", "-")}="{_attr(v)}"' for k, v in given.items())
        inner = (f"<title>{escape(tip)}</title>" if tip else "") + escape(content)
        self.elements.append(f"<{tag}{written}>{inner}</{tag}>" if inner else f"<{tag}{written}/>")

    def text(self, x: float, y: float, text: str, kind: str = "", tip: str = "") -> None:
        """A line of text whose middle line (not baseline) is at y."""
        self.add("text", kind, text, tip, x=x, y=y + 0.35 * SIZE)

    def rect(self, x: float, y: float, width: float, height: float, kind: str, **more) -> None:
        self.add("rect", kind, x=x, y=y, width=width, height=height, **more)

    def image(self, x: float, y: float, width: float, height: float, uri: str, tip="") -> None:
        place = {"x": x, "y": y, "width": width, "height": height}
        self.add("image", "", "", tip, **place, preserveAspectRatio="none", href=uri)

    def __str__(self) -> str:
        w, h = _attr(self.width), _attr(self.height)
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{w}" height="{h}" '
            f'viewBox="0 0 {w} {h}" role="img">'
        )
        body = "\n".join(self.elements)
        background = '<rect class="page" width="100%" height="100%"/>'
        title = f"<title>{escape(self.title)}</title>"
        return f"{head}\n{title}\n{_style()}\n{background}\n{body}\n</svg>\n"


def _attr(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.1f}".removesuffix(".0")
    return escape(str(value))


def smooth(points: Sequence[tuple[float, float]]) -> str:
    """The path through `points` that leaves and enters each of them level."""
    (x, y), *rest = points
    path = [f"M{x:.1f} {y:.1f}"]
    for u, v in rest:
        mid = (x + u) / 2
        if abs(v - y) >= 0.05:
            path.append(f"C{mid:.1f} {y:.1f} {mid:.1f} {v:.1f} {u:.1f} {v:.1f}")
        elif abs(u - x) >= 0.05:
            path.append(f"H{u:.1f}")
        x, y = u, v
    return "".join(path)


def write(path: str | os.PathLike, text: str) -> None:
    """Write a text file whole or not at all, in a folder that is made if need be."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text.encode())


def png(pixels: np.ndarray, palette: np.ndarray | None = None) -> str:
    """A (height, width, 3) uint8 array as a `data:` URI; with a (256, 3) palette, a (height, width)
    array of its rows."""
    height, width = pixels.shape[:2]
    flat = pixels.reshape(height, -1)
    rows = np.zeros((height, 1 + flat.shape[1]), np.uint8)  # a filter byte before each row: none
    rows[:, 1:] = flat
    kind = 2 if palette is None else 3
    header = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 9)), (b"IEND", b"")]
    if palette is not None:
        chunks.insert(1, (b"PLTE", palette.tobytes()))
    data = b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks)
    return "data:image/png;base64," + base64.b64encode(data).decode()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
