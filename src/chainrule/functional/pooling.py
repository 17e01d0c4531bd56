"""Pooling of any rank: windows of the input, then a reduction over each window."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, inf, prod

import numpy as np

from ..errors import ShapeError
from ..ops.contraction import contract
from ..ops.indexing import take
from ..ops.movement import window
from ..scope import composite
from ..tensor import Tensor, apply, from_array
from .common import check_spatial, check_steps, per_axis
from .padding import pad_value

Ints = int | Sequence[int]


class _Windows:
    """Where the windows of a pooling lie: size, stride, padding, dilation and count per axis."""

    def __init__(self, name, x, kernel_size, stride, padding, dilation, ceil_mode, rank):
        check_spatial(name, x, rank)
        self.name = name
        self.lengths = tuple(x.shape[-rank:])
        self.size = per_axis(name, kernel_size, rank)
        # PyTorch's default, also for an empty list: windows side by side.
        self.stride = per_axis(name, stride, rank) if stride not in (None, (), []) else self.size
        self.padding = per_axis(name, padding, rank)
        self.dilation = per_axis(name, dilation, rank)
        self._check()
        self.counts = tuple(map(self._count, range(rank), [ceil_mode] * rank))
        if min(self.counts) < 1:
            raise ShapeError(
                f"{name} requires windows that fit into the input, got kernel_size {self.size} "
                f"for spatial axes {self.lengths}"
            )

    def _check(self) -> None:
        check_steps(
            self.name, kernel_size=self.size, stride=self.stride, dilation=self.dilation
        )
        if any(not 0 <= p <= r // 2 for p, r in zip(self.padding, self.reach)):
            raise ShapeError(
                f"{self.name} requires padding between 0 and half of the window, got padding "
                f"{self.padding} for windows of {self.reach}"
            )

    @property
    def reach(self) -> tuple[int, ...]:
        """The length that a window covers on each axis."""
        return tuple(d * (k - 1) + 1 for d, k in zip(self.dilation, self.size))

    def _count(self, axis: int, ceil_mode: bool) -> int:
        n, p, s = self.lengths[axis], self.padding[axis], self.stride[axis]
        room = n + 2 * p - self.reach[axis]
        if not ceil_mode:
            return room // s + 1
        count = ceil(room / s) + 1
        # The last window must start inside of the input or its left padding.
        return count - 1 if (count - 1) * s >= n + p else count

    @property
    def widths(self) -> list[tuple[int, int]]:
        """What to put before and behind each axis; `ceil_mode` needs more behind it."""
        needed = ((c - 1) * s + r for c, s, r in zip(self.counts, self.stride, self.reach))
        return [(p, max(e - n - p, 0)) for e, n, p in zip(needed, self.lengths, self.padding)]

    def of(self, x: Tensor, value: float) -> Tensor:
        """(..., *S) -> (..., *O, *K), with `value` where a window reaches out of the input."""
        padded = pad_value(x, self.widths, value)
        return apply(window, padded, size=self.size, stride=self.stride, dilation=self.dilation)

    def extents(self, count_include_pad: bool) -> np.ndarray:
        """(*O): how many elements each window averages."""
        total = np.ones(())
        for axis, count in enumerate(self.counts):
            n, p = self.lengths[axis], self.padding[axis]
            start = np.arange(count) * self.stride[axis] - p
            # What ceil_mode adds behind the padding never counts.
            stop = np.minimum(start + self.size[axis], n + p)
            if not count_include_pad:
                start, stop = np.maximum(start, 0), np.minimum(stop, n)
            total = np.multiply.outer(total, stop - start)
        return total


# --------------------------------------------------------------------------- maximum
def _first_maximum(windows: Tensor, positions: Tensor | None, rank: int):
    """The maximum over the last `rank` axes; with `positions`, also where its first one is."""
    windows = windows.flatten(-rank)
    # Not amax: among equal elements PyTorch gives the whole gradient to the first.
    winner = windows.detach().argmax(-1, keepdim=True)
    values = windows.gather(-1, winner).squeeze(-1)
    if positions is None:
        return values
    taken = positions.flatten(-rank).expand(windows.shape).gather(-1, winner)
    return values, taken.squeeze(-1)


def _positions(lengths: tuple[int, ...]) -> Tensor:
    """The place of every element among all of its spatial axes, counted row by row."""
    return from_array(np.arange(prod(lengths)).reshape(lengths))


def _max_pool(name, x, kernel_size, stride, padding, dilation, ceil_mode, return_indices, rank):
    windows = _Windows(name, x, kernel_size, stride, padding, dilation, ceil_mode, rank)
    lowest = -inf if x.dtype.is_floating_point else np.iinfo(x.dtype.np).min
    positions = windows.of(_positions(windows.lengths), 0) if return_indices else None
    return _first_maximum(windows.of(x, lowest), positions, rank)


# --------------------------------------------------------------------------- a given output size
def _adaptive_counts(name: str, x: Tensor, output_size, rank: int) -> tuple[int, ...]:
    """How many windows each spatial axis gets; None keeps the axis."""
    check_spatial(name, x, rank)
    wanted = (output_size,) * rank if isinstance(output_size, int) else tuple(output_size)
    if len(wanted) != rank:
        raise ShapeError(f"{name} requires output_size with {rank} numbers, got {wanted}")
    return tuple(n if w is None else int(w) for n, w in zip(x.shape[-rank:], wanted))


def _adaptive_bounds(n: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Window i of `count` goes from floor(i n / count) to ceil((i+1) n / count)."""
    i = np.arange(count)
    return i * n // count, -((i + 1) * -n // count)


def _adaptive_windows(x: Tensor, counts: tuple[int, ...]) -> Tensor:
    """(..., *S) -> (..., *O, *K); shorter windows repeat their last element."""
    rank = len(counts)
    lengths = tuple(x.shape[-rank:])
    if all(c and n % c == 0 for n, c in zip(lengths, counts)):
        size = tuple(n // c for n, c in zip(lengths, counts))
        return apply(window, x, size=size, stride=size, dilation=(1,) * rank)
    lead = x.dim() - rank
    for axis in reversed(range(rank)):
        start, stop = _adaptive_bounds(lengths[axis], counts[axis])
        reach = start[:, None] + np.arange((stop - start).max(initial=1))
        index = np.minimum(reach, stop[:, None] - 1)
        x = apply(take, x, from_array(index), axis=lead + axis)  # S becomes O, K
    at, taps = range(lead, lead + 2 * rank, 2), range(lead + 1, lead + 2 * rank, 2)
    return x.permute(*range(lead), *at, *taps)


def _adaptive_max_pool(name, x, output_size, return_indices, rank):
    counts = _adaptive_counts(name, x, output_size, rank)
    positions = None
    if return_indices:
        positions = _adaptive_windows(_positions(tuple(x.shape[-rank:])), counts)
    return _first_maximum(_adaptive_windows(x, counts), positions, rank)


def _adaptive_avg_pool(name, x, output_size, rank):
    counts = _adaptive_counts(name, x, output_size, rank)
    if all(c and n % c == 0 for n, c in zip(x.shape[-rank:], counts)):
        return _adaptive_windows(x, counts).mean(tuple(range(-rank, 0)))
    for axis, count in enumerate(counts, x.dim() - rank):
        x = _average_along(x, axis, count)
    return x


def _average_along(x: Tensor, axis: int, count: int) -> Tensor:
    """The mean over a box is a mean along each axis, and that is one matrix per axis."""
    n = x.shape[axis]
    start, stop = _adaptive_bounds(n, count)
    inside = (np.arange(n) >= start[:, None]) & (np.arange(n) < stop[:, None])
    matrix = (inside / (stop - start)[:, None]).astype(x.dtype.np)
    axes = tuple(range(x.dim()))
    new = x.dim()
    out = axes[:axis] + (new,) + axes[axis + 1 :]
    return apply(contract, x, from_array(matrix), labels=(axes, (new, axis), out))


# --------------------------------------------------------------------------- mean
def _avg_pool(
    name, x, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override, rank
) -> Tensor:
    windows = _Windows(name, x, kernel_size, stride, padding, 1, ceil_mode, rank)
    if divisor_override == 0:
        raise ShapeError(f"{name} requires divisor_override != 0, got 0")
    total = windows.of(x, 0).sum(tuple(range(-rank, 0)))
    if divisor_override is not None:
        return total / divisor_override
    extents = windows.extents(count_include_pad)
    whole = prod(windows.size)
    if (extents == whole).all():
        return total / whole
    return total / from_array(extents.astype(x.dtype.np))


def _lp_pool(name, x, norm_type, kernel_size, stride, ceil_mode, rank) -> Tensor:
    # By way of the mean, as PyTorch does: a window cut short by ceil_mode counts in full.
    mean = _avg_pool(name, x**norm_type, kernel_size, stride, 0, ceil_mode, True, None, rank)
    return (mean * prod(per_axis(name, kernel_size, rank))) ** (1.0 / norm_type)


# --------------------------------------------------------------------------- back to the input
def _max_unpool(name, x, indices, kernel_size, stride, padding, output_size, rank) -> Tensor:
    size = per_axis(name, kernel_size, rank)
    stride = size if stride is None else per_axis(name, stride, rank)
    padding = per_axis(name, padding, rank)
    if output_size is None:
        output_size = [
            (n - 1) * s - 2 * p + k for n, s, p, k in zip(x.shape[-rank:], stride, padding, size)
        ]
    lengths = tuple(output_size)[-rank:]
    if indices.shape != x.shape:
        raise ShapeError(
            f"{name} requires indices of input's shape {tuple(x.shape)}, got {tuple(indices.shape)}"
        )
    empty = x.new_zeros(*x.shape[:-rank], prod(lengths))
    filled = empty.scatter(-1, indices.flatten(-rank), x.flatten(-rank))
    return filled.unflatten(-1, lengths)


# --------------------------------------------------------------------------- PyTorch's names
@composite("SqueezeBackward1")
def max_pool1d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
):
    """y[o] = max_k x[stride o + dilation k - padding]; the gradient goes to the first maximum.

    input (N, C, L) or (C, L); `stride` is the window's size by default.  With `return_indices`
    also the places of the maxima.

    >>> import chainrule as torch
    >>> torch.nn.functional.max_pool1d(torch.tensor([[1.0, 3.0, 2.0, 0.0]]), 2)
    tensor([[3., 2.]])
    """
    return _max_pool(
        "max_pool1d", input, kernel_size, stride, padding, dilation, ceil_mode, return_indices, 1
    )


@composite("MaxPool2DWithIndicesBackward0")
def max_pool2d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
):
    """The pooling of `max_pool1d` with two spatial axes; places are counted row by row.

    >>> import chainrule as torch
    >>> torch.nn.functional.max_pool2d(torch.arange(16.0).view(1, 4, 4), 2)
    tensor([[[ 5.,  7.],
             [13., 15.]]])
    """
    return _max_pool(
        "max_pool2d", input, kernel_size, stride, padding, dilation, ceil_mode, return_indices, 2
    )


@composite("MaxPool3DWithIndicesBackward0")
def max_pool3d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
):
    """The pooling of `max_pool1d` with three spatial axes.

    >>> import chainrule as torch
    >>> torch.nn.functional.max_pool3d(torch.arange(8.0).view(1, 2, 2, 2), 2)
    tensor([[[[7.]]]])
    """
    return _max_pool(
        "max_pool3d", input, kernel_size, stride, padding, dilation, ceil_mode, return_indices, 3
    )


@composite("SqueezeBackward1")
def avg_pool1d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """y[o] = mean_k x[stride o + k - padding], zeros of the padding included or not.

    input (N, C, L) or (C, L); `stride` is the window's size by default.

    >>> import chainrule as torch
    >>> torch.nn.functional.avg_pool1d(torch.tensor([[1.0, 3.0, 2.0, 0.0]]), 2)
    tensor([[2., 1.]])
    """
    return _avg_pool(
        "avg_pool1d", input, kernel_size, stride, padding, ceil_mode, count_include_pad, None, 1
    )


@composite("AvgPool2DBackward0")
def avg_pool2d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The pooling of `avg_pool1d` with two spatial axes; `divisor_override` replaces the count.

    >>> import chainrule as torch
    >>> torch.nn.functional.avg_pool2d(torch.arange(16.0).view(1, 4, 4), 2)
    tensor([[[ 2.5000,  4.5000],
             [10.5000, 12.5000]]])
    """
    return _avg_pool(
        "avg_pool2d", input, kernel_size, stride, padding, ceil_mode, count_include_pad,
        divisor_override, 2,
    )  # fmt: skip


@composite("AvgPool3DBackward0")
def avg_pool3d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The pooling of `avg_pool1d` with three spatial axes.

    >>> import chainrule as torch
    >>> torch.nn.functional.avg_pool3d(torch.arange(8.0).view(1, 2, 2, 2), 2)
    tensor([[[[3.5000]]]])
    """
    return _avg_pool(
        "avg_pool3d", input, kernel_size, stride, padding, ceil_mode, count_include_pad,
        divisor_override, 3,
    )  # fmt: skip


@composite("SqueezeBackward1")
def adaptive_avg_pool1d(input: Tensor, output_size: Ints) -> Tensor:
    """The mean over `output_size` windows that cover the axis as evenly as they can.

    >>> import chainrule as torch
    >>> torch.nn.functional.adaptive_avg_pool1d(torch.tensor([[1.0, 2.0, 3.0]]), 2)
    tensor([[1.5000, 2.5000]])
    """
    return _adaptive_avg_pool("adaptive_avg_pool1d", input, output_size, 1)


@composite("AdaptiveAvgPool2DBackward0")
def adaptive_avg_pool2d(input: Tensor, output_size: Ints) -> Tensor:
    """The mean over output_size[0] x output_size[1] windows; None keeps an axis.

    >>> import chainrule as torch
    >>> torch.nn.functional.adaptive_avg_pool2d(torch.arange(16.0).view(1, 4, 4), 1)
    tensor([[[7.5000]]])
    """
    return _adaptive_avg_pool("adaptive_avg_pool2d", input, output_size, 2)


@composite("AdaptiveAvgPool3DBackward0")
def adaptive_avg_pool3d(input: Tensor, output_size: Ints) -> Tensor:
    """The pooling of `adaptive_avg_pool2d` with three spatial axes.

    >>> import chainrule as torch
    >>> torch.nn.functional.adaptive_avg_pool3d(torch.arange(8.0).view(1, 2, 2, 2), 1)
    tensor([[[[3.5000]]]])
    """
    return _adaptive_avg_pool("adaptive_avg_pool3d", input, output_size, 3)


@composite("SqueezeBackward1")
def adaptive_max_pool1d(input: Tensor, output_size: Ints, return_indices: bool = False):
    """The maximum over `output_size` windows that cover the axis as evenly as they can.

    >>> import chainrule as torch
    >>> torch.nn.functional.adaptive_max_pool1d(torch.tensor([[1.0, 2.0, 3.0]]), 2)
    tensor([[2., 3.]])
    """
    return _adaptive_max_pool("adaptive_max_pool1d", input, output_size, return_indices, 1)


@composite("AdaptiveMaxPool2DBackward0")
def adaptive_max_pool2d(input: Tensor, output_size: Ints, return_indices: bool = False):
    """The maximum over output_size[0] x output_size[1] windows; None keeps an axis.

    >>> import chainrule as torch
    >>> torch.nn.functional.adaptive_max_pool2d(torch.arange(16.0).view(1, 4, 4), (1, 2))
    tensor([[[13., 15.]]])
    """
    return _adaptive_max_pool("adaptive_max_pool2d", input, output_size, return_indices, 2)


@composite("AdaptiveMaxPool3DBackward0")
def adaptive_max_pool3d(input: Tensor, output_size: Ints, return_indices: bool = False):
    """The pooling of `adaptive_max_pool2d` with three spatial axes.

    >>> import chainrule as torch
    >>> torch.nn.functional.adaptive_max_pool3d(torch.arange(8.0).view(1, 2, 2, 2), 1)
    tensor([[[[7.]]]])
    """
    return _adaptive_max_pool("adaptive_max_pool3d", input, output_size, return_indices, 3)


@composite("PowBackward0")
def lp_pool1d(
    input: Tensor,
    norm_type: float,
    kernel_size: Ints,
    stride: Ints | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """(sum_k x[stride o + k]^p)^(1/p) with p = norm_type.

    >>> import chainrule as torch
    >>> torch.nn.functional.lp_pool1d(torch.tensor([[3.0, 4.0]]), 2, 2)
    tensor([[5.]])
    """
    return _lp_pool("lp_pool1d", input, norm_type, kernel_size, stride, ceil_mode, 1)


@composite("PowBackward0")
def lp_pool2d(
    input: Tensor,
    norm_type: float,
    kernel_size: Ints,
    stride: Ints | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """The pooling of `lp_pool1d` with two spatial axes.

    >>> import chainrule as torch
    >>> torch.nn.functional.lp_pool2d(torch.ones(1, 2, 2), 2, 2)
    tensor([[[2.]]])
    """
    return _lp_pool("lp_pool2d", input, norm_type, kernel_size, stride, ceil_mode, 2)


@composite("PowBackward0")
def lp_pool3d(
    input: Tensor,
    norm_type: float,
    kernel_size: Ints,
    stride: Ints | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """The pooling of `lp_pool1d` with three spatial axes.

    >>> import chainrule as torch
    >>> torch.nn.functional.lp_pool3d(torch.ones(1, 2, 2, 2), 1, 2)
    tensor([[[[8.]]]])
    """
    return _lp_pool("lp_pool3d", input, norm_type, kernel_size, stride, ceil_mode, 3)


@composite("SqueezeBackward1")
def max_unpool1d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """Zeros, with every x at the place that `max_pool1d(..., return_indices=True)` took it from.

    `output_size` decides where several lengths are possible.

    >>> import chainrule as torch
    >>> x, places = torch.tensor([[3.0, 4.0]]), torch.tensor([[1, 2]])
    >>> torch.nn.functional.max_unpool1d(x, places, 2)
    tensor([[0., 3., 4., 0.]])
    """
    return _max_unpool("max_unpool1d", input, indices, kernel_size, stride, padding, output_size, 1)


@composite("MaxUnpool2DBackward0")
def max_unpool2d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """The inverse of `max_pool2d`, as far as there is one.

    >>> import chainrule as torch
    >>> x, places = torch.tensor([[[3.0]]]), torch.tensor([[[2]]])
    >>> torch.nn.functional.max_unpool2d(x, places, 2)
    tensor([[[0., 0.],
             [3., 0.]]])
    """
    return _max_unpool("max_unpool2d", input, indices, kernel_size, stride, padding, output_size, 2)


@composite("MaxUnpool3DBackward0")
def max_unpool3d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """The inverse of `max_pool3d`, as far as there is one.

    >>> import chainrule as torch
    >>> x, places = torch.tensor([[[[3.0]]]]), torch.tensor([[[[1]]]])
    >>> torch.nn.functional.max_unpool3d(x, places, 2).flatten()
    tensor([0., 3., 0., 0., 0., 0., 0., 0.])
    """
    return _max_unpool("max_unpool3d", input, indices, kernel_size, stride, padding, output_size, 3)
