"""Rows picked by index: embeddings and one-hot vectors."""

from __future__ import annotations

from ..dtypes import int32, int64
from ..errors import ArgumentError, DTypeError, ShapeError
from ..grad_mode import no_grad
from ..methods.create import zeros
from ..methods.logic import where
from ..ops.indexing import take
from ..scope import composite
from ..tensor import Tensor, apply
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
