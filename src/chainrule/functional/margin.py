"""Losses that ask for a margin: between classes, between rankings, between embeddings."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import ArgumentError, ShapeError
from ..methods.create import arange
from ..methods.logic import where
from ..methods.pointwise import minimum
from ..scope import composite
from ..tensor import Tensor
from .activation import log1p_exp
from .common import check_reduction, floating, reduced, reduction_of
from .distance import pairwise_distance
from .loss import Flag

_COSINE_EPS = 1e-12


@composite()
@floating
def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: Flag = None,
    reduce: Flag = None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, margin - y (x1 - x2)): y = 1 asks for x1 above x2, y = -1 for the reverse.

    >>> import chainrule as torch
    >>> a, b = torch.tensor([1.0]), torch.tensor([3.0])
    >>> torch.nn.functional.margin_ranking_loss(a, b, torch.ones(1))
    tensor(2.)
    """
    if not input1.dim() == input2.dim() == target.dim():
        raise ShapeError(
            f"margin_ranking_loss requires tensors of equal rank, got {tuple(input1.shape)}, "
            f"{tuple(input2.shape)} and {tuple(target.shape)}"
        )
    loss = (-target * (input1 - input2) + margin).clamp_min(0)
    return reduced(loss, reduction_of("margin_ranking_loss", size_average, reduce, reduction))


@composite()
@floating
def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float = 1.0,
    size_average: Flag = None,
    reduce: Flag = None,
    reduction: str = "mean",
) -> Tensor:
    """x where y = 1, max(0, margin - x) where y = -1: x is a distance.

    >>> import chainrule as torch
    >>> x, y = torch.tensor([0.25, 0.25]), torch.tensor([1.0, -1.0])
    >>> torch.nn.functional.hinge_embedding_loss(x, y)
    tensor(0.5000)
    """
    apart = where(target != 1, (margin - input).clamp_min(0), 0.0)
    loss = apart + where(target != -1, input, 0.0)
    return reduced(loss, reduction_of("hinge_embedding_loss", size_average, reduce, reduction))


@composite()
@floating
def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: Flag = None,
    reduce: Flag = None,
    reduction: str = "mean",
) -> Tensor:
    """1 - cos(x1, x2) where y = 1, max(0, cos(x1, x2) - margin) where y = -1.

    input (N, D) with target (N,), or (D,) with ().

    >>> import chainrule as torch
    >>> a, b = torch.tensor([[1.0, 0.0]]), torch.tensor([[3.0, 4.0]])
    >>> torch.nn.functional.cosine_embedding_loss(a, b, torch.ones(1))
    tensor(0.4000)
    """
    if target.dim() > 1 or not input1.dim() == input2.dim() == target.dim() + 1:
        raise ShapeError(
            f"cosine_embedding_loss requires inputs (N, D) and target (N,), or (D,) and (), got "
            f"{tuple(input1.shape)}, {tuple(input2.shape)} and {tuple(target.shape)}"
        )
    squares = ((x * x).sum(-1) + _COSINE_EPS for x in (input1, input2))
    cosine = (input1 * input2).sum(-1) / (next(squares) * next(squares)).sqrt()
    alike = where(target == 1, 1 - cosine, 0.0)
    loss = alike + where(target == -1, (cosine - margin).clamp_min(0), 0.0)
    return reduced(loss, reduction_of("cosine_embedding_loss", size_average, reduce, reduction))


@composite()
@floating
def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: Flag = None,
    reduce: Flag = None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, |a - p| - |a - n| + margin), distances by `pairwise_distance` over the last axis.

    `swap` takes the smaller of |a - n| and |p - n|.

    >>> import chainrule as torch
    >>> a, p, n = torch.tensor([[0.0]]), torch.tensor([[2.0]]), torch.tensor([[1.0]])
    >>> torch.nn.functional.triplet_margin_loss(a, p, n)
    tensor(2.)
    """

    def distance(a: Tensor, b: Tensor) -> Tensor:
        return pairwise_distance(a, b, p, eps)

    reduction = reduction_of("triplet_margin_loss", size_average, reduce, reduction)
    return _triplet(
        "triplet_margin_loss", anchor, positive, negative, distance, margin, swap, reduction
    )


@composite()
@floating
def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """max(0, d(a, p) - d(a, n) + margin) with a distance d of one's own.

    >>> import chainrule as torch
    >>> a, p, n = torch.tensor([[0.0]]), torch.tensor([[2.0]]), torch.tensor([[1.0]])
    >>> d = lambda x, y: (x - y).abs().sum(-1)
    >>> torch.nn.functional.triplet_margin_with_distance_loss(a, p, n, distance_function=d)
    tensor(2.)
    """
    name = "triplet_margin_with_distance_loss"
    check_reduction(name, reduction)
    distance = distance_function or pairwise_distance
    return _triplet(name, anchor, positive, negative, distance, margin, swap, reduction)


def _triplet(name, anchor, positive, negative, distance, margin, swap, reduction) -> Tensor:
    if margin <= 0:
        raise ArgumentError(f"{name} requires margin > 0, got {margin}")
    if not anchor.dim() == positive.dim() == negative.dim():
        raise ShapeError(
            f"{name} requires tensors of equal rank, got {tuple(anchor.shape)}, "
            f"{tuple(positive.shape)} and {tuple(negative.shape)}"
        )
    far = distance(anchor, negative)
    if swap:
        far = minimum(far, distance(positive, negative))
    return reduced((distance(anchor, positive) - far + margin).clamp_min(0), reduction)


@composite("SoftMarginLossBackward0")
@floating
def soft_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: Flag = None,
    reduce: Flag = None,
    reduction: str = "mean",
) -> Tensor:
    """log(1 + exp(-y x)) for y = 1 or -1.

    >>> import chainrule as torch
    >>> torch.nn.functional.soft_margin_loss(torch.zeros(1), torch.ones(1))
    tensor(0.6931)
    """
    loss = log1p_exp(-target * input)
    return reduced(loss, reduction_of("soft_margin_loss", size_average, reduce, reduction))


@composite()
@floating
def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: Flag = None,
    reduce: Flag = None,
    reduction: str = "mean",
) -> Tensor:
    """The mean over classes of -(y log sigmoid(x) + (1 - y) log sigmoid(-x)).

    input (*, C), target (*, C), weight (C,).

    >>> import chainrule as torch
    >>> torch.nn.functional.multilabel_soft_margin_loss(torch.zeros(1, 2), torch.ones(1, 2))
    tensor(0.6931)
    """
    loss = target * log1p_exp(-input) + (1 - target) * log1p_exp(input)
    if weight is not None:
        loss = loss * weight
    reduction = reduction_of("multilabel_soft_margin_loss", size_average, reduce, reduction)
    return reduced(loss.sum(-1) / input.shape[-1], reduction)


@composite("MultiMarginLossBackward0")
@floating
def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    size_average: Flag = None,
    reduce: Flag = None,
    reduction: str = "mean",
) -> Tensor:
    """1/C sum over classes i != y of w_y max(0, margin - x_y + x_i)^p.

    input (N, C) or (C,), target (N,) or (), p = 1 or 2, weight (C,).

    >>> import chainrule as torch
    >>> torch.nn.functional.multi_margin_loss(torch.tensor([[0.5, 1.0]]), torch.tensor([0]))
    tensor(0.7500)
    """
    if p not in (1, 2):
        raise ArgumentError(f"multi_margin_loss requires p 1 or 2, got {p}")
    index = target.unsqueeze(-1)
    gap = (margin - input.gather(-1, index) + input).clamp_min(0)
    loss = gap if p == 1 else gap * gap
    if weight is not None:
        loss = loss * weight[index]
    others = arange(input.shape[-1]) != index
    loss = where(others, loss, 0.0).sum(-1) / input.shape[-1]
    return reduced(loss, reduction_of("multi_margin_loss", size_average, reduce, reduction))
