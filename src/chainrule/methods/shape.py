"""Shapes: views that only look at the elements in another way, and joining and splitting."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from itertools import combinations as _combinations
from typing import Any

import numpy as np

from ..dtypes import bool_, promote
from ..errors import ArgumentError, ArgumentTypeError, OutOfRange, ShapeError
from ..handle import strides_of
from ..ops import elementwise as ew
from ..ops import logic
from ..ops import movement as mv
from ..scope import composite
from ..shapes import Size, axis_index, axis_of, size, view_strides
from ..shapes import broadcast as _broadcast
from ..tensor import Tensor, from_array
from .create import shape_of
from .register import method

__all__ = [
    "adjoint", "atleast_1d", "atleast_2d", "atleast_3d", "broadcast_shapes", "broadcast_tensors",
    "broadcast_to", "cat", "concat", "concatenate", "chunk", "column_stack", "diag", "diagonal",
    "dstack", "expand_copy", "flatten", "flip", "fliplr", "flipud", "hsplit", "hstack",
    "meshgrid", "moveaxis", "movedim", "narrow", "numel", "permute", "ravel", "repeat_interleave",
    "reshape", "roll", "rot90", "select", "split", "squeeze", "stack", "swapaxes", "swapdims",
    "t", "tensor_split", "tile", "transpose", "tril", "triu", "unbind", "unflatten", "unsqueeze",
    "vsplit", "vstack", "row_stack", "block_diag", "cartesian_prod", "combinations",
    "tril_indices", "triu_indices", "view_as", "diag_embed", "unravel_index", "constant_pad",
]


# --------------------------------------------------------------------------- reading
@method("nelement")
def numel(input: Tensor) -> int:
    """The number of elements."""
    return size(input._node.spec.shape)


@method(name="size")
def _size(self: Tensor, dim: int | None = None):
    """The shape, or the length of one axis."""
    shape = self._node.spec.shape
    return Size(shape) if dim is None else shape[axis_index("size", dim, len(shape))]


@method("ndimension")
def dim(self: Tensor) -> int:
    """The number of axes."""
    return len(self._node.spec.shape)


@method()
def element_size(self: Tensor) -> int:
    """Bytes of one element."""
    return self.dtype.itemsize


Tensor.itemsize = property(lambda self: self.dtype.itemsize)  # type: ignore[attr-defined]
Tensor.nbytes = property(  # type: ignore[attr-defined]
    lambda self: numel(self) * self.dtype.itemsize
)


# --------------------------------------------------------------------------- reshaping
def _resolved(name: str, shape: tuple, total: int) -> tuple[int, ...]:
    """The shape with its one -1 filled in."""
    if len(shape) == 1 and isinstance(shape[0], (tuple, list)):
        shape = tuple(shape[0])
    try:
        shape = tuple([n if type(n) is int else n.__index__() for n in shape])
    except AttributeError:
        raise ArgumentTypeError(f"{name} requires integer lengths, got {shape}") from None
    if -1 in shape:
        known = size(tuple(n for n in shape if n != -1))
        if shape.count(-1) > 1:
            raise ShapeError(f"{name} requires at most one -1, got {shape} (only one dimension "
                             "can be inferred)")
        if known and total % known == 0:
            return tuple(total // known if n == -1 else n for n in shape)
    if size(shape) != total or any(n < 0 for n in shape):
        raise ShapeError(
            f"{name} requires as many elements as before, got {total} for shape {shape} (shape "
            f"'{list(shape)}' is invalid for input of size {total})"
        )
    return shape


@method()
@composite("ViewBackward0")
def reshape(input: Tensor, *shape) -> Tensor:
    """The same elements in row-major order under another shape: a view where one exists."""
    new = _resolved("reshape", shape, numel(input))
    if input._base is not None and view_strides(input.shape, strides_of(input), new) is None:
        return Tensor._from_node(mv.reshape(input.node, shape=new))
    return input._view(mv.reshape, shape=new)


@method()
@composite("ViewBackward0")
def view(self: Tensor, *shape) -> Tensor:
    """A view under another shape, or the same bytes as another dtype of the same size."""
    if len(shape) == 1 and not isinstance(shape[0], (int, tuple, list)):
        return _view_dtype(self, shape[0])
    new = _resolved("view", shape, numel(self))
    if self._base is not None and view_strides(self.shape, strides_of(self), new) is None:
        raise ShapeError(
            f"view requires elements that lie in order, got strides {strides_of(self)} for shape "
            f"{tuple(self.shape)} and {new} (view size is not compatible with input tensor's "
            "size and stride)",
            hint="use .reshape(...) or .contiguous().view(...)",
        )
    return self._view(mv.reshape, shape=new)


def _view_dtype(self: Tensor, dtype) -> Tensor:
    if hasattr(dtype, "__index__"):
        return view(self, dtype.__index__())
    if dtype.itemsize != self.dtype.itemsize:
        raise ShapeError(
            f"view requires a dtype of {self.dtype.itemsize} bytes, got {dtype}"
        )
    return from_array(self._value().view(dtype.np))


@method()
def view_as(self: Tensor, other: Tensor) -> Tensor:
    """A view in the shape of `other`."""
    return view(self, tuple(other.shape))


@method()
def reshape_as(self: Tensor, other: Tensor) -> Tensor:
    """`reshape` to the shape of `other`."""
    return reshape(self, tuple(other.shape))


@method()
def contiguous(self: Tensor, memory_format=None) -> Tensor:
    """Itself if its elements lie in row-major order, else a copy that does."""
    return self if self.is_contiguous() else self.clone()


@method()
def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Merge the axes from start_dim to end_dim."""
    shape = tuple(input.shape) or (1,)
    a, b = (axis_index("flatten", d, len(shape)) for d in (start_dim, end_dim))
    if a > b:
        raise ShapeError(f"flatten requires start_dim <= end_dim, got {start_dim}, {end_dim}")
    if a == b and input.ndim:
        return input
    return reshape(input, shape[:a] + (size(shape[a : b + 1]),) + shape[b + 1 :])


@method()
def ravel(input: Tensor) -> Tensor:
    """All elements on one axis."""
    return reshape(input, -1)


@method()
def unflatten(input: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """Split one axis into several."""
    axis = axis_of("unflatten", dim, input.shape)
    shape = tuple(input.shape)
    inner = _resolved("unflatten", tuple(sizes), shape[axis])
    return reshape(input, shape[:axis] + inner + shape[axis + 1 :])


@method()
def squeeze(input: Tensor, dim=None) -> Tensor:
    """Remove axes of length 1: all, or those in `dim`."""
    return _squeeze_all(input, None) if dim is None else _squeeze_dims(input, dim)


def _squeeze(input: Tensor, dim) -> Tensor:
    shape = input._node.spec.shape
    dims = range(len(shape)) if dim is None else (dim,) if isinstance(dim, int) else dim
    gone = {axis_index("squeeze", d, len(shape)) for d in dims}
    new = tuple(n for i, n in enumerate(shape) if n != 1 or i not in gone)
    return input._view(mv.reshape, shape=new)


_squeeze_all = composite("SqueezeBackward0")(_squeeze)
_squeeze_dims = composite("SqueezeBackward1")(_squeeze)


@method()
@composite("UnsqueezeBackward0")
def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """Insert an axis of length 1."""
    shape = input._node.spec.shape
    axis = axis_index("unsqueeze", dim, len(shape) + 1)
    return input._view(mv.reshape, shape=shape[:axis] + (1,) + shape[axis:])


# --------------------------------------------------------------------------- axes
def _permuted(input: Tensor, axes: tuple[int, ...]) -> Tensor:
    return input._view(mv.permute, axes=axes)


@method()
@composite("PermuteBackward0")
def permute(input: Tensor, *dims) -> Tensor:
    """The axes in another order."""
    if len(dims) == 1 and isinstance(dims[0], (tuple, list)):
        dims = tuple(dims[0])
    if len(dims) != input.ndim:
        raise ShapeError(f"permute requires {input.ndim} dims, got {len(dims)}: {tuple(dims)}")
    axes = tuple(axis_index("permute", d, input.ndim) for d in dims)
    if sorted(axes) != list(range(input.ndim)):
        raise ShapeError(
            f"permute requires each of the {input.ndim} dims once, got {tuple(dims)}"
        )
    return _permuted(input, axes)


@method("swapaxes", "swapdims")
@composite("TransposeBackward0")
def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Exchange two axes."""
    n = input.ndim
    a, b = axis_index("transpose", dim0, n), axis_index("transpose", dim1, n)
    axes = list(range(n))
    if n:
        axes[a], axes[b] = b, a
    return _permuted(input, tuple(axes))


swapaxes = swapdims = transpose


@method()
@composite("TBackward0")
def t(input: Tensor) -> Tensor:
    """The transpose of a matrix."""
    if input.ndim > 2:
        raise ShapeError(f"t requires at most 2 axes, got shape {tuple(input.shape)}",
                         hint="use .mT for batches of matrices")
    return _permuted(input, tuple(range(input.ndim))[::-1])


@composite("PermuteBackward0")
def _reversed(self: Tensor) -> Tensor:
    return _permuted(self, tuple(range(self.ndim))[::-1])


def adjoint(input: Tensor) -> Tensor:
    """The transposes of a batch of matrices."""
    if input.ndim < 2:
        raise ShapeError(f"mT requires at least 2 axes, got shape {tuple(input.shape)}")
    return transpose(input, -2, -1)


Tensor.T = property(_reversed)  # type: ignore[attr-defined]
Tensor.mT = property(adjoint)  # type: ignore[attr-defined]
Tensor.H = property(adjoint)  # type: ignore[attr-defined]
Tensor.mH = property(adjoint)  # type: ignore[attr-defined]
Tensor.adjoint = adjoint  # type: ignore[attr-defined]


@method("moveaxis")
def movedim(input: Tensor, source, destination) -> Tensor:
    """Move axes to other places, the others keep their order."""
    source = (source,) if isinstance(source, int) else source
    destination = (destination,) if isinstance(destination, int) else destination
    n = input.ndim
    pairs = sorted(
        (axis_index("movedim", d, n), axis_index("movedim", s, n))
        for s, d in zip(source, destination)
    )
    axes = [a for a in range(n) if a not in {s for _, s in pairs}]
    if not n:
        return permute(input)
    for to, from_ in pairs:
        axes.insert(to, from_)
    return permute(input, *axes)


moveaxis = movedim


# --------------------------------------------------------------------------- stretching
@method()
@composite("ExpandBackward0")
def expand(self: Tensor, *sizes) -> Tensor:
    """A view in which axes of length 1 are stretched; -1 keeps a length."""
    if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)):
        sizes = tuple(sizes[0])
    shape = tuple(self.shape)
    lead = len(sizes) - len(shape)
    old = (1,) * max(lead, 0) + shape
    new = tuple(int(m) if n == -1 else int(n) for n, m in zip(sizes, old))
    if lead < 0 or any(n != m and m != 1 for n, m in zip(new, old)):
        raise ShapeError(
            f"expand requires each length to be kept or to be 1 before, got {shape} to "
            f"{tuple(sizes)} (the expanded size of the tensor must match the existing size at "
            "non-singleton dimensions)"
        )
    wide = self._view(mv.reshape, shape=old) if lead else self
    return wide._view(mv.expand, shape=new)


@method()
def expand_as(self: Tensor, other: Tensor) -> Tensor:
    """`expand` to the shape of `other`."""
    return expand(self, *other.shape)


def expand_copy(input: Tensor, size) -> Tensor:
    """A copy of `expand`."""
    return expand(input, *size).clone()


@method()
def broadcast_to(input: Tensor, size) -> Tensor:
    """`expand` to a shape."""
    return expand(input, *size)


def broadcast_tensors(*tensors) -> list[Tensor]:
    """All tensors as views of their common shape."""
    if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)):
        tensors = tuple(tensors[0])
    shape = _broadcast("broadcast_tensors", *(tuple(x.shape) for x in tensors))
    return [expand(x, *shape) for x in tensors]


def broadcast_shapes(*shapes) -> Size:
    """The common shape."""
    plain = [(s,) if isinstance(s, int) else tuple(s) for s in shapes]
    return Size(_broadcast("broadcast_shapes", *plain))


@method()
@composite("RepeatBackward0")
def repeat(self: Tensor, *repeats) -> Tensor:
    """Copies of the tensor side by side: `repeats` times along each axis."""
    if len(repeats) == 1 and isinstance(repeats[0], (tuple, list)):
        repeats = tuple(repeats[0])
    lead = len(repeats) - self.ndim
    if lead < 0:
        raise ShapeError(
            f"repeat requires at least {self.ndim} numbers, got {len(repeats)} (Number of "
            "dimensions of repeat dims can not be smaller than number of dimensions of tensor)"
        )
    shape = (1,) * lead + tuple(self.shape)
    spaced = tuple(n for pair in zip((1,) * len(shape), shape) for n in pair)
    wide = tuple(n for pair in zip(repeats, shape) for n in pair)
    x = mv.reshape(self.node, shape=spaced)
    x = mv.expand(x, shape=wide)
    return Tensor._from_node(
        mv.reshape(x, shape=tuple(r * n for r, n in zip(repeats, shape)))
    )


@method()
def tile(input: Tensor, *dims) -> Tensor:
    """`repeat`, with missing counts taken as 1 in front."""
    if len(dims) == 1 and isinstance(dims[0], (tuple, list)):
        dims = tuple(dims[0])
    return repeat(input, *((1,) * (input.ndim - len(dims)) + tuple(dims)))


@method()
@composite("RepeatInterleaveBackward0")
def repeat_interleave(input: Tensor, repeats=None, dim: int | None = None, *,
                      output_size=None) -> Tensor:
    """Each element `repeats` times in a row."""
    if repeats is None:
        counts = input._value()
        return from_array(np.repeat(np.arange(counts.size), counts))
    x, axis = (reshape(input, -1), 0) if dim is None else (
        input, axis_index("repeat_interleave", dim, input.ndim))
    counts = repeats._value() if isinstance(repeats, Tensor) else repeats
    places = np.repeat(np.arange(x.shape[axis]), counts)
    return x.index_select(axis, from_array(places))


# --------------------------------------------------------------------------- parts
def _part(input: Tensor, axis: int, start: int, stop: int, step: int = 1) -> Tensor:
    bounds = [(0, n, 1) for n in input.shape]
    bounds[axis] = (start, stop, step)
    return input._view(mv.slice_, bounds=tuple(bounds))


@method()
@composite("SliceBackward0")
def narrow(input: Tensor, dim: int, start, length: int) -> Tensor:
    """The elements start .. start + length along one axis."""
    axis = axis_of("narrow", dim, input.shape)
    n = input.shape[axis]
    start = int(start)
    first = start + n if start < 0 else start
    if not (0 <= first and first + length <= n and length >= 0):
        raise ShapeError(
            f"narrow requires start and length within {n}, got start {start}, length {length} "
            "(start + length exceeds dimension size)"
        )
    return _part(input, axis, first, first + int(length))


@method()
@composite("SelectBackward0")
def select(input: Tensor, dim: int, index: int) -> Tensor:
    """One place along an axis, which vanishes."""
    axis = axis_of("select", dim, input.shape, OutOfRange)
    n, index = input.shape[axis], int(index)
    if not -n <= index < n:
        raise OutOfRange(
            f"select requires an index in [{-n}, {n - 1}], got {index} (index {index} is out of "
            f"bounds for dimension {axis} with size {n})"
        )
    place = index % n
    part = _part(input, axis, place, place + 1)
    shape = tuple(input.shape)
    return part._view(mv.reshape, shape=shape[:axis] + shape[axis + 1 :])


@method()
@composite("SplitBackward0")
def split(tensor: Tensor, split_size_or_sections, dim: int = 0) -> tuple[Tensor, ...]:
    """Parts of `split_size` along an axis (the last may be smaller), or of the given sizes."""
    axis = axis_of("split", dim, tensor.shape)
    n = tensor.shape[axis]
    if isinstance(split_size_or_sections, int):
        step = split_size_or_sections
        if step <= 0:
            raise ArgumentError(f"split requires a size > 0, got {step}")
        sizes = [min(step, n - i) for i in range(0, n, step)] or [0]
    else:
        sizes = [int(s) for s in split_size_or_sections]
        if sum(sizes) != n:
            raise ShapeError(
                f"split requires sizes that sum to {n}, got {sizes} (split_with_sizes expects "
                "split_sizes to sum exactly to the dimension)"
            )
    ends = list(accumulate(sizes))
    return tuple(_part(tensor, axis, end - s, end) for s, end in zip(sizes, ends))


Tensor.split_with_sizes = split  # type: ignore[attr-defined]


@method()
def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most `chunks` parts of equal size (the last may be smaller)."""
    if chunks <= 0:
        raise ArgumentError(f"chunk requires chunks > 0, got {chunks}")
    n = input.shape[axis_of("chunk", dim, input.shape)]
    return split(input, max(-(-n // chunks), 1), dim)


@method()
def tensor_split(input: Tensor, indices_or_sections, dim: int = 0) -> tuple[Tensor, ...]:
    """Parts whose sizes differ by at most one, or cut at the given places."""
    axis = axis_of("tensor_split", dim, input.shape)
    n = input.shape[axis]
    if isinstance(indices_or_sections, int):
        k = indices_or_sections
        sizes = [n // k + (i < n % k) for i in range(k)]
        cuts = list(accumulate(sizes))[:-1]
    else:
        cuts = [min(int(i), n) for i in indices_or_sections]
    edges = [0, *cuts, n]
    return tuple(_part(input, axis, a, max(a, b)) for a, b in zip(edges, edges[1:]))


def hsplit(input: Tensor, indices_or_sections) -> tuple[Tensor, ...]:
    """Split along the columns."""
    return tensor_split(input, indices_or_sections, 0 if input.ndim == 1 else 1)


def vsplit(input: Tensor, indices_or_sections) -> tuple[Tensor, ...]:
    """Split along the rows."""
    return tensor_split(input, indices_or_sections, 0)


@method()
@composite("UnbindBackward0")
def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """All places along an axis, one tensor each."""
    axis = axis_of("unbind", dim, input.shape, OutOfRange)
    return tuple(select(input, axis, i) for i in range(input.shape[axis]))


def _iterate(self: Tensor):
    if not self.ndim:
        raise ArgumentTypeError("iteration requires at least one axis, got a 0-d tensor "
                                "(iteration over a 0-d tensor)")
    return iter(unbind(self))


Tensor.__iter__ = _iterate  # type: ignore[attr-defined]


@method()
@composite("DiagonalBackward0")
def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """The diagonal of the two axes, as the last axis: a view."""
    a, b = (axis_index("diagonal", d, input.ndim) for d in (dim1, dim2))
    rows, cols = input.shape[a], input.shape[b]
    count = max(0, min(rows + min(offset, 0), cols - max(offset, 0)))
    # On the flattened matrix the diagonal is every (cols + 1)-th element.
    x = movedim(input, (a, b), (-2, -1))
    flat = x._view(mv.reshape, shape=(*x.shape[:-2], rows * cols))
    first = max(offset, 0) - min(offset, 0) * cols
    last = first + max(count - 1, 0) * (cols + 1) + 1
    return _part(flat, flat.ndim - 1, first, last if count else first, cols + 1)


@method()
def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """The diagonal of a matrix, or the matrix with this diagonal."""
    if input.ndim == 2:
        return globals()["diagonal"](input, diagonal)
    return diag_embed(input, diagonal)


@method()
@composite("DiagEmbedBackward0")
def diag_embed(input: Tensor, offset: int = 0) -> Tensor:
    """Matrices with the last axis on their diagonal."""
    n = input.shape[-1] + abs(offset)
    i = np.arange(input.shape[-1])
    mask = np.zeros((n, n), bool)
    mask[i - min(offset, 0), i + max(offset, 0)] = True
    padded = mv.pad(input.node, widths=((0, 0, 0),) * (input.ndim - 1) + (
        (max(offset, 0), -min(offset, 0), 0),))
    wide = mv.reshape(padded, shape=(*input.shape[:-1], 1, n))
    return Tensor._from_node(logic.where(from_array(mask).node, wide, 0.0 if
                                      input.dtype.is_floating_point else 0))


# --------------------------------------------------------------------------- joining
def _joined_dtype(tensors: Sequence[Tensor], name: str) -> list[Any]:
    if not isinstance(tensors, (tuple, list)):
        tensors = list(tensors)
    for x in tensors:
        if not isinstance(x, Tensor):
            raise ArgumentTypeError(f"{name} requires Tensors, got {type(x).__name__}")
    if not tensors:
        raise ShapeError(f"{name} requires at least one Tensor, got none (expected a non-empty "
                         "list of Tensors)")
    dtype = tensors[0].dtype
    for x in tensors[1:]:
        dtype = promote(dtype, x.dtype)
    return [x.node if x.dtype is dtype else ew.cast(x.node, dtype=dtype) for x in tensors]


@composite("CatBackward0")
def cat(tensors: Sequence[Tensor], dim: int = 0, *, axis=None, out=None) -> Tensor:
    """The tensors one behind the other along an axis."""
    nodes = _joined_dtype(tensors, "cat")
    # PyTorch lets empty 1-d tensors stand next to anything.
    full = [n for n in nodes if n.shape != (0,)] or nodes[:1]
    rank = full[0].ndim
    if rank == 0:
        raise ShapeError("cat requires tensors with at least one axis, got a 0-d tensor "
                         "(zero-dimensional tensor cannot be concatenated)",
                         hint="use torch.stack")
    place = axis_index("cat", dim if axis is None else axis, rank)
    for n in full[1:]:
        if n.ndim != rank or any(
            a != b for i, (a, b) in enumerate(zip(n.shape, full[0].shape)) if i != place
        ):
            raise ShapeError(
                f"cat requires equal lengths except along dim {place}, got "
                f"{full[0].shape} and {n.shape} (Sizes of tensors must match except in dimension "
                f"{place})"
            )
    result = Tensor._from_node(mv.cat(*full, axis=place))
    return result if out is None else out._inplace(result)


concat = concatenate = cat


@composite("StackBackward0")
def stack(tensors: Sequence[Tensor], dim: int = 0, *, out=None) -> Tensor:
    """The tensors along a new axis."""
    nodes = _joined_dtype(tensors, "stack")
    shape = nodes[0].shape
    for n in nodes[1:]:
        if n.shape != shape:
            raise ShapeError(
                f"stack requires equal shapes, got {shape} and {n.shape} (stack expects each "
                "tensor to be equal size)"
            )
    axis = axis_index("stack", dim, len(shape) + 1)
    new = shape[:axis] + (1,) + shape[axis:]
    return Tensor._from_node(mv.cat(*[mv.reshape(n, shape=new) for n in nodes], axis=axis))


def atleast_1d(*tensors):
    """Views with at least one axis."""
    return _atleast(tensors, lambda x: reshape(x, 1) if not x.ndim else x)


def atleast_2d(*tensors):
    """Views with at least two axes."""
    return _atleast(tensors, lambda x: reshape(x, 1, -1) if x.ndim < 2 else x)


def atleast_3d(*tensors):
    """Views with at least three axes."""
    return _atleast(
        tensors,
        lambda x: x if x.ndim > 2 else unsqueeze(x, -1) if x.ndim == 2 else reshape(x, 1, -1, 1),
    )


def _atleast(tensors, widen):
    if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)):
        return tuple(map(widen, tensors[0]))
    return widen(tensors[0]) if len(tensors) == 1 else tuple(map(widen, tensors))


def hstack(tensors) -> Tensor:
    """Side by side: along the columns."""
    tensors = atleast_1d(list(tensors))
    return cat(tensors, 0 if tensors[0].ndim == 1 else 1)


def vstack(tensors) -> Tensor:
    """Below one another: along the rows."""
    return cat(atleast_2d(list(tensors)), 0)


row_stack = vstack


def dstack(tensors) -> Tensor:
    """Behind one another: along the third axis."""
    return cat(atleast_3d(list(tensors)), 2)


def column_stack(tensors) -> Tensor:
    """Vectors as columns next to each other."""
    return hstack([x if x.ndim > 1 else reshape(x, -1, 1) for x in tensors])


def meshgrid(*tensors, indexing: str = "ij") -> tuple[Tensor, ...]:
    """Coordinates of the grid that the vectors span."""
    if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)):
        tensors = tuple(tensors[0])
    if indexing not in ("ij", "xy"):
        raise ArgumentError(f"meshgrid requires indexing 'ij' or 'xy', got {indexing!r}")
    flip_ = indexing == "xy" and len(tensors) > 1
    if flip_:
        tensors = (tensors[1], tensors[0], *tensors[2:])
    shape = tuple(numel(x) for x in tensors)
    grids = [
        expand(reshape(x, *(-1 if i == k else 1 for i in range(len(shape)))), *shape)
        for k, x in enumerate(tensors)
    ]
    if flip_:
        grids[0], grids[1] = grids[1], grids[0]
    return tuple(grids)


def cartesian_prod(*tensors) -> Tensor:
    """All combinations of one element from each vector, one a row."""
    if len(tensors) == 1:
        return tensors[0]
    return stack([reshape(g, -1) for g in meshgrid(*tensors)], 1)


def combinations(input: Tensor, r: int = 2) -> Tensor:
    """All combinations of r elements."""
    places = np.array(list(_combinations(range(numel(input)), r)), np.int64).reshape(-1, r)
    return input[from_array(places)]


def block_diag(*tensors) -> Tensor:
    """Matrices along the diagonal of one matrix."""
    blocks = [atleast_2d(x) for x in tensors]
    columns = sum(b.shape[1] for b in blocks)
    rows, left = [], 0
    for b in blocks:
        right = columns - left - b.shape[1]
        rows.append(Tensor._from_node(mv.pad(b.node, widths=((0, 0, 0), (left, right, 0)))))
        left += b.shape[1]
    return cat(rows, 0)


# --------------------------------------------------------------------------- reordering
@method()
def flip(input: Tensor, *dims) -> Tensor:
    """The elements along these axes in reverse order (a copy)."""
    if len(dims) == 1 and isinstance(dims[0], (tuple, list)):
        dims = tuple(dims[0])
    axes = tuple(sorted(axis_index("flip", d, input.ndim) for d in dims))
    reorders = axes and input.ndim
    return Tensor._from_node(mv.flip(input.node, axes=axes) if reorders else ew.clone(input.node))


@method()
def fliplr(input: Tensor) -> Tensor:
    """The columns in reverse order."""
    return flip(input, 1)


@method()
def flipud(input: Tensor) -> Tensor:
    """The rows in reverse order."""
    return flip(input, 0)


@method()
@composite("RollBackward0")
def roll(input: Tensor, shifts, dims=None) -> Tensor:
    """The elements moved along axes; what leaves at one end enters at the other."""
    if dims is None:
        return reshape(roll(reshape(input, -1), shifts, 0), tuple(input.shape))
    shifts = (shifts,) if isinstance(shifts, int) else shifts
    dims = (dims,) if isinstance(dims, int) else dims
    x = input
    for shift, dim_ in zip(shifts, dims):
        axis = axis_of("roll", dim_, input.shape, OutOfRange)
        n = input.shape[axis]
        cut = (-shift) % n if n else 0
        if cut:
            x = cat([narrow(x, axis, cut, n - cut), narrow(x, axis, 0, cut)], axis)
    return x if x is not input else input.clone()


@method()
def rot90(input: Tensor, k: int = 1, dims=(0, 1)) -> Tensor:
    """Turned by k quarter turns in the plane of two axes."""
    a, b = dims
    turns = k % 4
    if turns == 0:
        return input.clone()
    if turns == 2:
        return flip(input, a, b)
    return transpose(flip(input, b), a, b) if turns == 1 else flip(transpose(input, a, b), b)


def _triangle(keep, name: str, formula: str):
    def function(input: Tensor, diagonal: int = 0, *, out=None) -> Tensor:
        if input.ndim < 2:
            raise ShapeError(f"{name} requires at least 2 axes, got {tuple(input.shape)}")
        mask = keep(np.ones(tuple(input.shape[-2:]), bool), diagonal)
        zero = 0.0 if input.dtype.is_floating_point else 0
        node = input.node
        if node.dtype.name == "bool":
            return Tensor._from_node(logic.logical_and(node, from_array(mask).node))
        return Tensor._from_node(logic.where(from_array(mask).node, node, zero))

    function.__name__ = name
    function.__doc__ = formula
    return method(inplace=True)(composite(f"{name.capitalize()}Backward0")(function))


tril = _triangle(np.tril, "tril", "The elements on and below a diagonal; zeros above.")
triu = _triangle(np.triu, "triu", "The elements on and above a diagonal; zeros below.")


def _indices(function, name: str):
    def indices(row: int, col: int, offset: int = 0, *, dtype=None, device=None) -> Tensor:
        return from_array(np.stack(function(row, offset, col)).astype(np.int64))

    indices.__name__ = name
    indices.__doc__ = "The (row, column) indices of a triangle, as two rows."
    return indices


tril_indices = _indices(np.tril_indices, "tril_indices")
triu_indices = _indices(np.triu_indices, "triu_indices")


def unravel_index(indices: Tensor, shape) -> tuple[Tensor, ...]:
    """Flat indices as one index per axis."""
    found = np.unravel_index(indices._value(), tuple(shape))
    return tuple(from_array(np.asarray(i)) for i in found)


@composite("ConstantPadNdBackward0")
def constant_pad(input: Tensor, widths: Sequence[tuple[int, int]], value=0.0) -> Tensor:
    """`value` before and behind each axis; negative widths cut."""
    cut = tuple((max(-lo, 0), n - max(-hi, 0), 1) for n, (lo, hi) in zip(input.shape, widths))
    x = input.node
    if any(b != (0, n, 1) for b, n in zip(cut, input.shape)):
        x = mv.slice_(x, bounds=cut)
    grow = tuple((max(lo, 0), max(hi, 0), 0) for lo, hi in widths)
    if not any(lo or hi for lo, hi, _ in grow):
        return Tensor._from_node(x)
    padded = mv.pad(x, widths=grow)
    if value == 0:
        return Tensor._from_node(padded)
    inside = mv.pad(ew.cast(ew.fill(x, value=1), dtype=bool_), widths=grow)
    return Tensor._from_node(logic.where(inside, padded, value))



@method()
def unfold(self: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """All windows of `size` elements along an axis, as a new last axis (a copy)."""
    axis = axis_of("unfold", dimension, self.shape)
    x = movedim(self, axis, -1)
    node = mv.window(x.node, size=(size,), stride=(step,), dilation=(1,))
    return movedim(Tensor._from_node(node), -2, axis)


@method()
def squeeze_(self: Tensor, dim=None) -> Tensor:
    """`squeeze`, and bind this handle to it."""
    return _rebound(self, squeeze(self, dim))


@method()
def unsqueeze_(self: Tensor, dim: int) -> Tensor:
    """`unsqueeze`, and bind this handle to it."""
    return _rebound(self, unsqueeze(self, dim))


@method()
def t_(self: Tensor) -> Tensor:
    """`t`, and bind this handle to it."""
    return _rebound(self, t(self))


@method()
def transpose_(self: Tensor, dim0: int, dim1: int) -> Tensor:
    """`transpose`, and bind this handle to it."""
    return _rebound(self, transpose(self, dim0, dim1))


@method()
def resize_(self: Tensor, *sizes, memory_format=None) -> Tensor:
    """Another shape; elements are kept in order, new ones are zero."""
    shape = shape_of("resize_", sizes)
    flat = np.zeros(size(shape), self.dtype.np)
    old = self._value().reshape(-1)[: flat.size]
    flat[: old.size] = old
    return _rebound(self, from_array(flat.reshape(shape)))


def _rebound(self: Tensor, other: Tensor) -> Tensor:
    self._node = other.node
    self._base = None
    return self
