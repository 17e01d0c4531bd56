"""The shape of a tensor, and views that look at the same elements under another one."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np

from ..errors import ArgumentTypeError, ShapeError
from ..handle import strides_of
from ..ops import movement as mv
from ..scope import composite
from ..shapes import Size, axis_index, axis_of, size, view_strides
from ..shapes import broadcast as common_shape
from ..tensor import Tensor, from_array
from .create import shape_of
from .register import method, spread

__all__ = [
    "adjoint", "broadcast_shapes", "broadcast_tensors", "broadcast_to", "expand_copy", "flatten",
    "moveaxis", "movedim", "numel", "permute", "ravel", "reshape", "squeeze", "swapaxes",
    "swapdims", "t", "tile", "transpose", "unflatten", "unsqueeze", "view_as",
]


@method("nelement")
def numel(input: Tensor) -> int:
    """The number of elements.

    >>> import chainrule as torch
    >>> torch.zeros(2, 3).numel()
    6
    """
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


def _nbytes(self: Tensor) -> int:
    return numel(self) * self.dtype.itemsize


# --------------------------------------------------------------------------- reshaping
def _resolved(name: str, shape: tuple, total: int) -> tuple[int, ...]:
    """The shape with its one -1 filled in."""
    shape = spread(shape)
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
    """The same elements in row-major order under another shape: a view where one exists.

    One length may be -1: it follows from the others.  Raises RuntimeError where the number of
    elements would change.

    >>> import chainrule as torch
    >>> torch.arange(6).reshape(2, -1)
    tensor([[0, 1, 2],
            [3, 4, 5]])
    """
    new = _resolved("reshape", shape, numel(input))
    if input._base is not None and view_strides(input.shape, strides_of(input), new) is None:
        return Tensor._from_node(mv.reshape(input.node, shape=new))
    return input._view(mv.reshape, shape=new)


@method()
@composite("ViewBackward0")
def view(self: Tensor, *shape) -> Tensor:
    """A view under another shape, or the same bytes as another dtype of the same size.

    Raises RuntimeError where only a copy has that shape; `reshape` copies then.

    >>> import chainrule as torch
    >>> x = torch.zeros(4)
    >>> x.view(2, 2)[0, 1] = 1; x
    tensor([0., 1., 0., 0.])
    """
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
    """Merge the axes from start_dim to end_dim.

    >>> import chainrule as torch
    >>> torch.zeros(2, 3, 4).flatten(1).shape
    torch.Size([2, 12])
    """
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
    """Split one axis into several; one length may be -1.

    Raises RuntimeError where the lengths do not multiply to the axis's.
    """
    axis = axis_of("unflatten", dim, input.shape)
    shape = tuple(input.shape)
    inner = _resolved("unflatten", tuple(sizes), shape[axis])
    return reshape(input, shape[:axis] + inner + shape[axis + 1 :])


@method()
def squeeze(input: Tensor, dim=None) -> Tensor:
    """Remove axes of length 1: all, or those in `dim`; others stay.

    >>> import chainrule as torch
    >>> torch.zeros(1, 2, 1).squeeze(0).shape
    torch.Size([2, 1])
    """
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
    """Insert an axis of length 1 in front of axis `dim`.

    >>> import chainrule as torch
    >>> torch.zeros(2, 3).unsqueeze(1).shape
    torch.Size([2, 1, 3])
    """
    shape = input._node.spec.shape
    axis = axis_index("unsqueeze", dim, len(shape) + 1)
    return input._view(mv.reshape, shape=shape[:axis] + (1,) + shape[axis:])


# --------------------------------------------------------------------------- axes
def _permuted(input: Tensor, axes: tuple[int, ...]) -> Tensor:
    return input._view(mv.permute, axes=axes)


@method()
@composite("PermuteBackward0")
def permute(input: Tensor, *dims) -> Tensor:
    """The axes in another order: a view.

    Raises RuntimeError unless each axis is named once.

    >>> import chainrule as torch
    >>> torch.zeros(2, 3, 4).permute(2, 0, 1).shape
    torch.Size([4, 2, 3])
    """
    dims = spread(dims)
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
    """Exchange two axes: a view.

    >>> import chainrule as torch
    >>> torch.tensor([[1, 2], [3, 4]]).transpose(0, 1)
    tensor([[1, 3],
            [2, 4]])
    """
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
    """The transpose of a matrix: a view.  Raises RuntimeError for more than 2 axes."""
    if input.ndim > 2:
        raise ShapeError(f"t requires at most 2 axes, got shape {tuple(input.shape)}",
                         hint="use .mT for batches of matrices")
    return _permuted(input, tuple(range(input.ndim))[::-1])


@composite("PermuteBackward0")
def _reversed(self: Tensor) -> Tensor:
    return _permuted(self, tuple(range(self.ndim))[::-1])


@method()
def adjoint(input: Tensor) -> Tensor:
    """The transposes of a batch of matrices.  Raises RuntimeError for fewer than 2 axes."""
    if input.ndim < 2:
        raise ShapeError(f"mT requires at least 2 axes, got shape {tuple(input.shape)}")
    return transpose(input, -2, -1)


for _name, _fact in {
    "itemsize": element_size, "nbytes": _nbytes, "T": _reversed, "mT": adjoint, "H": adjoint,
    "mH": adjoint,
}.items():
    setattr(Tensor, _name, property(_fact))


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
    """A view in which axes of length 1 are stretched; -1 keeps a length, new axes come first.

    Raises RuntimeError where a longer axis would change.  Writing to the view is refused.

    >>> import chainrule as torch
    >>> torch.tensor([[1], [2]]).expand(2, 3)
    tensor([[1, 1, 1],
            [2, 2, 2]])
    """
    sizes = spread(sizes)
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
    """All tensors as views of their common shape; raises RuntimeError where there is none."""
    tensors = spread(tensors)
    shape = common_shape("broadcast_tensors", *(tuple(x.shape) for x in tensors))
    return [expand(x, *shape) for x in tensors]


def broadcast_shapes(*shapes) -> Size:
    """The common shape: axes are aligned at the end and a 1 stretches."""
    plain = [(s,) if isinstance(s, int) else tuple(s) for s in shapes]
    return Size(common_shape("broadcast_shapes", *plain))


@method()
@composite("RepeatBackward0")
def repeat(self: Tensor, *repeats) -> Tensor:
    """Copies of the tensor side by side: `repeats` times along each axis.

    More numbers than axes add axes in front; raises RuntimeError for fewer.

    >>> import chainrule as torch
    >>> torch.tensor([1, 2]).repeat(2, 2)
    tensor([[1, 2, 1, 2],
            [1, 2, 1, 2]])
    """
    repeats = spread(repeats)
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
    dims = spread(dims)
    return repeat(input, *((1,) * (input.ndim - len(dims)) + tuple(dims)))


# --------------------------------------------------------------------------- in place
@method()
def resize_(self: Tensor, *sizes, memory_format=None) -> Tensor:
    """Another shape; elements are kept in order, new ones are zero.  Unlike in PyTorch, views of
    this tensor keep the old values.
    """
    shape = shape_of("resize_", sizes)
    flat = np.zeros(size(shape), self.dtype.np)
    old = self._value().reshape(-1)[: flat.size]
    flat[: old.size] = old
    return _rebound(self, from_array(flat.reshape(shape)))


def _rebound(self: Tensor, other: Tensor) -> Tensor:
    self._node = other.node
    self._base = None
    return self


def _rebinding(view: Callable) -> Callable:
    """The in-place form of a view: this handle becomes the view."""

    @functools.wraps(view)
    def inplace(self: Tensor, *args, **kwargs) -> Tensor:
        return _rebound(self, view(self, *args, **kwargs))

    return inplace


for _view in (squeeze, unsqueeze, t, transpose):
    setattr(Tensor, f"{_view.__name__}_", _rebinding(_view))
for _alias in ("swapaxes_", "swapdims_"):
    setattr(Tensor, _alias, _rebinding(transpose))
