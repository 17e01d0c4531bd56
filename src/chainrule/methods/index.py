"""x[...] and x[...] = y: slices, integers, masks, index tensors, None and Ellipsis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import dtypes
from ..errors import ArgumentError, ArgumentTypeError, GradError, OutOfRange, ShapeError
from ..graph import Node
from ..ops import indexing as ix
from ..ops import movement as mv
from ..ops.op import cast, expand_to
from ..scope import composite
from ..tensor import Tensor, from_array
from .create import as_tensor
from .parts import part, place_of
from .register import method, named

__all__: list[str] = []


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
            for found in places:
                bounds.append((0, x.shape[axis], 1))
                arrays.append((len(shape), found))
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
            place = place_of("indexing", item, n, axis)
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
        return item if item.ndim or item.dtype is dtypes.bool_ else _as_integer(item)
    if isinstance(item, (list, tuple, range, np.ndarray)):
        if not len(item):
            return from_array(np.zeros(0, np.int64))
        return as_tensor(np.asarray([i._value() if isinstance(i, Tensor) else i for i in item]))
    if hasattr(item, "__index__"):
        return item.__index__()
    raise ArgumentTypeError(
        f"indexing requires integers, slices, tensors, None or Ellipsis, got "
        f"{type(item).__name__}"
    )


def _as_integer(item: Tensor) -> int | Tensor:
    """What a 0-d tensor says, so that it selects a view as a number does."""
    try:
        return int(item._value())
    except GradError:  # an example under vmap has no value to look at
        return item


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
        if node.value is not None and node.value.size:
            for place in (node.value.min(), node.value.max()):
                place_of("indexing", int(place), view.shape[axis], axis)
        nodes.append(node)
    return nodes


@method(name="__getitem__")
def getitem(self: Tensor, index: Any) -> Tensor:
    """The elements that the index names: a view, unless tensors or masks take part.

    Several index tensors broadcast together and replace the axes they index.  A mask is computed at
    once, since the result's shape depends on it.  Raises IndexError for what is out of range;
    index values that are not known yet are checked when they are computed.

    >>> import chainrule as torch
    >>> x = torch.arange(6).reshape(2, 3)
    >>> x[1, ::2], x[:, torch.tensor([2, 0])].tolist(), x[x > 3]
    (tensor([3, 5]), [[2, 0], [5, 3]], tensor([4, 5]))
    """
    if type(index) is int and self.ndim:
        return _int_item(self, index)
    plan = _plan(self, index)
    return _take(self, plan) if plan.arrays else _last_step(index)(self, plan)


def _last_step(index: Any) -> Callable[[Tensor, _Plan], Tensor]:
    """PyTorch views item by item; the result shows the last one that changed something."""
    for item in reversed(index if isinstance(index, tuple) else (index,)):
        if item is None:
            return _unsqueezed
        if isinstance(item, slice) and item != slice(None):
            return _sliced
        if item is not Ellipsis and not isinstance(item, slice):
            return _selected
    return _sliced


@composite("SelectBackward0")
def _int_item(self: Tensor, index: int) -> Tensor:
    place = place_of("indexing", index, self.shape[0], 0)
    shape = self._node.spec.shape[1:]
    return part(self, 0, place, place + 1)._view(mv.reshape, shape=shape)


def _viewed_as(history: str) -> Callable[[Tensor, _Plan], Tensor]:
    return composite(history)(named(lambda x, plan: _viewed(x, plan), "getitem", ""))


_sliced = _viewed_as("SliceBackward0")
_selected = _viewed_as("SelectBackward0")
_unsqueezed = _viewed_as("UnsqueezeBackward0")


@composite("IndexBackward0")
def _take(self: Tensor, plan: _Plan) -> Tensor:
    view, axis, _ = _to_front(_viewed(self, plan), plan.arrays)
    arrays = [(axis + i, a) for i, (_, a) in enumerate(plan.arrays)]
    return Tensor._from_node(ix.take(view.node, *_checked_indices(view, arrays), axis=axis))


@method(name="__setitem__")
def setitem(self: Tensor, index: Any, value: Any) -> None:
    """Write to the elements that the index names; the value is broadcast and cast.

    Raises RuntimeError where it does not broadcast.  Where a place is named twice, the last one
    stays.

    >>> import chainrule as torch
    >>> x = torch.zeros(2, 3)
    >>> x[:, 1] = torch.tensor([5.0, 6.0]); x
    tensor([[0., 5., 0.],
            [0., 6., 0.]])
    """
    plan = _plan(self, index)
    self._check_writable()
    _assign(self, plan, value)


@composite("CopySlices")
def _assign(self: Tensor, plan: _Plan, value: Any) -> None:
    view = _viewed(self, plan)
    new = as_tensor(value).node if not isinstance(value, Tensor) else value.node
    if new.dtype is not self.dtype:
        new = cast(new, dtype=self.dtype)
    if not plan.arrays:
        view._write(fitted(new, tuple(view.shape)))
        return
    view, axis, _ = _to_front(view, plan.arrays)
    arrays = [(axis + i, a) for i, (_, a) in enumerate(plan.arrays)]
    indices = _checked_indices(view, arrays)
    slots = ix._take_shape(view.node, *indices, axis=axis)
    view._write(
        ix.put(view.node, fitted(new, slots), *indices, axis=axis, accumulate=False)
    )


def fitted(value: Node, shape: tuple[int, ...]) -> Node:
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
