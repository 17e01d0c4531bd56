"""What the functions of this package share: reading arguments and reducing losses."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np

from ..dtypes import bfloat16, float16, float32, float64
from ..errors import ArgumentError, DTypeError, OutOfRange, ShapeError
from ..methods.register import into
from ..tensor import Tensor
from ..warning import warn

_WIDE = frozenset((float32, float64))
_HALF = frozenset((float16, bfloat16))


def floating(function: Callable) -> Callable:
    """Decorate a function of a floating-point `input`; other dtypes raise DTypeError.

    Half precision is computed in float32 and rounded once, at the end: a composite of ten ops
    must not round ten times.
    """
    name = function.__name__.strip("_")

    @functools.wraps(function)
    def checked(input: Tensor, *args, **kwargs):
        dtype = input.dtype
        if dtype in _WIDE:
            return function(input, *args, **kwargs)
        if dtype not in _HALF:
            raise DTypeError(
                f"{name} requires a floating-point input, got {dtype}", hint="use input.float()"
            )
        args = tuple(map(_widened, args))
        kwargs = {key: _widened(value) for key, value in kwargs.items()}
        return _rounded(function(input.float(), *args, **kwargs), dtype)

    return checked


def _widened(value):
    return value.float() if isinstance(value, Tensor) and value.dtype in _HALF else value


def _rounded(result, dtype):
    return result.to(dtype) if result.dtype is float32 else result


def stored(input: Tensor, result: Tensor, inplace: bool) -> Tensor:
    """`result`, written into `input` first where `inplace` asks for it."""
    return into(input if inplace else None, result)


def single_too(rank: int) -> Callable:
    """Decorate a function of a batch (N, C, *S): a single example (C, *S) is a batch of one."""

    def decorate(function: Callable) -> Callable:
        @functools.wraps(function)
        def batched(input: Tensor, *args, **kwargs):
            if input.dim() != rank + 1:
                return function(input, *args, **kwargs)
            return function(input.unsqueeze(0), *args, **kwargs).squeeze(0)

        return batched

    return decorate


def per_axis(name: str, value: int | Sequence[int], rank: int) -> tuple[int, ...]:
    """One integer for each of `rank` spatial axes; a single one is repeated."""
    if isinstance(value, int):
        return (value,) * rank
    found = tuple(int(v) for v in value)
    if len(found) == 1:
        return found * rank
    if len(found) != rank:
        raise ArgumentError(f"{name} requires one integer or {rank} of them, got {found}")
    return found


def check_spatial(name: str, x: Tensor, rank: int) -> None:
    """Raise ShapeError unless x is (C, *S) or (N, C, *S) with `rank` spatial axes."""
    if x.dim() not in (rank + 1, rank + 2):
        raise ShapeError(
            f"{name} requires input (C, *S) or (N, C, *S) with {rank} spatial axes, got "
            f"{tuple(x.shape)}"
        )


def check_steps(name: str, **steps: tuple[int, ...]) -> None:
    """Raise ShapeError for a kernel_size, stride or dilation < 1, or a padding < 0."""
    for what, values in steps.items():
        low = 0 if "padding" in what else 1
        if min(values) < low:
            raise ShapeError(f"{name} requires {what} >= {low}, got {values}")


def reduced(loss: Tensor, reduction: str) -> Tensor:
    """The mean or the sum over all elements, or, for 'none', the loss as it is."""
    if reduction == "mean":
        return loss.mean()
    return loss.sum() if reduction == "sum" else loss


def from_old_arguments(size_average: bool | None, reduce: bool | None, reduction: str) -> str:
    """The reduction that PyTorch's old arguments stand for, where they are given."""
    if size_average is None and reduce is None:
        return reduction
    kept = "mean" if size_average is None or size_average else "sum"
    reduction = kept if reduce is None or reduce else "none"
    warn(f"size_average and reduce are deprecated; write reduction={reduction!r}")
    return reduction


def reduction_of(
    name: str,
    size_average: bool | None,
    reduce: bool | None,
    reduction: str,
    extra: tuple[str, ...] = (),
) -> str:
    """What to do with the elements of a loss; anything else raises ArgumentError."""
    reduction = from_old_arguments(size_average, reduce, reduction)
    check_reduction(name, reduction, extra)
    return reduction


def check_reduction(name: str, reduction: str, extra: tuple[str, ...] = ()) -> None:
    """Raise ArgumentError unless the loss `name` knows `reduction`."""
    allowed = ("none", "mean", "sum", *extra)
    if reduction not in allowed:
        raise ArgumentError(f"{name} requires reduction in {allowed}, got {reduction!r}")


def check_known(name: str, what: str, index: Tensor, n: int, ignored: int | None = None) -> None:
    """Raise OutOfRange for an index outside of [0, n), where the values are known already."""
    values = index.node.value
    # As unsigned numbers, the negative ones are too large as well: one test instead of two.
    if values is None or (values.view(f"u{values.itemsize}") < n).all():
        return
    wrong = ((values < 0) | (values >= n)) & (values != ignored)
    if wrong.any():
        found = values[wrong][0]
        raise OutOfRange(
            f"{name} requires {what} in [0, {n - 1}], got {found} ({found} is out of bounds)"
        )


def given_values(x: Tensor) -> np.ndarray | None:
    """The values of a leaf.  Not those of a computed tensor, known or not: whether something is
    refused must not depend on when somebody looked at it."""
    return x.node.value if x.node.op is None else None
