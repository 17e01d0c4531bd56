"""An array in a few numbers: what a page shows of every value and every gradient.

    norm = sqrt(sum x^2),   mean = sum x / n,   std = sqrt(sum (x - mean)^2 / n)

Minimum, maximum, mean, standard deviation and the histogram are of the finite elements; how many
are not a number, and how many infinite, is said beside them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .figure import cells_of, colours
from .labels import short, summary
from .svg import png

BINS = 16
MOST_NUMBERS = 32  # of an array whose elements are written out


def array_facts(array: np.ndarray, image: str = "") -> dict[str, Any]:
    """The facts of one array, as the JSON of a page holds them; `image` is the role that gives the
    colours of a picture ("value" or "gradient"), or empty for none.

    >>> facts = array_facts(np.array([[0.0, 3.0], [-4.0, np.inf]]))
    >>> facts["min"], facts["max"], facts["zeros"], facts["inf"], facts["data"]
    (-4.0, 3.0, 0.25, 1, [0.0, 3.0, -4.0, 'inf'])
    """
    facts: dict[str, Any] = {"shape": list(array.shape), "text": text_of(array)}
    if not array.size:
        return facts
    if array.size == 1:
        facts["number"] = number(array.item())
    flat = array.reshape(-1).astype(np.float64)
    finite = flat if np.isfinite(flat).all() else flat[np.isfinite(flat)]
    facts |= _moments(flat, finite)
    facts["zeros"] = _share(flat)
    facts["nan"] = int(np.isnan(flat).sum()) if finite.size < flat.size else 0
    facts["inf"] = flat.size - finite.size - facts["nan"]
    if array.size <= MOST_NUMBERS:
        facts["data"] = [number(x) for x in array.reshape(-1).tolist()]
    if array.size > 1:
        facts["hist"] = _histogram(finite)
    if image:
        facts["image"] = png(colours(cells_of(array), image))
    return {key: fact for key, fact in facts.items() if fact or key == "number" or key in _ALWAYS}


_ALWAYS = ("min", "max", "mean", "norm", "shape")


def text_of(array: np.ndarray) -> str:
    """An array in a few characters: `0.73`, `norm 1.2`, `0 to 9`.

    >>> text_of(np.array([3.0, 4.0]))
    'norm 5.00'
    """
    plain = array.size == 1 or not array.size or array.dtype.kind in "biu"
    return summary(array) if plain else f"norm {short(_norm(array.astype(np.float64).ravel()))}"


def number(x: float) -> float | int | str:
    """A number as JSON can hold it: names stand for the three that JSON lacks."""
    if isinstance(x, (bool, int)):
        return int(x)
    if math.isfinite(x):
        return x
    return "nan" if x != x else "inf" if x > 0 else "-inf"


def _moments(flat: np.ndarray, finite: np.ndarray) -> dict[str, Any]:
    found = {"norm": _norm(flat)}
    if finite.size:
        mean = float(finite.mean())
        found |= {"min": float(finite.min()), "max": float(finite.max()), "mean": mean,
                  "std": _norm(finite - mean) / math.sqrt(finite.size)}
    return {name: number(_rounded(x)) for name, x in found.items()}


def _rounded(x: float) -> float:
    """To the 9 digits that tell float32 numbers apart; a page has thousands of them."""
    return float(f"{x:.9g}")


def _norm(flat: np.ndarray) -> float:
    """The Euclidean length, scaled so that no square overflows."""
    with np.errstate(all="ignore"):
        largest = float(np.abs(flat).max(initial=0.0))
        if not largest or not math.isfinite(largest):
            return largest
        scaled = flat / largest
        return largest * math.sqrt(float(scaled @ scaled))


def _share(flat: np.ndarray) -> float:
    return round(1 - float(np.count_nonzero(flat)) / flat.size, 6)


def _histogram(finite: np.ndarray) -> list[int]:
    """How many elements lie in each of BINS equal parts of the range."""
    if not finite.size:
        return []
    low, high = float(finite.min()), float(finite.max())
    span = high - low
    if not span or not math.isfinite(span):
        return [finite.size] + [0] * (BINS - 1)
    places = ((finite - low) * (BINS / span)).astype(np.intp)
    return np.bincount(np.minimum(places, BINS - 1), minlength=BINS).tolist()
