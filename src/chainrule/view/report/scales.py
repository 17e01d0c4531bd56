"""Where numbers lie on an axis, linear or logarithmic, and how they are written there."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..curve import ticks

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
WIDE_RANGE = 50.0  # the largest over the median: from there on a logarithmic axis shows more


@dataclass(frozen=True)
class Scale:
    """Numbers from `low` to `high` on a line from 0 to 1."""

    low: float
    high: float
    is_log: bool = False

    def __call__(self, value: float) -> float:
        """The place, or NaN for what has none.

        >>> Scale(0.0, 4.0)(1.0), Scale(1e-4, 1.0, is_log=True)(1e-2)
        (0.25, 0.5)
        """
        low, high = self.low, self.high
        if self.is_log:
            if not value > 0:
                return math.nan
            value, low, high = math.log10(value), math.log10(low), math.log10(high)
        return (value - low) / (high - low)

    def ticks(self, about: int = 5) -> list[float]:
        """Round numbers within the range."""
        if self.is_log:
            return _log_ticks(self.low, self.high, about)
        return [t for t in ticks(self.low, self.high, about)
                if self.low - 1e-9 * abs(self.low) <= t <= self.high + 1e-9 * abs(self.high)]


def scale_of(values: Iterable[float], is_log: bool) -> Scale:
    """A scale that shows all finite values; a logarithmic one all positive ones."""
    known = [v for v in values if math.isfinite(v) and (v > 0 or not is_log)]
    if not known:
        return Scale(1e-3, 1.0, True) if is_log else Scale(0.0, 1.0)
    low, high = min(known), max(known)
    if is_log:
        # At least about a decade: a flat curve is to look flat.
        middle = math.sqrt(low) * math.sqrt(high)
        low, high = min(low / 1.15, middle / 2.2), max(high * 1.15, middle * 2.2)
        return Scale(max(low, 1e-300), min(high, 1e300), True)
    if 0 < low < 0.4 * high:
        low = 0.0
    room = 0.06 * (high - low) or 0.1 * abs(high) or 1.0
    return Scale(low - (room if low else 0.0), high + room)


def wants_log(values: Sequence[float]) -> bool:
    """Whether a linear axis would press most values to the bottom."""
    known = sorted(v for v in values if math.isfinite(v))
    return bool(known) and known[0] > 0 and known[-1] > WIDE_RANGE * known[len(known) // 2]


def _log_ticks(low: float, high: float, about: int) -> list[float]:
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    decades = last - first + 1
    if decades >= 3:
        step = math.ceil(decades / (about + 1))
        return [10.0**e for e in range(first, last + 1) if e % step == 0]
    found = [m * 10.0**e for e in range(first - 1, last + 1) for m in (1, 2, 5)]
    return [t for t in found if low <= t <= high]


def written(value: float, is_log: bool = False) -> str:
    """A tick's number: 0.05, 1,200, and on a logarithmic axis 10⁻⁴.

    >>> written(1200.0), written(0.05), written(1e-4, True), written(2e-7, True)
    ('1,200', '0.05', '10⁻⁴', '2·10⁻⁷')
    """
    if value and (is_log and not 0.01 <= abs(value) < 10_000 or not 1e-5 <= abs(value) < 1e6):
        exponent = math.floor(math.log10(abs(value)) + 1e-9)
        factor = value / 10.0**exponent
        power = f"10{str(exponent).translate(_SUPERSCRIPTS)}"
        return power if abs(factor - 1) < 1e-9 else f"{factor:.3g}·{power}"
    return f"{value:,.6g}" if abs(value) < 1e6 else f"{value:g}"


def number_text(value: float | None) -> str:
    """A number in a sentence or a table: four digits, or a power of ten; a dash for unknown.

    >>> number_text(0.123456), number_text(12345.0), number_text(1.5e-7), number_text(None)
    ('0.1235', '12,345', '1.5·10⁻⁷', '–')
    """
    if value is None:
        return "–"
    if not math.isfinite(value):
        return str(float(value)).replace("inf", "∞")
    if value and not 1e-3 <= abs(value) < 1e6:
        exponent = math.floor(math.log10(abs(value)))
        return f"{value / 10.0**exponent:.2g}·10{str(exponent).translate(_SUPERSCRIPTS)}"
    return f"{value:,.0f}" if abs(value) >= 9999.5 or value == int(value) else f"{value:.4g}"
