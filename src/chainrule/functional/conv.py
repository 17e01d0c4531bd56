"""Convolutions of any rank: windows of the input, then one contraction with the weight."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import ArgumentError, DTypeError, ShapeError
from ..ops.contraction import contract
from ..ops.movement import fold, window
from ..scope import composite
from ..tensor import Tensor, apply
from .common import check_spatial, check_steps, per_axis, single_too
from .padding import pad_value

Ints = int | Sequence[int]


def _labels(rank: int, groups: int) -> tuple[tuple, tuple, tuple, tuple, tuple]:
    """Labels of the axes (batch, [group]), channel, filter, positions and taps."""
    lead = (0, 1) if groups > 1 else (0,)
    return lead, (2,), (3,), tuple(range(4, 4 + rank)), tuple(range(7, 7 + rank))


def _split_groups(x: Tensor, weight: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    """A group axis in both: (N, G, C/G, *) and (G, out/G or in/G, *)."""
    if groups == 1:
        return x, weight
    return x.unflatten(1, (groups, -1)), weight.unflatten(0, (groups, -1))


def _correlate(x: Tensor, weight: Tensor, stride: tuple, dilation: tuple, groups: int) -> Tensor:
    """sum over channels c and taps k of x[n, c, stride o + dilation k] * weight[f, c, k]."""
    size = tuple(weight.shape[2:])
    lead, c, f, at, taps = _labels(len(size), groups)
    x, weight = _split_groups(x, weight, groups)
    windows = apply(window, x, size=size, stride=stride, dilation=dilation)  # (N, C, *O, *K)
    labels = (lead + c + at + taps, lead[1:] + f + c + taps, lead + f + at)
    out = apply(contract, windows, weight, labels=labels)  # (N, [G], F, *O)
    return out if groups == 1 else out.flatten(1, 2)


def _spread(x: Tensor, weight: Tensor, stride: tuple, dilation: tuple, groups: int) -> Tensor:
    """The adjoint of `_correlate`: every input element adds its multiple of the kernel."""
    size, counts = tuple(weight.shape[2:]), tuple(x.shape[2:])
    shape = tuple(
        (n - 1) * s + d * (k - 1) + 1 for n, s, d, k in zip(counts, stride, dilation, size)
    )
    lead, c, f, at, taps = _labels(len(size), groups)
    x, weight = _split_groups(x, weight, groups)
    labels = (lead + c + at, lead[1:] + c + f + taps, lead + f + at + taps)
    taken = apply(contract, x, weight, labels=labels)  # (N, [G], F, *O, *K)
    out = apply(fold, taken, shape=shape, stride=stride, dilation=dilation)
    return out if groups == 1 else out.flatten(1, 2)


# --------------------------------------------------------------------------- what is asked for
def _check(name: str, x: Tensor, weight: Tensor, bias: Tensor | None, rank: int) -> None:
    if weight.dim() != rank + 2:
        raise ShapeError(
            f"{name} requires a weight of {rank + 2} dimensions, got {tuple(weight.shape)}"
        )
    check_spatial(name, x, rank)
    for other, what in ((weight, "weight"), (bias, "bias")):
        if other is not None and other.dtype is not x.dtype:
            raise DTypeError(
                f"{name} requires input and {what} of the same dtype, got {x.dtype} and "
                f"{other.dtype}"
            )


def _check_channels(
    name: str, x: Tensor, weight: Tensor, bias: Tensor | None, groups: int, transposed: bool
) -> None:
    """weight is (out, in/groups, *K), or (in, out/groups, *K) where transposed."""
    first, second = weight.shape[:2]
    expected, out = (first, second * groups) if transposed else (second * groups, first)
    if groups < 1 or first % groups:
        raise ShapeError(
            f"{name} requires groups that divide the {first} channels of the weight's first "
            f"axis, got groups={groups}"
        )
    if x.shape[1] != expected:
        raise ShapeError(
            f"{name} requires an input of {expected} channels for weight "
            f"{tuple(weight.shape)} and groups={groups}, got input {tuple(x.shape)} with "
            f"{x.shape[1]} channels"
        )
    if bias is not None and tuple(bias.shape) != (out,):
        raise ShapeError(f"{name} requires a bias of shape ({out},), got {tuple(bias.shape)}")


def border(
    name: str, padding: str | Ints, stride: tuple, dilation: tuple, size: tuple
) -> list[tuple[int, int]]:
    """How many elements go before and behind each spatial axis."""
    rank = len(size)
    if not isinstance(padding, str):
        padding = per_axis(name, padding, rank)
        check_steps(name, padding=padding)
        return [(p, p) for p in padding]
    if padding == "valid":
        return [(0, 0)] * rank
    if padding != "same":
        raise ArgumentError(f"{name} requires padding 'valid' or 'same', got {padding!r}")
    if max(stride) > 1:
        raise ShapeError(f"{name} requires stride 1 with padding='same', got stride {stride}")
    # Of an odd total the spare one goes behind.
    return [(d * (k - 1) // 2, d * (k - 1) - d * (k - 1) // 2) for d, k in zip(dilation, size)]


def _add_bias(out: Tensor, bias: Tensor | None, rank: int) -> Tensor:
    return out if bias is None else out + bias.view(-1, *[1] * rank)


def _convolve(name, x, weight, bias, stride, padding, dilation, groups, rank) -> Tensor:
    _check(name, x, weight, bias, rank)
    _check_channels(name, x, weight, bias, groups, transposed=False)
    stride, dilation = per_axis(name, stride, rank), per_axis(name, dilation, rank)
    check_steps(name, stride=stride, dilation=dilation)
    size = tuple(weight.shape[2:])
    padded = pad_value(x, border(name, padding, stride, dilation, size), 0)
    reach = tuple(d * (k - 1) + 1 for d, k in zip(dilation, size))
    if any(n < r for n, r in zip(padded.shape[2:], reach)):
        raise ShapeError(
            f"{name} requires a kernel that fits into the padded input, got kernel {reach} "
            f"(dilated) and input {tuple(padded.shape[2:])} (padded)"
        )
    return _add_bias(_correlate(padded, weight, stride, dilation, groups), bias, rank)


def _convolve_transposed(
    name, x, weight, bias, stride, padding, output_padding, groups, dilation, rank
) -> Tensor:
    _check(name, x, weight, bias, rank)
    _check_channels(name, x, weight, bias, groups, transposed=True)
    stride, dilation = per_axis(name, stride, rank), per_axis(name, dilation, rank)
    padding, extra = per_axis(name, padding, rank), per_axis(name, output_padding, rank)
    check_steps(name, stride=stride, dilation=dilation, padding=padding, output_padding=extra)
    if any(e >= max(s, d) for e, s, d in zip(extra, stride, dilation)):
        raise ShapeError(
            f"{name} requires output_padding smaller than stride or dilation, got "
            f"output_padding {extra}, stride {stride} and dilation {dilation}"
        )
    full = _spread(x, weight, stride, dilation, groups)
    widths = [(-p, e - p) for p, e in zip(padding, extra)]
    if any(n + sum(w) < 1 for n, w in zip(full.shape[2:], widths)):
        raise ShapeError(
            f"{name} requires a padding that leaves something of the output, got padding "
            f"{padding} for {tuple(full.shape[2:])}"
        )
    return _add_bias(pad_value(full, widths, 0), bias, rank)


# --------------------------------------------------------------------------- PyTorch's names
@single_too(1)
@composite("ConvolutionBackward0")
def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: str | Ints = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Tensor:
    """y[n, f, o] = b[f] + sum_{c,k} x[n, c, stride o + dilation k - padding] w[f, c, k].

    input (N, C, L) or (C, L), weight (F, C/groups, K), bias (F,) ->
    (N, F, (L + 2 padding - dilation (K-1) - 1) // stride + 1).  `padding='same'` keeps L.

    >>> import chainrule as torch
    >>> x, w = torch.tensor([[[1.0, 2.0, 4.0]]]), torch.tensor([[[-1.0, 1.0]]])
    >>> torch.nn.functional.conv1d(x, w)
    tensor([[[1., 2.]]])
    """
    return _convolve("conv1d", input, weight, bias, stride, padding, dilation, groups, 1)


@single_too(2)
@composite("ConvolutionBackward0")
def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: str | Ints = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Tensor:
    """The convolution of `conv1d` with two spatial axes.

    input (N, C, H, W) or (C, H, W), weight (F, C/groups, KH, KW), bias (F,) -> (N, F, H', W').

    >>> import chainrule as torch
    >>> torch.nn.functional.conv2d(torch.ones(1, 1, 3, 3), torch.ones(1, 1, 2, 2))
    tensor([[[[4., 4.],
              [4., 4.]]]])
    """
    return _convolve("conv2d", input, weight, bias, stride, padding, dilation, groups, 2)


@single_too(3)
@composite("ConvolutionBackward0")
def conv3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: str | Ints = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Tensor:
    """The convolution of `conv1d` with three spatial axes.

    >>> import chainrule as torch
    >>> torch.nn.functional.conv3d(torch.ones(1, 1, 2, 2, 2), torch.ones(1, 1, 2, 2, 2))
    tensor([[[[[8.]]]]])
    """
    return _convolve("conv3d", input, weight, bias, stride, padding, dilation, groups, 3)


@single_too(1)
@composite("ConvolutionBackward0")
def conv_transpose1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints = 0,
    output_padding: Ints = 0,
    groups: int = 1,
    dilation: Ints = 1,
) -> Tensor:
    """The adjoint of conv1d: y[n, f, stride o + dilation k - padding] += x[n, c, o] w[c, f, k].

    input (N, C, L) or (C, L), weight (C, F/groups, K), bias (F,) ->
    (N, F, (L-1) stride - 2 padding + dilation (K-1) + output_padding + 1).

    >>> import chainrule as torch
    >>> x, w = torch.tensor([[[1.0, 2.0]]]), torch.tensor([[[1.0, 10.0]]])
    >>> torch.nn.functional.conv_transpose1d(x, w)
    tensor([[[ 1., 12., 20.]]])
    """
    return _convolve_transposed(
        "conv_transpose1d",
        input, weight, bias, stride, padding, output_padding, groups, dilation, 1,
    )  # fmt: skip


@single_too(2)
@composite("ConvolutionBackward0")
def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints = 0,
    output_padding: Ints = 0,
    groups: int = 1,
    dilation: Ints = 1,
) -> Tensor:
    """The adjoint of conv2d.

    input (N, C, H, W) or (C, H, W), weight (C, F/groups, KH, KW), bias (F,) -> (N, F, H', W').

    >>> import chainrule as torch
    >>> torch.nn.functional.conv_transpose2d(torch.ones(1, 1, 1, 1), torch.ones(1, 1, 2, 2))
    tensor([[[[1., 1.],
              [1., 1.]]]])
    """
    return _convolve_transposed(
        "conv_transpose2d",
        input, weight, bias, stride, padding, output_padding, groups, dilation, 2,
    )  # fmt: skip


@single_too(3)
@composite("ConvolutionBackward0")
def conv_transpose3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints = 0,
    output_padding: Ints = 0,
    groups: int = 1,
    dilation: Ints = 1,
) -> Tensor:
    """The adjoint of conv3d.

    >>> import chainrule as torch
    >>> x, w = torch.ones(1, 1, 1, 1, 1), torch.ones(1, 1, 2, 2, 2)
    >>> torch.nn.functional.conv_transpose3d(x, w).shape
    torch.Size([1, 1, 2, 2, 2])
    """
    return _convolve_transposed(
        "conv_transpose3d",
        input, weight, bias, stride, padding, output_padding, groups, dilation, 3,
    )  # fmt: skip
