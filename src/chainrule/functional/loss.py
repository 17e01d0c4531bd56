"""Losses of predictions: squares, absolute values, and negative logarithms of likelihoods."""

from __future__ import annotations

import math

from ..dtypes import int64, uint8
from ..errors import ArgumentError, DTypeError, ShapeError
from ..graph import Node
from ..methods.create import full_like
from ..methods.logic import where
from ..ops import elementwise as ew
from ..ops import logic
from ..ops.indexing import gather, take
from ..ops.op import reshape
from ..scope import composite
from ..tensor import Tensor
from ..warning import warn
from .activation import log1p_exp, log_softmax
from .common import (
    check_known,
    check_reduction,
    floating,
    given_values,
    reduced,
    reduction_of,
)
from .repeated import repeated

Flag = bool | None  # PyTorch's old arguments size_average and reduce, which `reduction` replaced


# --------------------------------------------------------------------------- regression
def _check_pair(name: str, input: Tensor, target: Tensor) -> None:
    """Warn where broadcasting may surprise, as PyTorch does; what cannot broadcast raises."""
    if input.node.spec.shape != target.node.spec.shape:
        warn(
            f"{name} got target {tuple(target.shape)} and input {tuple(input.shape)}: they are "
            "broadcast, which is seldom meant. Please ensure they have the same size.",
        )


def _weighted(loss: Tensor, weight: Tensor | None) -> Tensor:
    return loss if weight is None else loss * weight


@composite("MseLossBackward0")
@floating
def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: Flag = None,
    reduce: Flag = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """(x - y)^2, its mean or its sum.

    >>> import chainrule as torch
    >>> torch.nn.functional.mse_loss(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 4.0]))
    tensor(2.)
    """
    _check_pair("mse_loss", input, target)
    reduction = reduction_of("mse_loss", size_average, reduce, reduction)
    return _squares(input, target, weight, reduction)


@repeated
def _squares(input: Tensor, target: Tensor, weight: Tensor | None, reduction: str) -> Tensor:
    difference = input - target
    return _mean_of(_weighted(difference * difference, weight), weight, reduction)


def _mean_of(loss: Tensor, weight: Tensor | None, reduction: str) -> Tensor:
    """`reduced`, but a weighted loss is divided by its weights and not by their number."""
    if weight is None or reduction != "mean":
        return reduced(loss, reduction)
    return loss.sum() / weight.expand(loss.shape).sum()


@composite()
@floating
def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: Flag = None,
    reduce: Flag = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """|x - y|, its mean or its sum.

    >>> import chainrule as torch
    >>> torch.nn.functional.l1_loss(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 4.0]))
    tensor(1.)
    """
    _check_pair("l1_loss", input, target)
    loss = _weighted((input - target).abs(), weight)
    return _mean_of(loss, weight, reduction_of("l1_loss", size_average, reduce, reduction))


def _huber(difference: Tensor, delta: float) -> Tensor:
    """d^2 / 2 near 0, delta (|d| - delta / 2) beyond delta."""
    # d * d and not |d|^2, whose second derivative at 0 would be lost in that of |d|.
    size = difference.abs()
    return where(size < delta, 0.5 * difference * difference, delta * (size - 0.5 * delta))


@composite("SmoothL1LossBackward0")
@floating
def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: Flag = None,
    reduce: Flag = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    """(x - y)^2 / (2 beta) where |x - y| < beta, else |x - y| - beta / 2.

    >>> import chainrule as torch
    >>> torch.nn.functional.smooth_l1_loss(torch.tensor([1.0, 2.0]), torch.tensor([1.5, 4.0]))
    tensor(0.8125)
    """
    _check_pair("smooth_l1_loss", input, target)
    if beta < 0:
        raise ArgumentError(f"smooth_l1_loss requires beta >= 0, got {beta}")
    difference = input - target
    loss = difference.abs() if beta == 0 else _huber(difference, beta) / beta
    return reduced(loss, reduction_of("smooth_l1_loss", size_average, reduce, reduction))


@composite("HuberLossBackward0")
@floating
def huber_loss(
    input: Tensor,
    target: Tensor,
    reduction: str = "mean",
    delta: float = 1.0,
    weight: Tensor | None = None,
) -> Tensor:
    """(x - y)^2 / 2 where |x - y| < delta, else delta (|x - y| - delta / 2).  Huber, 1964.

    >>> import chainrule as torch
    >>> torch.nn.functional.huber_loss(torch.tensor([1.0, 2.0]), torch.tensor([1.5, 4.0]))
    tensor(0.8125)
    """
    check_reduction("huber_loss", reduction)
    _check_pair("huber_loss", input, target)
    if delta <= 0:
        raise ArgumentError(f"huber_loss requires delta > 0, got {delta}")
    loss = _weighted(_huber(input - target, delta), weight)
    return reduced(loss, reduction)


# --------------------------------------------------------------------------- classes
def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: Flag = None,
    ignore_index: int = -100,
    reduce: Flag = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """-log softmax(x)[y]: the negative log-likelihood of class y under the logits x.

    input (N, C, *) or (C,); target either class indices (N, *) or (), or probabilities of
    input's shape.  `weight` (C,) scales each class, targets equal to `ignore_index` count
    nothing, and `label_smoothing` e mixes the target with the uniform distribution,
    (1 - e) y + e / C.  The mean is weighted.  Raises OutOfRange for a class outside of [0, C).

    >>> import chainrule as torch
    >>> logits = torch.tensor([[2.0, 1.0, 0.1], [0.0, 0.0, 0.0]])
    >>> torch.nn.functional.cross_entropy(logits, torch.tensor([0, 2]))
    tensor(0.7578)
    """
    reduction = reduction_of("cross_entropy", size_average, reduce, reduction)
    if not 0 <= label_smoothing <= 1:
        raise ArgumentError(
            f"cross_entropy requires label_smoothing in [0, 1], got {label_smoothing}"
        )
    if input.shape == target.shape:
        return _soft_cross_entropy(input, target, weight, ignore_index, reduction, label_smoothing)
    return _cross_entropy(input, target, weight, ignore_index, reduction, label_smoothing)


@composite()
def _cross_entropy(
    input: Tensor, target: Tensor, weight, ignore_index: int, reduction: str, smoothing: float
) -> Tensor:
    _check_classes("cross_entropy", input, target, weight, ignore_index)
    return _smoothed(input, target, weight, ignore_index, reduction, smoothing)


@repeated
def _smoothed(input: Tensor, target: Tensor, weight, ignore_index, reduction, smoothing) -> Tensor:
    log_p = log_softmax(input, _class_axis(input))
    loss = _nll(log_p, target, weight, ignore_index, reduction)
    if not smoothing:
        return loss
    even = _uniform_loss(log_p, target, weight, ignore_index, reduction)
    return loss * (1 - smoothing) + even * (smoothing / log_p.shape[_class_axis(log_p)])


def _class_axis(input: Tensor) -> int:
    return 0 if input.dim() == 1 else 1


def _over_classes(weight: Tensor, input: Tensor) -> Tensor:
    """(C,) in a shape that broadcasts against (N, C, *)."""
    return weight.view(-1, *[1] * (input.dim() - 2)) if input.dim() > 1 else weight


def _uniform_loss(log_p, target, weight, ignore_index, reduction) -> Tensor:
    """sum over classes of -log p, weighted: the loss of a target that knows nothing."""
    counted, index = _targets(target, ignore_index)
    weighted = log_p if weight is None else log_p * _over_classes(weight, log_p)
    total = weighted.sum(_class_axis(log_p)).node
    loss = Tensor._from_node(logic.where(counted, -total, 0.0))
    if reduction != "mean":
        return reduced(loss, reduction)
    return loss.sum() / Tensor._from_node(_shares(counted, index, weight, log_p.dtype)).sum()


def _targets(target: Tensor, ignore_index: int) -> tuple[Node, Node]:
    """Which targets count, and an index that is valid where they do not."""
    # Always with the mask, also where nothing is ignored: the graph must not depend on values.
    counted = logic.ne(target.node, ignore_index)
    index = logic.where(counted, target.node, 0)
    return counted, index if target.dtype is int64 else ew.cast(index, dtype=int64)


def _shares(counted: Node, index: Node, weight: Tensor | None, dtype) -> Node:
    """How much every target counts: the weight of its class, or nothing."""
    shares = ew.cast(counted, dtype=dtype)
    return shares if weight is None else ew.mul(shares, take(weight.node, index, axis=0))


@composite()
def _soft_cross_entropy(
    input: Tensor, target: Tensor, weight, ignore_index: int, reduction: str, smoothing: float
) -> Tensor:
    """- sum_c y_c log p_c for probabilities y."""
    if not target.dtype.is_floating_point:
        raise DTypeError(
            f"cross_entropy requires class probabilities of a floating-point dtype where target "
            f"has input's shape, got {target.dtype}",
            hint="class indices have input's shape without the class axis",
        )
    if ignore_index >= 0:
        raise ArgumentError(
            f"cross_entropy requires class indices with ignore_index, got probabilities and "
            f"ignore_index={ignore_index}"
        )
    axis = _class_axis(input)
    classes = input.shape[axis]
    if smoothing:
        target = target * (1 - smoothing) + smoothing / classes
    log_p = log_softmax(input, axis)
    if weight is not None:
        log_p = log_p * _over_classes(weight, log_p)
    total = log_p * target
    if reduction == "none":
        return -total.sum(axis)
    total = -total.sum()
    return total / (input.numel() / classes) if reduction == "mean" else total


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: Flag = None,
    ignore_index: int = -100,
    reduce: Flag = None,
    reduction: str = "mean",
) -> Tensor:
    """-x[y]: minus the log-probability of class y.

    input (N, C, *) or (C,), target (N, *) or (); `weight` (C,) scales each class, also in the
    mean, and targets equal to `ignore_index` count nothing.  Raises OutOfRange for a class outside
    of [0, C), as soon as the target's value is known.

    >>> import chainrule as torch
    >>> log_p = torch.tensor([[0.5, 0.5], [0.25, 0.75]]).log()
    >>> torch.nn.functional.nll_loss(log_p, torch.tensor([0, 0]))
    tensor(1.0397)
    """
    reduction = reduction_of("nll_loss", size_average, reduce, reduction)
    _check_classes("nll_loss", input, target, weight, ignore_index)
    return _nll(input, target, weight, ignore_index, reduction)


@repeated
def _nll(input, target, weight, ignore_index, reduction) -> Tensor:
    record = _nll_loss if input.dim() < 3 else _nll_loss_2d
    return record(input, target, weight, ignore_index, reduction)


def _nll_loss(input: Tensor, target: Tensor, weight, ignore_index: int, reduction: str):
    x, counts = input.node, tuple(target.shape)
    axis = 0 if x.ndim == 1 else 1
    counted, index = _targets(target, ignore_index)
    column = reshape(index, shape=counts[:axis] + (1,) + counts[axis:])
    picked = reshape(gather(x, column, axis=axis), shape=counts)
    shares = _shares(counted, index, weight, x.dtype)
    # where, and not a product alone: what is ignored may be infinite.
    node = logic.where(counted, ew.neg(picked), 0.0)
    loss = Tensor._from_node(node if weight is None else ew.mul(node, shares))
    if reduction != "mean":
        return reduced(loss, reduction)
    return loss.sum() / Tensor._from_node(shares).sum()


_nll_loss_2d = composite("NllLoss2DBackward0")(_nll_loss)
_nll_loss = composite("NllLossBackward0")(_nll_loss)


def _check_classes(name, input, target, weight, ignore_index) -> None:
    if target.dtype not in (int64, uint8):
        raise DTypeError(
            f"{name} requires class indices of dtype int64 or uint8, got {target.dtype}",
            hint="use target.long()",
        )
    shape, wanted = input.node.shape, target.node.shape
    batch = shape[:1] if len(shape) > 1 else ()
    if not shape or len(wanted) != len(shape) - 1 or wanted[:1] != batch:
        raise ArgumentError(
            f"{name} requires input (N, C, *) and target (N, *), or (C,) and (), got {shape} and "
            f"{wanted}"
        )
    if wanted[1:] != shape[2:]:
        raise ShapeError(
            f"{name} requires target {(shape[0], *shape[2:])} for input {shape}, got {wanted}"
        )
    classes = shape[_class_axis(input)]
    if weight is not None and tuple(weight.shape) != (classes,):
        raise ShapeError(
            f"{name} requires a weight for each of {classes} classes, got {tuple(weight.shape)}"
        )
    check_known(name, "targets", target, classes, ignore_index)


# --------------------------------------------------------------------------- two classes
@composite("BinaryCrossEntropyBackward0")
@floating
def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: Flag = None,
    reduce: Flag = None,
    reduction: str = "mean",
) -> Tensor:
    """-(y log p + (1 - y) log(1 - p)), with both logarithms cut off at -100.

    Where a logarithm is cut off its derivative is 0 (PyTorch's is +-1e12 there).  Raises
    ArgumentError for a given p outside of [0, 1]; the loss of a computed one is NaN.

    >>> import chainrule as torch
    >>> torch.nn.functional.binary_cross_entropy(torch.tensor([0.5, 0.0]), torch.ones(2))
    tensor(50.3466)
    """
    _check_same("binary_cross_entropy", input, target)
    if not target.dtype.is_floating_point:
        raise DTypeError(
            f"binary_cross_entropy requires a target of floating-point dtype, got {target.dtype}",
            hint="use target.float()",
        )
    _check_probabilities("binary_cross_entropy", input)
    loss = (target - 1) * _cut_log(1 - input) - target * _cut_log(input)
    reduction = reduction_of("binary_cross_entropy", size_average, reduce, reduction)
    return reduced(_weighted(loss, weight), reduction)


def _check_probabilities(name: str, p: Tensor) -> None:
    given = given_values(p)
    if given is not None and not (inside := (given >= 0) & (given <= 1)).all():
        raise ArgumentError(f"{name} requires probabilities in [0, 1], got {given[~inside][0]}")


def _cut_log(p: Tensor) -> Tensor:
    # The logarithm never sees the zero: its derivative would reach the gradient as 0 * inf.
    zero = p == 0
    return where(zero, -100.0, where(zero, 1.0, p).log().clamp(min=-100.0))


def _check_same(name: str, input: Tensor, target: Tensor) -> None:
    if input.shape != target.shape:
        raise ArgumentError(
            f"{name} requires a target of input's shape {tuple(input.shape)}, got "
            f"{tuple(target.shape)}"
        )


@composite("BinaryCrossEntropyWithLogitsBackward0")
@floating
def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: Flag = None,
    reduce: Flag = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """-(w y log sigmoid(x) + (1 - y) log(1 - sigmoid(x))), w = pos_weight, finite for finite x.

    >>> import chainrule as torch
    >>> f = torch.nn.functional.binary_cross_entropy_with_logits
    >>> f(torch.tensor([0.0, 1000.0]), torch.tensor([1.0, 1.0]))
    tensor(0.3466)
    """
    _check_same("binary_cross_entropy_with_logits", input, target)
    # log(1 - sigmoid(x)) = log sigmoid(x) - x, so one stable logarithm serves both terms.
    share = 1.0 if pos_weight is None else 1 + (pos_weight - 1) * target
    loss = (1 - target) * input + log1p_exp(-input) * share
    reduction = reduction_of("binary_cross_entropy_with_logits", size_average, reduce, reduction)
    return reduced(_weighted(loss, weight), reduction)


# --------------------------------------------------------------------------- distributions
@composite()
@floating
def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: Flag = None,
    reduce: Flag = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """y (log y - x): the divergence of probabilities y from log-probabilities x.

    `reduction='batchmean'` divides the sum by the batch size, which is the divergence proper;
    'mean' divides by the number of elements.  `log_target` says that the target is log y.

    >>> import chainrule as torch
    >>> p, q = torch.tensor([[0.5, 0.5]]), torch.tensor([[0.25, 0.75]])
    >>> torch.nn.functional.kl_div(q.log(), p, reduction="batchmean")
    tensor(0.1438)
    """
    reduction = reduction_of("kl_div", size_average, reduce, reduction, extra=("batchmean",))
    loss = target.exp() * (target - input) if log_target else target.xlogy(target) - target * input
    if reduction == "batchmean":
        return loss.sum() / input.shape[0] if input.dim() else loss.sum()
    return reduced(loss, reduction)


@composite()
@floating
def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: Flag = None,
    eps: float = 1e-8,
    reduce: Flag = None,
    reduction: str = "mean",
) -> Tensor:
    """exp(x) - y x, or x - y log(x + eps) without `log_input`: counts y of rate exp(x) or x.

    `full` adds Stirling's y log y - y + log(2 pi y) / 2 for y > 1.

    >>> import chainrule as torch
    >>> torch.nn.functional.poisson_nll_loss(torch.tensor([0.0]), torch.tensor([2.0]))
    tensor(1.)
    """
    loss = input.exp() - target * input if log_input else input - target * (input + eps).log()
    if full:
        y = where(target > 1, target, 1.0)
        stirling = y * y.log() - y + 0.5 * (2 * math.pi * y).log()
        loss = loss + where(target > 1, stirling, 0.0)
    return reduced(loss, reduction_of("poisson_nll_loss", size_average, reduce, reduction))


@composite()
@floating
def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """(log v + (x - y)^2 / v) / 2 with v = max(var, eps), whose gradient goes to var unclamped.

    var has input's shape, or 1 in the last axis, or lacks it.  `full` adds log(2 pi) / 2.
    Raises ArgumentError for a given var that is negative.

    >>> import chainrule as torch
    >>> torch.nn.functional.gaussian_nll_loss(torch.ones(1), torch.zeros(1), torch.ones(1))
    tensor(0.5000)
    """
    check_reduction("gaussian_nll_loss", reduction)
    v = _aligned(var, input) if isinstance(var, Tensor) else full_like(input, var)
    given = given_values(v)
    if given is not None and (given < 0).any():
        raise ArgumentError(f"gaussian_nll_loss requires var >= 0, got {given.min()}")
    v = v + (v.clamp(min=eps) - v).detach()
    difference = input - target
    loss = 0.5 * (v.log() + difference * difference / v)
    return reduced(loss + 0.5 * math.log(2 * math.pi) if full else loss, reduction)


def _aligned(var: Tensor, input: Tensor) -> Tensor:
    if var.shape == input.shape or var.shape == (*input.shape[:-1], 1):
        return var
    if var.shape == input.shape[:-1]:
        return var.unsqueeze(-1)
    raise ArgumentError(
        f"gaussian_nll_loss requires var {tuple(input.shape)}, or 1 or nothing in place of the "
        f"last axis, got {tuple(var.shape)}"
    )
