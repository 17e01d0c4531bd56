"""Convolutions and transposed convolutions over one, two and three axes."""

from __future__ import annotations

from typing import Any

from .. import functional as F
from ..errors import ArgumentError
from ..functional.common import per_axis
from ..functional.conv import border
from ..methods.create import empty
from ..tensor import Tensor
from .linear import init_uniform
from .module import Module
from .parameter import Parameter
from .text import unusual

_PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class _ConvNd(Module):
    """What all convolutions share: their settings, their weight and its start."""

    rank: int
    transposed = False
    weight: Tensor
    bias: Tensor | None
    padding: Any

    def _setup(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any,
        padding: Any,
        dilation: Any,
        output_padding: Any,
        groups: int,
        bias: bool,
        padding_mode: str,
        device: Any,
        dtype: Any,
    ) -> None:
        name = self._get_name()
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = per_axis(name, kernel_size, self.rank)
        self.stride = per_axis(name, stride, self.rank)
        is_text = isinstance(padding, str)
        self.padding = padding if is_text else per_axis(name, padding, self.rank)
        self.dilation = per_axis(name, dilation, self.rank)
        self.output_padding = per_axis(name, output_padding, self.rank)
        self.groups = groups
        self.padding_mode = padding_mode
        self._check()
        shape = [out_channels, in_channels // groups]
        if self.transposed:
            shape = [in_channels, out_channels // groups]
        self.weight = Parameter(empty(*shape, *self.kernel_size, device=device, dtype=dtype))
        self.register_parameter(
            "bias", Parameter(empty(out_channels, device=device, dtype=dtype)) if bias else None
        )
        self.reset_parameters()

    def _check(self) -> None:
        name = self._get_name()
        if self.groups < 1:
            raise ArgumentError(f"{name} requires groups >= 1, got {self.groups}")
        if self.in_channels % self.groups or self.out_channels % self.groups:
            raise ArgumentError(
                f"{name} requires in_channels and out_channels divisible by groups, got "
                f"{self.in_channels}, {self.out_channels} and {self.groups}"
            )
        modes = ("zeros",) if self.transposed else _PADDING_MODES
        if self.padding_mode not in modes:
            raise ArgumentError(
                f"{name} requires padding_mode in {modes}, got {self.padding_mode!r}"
            )
        if isinstance(self.padding, str):
            if self.transposed or self.padding not in ("valid", "same"):
                allowed = "integers" if self.transposed else "integers, 'valid' or 'same'"
                raise ArgumentError(f"{name} requires padding as {allowed}, got {self.padding!r}")
            if self.padding == "same" and any(s != 1 for s in self.stride):
                raise ArgumentError(
                    f"{name} requires stride 1 for padding='same', got {self.stride}"
                )

    def reset_parameters(self) -> None:
        """Draw the weights anew: uniform in +-1/sqrt(fan_in)."""
        init_uniform(self.weight, self.bias)

    def _convolve(self, function: Any, input: Tensor) -> Tensor:
        padding = self.padding
        if self.padding_mode != "zeros":
            widths = border(
                self._get_name(), padding, self.stride, self.dilation, self.kernel_size
            )
            last_axis_first = [width for pair in reversed(widths) for width in pair]
            input = F.pad(input, last_axis_first, self.padding_mode)
            padding = (0,) * self.rank
        return function(
            input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups
        )

    def _broken_rule(self, input: Tensor, *args: Any) -> tuple[str, str | None] | None:
        axes = " x ".join("DHW"[-self.rank :])
        if input.dim() not in (self.rank + 1, self.rank + 2):
            return f"input (N, C, {axes}) or (C, {axes})", None
        channels = input.shape[-1 - self.rank]
        if channels != self.in_channels:
            hint = f"axis {-1 - self.rank} holds the channels; this input has {channels}"
            return f"input.shape[{-1 - self.rank}] == in_channels", hint
        return None

    def extra_repr(self) -> str:
        zeros, ones = (0,) * self.rank, (1,) * self.rank
        parts = [
            f"{self.in_channels}",
            f"{self.out_channels}",
            f"kernel_size={self.kernel_size}",
            f"stride={self.stride}",
        ]
        defaults = {"padding": zeros, "dilation": ones, "output_padding": zeros, "groups": 1}
        parts += unusual(self, defaults)
        parts += ["bias=False"] if self.bias is None else []
        parts += unusual(self, {"padding_mode": "zeros"})
        return ", ".join(parts)


class _Conv(_ConvNd):
    """y[o] = b[o] + sum over c, k of W[o, c, k] x[c, stride * i + dilation * k - padding]."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__()
        self._setup(
            in_channels, out_channels, kernel_size, stride, padding, dilation, 0, groups, bias,
            padding_mode, device, dtype,
        )  # fmt: skip


class Conv1d(_Conv):
    """Convolution over one axis: (N, C_in, L) or (C_in, L) -> (N, C_out, L').

    >>> import chainrule as torch
    >>> torch.nn.Conv1d(16, 33, 3, stride=2)(torch.ones(20, 16, 50)).shape
    torch.Size([20, 33, 24])
    """

    rank = 1

    def forward(self, input: Tensor) -> Tensor:
        return self._convolve(F.conv1d, input)


class Conv2d(_Conv):
    """Convolution over two axes: (N, C_in, H, W) or (C_in, H, W) -> (N, C_out, H', W').

    H' = (H + 2 padding - dilation (kernel - 1) - 1) // stride + 1.

    >>> import chainrule as torch
    >>> torch.nn.Conv2d(3, 8, 3, padding=1)(torch.ones(2, 3, 10, 10)).shape
    torch.Size([2, 8, 10, 10])
    """

    rank = 2

    def forward(self, input: Tensor) -> Tensor:
        return self._convolve(F.conv2d, input)


class Conv3d(_Conv):
    """Convolution over three axes: (N, C_in, D, H, W) -> (N, C_out, D', H', W').

    >>> import chainrule as torch
    >>> torch.nn.Conv3d(3, 8, 3)(torch.ones(2, 3, 4, 6, 8)).shape
    torch.Size([2, 8, 2, 4, 6])
    """

    rank = 3

    def forward(self, input: Tensor) -> Tensor:
        return self._convolve(F.conv3d, input)


class _ConvTranspose(_ConvNd):
    """The derivative of a convolution for its input, as a layer: strides widen the output."""

    transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Any = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__()
        self._setup(
            in_channels, out_channels, kernel_size, stride, padding, dilation, output_padding,
            groups, bias, padding_mode, device, dtype,
        )  # fmt: skip

    def _widening(self, input: Tensor, output_size: Any) -> tuple[int, ...]:
        """The output_padding that makes the output `output_size`."""
        if output_size is None:
            return self.output_padding
        wanted = tuple(output_size)[-self.rank :]
        found = []
        for i, (size, n) in enumerate(zip(wanted, input.shape[-self.rank :])):
            least = (n - 1) * self.stride[i] - 2 * self.padding[i]
            least += self.dilation[i] * (self.kernel_size[i] - 1) + 1
            if not least <= size < least + self.stride[i]:
                raise ArgumentError(
                    f"{self._get_name()} requires output_size in [{least}, "
                    f"{least + self.stride[i] - 1}] on spatial axis {i}, got {size}"
                )
            found.append(size - least)
        return tuple(found)

    def _spread(self, function: Any, input: Tensor, output_size: Any) -> Tensor:
        return function(
            input,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self._widening(input, output_size),
            self.groups,
            self.dilation,
        )


class ConvTranspose1d(_ConvTranspose):
    """Transposed convolution over one axis: (N, C_in, L) -> (N, C_out, L').

    >>> import chainrule as torch
    >>> torch.nn.ConvTranspose1d(4, 2, 3, stride=2)(torch.ones(1, 4, 5)).shape
    torch.Size([1, 2, 11])
    """

    rank = 1

    def forward(self, input: Tensor, output_size: Any = None) -> Tensor:
        return self._spread(F.conv_transpose1d, input, output_size)


class ConvTranspose2d(_ConvTranspose):
    """Transposed convolution over two axes: (N, C_in, H, W) -> (N, C_out, H', W').

    H' = (H - 1) stride - 2 padding + dilation (kernel - 1) + output_padding + 1.

    >>> import chainrule as torch
    >>> torch.nn.ConvTranspose2d(4, 2, 2, stride=2)(torch.ones(1, 4, 5, 5)).shape
    torch.Size([1, 2, 10, 10])
    """

    rank = 2

    def forward(self, input: Tensor, output_size: Any = None) -> Tensor:
        return self._spread(F.conv_transpose2d, input, output_size)


class ConvTranspose3d(_ConvTranspose):
    """Transposed convolution over three axes: (N, C_in, D, H, W) -> (N, C_out, D', H', W').

    >>> import chainrule as torch
    >>> torch.nn.ConvTranspose3d(4, 2, 2, stride=2)(torch.ones(1, 4, 2, 3, 4)).shape
    torch.Size([1, 2, 4, 6, 8])
    """

    rank = 3

    def forward(self, input: Tensor, output_size: Any = None) -> Tensor:
        return self._spread(F.conv_transpose3d, input, output_size)
