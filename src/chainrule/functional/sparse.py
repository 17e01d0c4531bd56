"""Rows picked by index: embeddings, bags of embeddings and one-hot vectors."""

from __future__ import annotations

import math

import numpy as np

from ..dtypes import int32, int64
from ..errors import ArgumentError, DTypeError, ShapeError
from ..grad_mode import no_grad
from ..methods.create import zeros
from ..methods.logic import where
from ..ops.indexing import take
from ..scope import composite
from ..tensor import Tensor, apply, from_array
from .common import check_known


@composite("EmbeddingBackward0")
def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """y[...] = weight[input[...]]: a row for every index.

    input (*) of int64 or int32, weight (V, D) -> (*, D).  No gradient goes to row `padding_idx`;
    rows longer than `max_norm` are first shortened to it, in place; `scale_grad_by_freq` divides
    a row's gradient by how often its index occurs.  The gradient is dense also with `sparse`.
    Raises OutOfRange for an index outside of [0, V).

    >>> import chainrule as torch
    >>> w = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> torch.nn.functional.embedding(torch.tensor([1, 0, 1]), w)
    tensor([[3., 4.],
            [1., 2.],
            [3., 4.]])
    """
    padding_idx = _check("embedding", input, weight, padding_idx)
    if max_norm is not None:
        _shorten(weight, input, max_norm, norm_type)
    rows = apply(take, weight, input, axis=0)
    if padding_idx is not None:
        rows = where((input != padding_idx).unsqueeze(-1), rows, rows.detach())
    if scale_grad_by_freq:
        share = 1 / _frequency(input, weight)[input].to(rows.dtype).unsqueeze(-1)
        rows = rows * share + (rows * (1 - share)).detach()
    return rows


@composite("EmbeddingBagBackward0")
def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """y[b] = the mean, sum or maximum (`mode`) of weight[i] over the indices i of bag b.

    input (B, N): each row is a bag; or input (n) with `offsets` (B), where each bag starts, and
    with `include_last_offset` also where the last one ends.  weight (V, D) -> (B, D).  A bag of
    nothing gives zeros; `padding_idx` counts as nothing.  `per_sample_weights`, like input, scale
    the rows of a sum.  The rest is as in `embedding`.

    >>> import chainrule as torch
    >>> w = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> starts = torch.tensor([0, 1])
    >>> torch.nn.functional.embedding_bag(torch.tensor([1, 0, 1]), w, starts)
    tensor([[3., 4.],
            [2., 3.]])
    """
    padding_idx = _check("embedding_bag", input, weight, padding_idx)
    _check_bags(input, offsets, mode, per_sample_weights)
    rows = embedding(input, weight, None, max_norm, norm_type, scale_grad_by_freq, sparse)
    if per_sample_weights is not None:
        rows = rows * per_sample_weights.unsqueeze(-1)
    full = input.new_ones(input.shape).bool() if padding_idx is None else input != padding_idx
    if offsets is not None:
        places, inside = _bags(offsets._value(), input.shape[0], include_last_offset)
        rows, full = rows[places], full[places] & inside
    full = full.unsqueeze(-1)  # (B, N, 1), for rows (B, N, D)
    if mode == "max" and rows.shape[1]:
        most = where(full, rows, -math.inf).max(1).values
        return where(full.any(1), most, 0.0)
    total = where(full, rows, 0.0).sum(1)
    return total / full.sum(1).clamp(min=1) if mode == "mean" else total


def _check_bags(input: Tensor, offsets: Tensor | None, mode: str, weights: Tensor | None) -> None:
    if mode not in ("sum", "mean", "max"):
        raise ArgumentError(f"embedding_bag requires mode 'sum', 'mean' or 'max', got {mode!r}")
    if input.dim() != (2 if offsets is None else 1):
        raise ArgumentError(
            "embedding_bag requires input (B, N) without offsets or (n) with them, got "
            f"{tuple(input.shape)} {'without' if offsets is None else 'with'} offsets"
        )
    if weights is not None and (mode != "sum" or weights.shape != input.shape):
        raise ArgumentError(
            "embedding_bag requires mode 'sum' and input's shape for per_sample_weights, got "
            f"{mode!r} and {tuple(weights.shape)} for {tuple(input.shape)}"
        )


def _bags(starts: np.ndarray, count: int, include_last: bool) -> tuple[Tensor, Tensor]:
    """For each bag the places of its indices in the input, and which of those are its own."""
    ends = starts[1:] if include_last else np.append(starts[1:], count)
    starts = starts[:-1] if include_last else starts
    if starts.size and (starts[0] != 0 or (ends < starts).any() or ends[-1] > count):
        raise ArgumentError(
            f"embedding_bag requires offsets that start with 0 and ascend to at most {count}, got "
            f"{starts.tolist()} (offsets[0] has to be 0)"
        )
    steps = np.arange((ends - starts).max(initial=0))
    places = starts[:, None] + steps
    inside = places < ends[:, None]
    return from_array(np.where(inside, places, 0)), from_array(inside)


def _check(name: str, input: Tensor, weight: Tensor, padding_idx: int | None) -> int | None:
    """padding_idx, counted from the front."""
    if input.dtype not in (int64, int32):
        raise DTypeError(
            f"{name} requires indices of dtype int64 or int32, got {input.dtype}",
            hint="use input.long()",
        )
    if weight.dim() != 2:
        raise ShapeError(f"{name} requires weight (V, D), got {tuple(weight.shape)}")
    rows = weight.shape[0]
    check_known(name, "indices", input, rows)
    if padding_idx is not None and not -rows <= padding_idx < rows:
        raise ArgumentError(
            f"{name} requires padding_idx in [{-rows}, {rows - 1}], got {padding_idx}"
        )
    return padding_idx % rows if padding_idx is not None else None


def _frequency(input: Tensor, weight: Tensor) -> Tensor:
    """How often each row of the weight is picked."""
    ones = weight.new_ones(input.numel())
    return weight.new_zeros(weight.shape[0]).scatter_add(0, input.flatten().to(int64), ones)


@no_grad()
def _shorten(weight: Tensor, input: Tensor, max_norm: float, norm_type: float) -> None:
    norm = weight.detach().norm(norm_type, -1)
    too_long = (_frequency(input, weight) > 0) & (norm > max_norm)
    scale = where(too_long, max_norm / (norm + 1e-7), 1.0)
    weight.mul_(scale.unsqueeze(-1))


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """y[..., c] = 1 where tensor[...] = c, else 0, as int64.

    Without `num_classes` there are max + 1 of them, for which the value is computed.

    >>> import chainrule as torch
    >>> torch.nn.functional.one_hot(torch.tensor([0, 2]), 3)
    tensor([[1, 0, 0],
            [0, 0, 1]])
    """
    if tensor.dtype is not int64:
        raise DTypeError(f"one_hot requires indices of dtype int64, got {tensor.dtype}")
    known = tensor._value() if num_classes == -1 else tensor.node.value
    if num_classes == -1:
        if not known.size:
            raise ShapeError("one_hot requires num_classes for an empty tensor, got none")
        num_classes = int(known.max()) + 1
    if known is not None and known.size and not 0 <= known.min() <= known.max() < num_classes:
        raise ShapeError(
            f"one_hot requires classes in [0, num_classes={num_classes}), got {known.min()} to "
            f"{known.max()}"
        )
    if num_classes < 1:
        raise ShapeError(f"one_hot requires num_classes >= 1, got {num_classes}")
    blank = zeros(*tensor.shape, num_classes, dtype=int64)
    return blank.scatter(-1, tensor.unsqueeze(-1), 1)
