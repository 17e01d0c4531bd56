"""Batches of sequences of different lengths."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ...errors import ArgumentError, ArgumentTypeError, ShapeError
from ...methods.create import tensor
from ...methods.joining import cat, stack
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


class PackedSequence(NamedTuple):
    """The rows of all sequences, time by time, longest sequence first.

    `batch_sizes[t]` sequences have a row at time t; `sorted_indices` says which sequence comes
    where, `unsorted_indices` undoes it; both are None if the sequences were sorted already.
    """

    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None = None
    unsorted_indices: Tensor | None = None


@composite()
def pack_padded_sequence(
    input: Tensor,
    lengths: Tensor | Sequence[int],
    batch_first: bool = False,
    enforce_sorted: bool = True,
) -> PackedSequence:
    """Drop the padding of input (T, N, *), or (N, T, *): sequence i has lengths[i] rows.

    `enforce_sorted`: the lengths must not increase; otherwise they are sorted here.  Raises
    RuntimeError for lengths that do not fit.

    >>> import chainrule as torch
    >>> x = torch.tensor([[1, 4], [2, 0]])
    >>> torch.nn.utils.rnn.pack_padded_sequence(x, [2, 1]).data
    tensor([1, 4, 2])
    """
    sizes = [int(n) for n in (lengths.tolist() if isinstance(lengths, Tensor) else lengths)]
    rows = input.transpose(0, 1) if batch_first else input
    order = sorted(range(len(sizes)), key=lambda i: -sizes[i])
    is_sorted = order == list(range(len(sizes)))
    fits = len(sizes) == rows.shape[1] and all(0 < n <= rows.shape[0] for n in sizes)
    if not fits or (enforce_sorted and not is_sorted):
        raise ShapeError(
            f"pack_padded_sequence requires {rows.shape[1]} lengths in [1, {rows.shape[0]}]"
            f"{', longest first' if enforce_sorted else ''}, got {sizes}",
            hint="pass enforce_sorted=False for any order" if fits else None,
        )
    sorting = unsorting = None
    if not enforce_sorted:
        sorting = tensor(order)
        unsorting = tensor(sorted(range(len(order)), key=order.__getitem__))
        rows = rows.index_select(1, sorting)
    batches = [sum(n > t for n in sizes) for t in range(max(sizes))]
    data = cat([rows[t, :n] for t, n in enumerate(batches)])
    return PackedSequence(data, tensor(batches), sorting, unsorting)


@composite()
def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Undo the packing: a tensor (T, N, *), or (N, T, *), and the lengths (N,).

    >>> import chainrule as torch
    >>> rnn = torch.nn.utils.rnn
    >>> packed = rnn.pack_sequence([torch.tensor([1, 2]), torch.tensor([3])])
    >>> rnn.pad_packed_sequence(packed)
    (tensor([[1, 3],
            [2, 0]]), tensor([2, 1]))
    """
    batches = sequence.batch_sizes.tolist()
    width = batches[0]
    length = len(batches) if total_length is None else total_length
    if length < len(batches):
        raise ArgumentError(
            f"pad_packed_sequence requires total_length >= {len(batches)}, got {total_length}"
        )
    data = sequence.data
    rows = []
    for row in data.split(batches):
        missing = (width - row.shape[0], *data.shape[1:])
        rows.append(cat((row, data.new_full(missing, padding_value))))
    nothing = data.new_full((width, *data.shape[1:]), padding_value)
    rows += [nothing] * (length - len(rows))
    padded = stack(rows, 1 if batch_first else 0)
    lengths = tensor([sum(n > i for n in batches) for i in range(width)])
    if sequence.unsorted_indices is not None:
        padded = padded.index_select(0 if batch_first else 1, sequence.unsorted_indices)
        lengths = lengths[sequence.unsorted_indices]
    return padded, lengths


def pack_sequence(sequences: Sequence[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Pack sequences (L_i, *).

    >>> import chainrule as torch
    >>> torch.nn.utils.rnn.pack_sequence([torch.tensor([1, 2]), torch.tensor([3])]).data
    tensor([1, 3, 2])
    """
    lengths = [len(sequence) for sequence in sequences]
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The sequences (L_i, *) of a packed batch.

    >>> import chainrule as torch
    >>> from chainrule.nn.utils.rnn import pack_sequence, unpack_sequence
    >>> unpack_sequence(pack_sequence([torch.tensor([1, 2]), torch.tensor([4])]))
    [tensor([1, 2]), tensor([4])]
    """
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
