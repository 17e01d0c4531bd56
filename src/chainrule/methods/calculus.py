"""Functions given by their values at points: differences and integrals."""

from __future__ import annotations

from ..errors import ArgumentError, ShapeError
from ..scope import composite
from ..shapes import axis_of
from ..tensor import Tensor
from .joining import cat
from .logic import logical_xor
from .register import method

__all__ = ["cumulative_trapezoid", "diff", "trapezoid", "trapz"]


@method()
@composite("SubBackward0")
def diff(input: Tensor, n: int = 1, dim: int = -1, prepend: Tensor | None = None,
         append: Tensor | None = None) -> Tensor:
    """x[i + 1] - x[i] along `dim`, n times; each time there is one element less.

    `prepend` and `append` are put before and behind x first.  Of bool tensors: where they change.

    >>> import chainrule as torch
    >>> torch.diff(torch.tensor([1, 4, 9, 16]))
    tensor([3, 5, 7])
    """
    axis = axis_of("diff", dim, tuple(input.shape))
    if n < 0:
        raise ArgumentError(f"diff requires n >= 0, got {n}")
    parts = [x for x in (prepend, input, append) if x is not None]
    x = cat(parts, axis) if len(parts) > 1 else input
    change = logical_xor if not x.dtype.is_floating_point and x.dtype.name == "bool" else None
    for _ in range(min(n, x.shape[axis])):
        left, right = _neighbours(x, axis)
        x = change(right, left) if change else right - left
    return x


def _neighbours(x: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """All elements but the last, and all but the first."""
    count = max(x.shape[axis] - 1, 0)
    first = min(x.shape[axis], 1)
    return x.narrow(axis, 0, count), x.narrow(axis, first, count)


def _areas(name: str, y: Tensor, x: Tensor | None, dx, dim: int) -> tuple[Tensor, int]:
    """Twice the area of each trapezoid, and the axis."""
    axis = axis_of(name, dim, tuple(y.shape))
    if x is not None and dx is not None:
        raise ArgumentError(f"{name} requires x or dx, got both")
    left, right = _neighbours(y, axis)
    if x is None:
        return (left + right) * (1 if dx is None else dx), axis
    if x.ndim == 1:
        if x.shape[0] != y.shape[axis]:
            raise ShapeError(f"{name} requires one x for each y along dim, got {x.shape[0]} and "
                             f"{y.shape[axis]}")
        x = x.reshape([-1 if i == axis else 1 for i in range(y.ndim)])
    before, behind = _neighbours(x, axis - y.ndim + x.ndim)
    return (left + right) * (behind - before), axis


@composite()
def trapezoid(y: Tensor, x: Tensor | None = None, *, dx=None, dim: int = -1) -> Tensor:
    """The integral of y along `dim` by the trapezoidal rule: sum (x' - x) (y + y') / 2.

    `x` are the points, a vector or of y's shape; without it they are `dx` (default 1) apart.

    >>> import chainrule as torch
    >>> torch.trapezoid(torch.tensor([0.0, 1.0, 4.0]), torch.tensor([0.0, 1.0, 2.0]))
    tensor(3.)
    """
    areas, axis = _areas("trapezoid", y, x, dx, dim)
    return areas.sum(axis) / 2


trapz = trapezoid


@composite()
def cumulative_trapezoid(y: Tensor, x: Tensor | None = None, *, dx=None, dim: int = -1
                         ) -> Tensor:
    """The running integral of y along `dim` by the trapezoidal rule, one element shorter.

    >>> import chainrule as torch
    >>> torch.cumulative_trapezoid(torch.tensor([0.0, 1.0, 4.0]))
    tensor([0.5000, 3.0000])
    """
    areas, axis = _areas("cumulative_trapezoid", y, x, dx, dim)
    return areas.cumsum(axis) / 2
