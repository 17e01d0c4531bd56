"""Normalisation: subtract a mean, divide by a standard deviation, scale and shift."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from ..dtypes import float64
from ..errors import ArgumentError, ShapeError
from ..grad_mode import no_grad
from ..ops.movement import window
from ..scope import composite
from ..tensor import Tensor, apply
from .common import floating
from .padding import pad_value
from .repeated import repeated


def _moments(x: Tensor, dims: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """x - mean, and mean and variance over `dims`, kept as axes of length 1."""
    mean = x.mean(dims, keepdim=True)
    centred = x - mean
    return centred, mean, (centred * centred).mean(dims, keepdim=True)


def _affine(x: Tensor, weight: Tensor | None, bias: Tensor | None, shape: tuple) -> Tensor:
    if weight is not None:
        x = x * weight.view(shape)
    return x if bias is None else x + bias.view(shape)


def _check_vectors(name: str, channels: int, **vectors: Tensor | None) -> None:
    for what, vector in vectors.items():
        if vector is not None and tuple(vector.shape) != (channels,):
            raise ShapeError(
                f"{name} requires {what} with one element for each of {channels} channels, got "
                f"{tuple(vector.shape)}"
            )


def _per_channel(x: Tensor) -> tuple[int, ...]:
    return (1, -1) + (1,) * (x.dim() - 2)


# --------------------------------------------------------------------------- batch
@composite("NativeBatchNormBackward0")
@floating
def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float | Tensor = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """(x - mean) / sqrt(var + eps) * weight + bias for each channel.

    input (N, C, *).  In training, mean and variance are those of the batch, and the running ones
    move towards them in place, r <- (1 - momentum) r + momentum m, with the unbiased variance.
    Otherwise the running ones are used.  Unlike PyTorch's, `momentum` may be a tensor ().
    Ioffe and Szegedy, Batch Normalization, 2015.

    >>> import chainrule as torch
    >>> x = torch.tensor([[1.0], [3.0]])
    >>> torch.nn.functional.batch_norm(x, None, None, training=True)
    tensor([[-1.0000],
            [ 1.0000]])
    """
    if input.dim() < 2:
        raise ShapeError(f"batch_norm requires input (N, C, *), got {tuple(input.shape)}")
    _check_vectors(
        "batch_norm", input.shape[1],
        running_mean=running_mean, running_var=running_var, weight=weight, bias=bias,
    )  # fmt: skip
    shape = _per_channel(input)
    if not training:
        if running_mean is None or running_var is None:
            raise ShapeError(
                "batch_norm requires running_mean and running_var in evaluation, got None"
            )
        centred, var = input - running_mean.view(shape), running_var.view(shape)
    else:
        count = input.numel() // max(input.shape[1], 1)
        _check_count("batch_norm", "value per channel", count, input)
        centred, mean, var = _moments(input, (0, *range(2, input.dim())))
        _update(running_mean, mean.flatten(), momentum)
        _update(running_var, var.flatten() * (count / (count - 1)), momentum)
    return _affine(centred * (var + eps).rsqrt(), weight, bias, shape)


def _check_count(name: str, what: str, count: int, x: Tensor) -> None:
    if count == 1:
        raise ArgumentError(
            f"{name} requires more than 1 {what} in training, got input {tuple(x.shape)} "
            f"(Expected more than 1 {what} when training)",
            hint="use a larger batch, or module.eval()",
        )


def _update(running: Tensor | None, batch: Tensor, momentum: float | Tensor) -> None:
    if running is not None:
        with no_grad():
            running.mul_(1 - momentum).add_(batch.detach() * momentum)


@composite("ViewBackward0")
@floating
def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """The normalisation of `batch_norm` for each example and channel on its own.

    input (N, C, *) with at least one spatial axis.  Running statistics are means over the batch.
    Ulyanov et al., Instance Normalization, 2016.

    >>> import chainrule as torch
    >>> torch.nn.functional.instance_norm(torch.tensor([[[1.0, 3.0]]]))
    tensor([[[-1.0000,  1.0000]]])
    """
    shape = _per_channel(input)
    if use_input_stats:
        count = prod(input.shape[2:])
        _check_count("instance_norm", "spatial element", count, input)
        centred, mean, var = _moments(input, tuple(range(2, input.dim())))
        _update(running_mean, mean.mean(0).flatten(), momentum)
        _update(running_var, var.mean(0).flatten() * (count / (count - 1)), momentum)
    else:
        if running_mean is None or running_var is None:
            raise ShapeError(
                "instance_norm requires running_mean and running_var without use_input_stats, got "
                "None"
            )
        centred, var = input - running_mean.view(shape), running_var.view(shape)
    return _affine(centred * (var + eps).rsqrt(), weight, bias, shape)


@composite("NativeGroupNormBackward0")
@floating
def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """The normalisation of `batch_norm` for each example over groups of channels.

    input (N, C, *) with C divisible by num_groups.  Wu and He, Group Normalization, 2018.

    >>> import chainrule as torch
    >>> torch.nn.functional.group_norm(torch.tensor([[1.0, 3.0, 5.0, 9.0]]), 2)
    tensor([[-1.0000,  1.0000, -1.0000,  1.0000]])
    """
    channels = input.shape[1] if input.dim() > 1 else 0
    if num_groups < 1 or channels % num_groups or not channels:
        raise ShapeError(
            f"group_norm requires input (N, C, *) with C divisible by num_groups={num_groups}, "
            f"got {tuple(input.shape)}"
        )
    _check_vectors("group_norm", channels, weight=weight, bias=bias)
    groups = input.reshape(input.shape[0], num_groups, -1)
    centred, _, var = _moments(groups, (2,))
    normal = (centred * (var + eps).rsqrt()).view(input.shape)
    return _affine(normal, weight, bias, _per_channel(input))


# --------------------------------------------------------------------------- trailing axes
def _normalised_dims(name: str, x: Tensor, shape: Sequence[int], **others) -> tuple[int, ...]:
    """The trailing axes that have `shape`."""
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    if not shape or tuple(x.shape[-len(shape) :]) != shape:
        raise ShapeError(
            f"{name} requires an input whose trailing axes are normalized_shape {shape}, got "
            f"{tuple(x.shape)}"
        )
    for what, other in others.items():
        if other is not None and tuple(other.shape) != shape:
            raise ShapeError(
                f"{name} requires {what} of normalized_shape {shape}, got {tuple(other.shape)}"
            )
    return tuple(range(-len(shape), 0))


@composite("NativeLayerNormBackward0")
@floating
@repeated
def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """(x - mean) / sqrt(var + eps) * weight + bias over the trailing axes `normalized_shape`.

    Ba et al., Layer Normalization, 2016.

    >>> import chainrule as torch
    >>> torch.nn.functional.layer_norm(torch.tensor([[1.0, 3.0]]), (2,))
    tensor([[-1.0000,  1.0000]])
    """
    dims = _normalised_dims("layer_norm", input, normalized_shape, weight=weight, bias=bias)
    centred, _, var = _moments(input, dims)
    normal = centred * (var + eps).rsqrt()
    if weight is not None:
        normal = normal * weight
    return normal if bias is None else normal + bias


@composite("MulBackward0")
@floating
def rms_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    """x / sqrt(mean(x^2) + eps) * weight over the trailing axes `normalized_shape`.

    `eps` is the dtype's machine epsilon by default.  Zhang and Sennrich, 2019.

    >>> import chainrule as torch
    >>> torch.nn.functional.rms_norm(torch.tensor([[3.0, 4.0]]), (2,))
    tensor([[0.8485, 1.1314]])
    """
    dims = _normalised_dims("rms_norm", input, normalized_shape, weight=weight)
    if eps is None:
        eps = 2.0**-52 if input.dtype is float64 else 2.0**-23
    normal = input * ((input * input).mean(dims, keepdim=True) + eps).rsqrt()
    return normal if weight is None else normal * weight


@composite("DivBackward0")
@floating
def local_response_norm(
    input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """x / (k + alpha mean of x^2 over `size` neighbouring channels)^beta.

    input (N, C, *).  Krizhevsky et al., ImageNet Classification, 2012.

    >>> import chainrule as torch
    >>> torch.nn.functional.local_response_norm(torch.ones(1, 2, 1), 2, alpha=2.0, beta=1.0)
    tensor([[[0.5000],
             [0.3333]]])
    """
    if input.dim() < 3:
        raise ArgumentError(
            f"local_response_norm requires input (N, C, *) of at least 3 dimensions, got "
            f"{tuple(input.shape)}"
        )
    squares = (input * input).movedim(1, -1)
    around = pad_value(squares, [(size // 2, (size - 1) // 2)], 0)
    near = apply(window, around, size=(size,), stride=(1,), dilation=(1,)).mean(-1)
    return input / (near.movedim(-1, 1) * alpha + k).pow(beta)
