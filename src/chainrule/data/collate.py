"""Samples to batches: a list of equally built samples becomes one sample of stacked tensors."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .. import dtypes
from ..errors import ArgumentTypeError, ShapeError
from ..methods.create import as_tensor, tensor
from ..methods.joining import stack
from ..tensor import Tensor, run_tensors


def default_collate(batch: Sequence[Any]) -> Any:
    """Stack samples: tensors, arrays and numbers along a new dimension 0, containers entry by
    entry, strings and bytes as a list.  Python floats become float64, as in PyTorch.

    Raises ArgumentTypeError (a TypeError) for anything else, and ShapeError for samples of
    different sizes.

    >>> from chainrule.data import default_collate
    >>> default_collate([(1, 0.5), (2, 1.5)])
    [tensor([1, 2]), tensor([0.5000, 1.5000], dtype=torch.float64)]
    """
    first = batch[0]
    if isinstance(first, Tensor):
        return stack(batch)
    if isinstance(first, np.ndarray):
        return stack([_from_array(array) for array in batch])
    if isinstance(first, np.generic):
        return _from_array(np.stack(batch))
    if isinstance(first, float):
        return tensor(batch, dtype=dtypes.float64)
    if isinstance(first, int):
        return tensor(batch)
    if isinstance(first, (str, bytes)):
        return batch
    if isinstance(first, Mapping):
        entries = {key: default_collate([sample[key] for sample in batch]) for key in first}
        return _like(first, entries)
    if isinstance(first, Sequence):
        _check_lengths(batch)
        return _like_sequence(first, [default_collate(column) for column in zip(*batch)])
    raise ArgumentTypeError(
        "default_collate requires tensors, arrays, numbers, strings, dicts or sequences, "
        f"got {type(first).__name__}",
        hint="pass DataLoader a collate_fn that makes a batch from a list of such samples",
    )


def default_convert(sample: Any) -> Any:
    """The sample with its arrays as tensors; what is no array, or holds none, stays as it is.

    >>> import numpy as np
    >>> default_convert({"x": np.ones(2), "name": "a"})
    {'x': tensor([1., 1.], dtype=torch.float64), 'name': 'a'}
    """
    if isinstance(sample, (np.ndarray, np.generic)):
        return sample if sample.dtype.kind in "SUO" else as_tensor(np.asarray(sample))
    if isinstance(sample, Mapping):
        return _like(sample, {key: default_convert(value) for key, value in sample.items()})
    if isinstance(sample, Sequence) and not isinstance(sample, (str, bytes)):
        return _like_sequence(sample, [default_convert(value) for value in sample])
    return sample


def computed(batch: Any) -> Any:
    """The batch with the values of its tensors known, so that the graph of a step begins with
    them, and looks alike for all batches; what requires grad keeps its history."""
    run_tensors(_without_history(batch))
    return batch


def _without_history(batch: Any) -> list[Tensor]:
    if isinstance(batch, Tensor):
        return [] if batch.requires_grad else [batch]
    if isinstance(batch, dict):
        batch = batch.values()
    elif not isinstance(batch, (list, tuple)):
        return []
    return [t for part in batch for t in _without_history(part)]


def _from_array(array: np.ndarray) -> Tensor:
    if array.dtype.kind in "SUO":
        raise ArgumentTypeError(
            f"default_collate requires arrays of numbers, got NumPy dtype {array.dtype}"
        )
    return as_tensor(array)


def _check_lengths(batch: Sequence[Sequence]) -> None:
    lengths = {len(sample) for sample in batch}
    if len(lengths) > 1:
        raise ShapeError(
            f"default_collate requires samples of one length, got lengths {sorted(lengths)}"
        )


def _like(sample: Mapping, entries: dict) -> Mapping:
    """The entries in a mapping of the sample's type."""
    if isinstance(sample, dict):
        clone = copy.copy(sample)
        clone.update(entries)
        return clone
    return entries


def _like_sequence(sample: Sequence, values: list) -> Sequence:
    """The values in a list, as PyTorch does also for a tuple; a named tuple stays one."""
    return type(sample)(*values) if hasattr(sample, "_fields") else values
