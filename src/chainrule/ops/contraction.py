"""The one contraction: sums of products over shared labels, which matmul, convolution and einsum
all become."""

from __future__ import annotations

from functools import cache
from math import prod

import numpy as np

from ..errors import ShapeError
from ..graph import Node
from ..shapes import Spec, spec
from .op import Op, normal, register

Labels = tuple[int, ...]


def _infer(x: Node, y: Node, *, labels: tuple[Labels, Labels, Labels]):
    return _result(x.spec, y.spec, labels)


@cache  # a training step contracts the same few shapes again and again
def _result(x: Spec, y: Spec, labels: tuple[Labels, Labels, Labels]) -> Spec:
    xl, yl, ol = labels
    size = dict(zip(xl, x.shape))
    for label, n in zip(yl, y.shape):
        if size.setdefault(label, n) != n:
            raise ShapeError(
                f"contract requires equal lengths of shared axes, got {x.shape} and {y.shape}"
            )
    return spec(tuple([size[label] for label in ol]), x.dtype)


def _wide(x: np.ndarray) -> np.ndarray:
    """Half precision is multiplied and summed in float32, as design.md promises."""
    return x.astype(np.float32) if x.dtype.itemsize < 4 and x.dtype.kind in "fV" else x


def _contract(x, y, labels):
    """One matrix product per element of the batch labels: (b, m, k) @ (b, k, n)."""
    xl, yl, ol = labels
    batch = [a for a in ol if a in xl and a in yl]
    inner = [a for a in xl if a in yl and a not in ol]
    rows = [a for a in ol if a in xl and a not in yl]
    columns = [a for a in ol if a in yl and a not in xl]
    size = dict(zip(xl, x.shape)) | dict(zip(yl, y.shape))

    def extent(part):
        return prod(size[a] for a in part)

    lead = (extent(batch),) if batch else ()
    a = _wide(x).transpose([xl.index(i) for i in batch + rows + inner])
    b = _wide(y).transpose([yl.index(i) for i in batch + inner + columns])
    a = a.reshape(lead + (extent(rows), extent(inner)))
    b = b.reshape(lead + (extent(inner), extent(columns)))
    order = batch + rows + columns
    out = _matmul(a, b).astype(x.dtype, copy=False).reshape([size[i] for i in order])
    return out.transpose([order.index(i) for i in ol])


def _matmul(a, b):
    if a.ndim == 3 and a.shape[-1] == 1:
        return a * b  # an outer product per batch element
    return np.matmul(a, b)


def _vjp(ct, out, x, y, *, labels):
    xl, yl, ol = labels
    return (
        contract(ct, y, labels=(ol, yl, xl)),
        contract(x, ct, labels=(xl, ol, yl)),
    )


def _batch(flags, x, y, *, labels):
    xl, yl, ol = labels
    new = max(xl + yl, default=0) + 1
    xl = (new, *xl) if flags[0] else xl
    yl = (new, *yl) if flags[1] else yl
    return contract(x, y, labels=(xl, yl, (new, *ol)))


# out[o] = sum over labels not in o of x[xl] * y[yl].  No label occurs twice in one operand, and
# each label of an operand occurs in the other one or in the output, so that every cotangent is a
# contraction again.
contract = register(
    Op(
        "contract",
        "contraction",
        _infer,
        _contract,
        _vjp,
        None,
        _batch,
        normal((2, 3, 4), (2, 4, 5), labels=((0, 1, 2), (0, 2, 3), (0, 1, 3))),
    )
)
