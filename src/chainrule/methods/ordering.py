"""What depends on the values: sorting, searching, counting, distinct elements."""

from __future__ import annotations

import numpy as np

from ..errors import ShapeError
from ..ops import library
from ..scope import composite
from ..shapes import axis_index
from ..tensor import Tensor, from_array
from .create import as_tensor
from .gathering import gather
from .reduce import returned_by, values_indices
from .register import method
from .shape import reshape

__all__ = [
    "argsort", "argwhere", "bincount", "bucketize", "histc", "isin", "kthvalue", "mode", "msort",
    "nonzero", "searchsorted", "sort", "topk", "unique", "unique_consecutive",
]


@method()
def nonzero(input: Tensor, *, as_tuple: bool = False):
    """Where the elements are not zero: one row an element, or one vector an axis.

    >>> import chainrule as torch
    >>> torch.tensor([0, 5, 0, 7]).nonzero().tolist()
    [[1], [3]]
    """
    found = np.nonzero(input._value()) if input.ndim else (
        np.zeros(int(bool(input._value())), np.int64),)
    if as_tuple:
        return tuple(from_array(i) for i in found)
    rows = np.stack(found, 1) if input.ndim else np.zeros((found[0].size, 0), np.int64)
    return from_array(np.ascontiguousarray(rows))


def argwhere(input: Tensor) -> Tensor:
    """Where the elements are not zero, one row an element."""
    return nonzero(input)


@method()
def argsort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False
            ) -> Tensor:
    """The order that sorts the elements along an axis; equal ones keep their order.

    >>> import chainrule as torch
    >>> torch.tensor([3.0, 1.0, 2.0]).argsort()
    tensor([1, 2, 0])
    """
    if not input.ndim:
        return from_array(np.zeros((), np.int64))
    axis = axis_index("argsort", dim, input.ndim)
    return Tensor._from_node(library.argsort(input.node, axis=axis, descending=bool(descending)))


_Sort, _Topk, _Kthvalue, _Mode = map(returned_by, ("sort", "topk", "kthvalue", "mode"))


@method()
@composite("SortBackward0")
def sort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False
         ) -> values_indices:
    """The elements in order along an axis, and where each of them was; equal ones keep their order.

    >>> import chainrule as torch
    >>> values, indices = torch.tensor([3.0, 1.0, 2.0]).sort(descending=True)
    >>> values, indices
    (tensor([3., 2., 1.]), tensor([0, 2, 1]))
    """
    order = argsort(input, dim, descending)
    if not input.ndim:
        return _Sort(input.clone(), order)
    return _Sort(gather(input, dim, order), order)


def msort(input: Tensor) -> Tensor:
    """Sorted along the first axis."""
    return sort(input, 0).values


@method()
@composite("TopkBackward0")
def topk(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True
         ) -> values_indices:
    """The k largest (or smallest) elements along an axis, in order, and where they are.

    Raises RuntimeError unless 0 <= k <= the axis's length.

    >>> import chainrule as torch
    >>> torch.tensor([3.0, 1.0, 2.0]).topk(2).indices
    tensor([0, 2])
    """
    axis = axis_index("topk", dim, input.ndim)
    if not 0 <= k <= (input.shape[axis] if input.ndim else 1):
        raise ShapeError(f"topk requires k in [0, {input.shape[axis]}], got {k} (selected index k "
                         "out of range)")
    if not input.ndim:
        return _Topk(input.clone(), from_array(np.zeros((), np.int64)))
    order = argsort(input, axis, largest).narrow(axis, 0, k)
    return _Topk(gather(input, axis, order), order)


@method()
@composite("KthvalueBackward0")
def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> values_indices:
    """The k-th smallest element along an axis, and where it is."""
    if not input.ndim:
        return kthvalue(reshape(input, 1), k)
    order = argsort(input, dim).narrow(dim, k - 1, 1)
    return _Kthvalue.along(dim, keepdim, gather(input, dim, order), order)


@method()
def unique(input: Tensor, sorted: bool = True, return_inverse: bool = False,
           return_counts: bool = False, dim: int | None = None):
    """The distinct elements in order; where each came from; how often each occurs.

    >>> import chainrule as torch
    >>> torch.unique(torch.tensor([3, 1, 3]), return_counts=True)
    (tensor([1, 3]), tensor([1, 2]))
    """
    found = np.unique(input._value(), return_inverse=True, return_counts=True, axis=dim)
    values, inverse, counts = found
    inverse = inverse.reshape(input.shape if dim is None else (-1,))
    results = [from_array(values)]
    if return_inverse:
        results.append(from_array(inverse.astype(np.int64)))
    if return_counts:
        results.append(from_array(counts.astype(np.int64)))
    return results[0] if len(results) == 1 else tuple(results)


@method()
def unique_consecutive(input: Tensor, return_inverse: bool = False, return_counts: bool = False):
    """The elements without immediate repetitions."""
    flat = input._value().reshape(-1)
    first = np.concatenate((np.ones(min(flat.size, 1), bool), flat[1:] != flat[:-1]))
    starts = np.flatnonzero(first)
    results = [from_array(flat[starts])]
    if return_inverse:
        results.append(from_array((np.cumsum(first) - 1).reshape(tuple(input.shape))))
    if return_counts:
        results.append(from_array(np.diff(np.append(starts, flat.size))))
    return results[0] if len(results) == 1 else tuple(results)


@method()
def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often each non-negative integer occurs, or the sum of its weights.

    Raises RuntimeError for anything but a vector of non-negative integers.

    >>> import chainrule as torch
    >>> torch.bincount(torch.tensor([0, 2, 2]))
    tensor([1, 0, 2])
    """
    w = None if weights is None else weights._value()
    value = input._value()
    if value.ndim != 1 or value.dtype.kind not in "iu" or (value.size and value.min() < 0):
        raise ShapeError("bincount requires a vector of non-negative integers, got "
                         f"{input.dtype} of shape {tuple(input.shape)}"
                         + (f" with the least element {value.min()}" if value.size else ""))
    return from_array(np.bincount(value, w, minlength))


@method()
def histc(input: Tensor, bins: int = 100, min=0, max=0) -> Tensor:
    """How many elements fall into each of `bins` equal intervals."""
    value = input._value()
    low, high = (value.min(), value.max()) if min == max == 0 else (min, max)
    counts, _ = np.histogram(value, bins, (float(low), float(high)))
    return from_array(counts.astype(input.dtype.np))


def searchsorted(sorted_sequence: Tensor, values, *, right: bool = False, out_int32=False
                 ) -> Tensor:
    """Where each value would have to be inserted to keep the order.

    >>> import chainrule as torch
    >>> torch.searchsorted(torch.tensor([1.0, 3.0, 5.0]), torch.tensor([2.0, 5.0]))
    tensor([1, 2])
    """
    found = np.searchsorted(
        sorted_sequence._value(), as_tensor(values)._value(), "right" if right else "left"
    )
    return from_array(np.asarray(found, np.int64))


def bucketize(input: Tensor, boundaries: Tensor, *, right: bool = False, out_int32=False
              ) -> Tensor:
    """The interval between boundaries that each value falls into."""
    return searchsorted(boundaries, input, right=right)


def isin(elements: Tensor, test_elements) -> Tensor:
    """Whether each element occurs among the test elements."""
    return from_array(np.isin(as_tensor(elements)._value(), as_tensor(test_elements)._value()))


@method()
def mode(input: Tensor, dim: int = -1, keepdim: bool = False) -> values_indices:
    """The most frequent element along an axis (the smallest of several), and its last place."""
    value = np.moveaxis(input._value(), dim, -1)
    lines = value.reshape(-1, value.shape[-1])
    found = np.zeros(len(lines), np.int64)
    for i, line in enumerate(lines):
        distinct, counts = np.unique(line, return_counts=True)
        found[i] = np.flatnonzero(line == distinct[counts.argmax()])[-1]
    index = from_array(np.expand_dims(found.reshape(value.shape[:-1]), dim))
    return _Mode.along(dim, keepdim, gather(input, dim, index), index)


@method()
def __contains__(self: Tensor, element) -> bool:  # noqa: N807
    """Whether any element equals `element`."""
    return bool((self == element).any())
