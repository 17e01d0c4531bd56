"""Dropout: elements, or whole channels, set to zero at random; the masks are PyTorch's own."""

from __future__ import annotations

import math

from ..errors import ArgumentError, ShapeError
from ..methods.create import empty, zeros
from ..methods.sample import bernoulli_like
from ..scope import composite
from ..tensor import Tensor
from .common import stored

# -scale * alpha of SELU: what it tends to below, and what alpha dropout puts in.
_SELU_FLOOR = 1.7580993408473766


def _check_probability(name: str, p: float) -> None:
    if not 0 <= p <= 1:
        raise ArgumentError(f"{name} requires p between 0 and 1, got {p}")


def _kept(x: Tensor, p: float, shape: tuple[int, ...]) -> Tensor:
    """1 with probability 1 - p, else 0; nothing is drawn where p leaves no choice."""
    if p == 1:
        return zeros((), dtype=x.dtype)
    if shape == x.shape:
        return bernoulli_like(x, 1 - p)
    return empty(shape, dtype=x.dtype).bernoulli_(1 - p)


def _channels(name: str, x: Tensor, lead: int = 2) -> tuple[int, ...]:
    """The shape of a mask with one element a channel: the first `lead` axes are kept."""
    if x.dim() < 2:
        raise ShapeError(
            f"{name} requires an input (C, *) or (N, C, *) of at least 2 dimensions, got "
            f"{tuple(x.shape)}"
        )
    return tuple(x.shape[:lead]) + (1,) * (x.dim() - lead)


def _drop(name: str, x: Tensor, p: float, training: bool, inplace: bool, shape) -> Tensor:
    _check_probability(name, p)
    if not training or p == 0:
        return x
    kept = _kept(x, p, shape)
    return stored(x, x * (kept / (1 - p) if p < 1 else kept), inplace)


@composite("MulBackward0")
def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """x m / (1 - p), m = 0 with probability p and else 1, drawn for each element; x itself in
    evaluation.

    Srivastava et al., Dropout, 2014.

    >>> import chainrule as torch
    >>> torch.nn.functional.dropout(torch.ones(3), 0.5, training=False)
    tensor([1., 1., 1.])
    """
    return _drop("dropout", input, p, training, inplace, tuple(input.shape))


@composite("MulBackward0")
def dropout1d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Dropout of whole channels of (N, C, L) or (C, L).

    >>> import chainrule as torch
    >>> torch.nn.functional.dropout1d(torch.ones(1, 1, 3), 1.0)
    tensor([[[0., 0., 0.]]])
    """
    shape = _channels("dropout1d", input, 1 if input.dim() == 2 else 2)
    return _drop("dropout1d", input, p, training, inplace, shape)


@composite("MulBackward0")
def dropout2d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Dropout of whole channels of (N, C, H, W); three dimensions are (N, C, L), as in PyTorch.

    >>> import chainrule as torch
    >>> torch.nn.functional.dropout2d(torch.ones(1, 1, 1, 2), 1.0)
    tensor([[[[0., 0.]]]])
    """
    shape = _channels("dropout2d", input)
    return _drop("dropout2d", input, p, training, inplace, shape)


@composite("MulBackward0")
def dropout3d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Dropout of whole channels of (N, C, D, H, W) or (C, D, H, W).

    >>> import chainrule as torch
    >>> torch.nn.functional.dropout3d(torch.ones(1, 1, 1, 1, 2), 1.0)
    tensor([[[[[0., 0.]]]]])
    """
    shape = _channels("dropout3d", input, 2 if input.dim() == 5 else 1)
    return _drop("dropout3d", input, p, training, inplace, shape)


def _alpha_drop(name: str, x: Tensor, p: float, training: bool, inplace: bool, shape) -> Tensor:
    _check_probability(name, p)
    if not training or p == 0:
        return x
    kept = _kept(x, p, shape)
    if p == 1:
        return stored(x, x * kept, inplace)
    # Dropped elements take the floor; the affine map a x + b restores mean 0 and variance 1.
    a = 1 / math.sqrt((_SELU_FLOOR**2 * p + 1) * (1 - p))
    shift = (kept - 1) * (_SELU_FLOOR * a) + _SELU_FLOOR * a * p
    return stored(x, x * (kept * a) + shift, inplace)


@composite("AddBackward0")
def alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """Dropout that keeps the mean 0 and the variance 1 of a SELU network's activations.

    Klambauer et al., Self-Normalizing Neural Networks, 2017.

    >>> import chainrule as torch
    >>> torch.nn.functional.alpha_dropout(torch.ones(3))
    tensor([1., 1., 1.])
    """
    return _alpha_drop("alpha_dropout", input, p, training, inplace, tuple(input.shape))


@composite("AddBackward0")
def feature_alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """`alpha_dropout` of whole channels.

    >>> import chainrule as torch
    >>> torch.nn.functional.feature_alpha_dropout(torch.ones(1, 2))
    tensor([[1., 1.]])
    """
    shape = _channels("feature_alpha_dropout", input)
    return _alpha_drop("feature_alpha_dropout", input, p, training, inplace, shape)
