"""Shapes: what a node knows about its value before it is computed."""

from __future__ import annotations

from math import prod

from .dtypes import dtype
from .errors import OutOfRange, ShapeError

Shape = tuple[int, ...]


class Spec:
    """The shape and dtype of a node.  `spec()` gives one object per pair, so `is` compares."""

    __slots__ = ("shape", "dtype")

    def __init__(self, shape: Shape, dtype: dtype):
        self.shape, self.dtype = shape, dtype

    def __repr__(self) -> str:
        return f"{self.dtype.name}[{','.join(map(str, self.shape))}]"


_specs: dict[tuple[Shape, dtype], Spec] = {}


def spec(shape: Shape, dtype: dtype) -> Spec:
    """The one Spec of this shape and dtype."""
    key = (shape, dtype)
    found = _specs.get(key)
    if found is None:
        found = _specs.setdefault(key, Spec(shape, dtype))
    return found


def size(shape: Shape) -> int:
    """The number of elements."""
    return prod(shape)


def broadcast(name: str, *shapes: Shape) -> Shape:
    """The common shape: axes are aligned at the end and a 1 stretches.

    >>> broadcast("add", (5, 1, 3), (4, 3))
    (5, 4, 3)
    """
    rank = max(map(len, shapes), default=0)
    result = [1] * rank
    for shape in shapes:
        for axis, n in enumerate(shape, rank - len(shape)):
            if n != result[axis]:
                if result[axis] != 1 and n != 1:
                    raise ShapeError(
                        f"{name} requires shapes that broadcast together, got "
                        f"{' and '.join(map(str, shapes))}",
                        hint=f"axis {axis - rank} has the sizes {result[axis]} and {n}; one of "
                        "them must be 1, or both equal",
                    )
                result[axis] = n if result[axis] == 1 else result[axis]
    return tuple(result)


def axis_index(name: str, axis: int, rank: int) -> int:
    """`axis` counted from the front; raises OutOfRange outside of [-rank, rank)."""
    bound = rank or 1
    if not -bound <= axis < bound:
        raise OutOfRange(
            f"{name} requires dim in [{-bound}, {bound - 1}], got {axis} (Dimension out of range)"
        )
    return axis + bound if axis < 0 else axis


def axis_of(name: str, axis: int, shape: Shape, error: type = ShapeError) -> int:
    """Like `axis_index`, for an op that cannot do without an axis; raises `error` for no axes."""
    if not shape:
        raise error(f"{name} requires at least one axis, got a 0-d tensor")
    return axis_index(name, axis, len(shape))


def axis_indices(name: str, axes, rank: int) -> tuple[int, ...]:
    """Sorted distinct axes counted from the front; None or () means all."""
    if axes is None or (isinstance(axes, (tuple, list)) and not axes):
        return tuple(range(rank))
    if isinstance(axes, int):
        axes = (axes,)
    found = sorted(axis_index(name, a, rank) for a in axes)
    if len(set(found)) != len(found):
        raise ShapeError(f"{name} requires distinct dims, got {tuple(axes)}")
    return tuple(found) if rank else ()


def contiguous_strides(shape: Shape) -> tuple[int, ...]:
    """Row-major strides in elements."""
    strides, step = [], 1
    for n in reversed(shape):
        strides.append(step)
        step *= max(n, 1)
    return tuple(reversed(strides))


class Size(tuple):
    """The shape of a tensor: a tuple that prints as PyTorch prints it.

    >>> Size((2, 3)), Size((2, 3)).numel()
    (torch.Size([2, 3]), 6)
    """

    __slots__ = ()

    def numel(self) -> int:
        """The number of elements."""
        return prod(self)

    def __getitem__(self, index):
        found = tuple.__getitem__(self, index)
        return Size(found) if isinstance(index, slice) else found

    def __add__(self, other):
        return Size(tuple.__add__(self, tuple(other)))

    def __mul__(self, times):
        return Size(tuple.__mul__(self, times))

    def __repr__(self) -> str:
        return f"torch.Size([{', '.join(map(str, self))}])"


def view_strides(shape: Shape, strides: Shape, new_shape: Shape) -> Shape | None:
    """The strides of a view with `new_shape`, or None where only a copy has that shape."""
    if 0 in shape:
        return contiguous_strides(new_shape)
    # Old axes that lie behind one another without a gap form one run of elements.
    runs: list[list[int]] = []  # [elements, step of the last axis]
    for n, step in zip(shape, strides):
        if n == 1:
            continue
        if runs and runs[-1][1] == n * step:
            runs[-1] = [runs[-1][0] * n, step]
        else:
            runs.append([n, step])
    found: list[int] = []
    left, step = 1, 1
    for n in reversed(new_shape):
        if left == 1 and n != 1:
            if not runs:
                return None
            left, step = runs.pop()
        if left % n:
            return None
        found.append(step)
        left //= n
        step *= n
    return tuple(reversed(found)) if left == 1 and not runs else None
