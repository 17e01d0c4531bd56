"""The lines of the user's program, with their text."""

from __future__ import annotations

import linecache
import os

from ..graph import Node


def line_of(node: Node) -> tuple[str, int, str]:
    """(file name, line, the line's text) of what recorded a node; the text may be unknown."""
    where = node.where
    line = where.line
    text = linecache.getline(where.filename, line).strip()
    return os.path.basename(where.filename), line, text
