"""Indexing and assignment by slices, integers, masks, index tensors, None and Ellipsis; gathering
and scattering; sorting."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import dtypes
from ..errors import ArgumentError, DTypeError, OutOfRange, ShapeError
from ..graph import Node
from ..ops import elementwise as ew
from ..ops import indexing as ix
from ..ops import library
from ..ops import movement as mv
from ..ops.op import expand_to
from ..scope import composite
from ..shapes import axis_index
from ..tensor import Tensor, from_array
from .create import as_tensor
from .reduce import values_indices
from .register import method
from .shape import _part, reshape

__all__ = [
    "argsort", "argwhere", "bincount", "bucketize", "gather", "histc", "index_add", "index_copy",
    "index_fill", "index_put", "index_select", "isin", "kthvalue", "masked_scatter",
    "masked_select", "mode", "msort", "nonzero", "scatter", "scatter_add", "scatter_reduce",
    "searchsorted", "sort", "take", "take_along_dim", "topk", "unique", "unique_consecutive",
]


# --------------------------------------------------------------------------- x[...]
class _Plan:
    """What an index means: first slices and new axes (a view), then index arrays."""

    def __init__(self, bounds, shape, arrays):
        self.bounds = bounds  # (start, stop, step) per axis of x
        self.shape = shape  # the view's shape: integers gone, None inserted
        self.arrays = arrays  # [(axis of the view, index Tensor)]


def _plan(x: Tensor, index: Any) -> _Plan:
    items = _spelled_out(x, index if isinstance(index, tuple) else (index,))
    bounds, shape, arrays, axis = [], [], [], 0
    for item in items:
        if item is None:
            shape.append(1)
            continue
        if isinstance(item, Tensor) and item.dtype is dtypes.bool_:
            places = _mask_places(x, item, axis)
            if not item.ndim:
                arrays.append((len(shape), places[0]))
                shape.append(1)
                continue
            for place in places:
                bounds.append((0, x.shape[axis], 1))
                arrays.append((len(shape), place))
                shape.append(x.shape[axis])
                axis += 1
            continue
        n = x.shape[axis]
        if isinstance(item, slice):
            start, stop, step = _slice(item, n)
            bounds.append((start, stop, step))
            shape.append(len(range(start, stop, step)))
        elif isinstance(item, Tensor):
            bounds.append((0, n, 1))
            arrays.append((len(shape), item))
            shape.append(n)
        else:
            place = _place(item, n, axis)
            bounds.append((place, place + 1, 1))
        axis += 1
    return _Plan(tuple(bounds), tuple(shape), arrays)


def _spelled_out(x: Tensor, items: tuple) -> list:
    """The index with one entry per axis: Ellipsis replaced, sequences made tensors."""
    items = tuple(_as_index(i) for i in items)
    used = sum(_axes_used(i) for i in items)
    if used > x.ndim:
        raise OutOfRange(
            f"indexing requires at most {x.ndim} indices, got {used} for shape "
            f"{tuple(x.shape)} (too many indices for tensor of dimension {x.ndim})"
        )
    missing = [slice(None)] * (x.ndim - used)
    at = next((k for k, i in enumerate(items) if i is Ellipsis), None)
    if at is None:
        return [*items, *missing]
    return [*items[:at], *missing, *(i for i in items[at + 1 :] if i is not Ellipsis)]


def _as_index(item: Any) -> Any:
    if item is None or item is Ellipsis or isinstance(item, (slice, int)):
        return as_tensor(item) if isinstance(item, bool) else item
    if isinstance(item, Tensor):
        if item.dtype is dtypes.uint8:
            return item.to(dtypes.bool_)
        if item.dtype.is_floating_point:
            raise OutOfRange(
                f"indexing requires integers or masks, got a tensor of {item.dtype} (tensors "
                "used as indices must be long, int, byte or bool tensors)",
                hint="convert it: index.long()",
            )
        return item
    if isinstance(item, (list, tuple, range, np.ndarray)):
        if not len(item):
            return from_array(np.zeros(0, np.int64))
        return as_tensor(np.asarray([_plain(i) for i in item]))
    if hasattr(item, "__index__"):
        return item.__index__()
    raise OutOfRange(
        f"indexing requires integers, slices, tensors, None or Ellipsis, got "
        f"{type(item).__name__}"
    )


def _plain(item):
    return item._value() if isinstance(item, Tensor) else item


def _axes_used(item: Any) -> int:
    if item is None or item is Ellipsis:
        return 0
    if isinstance(item, Tensor) and item.dtype is dtypes.bool_:
        return item.ndim
    return 1


def _slice(item: slice, n: int) -> tuple[int, int, int]:
    if item.step is not None and int(item.step) <= 0:
        raise ArgumentError(f"slicing requires a step > 0, got {item.step}", hint="use .flip()")
    start, stop, step = item.indices(n)
    return start, max(start, stop), step


def _place(item: int, n: int, axis: int) -> int:
    if not -n <= item < n:
        raise OutOfRange(
            f"indexing requires an index in [{-n}, {n - 1}], got {item} (index {item} is out of "
            f"bounds for dimension {axis} with size {n})"
        )
    return item % n


def _mask_places(x: Tensor, mask: Tensor, axis: int) -> list[Tensor]:
    """The indices where a mask holds: the shape depends on the values, so they are computed."""
    wanted = tuple(x.shape[axis : axis + mask.ndim])
    if tuple(mask.shape) != wanted:
        raise OutOfRange(
            f"indexing requires a mask of shape {wanted}, got {tuple(mask.shape)} (the shape of "
            "the mask does not match the shape of the indexed tensor)"
        )
    value = mask._value()
    found = np.nonzero(value) if mask.ndim else (np.zeros(int(value), np.int64),)
    return [from_array(i) for i in found]


def _viewed(x: Tensor, plan: _Plan) -> Tensor:
    whole = tuple((0, n, 1) for n in x.shape)
    view = x if plan.bounds == whole else x._view(mv.slice_, bounds=plan.bounds)
    if view is x and plan.shape == tuple(x.shape) and plan.arrays:
        return x
    if plan.shape == view._node.spec.shape and view is not x:
        return view
    return view._view(mv.reshape, shape=plan.shape)


def _to_front(x: Tensor, arrays) -> tuple[Tensor, int, tuple[int, ...] | None]:
    """Bring the indexed axes next to each other; NumPy's rule for where they go."""
    axes = [a for a, _ in arrays]
    if axes == list(range(axes[0], axes[0] + len(axes))):
        return x, axes[0], None
    order = (*axes, *(a for a in range(x.ndim) if a not in axes))
    return x._view(mv.permute, axes=order), 0, order


def _checked_indices(view: Tensor, arrays) -> list[Node]:
    """Index nodes; values that are known already are checked on the user's own line."""
    nodes = []
    for axis, index in arrays:
        node = index.node
        if node.value is not None:
            n = view.shape[axis]
            value = node.value
            if value.size and (value.min() < -n or value.max() >= n):
                bad = value.max() if value.max() >= n else value.min()
                raise OutOfRange(
                    f"indexing requires an index in [{-n}, {n - 1}], got {int(bad)} (index "
                    f"{int(bad)} is out of bounds for dimension {axis} with size {n})"
                )
        nodes.append(node)
    return nodes


@method(name="__getitem__")
def getitem(self: Tensor, index: Any) -> Tensor:
    """The elements that the index names: a view, unless tensors or masks take part."""
    if type(index) is int and self.ndim:
        return _int_item(self, index)
    plan = _plan(self, index)
    return _take(self, plan) if plan.arrays else _sliced(self, plan)


@composite("SelectBackward0")
def _int_item(self: Tensor, index: int) -> Tensor:
    place = _place(index, self.shape[0], 0)
    shape = self._node.spec.shape[1:]
    return _part(self, 0, place, place + 1)._view(mv.reshape, shape=shape)


@composite("SliceBackward0")
def _sliced(self: Tensor, plan: _Plan) -> Tensor:
    return _viewed(self, plan)


@composite("IndexBackward0")
def _take(self: Tensor, plan: _Plan) -> Tensor:
    view, axis, _ = _to_front(_viewed(self, plan), plan.arrays)
    arrays = [(axis + i, a) for i, (_, a) in enumerate(plan.arrays)]
    return Tensor._from_node(ix.take(view.node, *_checked_indices(view, arrays), axis=axis))


@method(name="__setitem__")
def setitem(self: Tensor, index: Any, value: Any) -> None:
    """Write to the elements that the index names; the value is broadcast and cast."""
    plan = _plan(self, index)
    self._check_writable()
    _assign(self, plan, value)


@composite("CopySlices")
def _assign(self: Tensor, plan: _Plan, value: Any) -> None:
    view = _viewed(self, plan)
    new = as_tensor(value).node if not isinstance(value, Tensor) else value.node
    if new.dtype is not self.dtype:
        new = ew.cast(new, dtype=self.dtype)
    if not plan.arrays:
        view._write(_fitted(new, tuple(view.shape)))
        return
    view, axis, _ = _to_front(view, plan.arrays)
    arrays = [(axis + i, a) for i, (_, a) in enumerate(plan.arrays)]
    indices = _checked_indices(view, arrays)
    slots = ix._take_shape(view.node, *indices, axis=axis)
    view._write(
        ix.put(view.node, _fitted(new, slots), *indices, axis=axis, accumulate=False)
    )


def _fitted(value: Node, shape: tuple[int, ...]) -> Node:
    """The value broadcast to the place it is written to."""
    while value.ndim > len(shape) and value.shape[0] == 1:
        value = mv.reshape(value, shape=value.shape[1:])
    if value.ndim > len(shape) or any(
        n not in (1, m) for n, m in zip(reversed(value.shape), reversed(shape))
    ):
        raise ShapeError(
            f"assignment requires a value that broadcasts to {shape}, got {value.shape} (shape "
            f"mismatch: value tensor of shape {list(value.shape)} cannot be broadcast to "
            f"indexing result of shape {list(shape)})"
        )
    return expand_to(value, shape)


# --------------------------------------------------------------------------- along one axis
def _index_tensor(name: str, index: Tensor) -> Tensor:
    if not isinstance(index, Tensor) or index.dtype.is_floating_point or (
        index.dtype is dtypes.bool_
    ):
        got = index.dtype if isinstance(index, Tensor) else type(index).__name__
        raise DTypeError(
            f"{name} requires an int64 index, got {got} (expected dtype int64 for index)",
            hint="convert it: index.long()",
        )
    return index


def _window_of(x: Tensor, axis: int, index: Tensor, name: str) -> Tensor:
    """x cut to the lengths of `index` on all other axes, as PyTorch's gather reads it."""
    if x.ndim != index.ndim:
        raise ShapeError(
            f"{name} requires as many axes as the input, got index of shape "
            f"{tuple(index.shape)} for {tuple(x.shape)} (Index tensor must have the same number "
            "of dimensions as input tensor)"
        )
    bounds = tuple(
        (0, n if i == axis else m, 1) for i, (n, m) in enumerate(zip(x.shape, index.shape))
    )
    if any(b[1] > n for b, n in zip(bounds, x.shape)):
        raise ShapeError(
            f"{name} requires an index no longer than the input except along dim {axis}, got "
            f"{tuple(index.shape)} for {tuple(x.shape)} (Size does not match at dimension)"
        )
    if all(b[1] == n for b, n in zip(bounds, x.shape)):
        return x
    return x._view(mv.slice_, bounds=bounds)


def _check_known(name: str, index: Tensor, n: int) -> None:
    if index.node.value is not None:
        ix.check_range(name, index.node.value, n)


@method()
@composite("GatherBackward0")
def gather(input: Tensor, dim: int, index: Tensor, *, sparse_grad=False, out=None) -> Tensor:
    """out[i][j] = input[index[i][j]][j] for dim 0."""
    _index_tensor("gather", index)
    if not input.ndim:
        return reshape(gather(reshape(input, 1), 0, reshape(index, -1)), tuple(index.shape))
    axis = axis_index("gather", dim, input.ndim)
    source = _window_of(input, axis, index, "gather")
    _check_known("gather", index, source.shape[axis])
    return Tensor._from_node(ix.gather(source.node, index.node, axis=axis))


def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """`gather` with broadcasting; without `dim` on the flattened tensor."""
    if dim is None:
        return gather(reshape(input, -1), 0, reshape(indices, -1))
    return gather(input, dim, indices)


def _source(input: Tensor, index: Tensor, src: Any, name: str) -> Node:
    if not isinstance(src, Tensor):
        return expand_to(as_tensor(src, dtype=input.dtype).node, tuple(index.shape))
    if src.dtype is not input.dtype:
        raise DTypeError(f"{name} requires equal dtypes, got {src.dtype} into {input.dtype} "
                         "(Expected self.dtype to be equal to src.dtype)")
    return _window_of(src, -1, index, name).node if src.ndim else src.node


def _scattered(op, name: str, input: Tensor, dim: int, index: Tensor, src: Any) -> Tensor:
    _index_tensor(name, index)
    if not input.ndim:
        src = reshape(src, -1) if isinstance(src, Tensor) else src
        return reshape(_scattered(op, name, reshape(input, 1), dim, reshape(index, -1), src), ())
    axis = axis_index(name, dim, input.ndim)
    source = _source(input, index, src, name)
    part = _window_of(input, axis, index, name)
    _check_known(name, index, part.shape[axis])
    result = op(part.node, index.node, source, axis=axis)
    if part is not input:
        result = mv.setslice(input.node, result, **part._step[1])
    return Tensor._from_node(result)


@method(inplace=True)
@composite("ScatterBackward0")
def scatter(input: Tensor, dim: int, index: Tensor, src: Any = None, *, value=None,
            reduce: str | None = None) -> Tensor:
    """input with out[index[i][j]][j] = src[i][j] for dim 0."""
    src = value if src is None else src
    if reduce == "add":
        return scatter_add(input, dim, index, as_tensor(src, dtype=input.dtype).expand(
            index.shape) if not isinstance(src, Tensor) else src)
    if reduce is not None:
        raise ArgumentError(f"scatter requires reduce None or 'add', got {reduce!r}")
    return _scattered(ix.scatter, "scatter", input, dim, index, src)


@method(inplace=True)
@composite("ScatterAddBackward0")
def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """input with out[index[i][j]][j] += src[i][j] for dim 0; repeated places add up."""
    return _scattered(ix.scatter_add, "scatter_add", input, dim, index, src)


@method(inplace=True)
@composite("ScatterReduceBackward0")
def scatter_reduce(input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *,
                   include_self: bool = True) -> Tensor:
    """`scatter_add` ("sum") or its mean ("mean")."""
    if reduce not in ("sum", "mean"):
        raise ArgumentError(f"scatter_reduce requires reduce 'sum' or 'mean', got {reduce!r}")
    base = input if include_self else scatter(input, dim, index, 0)
    total = scatter_add(base, dim, index, src)
    if reduce == "sum":
        return total
    ones = from_array(np.ones(tuple(input.shape), input.dtype.np))
    start = ones if include_self else scatter(ones, dim, index, 0)
    count = scatter_add(start, dim, index, from_array(np.ones(tuple(src.shape), src.dtype.np)))
    return total / count.clamp(min=1)


@method()
@composite("IndexSelectBackward0")
def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """The places `index` along one axis."""
    _index_tensor("index_select", index)
    axis = axis_index("index_select", dim, input.ndim)
    if index.ndim > 1:
        raise OutOfRange("index_select requires a vector as index, got shape "
                         f"{tuple(index.shape)} (index_select(): Index is supposed to be a vector)")
    flat = reshape(index, -1) if not index.ndim else index
    if not input.ndim:
        return reshape(index_select(reshape(input, 1), 0, flat), ())
    _check_known("index_select", flat, input.shape[axis])
    return Tensor._from_node(ix.take(input.node, flat.node, axis=axis))


def _put_rows(name: str, input: Tensor, dim: int, index: Tensor, source: Node,
              accumulate: bool) -> Tensor:
    if not input.ndim:
        return reshape(_put_rows(name, reshape(input, 1), dim, index, source, accumulate), ())
    axis = axis_index(name, dim, input.ndim)
    _check_known(name, _index_tensor(name, index), input.shape[axis])
    shape = (*input.shape[:axis], index.shape[0], *input.shape[axis + 1 :])
    return Tensor._from_node(ix.put(
        input.node, _fitted(source, shape), index.node, axis=axis, accumulate=accumulate))


@method(inplace=True)
@composite("IndexAddBackward0")
def index_add(input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha=1) -> Tensor:
    """input with alpha source added at the places `index` along one axis."""
    scaled = source if alpha == 1 else source * alpha
    return _put_rows("index_add", input, dim, index, scaled.node, True)


@method(inplace=True)
@composite("IndexCopyBackward0")
def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """input with `source` at the places `index` along one axis."""
    return _put_rows("index_copy", input, dim, index, source.node, False)


@method(inplace=True)
@composite("IndexFillBackward0")
def index_fill(input: Tensor, dim: int, index: Tensor, value) -> Tensor:
    """input with one number at the places `index` along one axis."""
    number = as_tensor(value, dtype=input.dtype)
    return _put_rows("index_fill", input, dim, index, number.node, False)


@method(inplace=True)
@composite("IndexPutBackward0")
def index_put(input: Tensor, indices, values: Tensor, accumulate: bool = False) -> Tensor:
    """input with `values` written to (or added at) input[indices]."""
    if not accumulate:
        result = input.clone()
        setitem(result, tuple(indices), values)
        return result
    nodes = [i.node for i in indices]
    slots = ix._take_shape(input.node, *nodes, axis=0)
    return Tensor._from_node(
        ix.put(input.node, _fitted(values.node, slots), *nodes, axis=0, accumulate=True)
    )


@method()
def take(input: Tensor, index: Tensor) -> Tensor:
    """The elements of the flattened tensor at `index`."""
    return reshape(input, -1)[index]


@method()
def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """The elements where the mask holds, as a vector."""
    shape = np.broadcast_shapes(tuple(input.shape), tuple(mask.shape))
    return getitem(input.expand(shape), mask.expand(shape))


@method(inplace=True)
def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """input with the elements of `source`, in order, where the mask holds."""
    result = input.clone()
    wide = mask.expand(input.shape)
    count = int(wide._value().sum())
    setitem(result, wide, reshape(source, -1)[:count])
    return result


# --------------------------------------------------------------------------- from the values
@method()
def nonzero(input: Tensor, *, as_tuple: bool = False):
    """Where the elements are not zero: one row an element, or one vector an axis."""
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
    """The order that sorts the elements along an axis; equal ones keep their order."""
    if not input.ndim:
        return from_array(np.zeros((), np.int64))
    axis = axis_index("argsort", dim, input.ndim)
    return Tensor._from_node(library.argsort(input.node, axis=axis, descending=bool(descending)))


@method()
@composite("SortBackward0")
def sort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False
         ) -> values_indices:
    """The elements in order along an axis, and where each of them was."""
    order = argsort(input, dim, descending)
    if not input.ndim:
        return values_indices(input.clone(), order)
    return values_indices(gather(input, dim, order), order)


def msort(input: Tensor) -> Tensor:
    """Sorted along the first axis."""
    return sort(input, 0).values


@method()
@composite("TopkBackward0")
def topk(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True
         ) -> values_indices:
    """The k largest (or smallest) elements along an axis, and where they are."""
    axis = axis_index("topk", dim, input.ndim)
    if not 0 <= k <= (input.shape[axis] if input.ndim else 1):
        raise ShapeError(f"topk requires k in [0, {input.shape[axis]}], got {k} (selected index k "
                         "out of range)")
    if not input.ndim:
        return values_indices(input.clone(), from_array(np.zeros((), np.int64)))
    order = argsort(input, axis, largest).narrow(axis, 0, k)
    return values_indices(gather(input, axis, order), order)


@method()
@composite("KthvalueBackward0")
def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> values_indices:
    """The k-th smallest element along an axis, and where it is."""
    if not input.ndim:
        return kthvalue(reshape(input, 1), k)
    order = argsort(input, dim).narrow(dim, k - 1, 1)
    values = gather(input, dim, order)
    if not keepdim:
        values, order = values.squeeze(dim), order.squeeze(dim)
    return values_indices(values, order)


@method()
def unique(input: Tensor, sorted: bool = True, return_inverse: bool = False,
           return_counts: bool = False, dim: int | None = None):
    """The distinct elements in order; where each came from; how often each occurs."""
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
    """How often each non-negative integer occurs, or the sum of its weights."""
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
    """Where each value would have to be inserted to keep the order."""
    found = np.searchsorted(sorted_sequence._value(), _plain(values), "right" if right else "left")
    return from_array(np.asarray(found, np.int64))


def bucketize(input: Tensor, boundaries: Tensor, *, right: bool = False, out_int32=False
              ) -> Tensor:
    """The interval between boundaries that each value falls into."""
    return searchsorted(boundaries, input, right=right)


def isin(elements: Tensor, test_elements) -> Tensor:
    """Whether each element occurs among the test elements."""
    return from_array(np.isin(_plain(elements), _plain(test_elements)))


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
    values = gather(input, dim, index)
    if not keepdim:
        values, index = values.squeeze(dim), index.squeeze(dim)
    return values_indices(values, index)


@method()
def __contains__(self: Tensor, element) -> bool:  # noqa: N807
    """Whether any element equals `element`."""
    return bool((self == element).any())


