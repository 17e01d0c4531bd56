"""Parts of a tensor along one axis: views."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

from ..errors import ArgumentError, ArgumentTypeError, OutOfRange, ShapeError
from ..ops import movement as mv
from ..scope import composite
from ..shapes import axis_of
from ..tensor import Tensor
from .register import method
from .shape import movedim

__all__ = [
    "chunk", "hsplit", "narrow", "select", "split", "tensor_split", "unbind", "vsplit",
]


def part(input: Tensor, axis: int, start: int, stop: int, step: int = 1) -> Tensor:
    """The elements start, start + step, ... below stop along one axis: a view."""
    bounds = [(0, n, 1) for n in input.shape]
    bounds[axis] = (start, stop, step)
    return input._view(mv.slice_, bounds=tuple(bounds))


def place_of(name: str, index: int, n: int, axis: int) -> int:
    """`index` counted from the front of an axis of length n; raises OutOfRange outside of it."""
    if not -n <= index < n:
        raise OutOfRange(
            f"{name} requires an index in [{-n}, {n - 1}], got {index} (index {index} is out of "
            f"bounds for dimension {axis} with size {n})"
        )
    return index % n


@method()
@composite("SliceBackward0")
def narrow(input: Tensor, dim: int, start, length: int) -> Tensor:
    """The elements start .. start + length along one axis: a view.

    Raises RuntimeError where they are not within the axis.

    >>> import chainrule as torch
    >>> torch.arange(5).narrow(0, 1, 3)
    tensor([1, 2, 3])
    """
    axis = axis_of("narrow", dim, input.shape)
    n = input.shape[axis]
    start = int(start)
    first = start + n if start < 0 else start
    if not (0 <= first and first + length <= n and length >= 0):
        raise ShapeError(
            f"narrow requires start and length within {n}, got start {start}, length {length} "
            "(start + length exceeds dimension size)"
        )
    return part(input, axis, first, first + int(length))


@method()
@composite("SelectBackward0")
def select(input: Tensor, dim: int, index: int) -> Tensor:
    """One place along an axis, which vanishes: a view.  Raises IndexError outside of the axis."""
    axis = axis_of("select", dim, input.shape, OutOfRange)
    place = place_of("select", int(index), input.shape[axis], axis)
    rest = (*input.shape[:axis], *input.shape[axis + 1 :])
    return part(input, axis, place, place + 1)._view(mv.reshape, shape=rest)


@method("split_with_sizes")
@composite("SplitBackward0")
def split(tensor: Tensor, split_size_or_sections, dim: int = 0) -> tuple[Tensor, ...]:
    """Parts of `split_size` along an axis (the last may be smaller), or of the given sizes: views.

    Raises RuntimeError where the sizes do not sum to the axis's length.

    >>> import chainrule as torch
    >>> [p.tolist() for p in torch.arange(5).split(2)]
    [[0, 1], [2, 3], [4]]
    """
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
    return tuple(part(tensor, axis, end - s, end) for s, end in zip(sizes, ends))


@method()
def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most `chunks` parts of equal size (the last may be smaller): views.

    >>> import chainrule as torch
    >>> [p.tolist() for p in torch.arange(5).chunk(2)]
    [[0, 1, 2], [3, 4]]
    """
    if chunks <= 0:
        raise ArgumentError(f"chunk requires chunks > 0, got {chunks}")
    n = input.shape[axis_of("chunk", dim, input.shape)]
    if not n:
        return split(input, [0] * chunks, dim)
    return split(input, max(-(-n // chunks), 1), dim)


@method()
def tensor_split(input: Tensor, indices_or_sections, dim: int = 0) -> tuple[Tensor, ...]:
    """Parts whose sizes differ by at most one, or cut at the given places: views."""
    axis = axis_of("tensor_split", dim, input.shape)
    n = input.shape[axis]
    if isinstance(indices_or_sections, int):
        k = indices_or_sections
        sizes = [n // k + (i < n % k) for i in range(k)]
        cuts = list(accumulate(sizes))[:-1]
    else:
        cuts = [min(int(i), n) for i in indices_or_sections]
    edges = [0, *cuts, n]
    return tuple(part(input, axis, a, max(a, b)) for a, b in zip(edges, edges[1:]))


def hsplit(input: Tensor, indices_or_sections) -> tuple[Tensor, ...]:
    """Split along the columns."""
    return tensor_split(input, indices_or_sections, 0 if input.ndim == 1 else 1)


def vsplit(input: Tensor, indices_or_sections) -> tuple[Tensor, ...]:
    """Split along the rows."""
    return tensor_split(input, indices_or_sections, 0)


@method()
@composite("UnbindBackward0")
def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """All places along an axis, one view each.

    >>> import chainrule as torch
    >>> torch.tensor([[1, 2], [3, 4]]).unbind(1)
    (tensor([1, 3]), tensor([2, 4]))
    """
    axis = axis_of("unbind", dim, input.shape, OutOfRange)
    return tuple(select(input, axis, i) for i in range(input.shape[axis]))


@method(name="__iter__")
def _iterate(self: Tensor) -> Iterator[Tensor]:
    if not self.ndim:
        raise ArgumentTypeError("iteration requires at least one axis, got a 0-d tensor "
                                "(iteration over a 0-d tensor)")
    return iter(unbind(self))


@method()
def unfold(self: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """All windows of `size` elements along an axis, as a new last axis: a copy.

    PyTorch's is a view; writing to this one changes nothing else.

    >>> import chainrule as torch
    >>> torch.arange(4).unfold(0, 2, 1)
    tensor([[0, 1],
            [1, 2],
            [2, 3]])
    """
    axis = axis_of("unfold", dimension, self.shape)
    x = movedim(self, axis, -1)
    node = mv.window(x.node, size=(size,), stride=(step,), dilation=(1,))
    return movedim(Tensor._from_node(node), -2, axis)
