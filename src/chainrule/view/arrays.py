"""An array in a few numbers: what a page shows of every value and every gradient.

    norm = sqrt(sum x^2),   mean = sum x / n,   std = sqrt(sum (x - mean)^2 / n)

Minimum, maximum, mean, standard deviation and the histogram are of the finite elements; how many
are not a number, and how many infinite, is said beside them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .figure import cells_of, levels_of
from .labels import short, summary
from .svg import png

BINS = 16
MOST_NUMBERS = 32  # of an array whose elements are written out
MOST_PIXELS = 64


def array_facts(array: np.ndarray, image: str = "") -> dict[str, Any]:
    """The facts of one array, as the JSON of a page holds them; `image` is the role that gives the
    colours of a picture ("value" or "gradient"), or empty for none.

    >>> facts = array_facts(np.array([[0.0, 3.0], [-4.0, np.inf]]))
    >>> facts["min"], facts["max"], facts["zeros"], facts["inf"], facts["data"]
    (-4.0, 3.0, 0.25, 1, [0.0, 3.0, -4.0, 'inf'])
    """
    facts: dict[str, Any] = {"shape": list(array.shape)}
    if not array.size:
        return facts | {"text": summary(array)}
    if array.size == 1:
        facts["number"] = number(array.item())
    flat = array.reshape(-1).astype(np.float64)
    known = np.isfinite(flat)
    finite = flat if known.all() else flat[known]
    norm = _norm(flat)
    plain = array.size == 1 or array.dtype.kind in "biu"
    facts["text"] = summary(array) if plain else f"norm {short(norm)}"
    facts |= {"norm": number(_rounded(norm)), **_moments(finite)}
    facts["zeros"] = round(1 - float(np.count_nonzero(flat)) / flat.size, 6)
    facts["nan"] = int(np.isnan(flat).sum()) if finite.size < flat.size else 0
    facts["inf"] = flat.size - finite.size - facts["nan"]
    if array.size <= MOST_NUMBERS:
        facts["data"] = [number(x) for x in array.reshape(-1).tolist()]
    if array.size > 1 and finite.size:
        facts["hist"] = _histogram(finite)
    if image:
        facts["image"] = _picture(array, image)
    return {key: fact for key, fact in facts.items() if fact or key in _ALWAYS}


_ALWAYS = ("number", "min", "max", "mean", "norm", "shape")


def number(x: float) -> float | int | str:
    """A number as JSON can hold it: names stand for the three that JSON lacks."""
    if isinstance(x, (bool, int)):
        return int(x)
    if math.isfinite(x):
        return x
    return "nan" if x != x else "inf" if x > 0 else "-inf"


def _moments(finite: np.ndarray) -> dict[str, Any]:
    if not finite.size:
        return {}
    mean = float(finite.mean())
    found = {"min": float(finite.min()), "max": float(finite.max()), "mean": mean,
             "std": _norm(finite - mean) / math.sqrt(finite.size)}
    return {name: number(_rounded(x)) for name, x in found.items()}


def _rounded(x: float) -> float:
    """To the 8 digits that float32 numbers are worth; a page has thousands of them."""
    return float(f"{x:.8g}")


def _norm(flat: np.ndarray) -> float:
    """The Euclidean length, scaled where squares overflow.  Not a dot product: for one, all cores
    would be woken and waited for."""
    with np.errstate(all="ignore"):
        length = math.sqrt(float(np.square(flat).sum()))
        if math.isfinite(length) or not np.isfinite(flat).all():
            return length
        largest = float(np.abs(flat).max())
        return largest * math.sqrt(float(np.square(flat / largest).sum()))


def _histogram(finite: np.ndarray) -> list[int]:
    """How many elements lie in each of BINS equal parts of the range."""
    low, high = float(finite.min()), float(finite.max())
    span = high - low
    if not span or not math.isfinite(span):
        return [finite.size] + [0] * (BINS - 1)
    places = ((finite - low) * (BINS / span)).astype(np.intp)
    return np.bincount(np.minimum(places, BINS - 1), minlength=BINS).tolist()


def _picture(array: np.ndarray, role: str) -> str:
    """A tile of at most MOST_PIXELS a side, in the colours of its role; a colour image as it is."""
    if array.ndim == 4 and array.shape[1] == 3 and role == "value":
        return png(_colour_image(array[0].transpose(1, 2, 0)))
    cells = cells_of(array)
    down, across = (math.ceil(n / MOST_PIXELS) for n in cells.shape)
    levels, palette = levels_of(cells[::down, ::across], role)
    return png(levels, palette)


def _colour_image(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) of any range as bytes: the darkest number black, the brightest white."""
    low, high = np.nanmin(image), np.nanmax(image)
    shades = np.nan_to_num((image - low) / ((high - low) or 1.0))
    return (255 * shades).round().astype(np.uint8)
