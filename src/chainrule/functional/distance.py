"""Lengths of vectors, and how far apart two of them are."""

from __future__ import annotations

import numpy as np

from ..scope import composite
from ..tensor import Tensor
from .common import floating
from .padding import take_along


@composite("DivBackward0")
@floating
def normalize(
    input: Tensor,
    p: float = 2.0,
    dim: int | tuple[int, ...] = 1,
    eps: float = 1e-12,
    out: Tensor | None = None,
) -> Tensor:
    """x / max(|x|_p, eps), with the norm over `dim`.

    >>> import chainrule as torch
    >>> torch.nn.functional.normalize(torch.tensor([[3.0, 4.0]]))
    tensor([[0.6000, 0.8000]])
    """
    result = input / input.norm(p, dim, keepdim=True).clamp(min=eps)
    return result if out is None else out.copy_(result)


@composite("SumBackward1")
@floating
def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """x1 . x2 / (max(|x1|, eps) max(|x2|, eps)) over `dim`.

    >>> import chainrule as torch
    >>> a, b = torch.tensor([[1.0, 0.0]]), torch.tensor([[3.0, 4.0]])
    >>> torch.nn.functional.cosine_similarity(a, b)
    tensor([0.6000])
    """
    return (_direction(x1, dim, eps) * _direction(x2, dim, eps)).sum(dim)


def _direction(x: Tensor, dim: int, eps: float) -> Tensor:
    return x / x.norm(2, dim, keepdim=True).clamp(min=eps)


@composite("NormBackward1")
@floating
def pairwise_distance(
    x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Tensor:
    """|x1 - x2 + eps|_p over the last axis.

    >>> import chainrule as torch
    >>> a, b = torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0]])
    >>> torch.nn.functional.pairwise_distance(a, b)
    tensor([5.0000])
    """
    return (x1 - x2 + eps).norm(p, -1, keepdim)


@composite("PdistBackward0")
@floating
def pdist(input: Tensor, p: float = 2.0) -> Tensor:
    """|x_i - x_j|_p for all pairs i < j of rows.

    input (N, M) -> (N (N-1) / 2,).

    >>> import chainrule as torch
    >>> torch.nn.functional.pdist(torch.tensor([[0.0], [1.0], [3.0]]))
    tensor([1., 3., 2.])
    """
    i, j = np.triu_indices(input.shape[0], 1)
    return (take_along(input, 0, i) - take_along(input, 0, j)).norm(p, -1)
