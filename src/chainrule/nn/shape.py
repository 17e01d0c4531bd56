"""Layers that only move elements: flatten, pad, shuffle, upsample, unfold."""

from __future__ import annotations

from typing import Any

from .. import functional as F
from ..errors import ArgumentTypeError
from ..tensor import Tensor
from .module import Module


class Flatten(Module):
    """Join the axes start_dim .. end_dim into one.

    >>> import chainrule as torch
    >>> torch.nn.Flatten()(torch.ones(5, 2, 3)).shape
    torch.Size([5, 6])
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1):
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, input: Tensor) -> Tensor:
        return input.flatten(self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Split the axis `dim` into several.

    >>> import chainrule as torch
    >>> torch.nn.Unflatten(1, (2, 3))(torch.ones(5, 6)).shape
    torch.Size([5, 2, 3])
    """

    def __init__(self, dim: int, unflattened_size: Any):
        super().__init__()
        if not isinstance(unflattened_size, tuple | list):
            raise ArgumentTypeError(
                "Unflatten requires unflattened_size to be a tuple of ints, "
                f"got {type(unflattened_size).__name__}"
            )
        self.dim = dim
        self.unflattened_size = unflattened_size

    def forward(self, input: Tensor) -> Tensor:
        return input.unflatten(self.dim, self.unflattened_size)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"


class _Pad(Module):
    """Widen the last `rank` axes; `padding` is one width, or (left, right, top, bottom ...)."""

    rank: int
    mode = "constant"
    value: float | None = None

    def __init__(self, padding: int | tuple[int, ...]):
        super().__init__()
        self.padding = (
            (padding,) * (2 * self.rank) if isinstance(padding, int) else tuple(padding)
        )

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, self.mode, self.value)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ConstantPad(_Pad):
    """Pads with a constant."""

    def __init__(self, padding: int | tuple[int, ...], value: float):
        super().__init__(padding)
        self.value = value

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class _ZeroPad(_Pad):
    """Pads with zeros."""

    value = 0.0


class _ReflectionPad(_Pad):
    """Pads with the mirror image, without the border itself."""

    mode = "reflect"


class _ReplicationPad(_Pad):
    """Pads with the border."""

    mode = "replicate"


class _CircularPad(_Pad):
    """Pads with the opposite side."""

    mode = "circular"


class ConstantPad1d(_ConstantPad):
    """Pads the last axis with a constant.

    >>> import chainrule as torch
    >>> torch.nn.ConstantPad1d((1, 0), 7.0)(torch.zeros(1, 2))
    tensor([[7., 0., 0.]])
    """

    rank = 1


class ConstantPad2d(_ConstantPad):
    """Pads the last two axes with a constant.

    >>> import chainrule as torch
    >>> torch.nn.ConstantPad2d((1, 0, 0, 1), 5.0)(torch.ones(1, 1, 2))
    tensor([[[5., 1., 1.],
             [5., 5., 5.]]])
    """

    rank = 2


class ConstantPad3d(_ConstantPad):
    """Pads the last three axes with a constant.

    >>> import chainrule as torch
    >>> torch.nn.ConstantPad3d(1, 5.0)(torch.ones(1, 2, 3, 4)).shape
    torch.Size([1, 4, 5, 6])
    """

    rank = 3


class ZeroPad1d(_ZeroPad):
    """Pads the last axis with zeros.

    >>> import chainrule as torch
    >>> torch.nn.ZeroPad1d((2, 1))(torch.ones(1, 2))
    tensor([[0., 0., 1., 1., 0.]])
    """

    rank = 1


class ZeroPad2d(_ZeroPad):
    """Pads the last two axes with zeros.

    >>> import chainrule as torch
    >>> torch.nn.ZeroPad2d(1)(torch.ones(1, 1, 1, 1)).sum(-1)
    tensor([[[0., 1., 0.]]])
    """

    rank = 2


class ZeroPad3d(_ZeroPad):
    """Pads the last three axes with zeros.

    >>> import chainrule as torch
    >>> torch.nn.ZeroPad3d(1)(torch.ones(1, 2, 3, 4)).shape
    torch.Size([1, 4, 5, 6])
    """

    rank = 3


class ReflectionPad1d(_ReflectionPad):
    """Pads the last axis with its mirror image.

    >>> import chainrule as torch
    >>> torch.nn.ReflectionPad1d(1)(torch.tensor([[1.0, 2.0, 3.0]]))
    tensor([[2., 1., 2., 3., 2.]])
    """

    rank = 1


class ReflectionPad2d(_ReflectionPad):
    """Pads the last two axes with their mirror image.

    >>> import chainrule as torch
    >>> torch.nn.ReflectionPad2d((1, 0, 0, 0))(torch.tensor([[[1.0, 2.0]]]))
    tensor([[[2., 1., 2.]]])
    """

    rank = 2


class ReplicationPad1d(_ReplicationPad):
    """Pads the last axis with its border.

    >>> import chainrule as torch
    >>> torch.nn.ReplicationPad1d((1, 2))(torch.tensor([[1.0, 2.0]]))
    tensor([[1., 1., 2., 2., 2.]])
    """

    rank = 1


class ReplicationPad2d(_ReplicationPad):
    """Pads the last two axes with their border.

    >>> import chainrule as torch
    >>> torch.nn.ReplicationPad2d((0, 1, 0, 0))(torch.tensor([[[1.0, 2.0]]]))
    tensor([[[1., 2., 2.]]])
    """

    rank = 2


class CircularPad1d(_CircularPad):
    """Pads the last axis with its opposite side.

    >>> import chainrule as torch
    >>> torch.nn.CircularPad1d((1, 0))(torch.tensor([[1.0, 2.0, 3.0]]))
    tensor([[3., 1., 2., 3.]])
    """

    rank = 1


class CircularPad2d(_CircularPad):
    """Pads the last two axes with their opposite side.

    >>> import chainrule as torch
    >>> torch.nn.CircularPad2d((1, 0, 0, 0))(torch.tensor([[[1.0, 2.0]]]))
    tensor([[[2., 1., 2.]]])
    """

    rank = 2


class PixelShuffle(Module):
    """(N, C r^2, H, W) -> (N, C, H r, W r).  Shi et al., 2016.

    >>> import chainrule as torch
    >>> torch.nn.PixelShuffle(3)(torch.ones(1, 9, 4, 4)).shape
    torch.Size([1, 1, 12, 12])
    """

    def __init__(self, upscale_factor: int):
        super().__init__()
        self.upscale_factor = upscale_factor

    def forward(self, input: Tensor) -> Tensor:
        return F.pixel_shuffle(input, self.upscale_factor)

    def extra_repr(self) -> str:
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(Module):
    """(N, C, H r, W r) -> (N, C r^2, H, W): undoes PixelShuffle.

    >>> import chainrule as torch
    >>> torch.nn.PixelUnshuffle(3)(torch.ones(1, 1, 12, 12)).shape
    torch.Size([1, 9, 4, 4])
    """

    def __init__(self, downscale_factor: int):
        super().__init__()
        self.downscale_factor = downscale_factor

    def forward(self, input: Tensor) -> Tensor:
        return F.pixel_unshuffle(input, self.downscale_factor)

    def extra_repr(self) -> str:
        return f"downscale_factor={self.downscale_factor}"


class Upsample(Module):
    """Resize the spatial axes to `size`, or by `scale_factor`.

    >>> import chainrule as torch
    >>> torch.nn.Upsample(scale_factor=2)(torch.tensor([[[1.0, 2.0]]]))
    tensor([[[1., 1., 2., 2.]]])
    """

    def __init__(
        self,
        size: Any = None,
        scale_factor: Any = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ):
        super().__init__()
        self.size = size
        if isinstance(scale_factor, tuple):
            self.scale_factor: Any = tuple(float(factor) for factor in scale_factor)
        else:
            self.scale_factor = float(scale_factor) if scale_factor else None
        self.mode = mode
        self.align_corners = align_corners
        self.recompute_scale_factor = recompute_scale_factor

    def forward(self, input: Tensor) -> Tensor:
        return F.interpolate(
            input,
            self.size,
            self.scale_factor,
            self.mode,
            self.align_corners,
            recompute_scale_factor=self.recompute_scale_factor,
        )

    def extra_repr(self) -> str:
        if self.scale_factor is not None:
            return f"scale_factor={self.scale_factor}, mode={self.mode!r}"
        return f"size={self.size}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    """Upsample by repeating the nearest pixel.

    >>> import chainrule as torch
    >>> torch.nn.UpsamplingNearest2d(scale_factor=2)(torch.tensor([[[[1.0, 2.0]]]]))
    tensor([[[[1., 1., 2., 2.],
              [1., 1., 2., 2.]]]])
    """

    def __init__(self, size: Any = None, scale_factor: Any = None):
        super().__init__(size, scale_factor, mode="nearest")


class UpsamplingBilinear2d(Upsample):
    """Upsample by bilinear interpolation with aligned corners.

    >>> import chainrule as torch
    >>> torch.nn.UpsamplingBilinear2d((1, 3))(torch.tensor([[[[1.0, 2.0]]]]))
    tensor([[[[1.0000, 1.5000, 2.0000]]]])
    """

    def __init__(self, size: Any = None, scale_factor: Any = None):
        super().__init__(size, scale_factor, mode="bilinear", align_corners=True)


class Unfold(Module):
    """Sliding blocks as columns: (N, C, H, W) -> (N, C kh kw, L).

    >>> import chainrule as torch
    >>> torch.nn.Unfold(2)(torch.ones(1, 3, 4, 4)).shape
    torch.Size([1, 12, 9])
    """

    def __init__(self, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1):
        super().__init__()
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.padding = padding
        self.stride = stride

    def forward(self, input: Tensor) -> Tensor:
        return F.unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, dilation={self.dilation}, "
            f"padding={self.padding}, stride={self.stride}"
        )
