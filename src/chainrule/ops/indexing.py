"""Indexing ops: which element is read or written is itself a value of the graph."""

from __future__ import annotations

import numpy as np

from ..errors import OutOfRange
from ..graph import Node, leaf
from ..shapes import spec
from .elementwise import fill
from .movement import inverse, permute, stack_batch
from .op import Op, align, register, reshape


def check_range(name: str, index: np.ndarray, n: int, least: int = 0) -> None:
    """Raise OutOfRange unless every index lies in [least, n)."""
    if index.size:
        low, high = int(index.min()), int(index.max())
        if low < least or high >= n:
            bad = high if high >= n else low
            raise OutOfRange(
                f"{name} requires an index in [{least}, {n - 1}], got {bad} (index {bad} is out "
                f"of bounds for dimension with size {n})"
            )


def _op(name, infer, eval, vjp, batch, sample) -> Op:
    return register(Op(name, "indexing", infer, eval, vjp, None, batch, sample))


def _like_x(x: Node, *others: Node, **attrs):
    return x.spec


# --------------------------------------------------------------------------- along one axis
def _gather(x, index, axis):
    check_range("gather", index, x.shape[axis])
    return np.take_along_axis(x, index, axis)


def _places(index, axis):
    grid = list(np.ogrid[tuple(slice(n) for n in index.shape)])
    grid[axis] = index
    return tuple(grid)


def _scatter(x, index, src, axis):
    check_range("scatter", index, x.shape[axis])
    out = x.copy()
    out[_places(index, axis)] = src
    return out


def _scatter_add(x, index, src, axis):
    check_range("scatter_add", index, x.shape[axis])
    out = x.copy()
    np.add.at(out, _places(index, axis), src)
    return out


def _moved(op):
    def batch(flags, *inputs, axis):
        return op()(*stack_batch(flags, inputs), axis=axis + 1)

    return batch


gather: Op = _op(  # out[i, j] = x[index[i, j], j] for axis 0; all other lengths are equal
    "gather",
    lambda x, index, axis: spec(index.shape, x.dtype),
    _gather,
    lambda ct, out, x, index, axis: (
        scatter_add(fill(x, value=0.0), index, ct, axis=axis),
        None,
    ),
    _moved(lambda: gather),
    lambda rng: ((rng.standard_normal((3, 4)), rng.integers(0, 3, (2, 4))), {"axis": 0}),
)
scatter: Op = _op(  # x with x[index[i, j], j] = src[i, j]
    "scatter",
    _like_x,
    _scatter,
    lambda ct, out, x, index, src, axis: (
        scatter(ct, index, fill(src, value=0.0), axis=axis),
        None,
        gather(ct, index, axis=axis),
    ),
    _moved(lambda: scatter),
    lambda rng: (
        (
            rng.standard_normal((3, 4)),
            np.argsort(rng.random((3, 4)), 0)[:2],
            rng.standard_normal((2, 4)),
        ),
        {"axis": 0},
    ),
)
scatter_add: Op = _op(  # x with x[index[i, j], j] += src[i, j], repeated places add up
    "scatter_add",
    _like_x,
    _scatter_add,
    lambda ct, out, x, index, src, axis: (ct, None, gather(ct, index, axis=axis)),
    _moved(lambda: scatter_add),
    lambda rng: (
        (
            rng.standard_normal((3, 4)),
            rng.integers(0, 3, (2, 4)),
            rng.standard_normal((2, 4)),
        ),
        {"axis": 0},
    ),
)


# --------------------------------------------------------------------------- by index arrays
def _take_shape(x, *indices, axis):
    try:
        common = np.broadcast_shapes(*(i.shape for i in indices))
    except ValueError:
        raise OutOfRange(
            "indexing requires index shapes that broadcast together, got "
            + " and ".join(str(i.shape) for i in indices)
        ) from None
    return x.shape[:axis] + common + x.shape[axis + len(indices) :]


def _checked(x, indices, axis):
    for i, index in enumerate(indices):
        check_range("index", index, x.shape[axis + i], -x.shape[axis + i])
    return (slice(None),) * axis + tuple(indices)


def _take(x, *indices, axis):
    if len(indices) == 1 and axis == 0:
        check_range("index", indices[0], x.shape[0], -x.shape[0])
        return x.take(indices[0], 0)
    return x[_checked(x, indices, axis)]


def _put(x, v, *indices, axis, accumulate):
    out = x.copy()
    places = _checked(x, indices, axis)
    if not accumulate:
        out[places] = v
    elif len(indices) == 1 and axis == 0 and x.ndim > 1:
        _add_rows(out, indices[0].reshape(-1), v.reshape(indices[0].size, *x.shape[1:]))
    else:
        np.add.at(out, places, v)
    return out


def _add_rows(out, index, rows):
    """out[index[i]] += rows[i]: rows of one index lie together after sorting, so one reduceat
    sums each group."""
    if not index.size:
        return
    index = index % out.shape[0]
    order = np.argsort(index, kind="stable")
    ordered = index[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    out[ordered[starts]] += np.add.reduceat(rows[order], starts, axis=0).astype(
        out.dtype, copy=False
    )


def _fronted(rank: int, axis: int, count: int) -> tuple[int, ...]:
    """The axes of a batched array, with `count` of them from `axis` on right behind the batch."""
    moved = tuple(range(axis + 1, axis + 1 + count))
    return (0, *moved, *range(1, axis + 1), *range(axis + 1 + count, rank))


def _batch_indices(indices: list[Node]) -> list[Node]:
    """Index arrays for a leading batch axis too: 0..B-1 is the index along that axis."""
    n, rank = indices[0].shape[0], max(i.ndim for i in indices) - 1
    own = reshape(leaf(np.arange(n)), shape=(n,) + (1,) * rank)
    return [own, *[align(i, rank) for i in indices]]


def _take_batch(flags, x, *indices, axis):
    if not any(flags[1:]):
        return take(x, *indices, axis=axis + 1)
    x, *rest = stack_batch(flags, (x, *indices))
    own, *rest = _batch_indices(rest)
    front = permute(x, axes=_fronted(x.ndim, axis, len(rest)))
    out = take(front, own, *rest, axis=0)
    return permute(out, axes=inverse(_fronted(out.ndim, axis, rest[0].ndim - 1)))


def _put_batch(flags, x, v, *indices, axis, accumulate):
    if not any(flags[2:]):
        x, v = stack_batch(flags[:2], (x, v))
        return put(x, v, *indices, axis=axis + 1, accumulate=accumulate)
    x, v, *rest = stack_batch(flags, (x, v, *indices))
    own, *rest = _batch_indices(rest)
    axes = _fronted(x.ndim, axis, len(rest))
    v = permute(v, axes=_fronted(v.ndim, axis, rest[0].ndim - 1))
    out = put(permute(x, axes=axes), v, own, *rest, axis=0, accumulate=accumulate)
    return permute(out, axes=inverse(axes))


take = _op(  # x[:, ..., i0, i1, ...]: index arrays on neighbouring axes from `axis` on
    "take",
    lambda x, *indices, axis: spec(_take_shape(x, *indices, axis=axis), x.dtype),
    _take,
    lambda ct, out, x, *indices, axis: (
        put(fill(x, value=0.0), ct, *indices, axis=axis, accumulate=True),
        *(None,) * len(indices),
    ),
    _take_batch,
    lambda rng: (
        (rng.standard_normal((3, 4, 2)), rng.integers(0, 3, (5,)), rng.integers(0, 4, (2, 5))),
        {"axis": 0},
    ),
)


def _put_vjp(ct, out, x, v, *indices, axis, accumulate):
    kept = ct
    if not accumulate:
        kept = put(ct, fill(v, value=0.0), *indices, axis=axis, accumulate=False)
    return kept, take(ct, *indices, axis=axis), *(None,) * len(indices)


put: Op = _op(  # x with v written to (or added at) those places
    "put",
    _like_x,
    _put,
    _put_vjp,
    _put_batch,
    lambda rng: (
        (
            rng.standard_normal((4, 3, 2)),
            rng.standard_normal((5, 2)),
            rng.integers(0, 4, (5,)),
            rng.integers(0, 3, (5,)),
        ),
        {"axis": 0, "accumulate": True},
    ),
)
