"""Rows of short texts in columns."""

from __future__ import annotations


def table(rows: list[list[str]]) -> str:
    """Columns two spaces apart, the first two one; no line ends in spaces.

    >>> print(table([["a", "=", "1"], ["bc", "=", "20"]]))
    a  =  1
    bc =  20
    """
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        first, *rest = [cell.ljust(width) for cell, width in zip(row, widths)]
        lines.append(f"{first} {'  '.join(rest)}".rstrip())
    return "\n".join(lines)
