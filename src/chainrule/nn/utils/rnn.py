"""Batches of sequences of different lengths."""

from __future__ import annotations

from collections.abc import Iterable

from ...errors import ArgumentError, ArgumentTypeError, ShapeError
from ...methods.shape import cat, stack
from ...scope import composite
from ...tensor import Tensor


@composite()
def pad_sequence(
    sequences: Tensor | Iterable[Tensor],
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Tensor:
    """Sequences (L_i, *) as one tensor (T, B, *), or (B, T, *) if `batch_first`; T = max L_i.

    Shorter ones are filled with `padding_value`, on the right or on the left.  Raises ShapeError
    unless they agree in *, ValueError for another side, RuntimeError for no sequences.

    >>> import chainrule as torch
    >>> from chainrule.nn.utils.rnn import pad_sequence
    >>> pad_sequence([torch.tensor([1, 2, 3]), torch.tensor([4])], batch_first=True)
    tensor([[1, 2, 3],
            [4, 0, 0]])
    """
    if padding_side not in ("left", "right"):
        raise ArgumentError(
            f"pad_sequence requires padding_side 'left' or 'right', got {padding_side!r}"
        )
    listed = list(sequences)
    _require_alike(listed)
    longest = max(sequence.shape[0] for sequence in listed)
    rows = []
    for sequence in listed:
        missing = (longest - sequence.shape[0], *sequence.shape[1:])
        pair = [sequence, sequence.new_full(missing, padding_value)]
        rows.append(cat(pair if padding_side == "right" else pair[::-1]))
    return stack(rows, dim=0 if batch_first else 1)


def _require_alike(sequences: list[Tensor]) -> None:
    if not sequences:
        raise ShapeError("pad_sequence requires at least one sequence, got none")
    for sequence in sequences:
        if not isinstance(sequence, Tensor):
            raise ArgumentTypeError(
                f"pad_sequence requires tensors, got {type(sequence).__name__}"
            )
        if sequence.dim() == 0 or sequence.shape[1:] != sequences[0].shape[1:]:
            raise ShapeError(
                "pad_sequence requires sequences (L_i, *) that agree in *, "
                f"got {tuple(sequences[0].shape)} and {tuple(sequence.shape)}"
            )


def unpad_sequence(
    padded_sequences: Tensor, lengths: Tensor, batch_first: bool = False
) -> list[Tensor]:
    """The sequences (L_i, *) that `pad_sequence` put together, from their lengths.

    >>> import chainrule as torch
    >>> from chainrule.nn.utils.rnn import unpad_sequence
    >>> unpad_sequence(torch.tensor([[1, 2], [4, 0]]), torch.tensor([2, 1]), batch_first=True)
    [tensor([1, 2]), tensor([4])]
    """
    rows = padded_sequences if batch_first else padded_sequences.transpose(0, 1)
    return [row[:length] for row, length in zip(rows, lengths.tolist())]
