"""Images: resampling to another size, and moving elements between channels and space."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from math import floor, prod

import numpy as np

from ..errors import ArgumentError, ShapeError
from ..ops.movement import fold as sum_windows
from ..ops.movement import window
from ..scope import composite
from ..tensor import Tensor, apply, from_array
from .common import check_steps, floating, per_axis
from .padding import pad_value, take_along
from .pooling import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d

Ints = int | Sequence[int]


# --------------------------------------------------------------------------- resampling
def interpolate(
    input: Tensor,
    size: Ints | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """Resample the spatial axes to `size`, or to floor(n * scale_factor).

    input (N, C, *S).  'nearest' and 'nearest-exact' pick elements, 'linear', 'bilinear' and
    'trilinear' mix two on each axis, 'bicubic' four (Keys, 1981, a = -0.75), 'area' averages.
    `align_corners` puts the outermost elements, not their edges, on each other.  `antialias`
    is not supported.

    >>> import chainrule as torch
    >>> x = torch.tensor([[[1.0, 3.0]]])
    >>> torch.nn.functional.interpolate(x, scale_factor=2, mode="linear", align_corners=True)
    tensor([[[1.0000, 1.6667, 2.3333, 3.0000]]])
    """
    lengths = tuple(input.shape[2:])
    modes = [*_MODES, "area"]
    rank = _RANKS.get(mode, len(lengths))
    if mode not in modes or rank != len(lengths) or not 1 <= rank <= 3:
        raise ShapeError(
            f"interpolate requires a mode of {modes} that fits input (N, C, *S), got "
            f"{mode!r} and {tuple(input.shape)}"
        )
    if antialias:
        raise ArgumentError("interpolate requires antialias=False, got True")
    if align_corners is not None and mode not in _RANKS:
        raise ArgumentError(
            f"interpolate requires align_corners only with modes {[*_RANKS]}, got {mode!r}"
        )
    wanted, scales = _sizes(lengths, size, scale_factor, recompute_scale_factor)
    if mode == "area":
        return _AREA[rank](input, wanted)
    return _RESAMPLE[mode, rank](input, wanted, scales, bool(align_corners))


def _sizes(lengths: tuple[int, ...], size, scale_factor, recompute) -> tuple[tuple, tuple]:
    """The new lengths, and the scale that each coordinate is computed with."""
    rank = len(lengths)
    if (size is None) == (scale_factor is None):
        raise ArgumentError(
            f"interpolate requires either size or scale_factor, got {size} and {scale_factor}"
        )
    if size is not None:
        wanted = per_axis("interpolate", size, rank)
        return wanted, (None,) * rank
    scales = (scale_factor,) * rank if isinstance(scale_factor, (int, float)) else scale_factor
    scales = tuple(map(float, scales))
    if len(scales) != rank:
        raise ArgumentError(f"interpolate requires {rank} scale factors, got {scales}")
    wanted = tuple(floor(n * s) for n, s in zip(lengths, scales))
    return wanted, (None,) * rank if recompute else scales


def _resample(x: Tensor, wanted, scales, mode: str, align_corners: bool) -> Tensor:
    # Coordinates in the precision of the elements: a last bit can decide which one is nearest.
    kind = np.float32 if mode.startswith("nearest") else x.dtype.np.type
    for axis, (count, scale) in enumerate(zip(wanted, scales), 2):
        n = x.shape[axis]
        place = np.arange(count, dtype=kind)
        if align_corners:
            place = place * kind((n - 1) / (count - 1) if count > 1 else 0)
        else:
            step = kind(n / count if scale is None else 1 / scale)
            half = kind(0 if mode == "nearest" else 0.5)
            place = (place + half) * step - (half if mode in _RANKS else 0)
        x = _mix(x, axis, _MODES[mode](place, n))
    return x


def _mix(x: Tensor, axis: int, taps: list) -> Tensor:
    """The weighted sum of the elements that each tap takes along one axis."""
    parts = []
    for index, weight in taps:
        part = take_along(x, axis, index)
        if weight is not None:
            weight = weight.reshape((-1,) + (1,) * (x.dim() - axis - 1))
            part = part * from_array(weight.astype(x.dtype.np))
        parts.append(part)
    return functools.reduce(operator.add, parts)


def _nearest(place: np.ndarray, n: int) -> list[tuple[np.ndarray, None]]:
    return [(np.minimum(np.floor(place), n - 1), None)]


def _linear(place: np.ndarray, n: int) -> list[tuple[np.ndarray, np.ndarray]]:
    place = np.maximum(place, 0)
    low = np.minimum(np.floor(place), n - 1)
    share = place - low
    return [(low, 1 - share), (np.minimum(low + 1, n - 1), share)]


def _cubic(place: np.ndarray, n: int) -> list[tuple[np.ndarray, np.ndarray]]:
    low, a = np.floor(place), -0.75

    def near(d):  # |d| <= 1
        return ((a + 2) * d - (a + 3)) * d * d + 1

    def far(d):  # 1 <= |d| <= 2
        return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a

    t = place - low
    weights = (far(t + 1), near(t), near(1 - t), far(2 - t))
    return [(np.clip(low + i, 0, n - 1), w) for i, w in zip((-1, 0, 1, 2), weights)]


_MODES: dict[str, Callable] = {
    "nearest": _nearest,
    "nearest-exact": _nearest,
    "linear": _linear,
    "bilinear": _linear,
    "trilinear": _linear,
    "bicubic": _cubic,
}
_RANKS = {"linear": 1, "bilinear": 2, "trilinear": 3, "bicubic": 2}
_AREA = {1: adaptive_avg_pool1d, 2: adaptive_avg_pool2d, 3: adaptive_avg_pool3d}


def _recorded(mode: str, rank: int):
    def interpolate(input, wanted, scales, align_corners):
        return _resample(input, wanted, scales, mode, align_corners)

    name = "".join(map(str.capitalize, mode.split("-")))
    return composite(f"Upsample{name}{rank}DBackward0")(floating(interpolate))


_RESAMPLE: dict[tuple[str, int], Callable] = {
    (mode, rank): _recorded(mode, rank)
    for mode in _MODES
    for rank in (1, 2, 3)
    if _RANKS.get(mode, rank) == rank
}


# --------------------------------------------------------------------------- rearranging
def _check_factor(name: str, input: Tensor, factor: int, rank: int = 3) -> None:
    if factor < 1 or input.dim() < rank:
        raise ShapeError(
            f"{name} requires a factor >= 1 and an input of at least {rank} dimensions, got "
            f"{factor} and {tuple(input.shape)}"
        )


@composite("PixelShuffleBackward0")
def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """(*, C r^2, H, W) -> (*, C, H r, W r): each group of r^2 channels becomes an r x r block.

    Shi et al., Real-Time Single Image and Video Super-Resolution, 2016.

    >>> import chainrule as torch
    >>> torch.nn.functional.pixel_shuffle(torch.arange(4.0).view(4, 1, 1), 2)
    tensor([[[0., 1.],
             [2., 3.]]])
    """
    r = upscale_factor
    _check_factor("pixel_shuffle", input, r)
    *lead, channels, height, width = input.shape
    if channels % (r * r):
        raise ShapeError(
            f"pixel_shuffle requires channels divisible by {r * r}, got {tuple(input.shape)}"
        )
    blocks = input.reshape(-1, channels // (r * r), r, r, height, width)
    shape = (*lead, channels // (r * r), height * r, width * r)
    return blocks.permute(0, 1, 4, 2, 5, 3).reshape(shape)


@composite("PixelUnshuffleBackward0")
def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """(*, C, H r, W r) -> (*, C r^2, H, W): the inverse of `pixel_shuffle`.

    >>> import chainrule as torch
    >>> torch.nn.functional.pixel_unshuffle(torch.arange(4.0).view(1, 2, 2), 2).flatten()
    tensor([0., 1., 2., 3.])
    """
    r = downscale_factor
    _check_factor("pixel_unshuffle", input, r)
    *lead, channels, height, width = input.shape
    if height % r or width % r:
        raise ShapeError(
            f"pixel_unshuffle requires height and width divisible by {r}, got {tuple(input.shape)}"
        )
    blocks = input.reshape(-1, channels, height // r, r, width // r, r)
    shape = (*lead, channels * r * r, height // r, width // r)
    return blocks.permute(0, 1, 3, 5, 2, 4).reshape(shape)


@composite("ChannelShuffleBackward0")
def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """(N, C, *): channel c = g C/groups + k moves to k groups + g.

    >>> import chainrule as torch
    >>> torch.nn.functional.channel_shuffle(torch.arange(4.0).view(1, 4, 1), 2).flatten()
    tensor([0., 2., 1., 3.])
    """
    _check_factor("channel_shuffle", input, groups)
    if input.shape[1] % groups:
        raise ShapeError(
            f"channel_shuffle requires channels divisible by groups={groups}, got "
            f"{tuple(input.shape)}"
        )
    return input.unflatten(1, (groups, -1)).transpose(1, 2).flatten(1, 2)


# --------------------------------------------------------------------------- windows as columns
def _geometry(name: str, kernel_size, dilation, padding, stride) -> tuple[tuple[int, ...], ...]:
    given = {"kernel_size": kernel_size, "dilation": dilation, "padding": padding, "stride": stride}
    found = {what: per_axis(name, value, 2) for what, value in given.items()}
    check_steps(name, **found)
    return tuple(found.values())


def _counts(name: str, lengths, size, dilation, padding, stride) -> tuple[int, ...]:
    counts = tuple(
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, d, p, s in zip(lengths, size, dilation, padding, stride)
    )
    if min(counts) < 1:
        raise ShapeError(
            f"{name} requires windows that fit into the padded input, got kernel_size {size} for "
            f"spatial axes {tuple(lengths)}"
        )
    return counts


@composite("Im2ColBackward0")
def unfold(
    input: Tensor, kernel_size: Ints, dilation: Ints = 1, padding: Ints = 0, stride: Ints = 1
) -> Tensor:
    """Windows as columns: (N, C, H, W) -> (N, C KH KW, windows), or without N.

    >>> import chainrule as torch
    >>> torch.nn.functional.unfold(torch.arange(4.0).view(1, 1, 2, 2), (1, 2))
    tensor([[[0., 2.],
             [1., 3.]]])
    """
    size, dilation, padding, stride = _geometry("unfold", kernel_size, dilation, padding, stride)
    if input.dim() not in (3, 4):
        raise ShapeError(f"unfold requires input (N, C, H, W), got {tuple(input.shape)}")
    _counts("unfold", input.shape[-2:], size, dilation, padding, stride)
    padded = pad_value(input, [(p, p) for p in padding], 0)
    windows = apply(window, padded, size=size, stride=stride, dilation=dilation)
    return windows.movedim((-2, -1), (-4, -3)).flatten(-2).flatten(-4, -2)


@composite("Col2ImBackward0")
def fold(
    input: Tensor,
    output_size: Ints,
    kernel_size: Ints,
    dilation: Ints = 1,
    padding: Ints = 0,
    stride: Ints = 1,
) -> Tensor:
    """The adjoint of `unfold`: columns (N, C KH KW, windows) -> (N, C, H, W), overlaps summed.

    >>> import chainrule as torch
    >>> torch.nn.functional.fold(torch.ones(1, 2, 2), (1, 3), (1, 2))
    tensor([[[[1., 2., 1.]]]])
    """
    size, dilation, padding, stride = _geometry("fold", kernel_size, dilation, padding, stride)
    lengths = per_axis("fold", output_size, 2)
    counts = _counts("fold", lengths, size, dilation, padding, stride)
    columns, taps = tuple(input.shape[-2:]), prod(size)
    if input.dim() not in (2, 3) or columns[0] % taps or columns[1] != prod(counts):
        raise ShapeError(
            f"fold requires input (N, C * {taps}, {prod(counts)}) for output_size {lengths} and "
            f"kernel_size {size}, got {tuple(input.shape)}"
        )
    windows = input.unflatten(-2, (-1, *size)).unflatten(-1, counts)  # (N, C, *K, *O)
    windows = windows.movedim((-2, -1), (-4, -3))
    padded = tuple(n + 2 * p for n, p in zip(lengths, padding))
    out = apply(sum_windows, windows, shape=padded, stride=stride, dilation=dilation)
    return pad_value(out, [(-p, -p) for p in padding], 0)
