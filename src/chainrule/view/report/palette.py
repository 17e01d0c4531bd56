"""The colours of a report: for a few series colours far apart, for many layers one ramp."""

from __future__ import annotations

import numpy as np

from ..svg import COLOURS

# (light, dark)
SERIES = (
    COLOURS["first"], COLOURS["second"], COLOURS["third"], COLOURS["value"],
    ("#b8336a", "#f08bb5"), ("#0e7490", "#67d0e5"), ("#7c6a0a", "#d6c24a"), ("#64748b", "#a3b1c4"),
)
RAMP = 24  # colours from the first layer to the last
_RAMP_ENDS = (
    ((0x1B, 0x5F, 0xBF), (0x6F, 0xB1, 0xFF)), ((0x7B, 0x3F, 0xB5), (0xB9, 0x94, 0xF5)),
    ((0xC8, 0x35, 0x6B), (0xFF, 0x8F, 0xA8)), ((0xD9, 0x73, 0x0D), (0xF5, 0xB2, 0x5B)),
)
# From small to large; readable on white and on black.
_HEAT = ((0x1D, 0x1F, 0x4F), (0x2F, 0x4D, 0x9E), (0x1F, 0x8A, 0x9E), (0x5B, 0xBF, 0x7A),
         (0xF0, 0xE0, 0x6A))
UNKNOWN = (0x8A, 0x93, 0xA0)
BAD = (0xD1, 0x2F, 0x2F)


def class_of(i: int, count: int) -> str:
    """The class of series i of so many.

    >>> class_of(1, 3), class_of(29, 30)
    ('s1', 'd23')
    """
    if count <= len(SERIES):
        return f"s{i}"
    return f"d{round(i * (RAMP - 1) / (count - 1))}"


def rules(is_dark: bool, within: str = "") -> str:
    """The CSS rules that give each class its colour, inside of what a selector names."""
    found = [f"{within} .s{i}{{--c:{pair[is_dark]}}}" for i, pair in enumerate(SERIES)]
    for i in range(RAMP):
        r, g, b = _between([ends[is_dark] for ends in _RAMP_ENDS], i / (RAMP - 1))
        found.append(f"{within} .d{i}{{--c:#{round(r):02x}{round(g):02x}{round(b):02x}}}")
    return "\n".join(found)


def _between(anchors, t: float) -> np.ndarray:
    at = np.linspace(0.0, 1.0, len(anchors))
    return np.array([np.interp(t, at, [a[k] for a in anchors]) for k in range(3)])


def heat(shares: np.ndarray) -> np.ndarray:
    """Colours for numbers from 0 to 1, of shape (..., 3); NaN is grey, inf red."""
    at = np.linspace(0.0, 1.0, len(_HEAT))
    known = np.where(np.isfinite(shares), shares, 0.0)
    found = np.stack([np.interp(known, at, [c[k] for c in _HEAT]) for k in range(3)], -1)
    found[np.isnan(shares)] = UNKNOWN
    found[np.isposinf(shares)] = BAD
    return found.round().astype(np.uint8)
