"""Which elements of a node's inputs an element of its value was made from.

This follows a NaN through a graph element by element: what is harmless at one place of an array -
the -inf of a mask - is not blamed for what went wrong at another.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..graph import Node, is_pending, leaf, toposort
from ..interpreter import evaluate
from ..ops.op import expand_to, keep_axes

# The value of an input, as it is; the others have no say.
_PASSES = {"reattach": 1, "overwrite": 1, "after": 0, "custom": -1, "part": -1, "once": -1}


def places_in(
    node: Node, inputs: Sequence[Node], values: Sequence[np.ndarray], places: np.ndarray
) -> list[np.ndarray]:
    """For each input, as truth values in its shape, the elements that the elements of `node` at
    `places` were made from."""
    op = node.op
    if op.name in _PASSES:
        chosen = range(len(inputs))[_PASSES[op.name]]
        return [np.broadcast_to(places if i == chosen else np.False_, x.shape)
                for i, x in enumerate(inputs)]
    if op.name == "where":
        condition = np.broadcast_to(values[0], places.shape)
        return [_unstretched(p, x) for p, x in zip(
            (places & False, places & condition, places & ~condition), inputs)]
    if op.kind == "elementwise":
        return [_unstretched(places, x) for x in inputs]
    if op.kind == "reduction" and "axis" in node.attrs:
        return [_reduced(node, inputs[0], places)]
    if op.kind in ("movement", "indexing", "contraction", "reduction"):
        return _by_vjp(node, inputs, values, places)
    return [np.full(x.shape, places.any()) for x in inputs]


def _unstretched(places: np.ndarray, x: Node) -> np.ndarray:
    """Undo broadcasting: an element has gone to all places that it was stretched over."""
    lead = places.ndim - x.ndim
    axes = tuple(range(lead)) + tuple(
        lead + i for i, n in enumerate(x.shape) if n == 1 != places.shape[lead + i])
    return places.any(axis=axes).reshape(x.shape) if axes else places


def _reduced(node: Node, x: Node, places: np.ndarray) -> np.ndarray:
    axis = node.attrs["axis"]
    if node.shape == x.shape and isinstance(axis, int):  # a scan: what is on the same line
        return np.broadcast_to(places.any(axis=axis, keepdims=True), x.shape)
    (found,) = _values([expand_to(keep_axes(leaf(places), x.shape, axis), x.shape)])
    return found


def _by_vjp(
    node: Node, inputs: Sequence[Node], values: Sequence[np.ndarray], places: np.ndarray
) -> list[np.ndarray]:
    """What is linear says by its own derivative where its elements come from: with ones for all
    factors, the cotangent of an input is positive at what the places were made from."""
    ct = leaf(places.astype(np.float32))
    standins = [
        leaf(np.ones(x.shape, np.float32) if x.dtype.is_floating_point else value)
        for x, value in zip(inputs, values)
    ]
    out = leaf(np.broadcast_to(np.float32(1), node.shape))
    found = node.op.vjp(ct, out, *standins, **node.attrs)
    known = iter(_values([g for g in found if g is not None]))
    return [np.zeros(x.shape, bool) if g is None else next(known) > 0
            for x, g in zip(inputs, found)]


def _values(nodes: list[Node]) -> list[np.ndarray]:
    """The values of nodes that are ours alone."""
    for node in toposort(nodes, enter=is_pending):
        node.value = evaluate(node, [x.value for x in node.inputs])
    return [n.value for n in nodes]
