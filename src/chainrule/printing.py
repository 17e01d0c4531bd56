"""The text of an array, in PyTorch's notation: `tensor([1.0000, 2.5000], dtype=torch.float64)`.

Three steps: cut the array down to its corners when it is long, choose one notation and one
column width for all its numbers, and lay the numbers out in nested brackets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from .errors import ArgumentError


class PrintOptions(NamedTuple):
    """How numbers are written: `sci_mode` None chooses the notation from the numbers."""

    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


PROFILES = {
    "default": PrintOptions(),
    "short": PrintOptions(precision=2, edgeitems=2),
    "full": PrintOptions(threshold=float("inf")),
}

_options = PROFILES["default"]


def get_printoptions() -> PrintOptions:
    """The options that every tensor is printed with now."""
    return _options


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Choose how tensors are printed; an option that is not named keeps its value.

    A `profile` ("default", "short", "full") is applied before the others.  As in PyTorch,
    `sci_mode` returns to the automatic choice (None) unless it is named.
    Raises ArgumentError (a ValueError) for an unknown profile.

    >>> import chainrule as torch
    >>> torch.set_printoptions(precision=2)
    >>> torch.tensor([1.0, 2.5])
    tensor([1.00, 2.50])
    >>> torch.set_printoptions(profile="default")
    """
    global _options
    if profile is not None and profile.lower() not in PROFILES:
        raise ArgumentError(
            f"set_printoptions requires a profile among {', '.join(PROFILES)}, got {profile!r}"
        )
    base = _options if profile is None else PROFILES[profile.lower()]
    given = dict(precision=precision, threshold=threshold, edgeitems=edgeitems, linewidth=linewidth)
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    _options = base._replace(sci_mode=sci_mode, **changes)


def format_tensor(
    array: np.ndarray,
    *,
    dtype_suffix: str | None = None,
    requires_grad: bool = False,
    grad_fn: str | None = None,
    extra: Sequence[str] = (),
    prefix: str = "tensor(",
) -> str:
    """The text PyTorch's `repr` gives for a tensor with these values.

    `dtype_suffix` is the dtype's name where it is to be shown (`"torch.float64"`); `grad_fn` the
    name of the function that made the tensor; `extra` are further suffixes, shown first.

    >>> print(format_tensor(np.array([1.5, 2.0]), grad_fn="MulBackward0"))
    tensor([1.5000, 2.0000], grad_fn=<MulBackward0>)
    """
    suffixes = list(extra)
    if array.size == 0:
        body = "[]"
        if array.ndim != 1:
            suffixes.append(f"size={array.shape}")
    else:
        body = format_array(array, len(prefix))
    if dtype_suffix is not None:
        suffixes.append(f"dtype={dtype_suffix}")
    if grad_fn is not None:
        suffixes.append(f"grad_fn=<{grad_fn}>")
    elif requires_grad:
        suffixes.append("requires_grad=True")
    return _add_suffixes(prefix + body, suffixes, len(prefix))


def format_array(array: np.ndarray, indent: int = 0) -> str:
    """The numbers of a non-empty array in nested brackets; later lines are indented by `indent`."""
    long = array.size > _options.threshold
    cut = [long and n > 2 * _options.edgeitems for n in array.shape]
    if any(cut):
        array = array[np.ix_(*map(_kept_indices, array.shape, cut))]
    width, write = _notation(array)
    numbers = (write(value).rjust(width) for value in array.ravel().tolist())
    return _nest(numbers, array.shape, cut, indent, width)


def _kept_indices(length: int, cut: bool) -> np.ndarray:
    indices = np.arange(length)
    edge = _options.edgeitems
    return np.r_[indices[:edge], indices[-edge:]] if cut else indices


def _notation(array: np.ndarray) -> tuple[int, Callable[[float], str]]:
    """The column width and the function number -> text that suit all numbers of the array."""
    if array.dtype.kind in "biu":
        return max(len(str(value)) for value in array.ravel().tolist()), str
    values = array.astype(np.float64).ravel()
    plain = values[np.isfinite(values) & (values != 0)]
    if plain.size == 0:
        return 1, _write_whole
    whole = bool(np.all(plain == np.ceil(plain)))
    if _options.sci_mode or (_options.sci_mode is None and _needs_exponent(np.abs(plain), whole)):
        write = _write_scientific
    else:
        write = _write_whole if whole else _write_fixed
    return max(len(write(value)) for value in plain.tolist()), write


def _needs_exponent(magnitudes: np.ndarray, whole: bool) -> bool:
    smallest, largest = float(magnitudes.min()), float(magnitudes.max())
    return largest / smallest > 1000 or largest > 1e8 or (not whole and smallest < 1e-4)


def _write_whole(value: float) -> str:
    return f"{value:.0f}." if np.isfinite(value) else f"{value:.0f}"


def _write_fixed(value: float) -> str:
    return f"{value:.{_options.precision}f}"


def _write_scientific(value: float) -> str:
    return f"{value:.{_options.precision}e}"


def _nest(
    numbers: Iterator[str], shape: tuple[int, ...], cut: Sequence[bool], indent: int, width: int
) -> str:
    """Lay the next numbers out as an array of this shape; a dimension that was cut shows a gap."""
    if not shape:
        return next(numbers)
    items = [_nest(numbers, shape[1:], cut[1:], indent + 1, width) for _ in range(shape[0])]
    if cut[0]:
        items.insert(_options.edgeitems, " ..." if len(shape) == 1 else "...")
    margin = " " * (indent + 1)
    if len(shape) > 1:
        return "[" + ("," + "\n" * (len(shape) - 1) + margin).join(items) + "]"
    per_line = max(1, (_options.linewidth - indent) // (width + 2))
    lines = [", ".join(items[i : i + per_line]) for i in range(0, len(items), per_line)]
    return "[" + (",\n" + margin).join(lines) + "]"


def _add_suffixes(text: str, suffixes: Sequence[str], indent: int) -> str:
    # PyTorch counts two characters more than the last line has.
    column = len(text) - text.rfind("\n") + 1
    for suffix in suffixes:
        if column + len(suffix) + 2 > _options.linewidth:
            text += ",\n" + " " * indent + suffix
            column = indent + len(suffix)
        else:
            text += ", " + suffix
            column += len(suffix) + 2
    return text + ")"


def amount(n: float, unit: str = "") -> str:
    """A number in three digits.

    >>> [amount(n, "B") for n in (0, 999, 1234, 56789012)]
    ['0 B', '999 B', '1.23 kB', '56.8 MB']
    """
    for prefix in ("", "k", "M", "G", "T"):
        if abs(n) < 999.5 or prefix == "T":
            break
        n /= 1000
    digits = f"{n:.0f}" if n == int(n) and not prefix else f"{n:.3g}"
    return f"{digits} {prefix}{unit}".rstrip()
