"""Gathering and scattering: reading and writing at the places that an index tensor names."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import dtypes
from ..errors import ArgumentError, DTypeError, OutOfRange, ShapeError
from ..graph import Node
from ..ops import indexing as ix
from ..ops import movement as mv
from ..ops.op import expand_to
from ..scope import composite
from ..shapes import axis_index
from ..tensor import Tensor, from_array
from .create import as_tensor
from .index import fitted, getitem, setitem
from .register import into, method
from .shape import reshape

__all__ = [
    "gather", "index_add", "index_copy", "index_fill", "index_put", "index_select",
    "masked_scatter", "masked_select", "scatter", "scatter_add", "scatter_reduce", "take",
    "take_along_dim", "unravel_index",
]


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
    """out[i][j] = input[index[i][j]][j] for dim 0.

    `index` has the input's number of axes and is nowhere longer but along `dim`, else RuntimeError.

    >>> import chainrule as torch
    >>> torch.tensor([[1, 2], [3, 4]]).gather(1, torch.tensor([[0, 0], [1, 0]]))
    tensor([[1, 1],
            [4, 3]])
    """
    _index_tensor("gather", index)
    if not input.ndim:
        found = gather(reshape(input, 1), 0, reshape(index, -1))
        return into(out, reshape(found, tuple(index.shape)))
    axis = axis_index("gather", dim, input.ndim)
    source = _window_of(input, axis, index, "gather")
    _check_known("gather", index, source.shape[axis])
    return into(out, Tensor._from_node(ix.gather(source.node, index.node, axis=axis)))


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
    """input with out[index[i][j]][j] = src[i][j] for dim 0; `src` is a tensor or a number.

    Where a place is named twice, the last one stays.  Raises ValueError for a `reduce` other than
    None and "add"; PyTorch's "multiply" is not there.

    >>> import chainrule as torch
    >>> torch.zeros(2, 3).scatter(1, torch.tensor([[2], [0]]), 1.0)
    tensor([[0., 0., 1.],
            [1., 0., 0.]])
    """
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
    """input with out[index[i][j]][j] += src[i][j] for dim 0; repeated places add up.

    >>> import chainrule as torch
    >>> torch.zeros(3).scatter_add(0, torch.tensor([0, 2, 2]), torch.ones(3))
    tensor([1., 0., 2.])
    """
    return _scattered(ix.scatter_add, "scatter_add", input, dim, index, src)


@method(inplace=True)
@composite("ScatterReduceBackward0")
def scatter_reduce(input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *,
                   include_self: bool = True) -> Tensor:
    """`scatter_add` (reduce "sum") or its mean ("mean"); raises ValueError for others."""
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
    """The places `index`, a vector, along one axis.

    Raises IndexError for an index with more axes or out of range.

    >>> import chainrule as torch
    >>> torch.eye(3).index_select(0, torch.tensor([2, 0]))
    tensor([[0., 0., 1.],
            [1., 0., 0.]])
    """
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
        input.node, fitted(source, shape), index.node, axis=axis, accumulate=accumulate))


@method(inplace=True)
@composite("IndexAddBackward0")
def index_add(input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha=1) -> Tensor:
    """input with alpha source added at the places `index` along one axis; repeated ones add up.

    >>> import chainrule as torch
    >>> torch.zeros(3).index_add(0, torch.tensor([0, 0]), torch.tensor([1.0, 2.0]))
    tensor([3., 0., 0.])
    """
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
        ix.put(input.node, fitted(values.node, slots), *nodes, axis=0, accumulate=True)
    )


@method()
def take(input: Tensor, index: Tensor) -> Tensor:
    """The elements of the flattened tensor at `index`."""
    return reshape(input, -1)[index]


@method()
def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """The elements where the mask holds, as a vector; both broadcast."""
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


def unravel_index(indices: Tensor, shape) -> tuple[Tensor, ...]:
    """Flat indices as one index per axis."""
    found = np.unravel_index(indices._value(), tuple(shape))
    return tuple(from_array(np.asarray(i)) for i in found)
