"""Normalisation: over the batch, over features, over groups of channels, over each instance."""

from __future__ import annotations

from typing import Any

from .. import functional as F
from ..errors import ArgumentError
from ..methods.create import empty, ones, tensor, zeros
from ..tensor import Tensor
from . import init
from .module import Module
from .parameter import Parameter


class _Affine(Module):
    """A normalisation with one scale and one shift per feature, either of which may be absent."""

    weight: Tensor | None
    bias: Tensor | None

    def _add_affine(self, shape: Any, weight: bool, bias: bool, device: Any, dtype: Any) -> None:
        for name, wanted in (("weight", weight), ("bias", bias)):
            value = Parameter(empty(shape, device=device, dtype=dtype)) if wanted else None
            self.register_parameter(name, value)

    def reset_parameters(self) -> None:
        """Scale 1, shift 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)


class _RunningNorm(_Affine):
    """Normalisation of each channel, with running averages of the means and variances."""

    _version = 2
    ranks: tuple[int, ...]  # of the inputs that are allowed
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self,
        num_features: int,
        eps: float,
        momentum: float | None,
        affine: bool,
        track_running_stats: bool,
        device: Any,
        dtype: Any,
        bias: bool,
    ):
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        self._add_affine(num_features, affine, affine and bias, device, dtype)
        stats: dict[str, Tensor | None] = dict.fromkeys(
            ("running_mean", "running_var", "num_batches_tracked")
        )
        if track_running_stats:
            stats["running_mean"] = zeros(num_features, device=device, dtype=dtype)
            stats["running_var"] = ones(num_features, device=device, dtype=dtype)
            stats["num_batches_tracked"] = tensor(0)
        for name, value in stats.items():
            self.register_buffer(name, value)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Mean 0, variance 1, no batch seen."""
        for stat, start in (
            (self.running_mean, 0), (self.running_var, 1), (self.num_batches_tracked, 0)
        ):
            if stat is not None:
                stat.fill_(start)

    def reset_parameters(self) -> None:
        """Scale 1, shift 0, and fresh running averages."""
        self.reset_running_stats()
        super().reset_parameters()

    def _load_from_state_dict(self, state_dict, prefix, local_metadata, *lists) -> None:
        # Version 1 had no num_batches_tracked: such a checkpoint is complete without it.
        key = prefix + "num_batches_tracked"
        is_old = (local_metadata.get("version") or 1) < 2
        if is_old and self.num_batches_tracked is not None and key not in state_dict:
            state_dict[key] = self.num_batches_tracked
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *lists)

    def _check_rank(self, input: Tensor) -> None:
        if input.dim() not in self.ranks:
            ranks = " or ".join(f"{rank}D" for rank in self.ranks)
            raise ArgumentError(
                f"{self._get_name()} requires {ranks} input, got {tuple(input.shape)}"
            )

    def _broken_rule(self, input: Tensor) -> tuple[str, str | None] | None:
        axis = self._channel_axis(input)
        if input.shape[axis] == self.num_features:
            return None
        return f"input.shape[{axis}] == num_features", None

    def _channel_axis(self, input: Tensor) -> int:
        return 1

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.affine}, bias={self.bias is not None}, "
            f"track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(_RunningNorm):
    """y = (x - mean) / sqrt(var + eps) * weight + bias, mean and var over all axes but the channel.

    In training they are those of the batch; in evaluation the running averages, which every batch
    in training moves by `momentum` towards its own (None: the plain average of all batches).
    Ioffe and Szegedy, 2015.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ):
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias
        )

    def forward(self, input: Tensor) -> Tensor:
        self._check_rank(input)
        momentum: Any = 0.0 if self.momentum is None else self.momentum
        if self.training and self.num_batches_tracked is not None:
            count = self.num_batches_tracked.add_(1)
            if self.momentum is None:
                momentum = 1 / count.double()
        tracks = self.running_mean is not None
        return F.batch_norm(
            input,
            self.running_mean if not self.training or self.track_running_stats else None,
            self.running_var if not self.training or self.track_running_stats else None,
            self.weight,
            self.bias,
            self.training or not tracks,
            momentum,
            self.eps,
        )


class BatchNorm1d(_BatchNorm):
    """Batch normalisation of (N, C) or (N, C, L).

    >>> import chainrule as torch
    >>> torch.nn.BatchNorm1d(1)(torch.tensor([[1.0], [3.0]]))
    tensor([[-1.0000],
            [ 1.0000]], grad_fn=<NativeBatchNormBackward0>)
    """

    ranks = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Batch normalisation of (N, C, H, W).

    >>> import chainrule as torch
    >>> torch.nn.BatchNorm2d(3)(torch.ones(2, 3, 4, 4)).shape
    torch.Size([2, 3, 4, 4])
    """

    ranks = (4,)


class BatchNorm3d(_BatchNorm):
    """Batch normalisation of (N, C, D, H, W).

    >>> import chainrule as torch
    >>> torch.nn.BatchNorm3d(3)(torch.ones(2, 3, 2, 4, 4)).abs().max()
    tensor(0., grad_fn=<MaxBackward1>)
    """

    ranks = (5,)


class _InstanceNorm(_RunningNorm):
    """y = (x - mean) / sqrt(var + eps) * weight + bias, over the spatial axes of each instance."""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ):
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias
        )

    def forward(self, input: Tensor) -> Tensor:
        self._check_rank(input)
        if input.dim() == self.ranks[0]:
            return self._normalised(input.unsqueeze(0)).squeeze(0)
        return self._normalised(input)

    def _channel_axis(self, input: Tensor) -> int:
        return 0 if input.dim() == self.ranks[0] else 1

    def _normalised(self, input: Tensor) -> Tensor:
        return F.instance_norm(
            input,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or not self.track_running_stats,
            0.0 if self.momentum is None else self.momentum,
            self.eps,
        )


class InstanceNorm1d(_InstanceNorm):
    """Instance normalisation of (N, C, L) or (C, L).

    >>> import chainrule as torch
    >>> torch.nn.InstanceNorm1d(1)(torch.tensor([[1.0, 3.0]]))
    tensor([[-1.0000,  1.0000]])
    """

    ranks = (2, 3)


class InstanceNorm2d(_InstanceNorm):
    """Instance normalisation of (N, C, H, W) or (C, H, W).  Ulyanov et al., 2016.

    >>> import chainrule as torch
    >>> torch.nn.InstanceNorm2d(3)(torch.ones(2, 3, 4, 4)).abs().max()
    tensor(0.)
    """

    ranks = (3, 4)


class InstanceNorm3d(_InstanceNorm):
    """Instance normalisation of (N, C, D, H, W) or (C, D, H, W).

    >>> import chainrule as torch
    >>> torch.nn.InstanceNorm3d(3)(torch.ones(2, 3, 2, 4, 4)).abs().max()
    tensor(0.)
    """

    ranks = (4, 5)


class _OverLastAxes(_Affine):
    """A normalisation over the last axes, of sizes `normalized_shape`."""

    normalized_shape: tuple[int, ...]

    def _set_shape(self, normalized_shape: Any) -> None:
        is_one = isinstance(normalized_shape, int)
        self.normalized_shape = (normalized_shape,) if is_one else tuple(normalized_shape)

    def _broken_rule(self, input: Tensor) -> tuple[str, str | None] | None:
        if tuple(input.shape)[-len(self.normalized_shape) :] == self.normalized_shape:
            return None
        return f"input (*, {', '.join(map(str, self.normalized_shape))})", None


class LayerNorm(_OverLastAxes):
    """y = (x - mean) / sqrt(var + eps) * weight + bias over the last axes.  Ba et al., 2016.

    >>> import chainrule as torch
    >>> torch.nn.LayerNorm(2, elementwise_affine=False)(torch.tensor([1.0, 3.0]))
    tensor([-1.0000,  1.0000])
    """

    def __init__(
        self,
        normalized_shape: Any,
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__()
        self._set_shape(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        has_bias = elementwise_affine and bias
        self._add_affine(self.normalized_shape, elementwise_affine, has_bias, device, dtype)
        self.reset_parameters()

    def forward(self, input: Tensor) -> Tensor:
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, "
            f"elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
        )


class RMSNorm(_OverLastAxes):
    """y = x / sqrt(mean(x^2) + eps) * weight over the last axes.  Zhang and Sennrich, 2019.

    `eps` None: the machine epsilon of the dtype.

    >>> import chainrule as torch
    >>> torch.nn.RMSNorm(2, elementwise_affine=False)(torch.tensor([3.0, 4.0]))
    tensor([0.8485, 1.1314])
    """

    def __init__(
        self,
        normalized_shape: Any,
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__()
        self._set_shape(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        weight = Parameter(empty(self.normalized_shape, device=device, dtype=dtype))
        self.register_parameter("weight", weight if elementwise_affine else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Scale 1."""
        if self.weight is not None:
            init.ones_(self.weight)

    def forward(self, input: Tensor) -> Tensor:
        return F.rms_norm(input, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, "
            f"elementwise_affine={self.elementwise_affine}"
        )


class GroupNorm(_Affine):
    """y = (x - mean) / sqrt(var + eps) * weight + bias over groups of channels and all positions.

    input (N, C, *).  Wu and He, 2018.

    >>> import chainrule as torch
    >>> torch.nn.GroupNorm(2, 6)(torch.ones(4, 6, 8, 8)).shape
    torch.Size([4, 6, 8, 8])
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ):
        super().__init__()
        if num_channels % num_groups:
            raise ArgumentError(
                "GroupNorm requires num_channels divisible by num_groups, got "
                f"{num_channels} and {num_groups}"
            )
        self.num_groups = num_groups
        self.num_channels = num_channels
        self.eps = eps
        self.affine = affine
        self._add_affine(num_channels, affine, affine and bias, device, dtype)
        self.reset_parameters()

    def forward(self, input: Tensor) -> Tensor:
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def _broken_rule(self, input: Tensor) -> tuple[str, str | None] | None:
        if input.dim() > 1 and input.shape[1] == self.num_channels:
            return None
        return "input.shape[1] == num_channels", None

    def extra_repr(self) -> str:
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )


class LocalResponseNorm(Module):
    """y = x / (k + alpha * mean of x^2 over `size` neighbouring channels) ** beta.

    Krizhevsky et al., 2012.

    >>> import chainrule as torch
    >>> torch.nn.LocalResponseNorm(2, alpha=2.0, beta=1.0)(torch.ones(1, 2, 1)).flatten()
    tensor([0.5000, 0.3333])
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0):
        super().__init__()
        self.size = size
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def forward(self, input: Tensor) -> Tensor:
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
