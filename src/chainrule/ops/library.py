"""Ops that a well-kept library computes whole, in both tiers."""

from __future__ import annotations

import numpy as np

from .. import dtypes
from ..errors import DTypeError
from ..graph import Node
from ..shapes import spec
from .contraction import contract
from .movement import permute
from .op import Op, apart, nondifferentiable, register


def _argsort(x, axis, descending):
    if not descending:
        return np.argsort(x, axis=axis, kind="stable")
    # Sorting the reversed array keeps equal elements in their order after reversing back.
    back = np.argsort(np.flip(x, axis), axis=axis, kind="stable")
    return np.flip(x.shape[axis] - 1 - back, axis)


argsort: Op = register(
    Op(
        "argsort",
        "library",
        lambda x, axis, descending: spec(x.shape, dtypes.int64),
        _argsort,
        nondifferentiable,
        None,
        lambda flags, x, axis, descending: argsort(x, axis=axis + 1, descending=descending),
        apart((2, 5), axis=1, descending=False),
    )
)


def _transposed(x: Node) -> Node:
    n = x.ndim
    return permute(x, axes=(*range(n - 2), n - 1, n - 2))


def _product(a: Node, b: Node) -> Node:
    n = a.ndim
    lead = tuple(range(n - 2))
    return contract(a, b, labels=((*lead, n, n + 1), (*lead, n + 1, n + 2), (*lead, n, n + 2)))


def _inv_vjp(ct, out, x):
    # d(X^-1) = -X^-1 dX X^-1
    t = _transposed(out)
    return (-_product(_product(t, ct), t),)


def _inv_spec(x: Node):
    if x.dtype.itemsize < 4 or not x.dtype.is_floating_point:
        raise DTypeError(f"inverse requires float32 or float64, got {x.dtype}")
    return x.spec


inv: Op = register(
    Op(
        "inv",
        "library",
        _inv_spec,
        np.linalg.inv,
        _inv_vjp,
        None,
        lambda flags, x: inv(x),
        lambda rng: ((rng.standard_normal((2, 3, 3)) + 3 * np.eye(3),), {}),
    )
)
