"""What one element of a node needs: elements of its inputs, at which index.

Some nodes read or write at places that are themselves values; the index then holds a variable
whose value is found in memory (`Space.at`).
"""

from __future__ import annotations

from collections.abc import Callable

from ..graph import Node
from ..ops import indexing as ix
from ..ops.op import reshape
from .index import ZERO, Index, Linear, Space, parts, stretched


def is_read(node: Node) -> bool:
    """Whether the node reads at places that are themselves values: indexing."""
    return node.op is ix.take or node.op is ix.gather


def is_one_hot(node: Node) -> bool:
    """Whether the node writes to one place of an axis, which every element can ask for itself."""
    if node.op is not ix.scatter and node.op is not ix.scatter_add:
        return False
    return node.inputs[1].shape[node.attrs["axis"]] == 1


def is_write(node: Node) -> bool:
    """Whether the node writes at places that are themselves values."""
    return node.op in (ix.put, ix.scatter, ix.scatter_add) and not is_one_hot(node)


def writes(space: Space, node: Node, index: Index):
    """(index of the value written, where it goes, the value, what is asked for that)"""
    x, *others = node.inputs
    axis = node.attrs["axis"]
    if node.op is ix.put:
        value, *named = others
        count = value.ndim - x.ndim + len(named)
        loops = tuple([space.new(n) for n in value.shape[axis : axis + count]])
        rest = index[axis + len(named) :]
        asked = [(p, stretched(loops, p.shape)) for p in named]
    else:
        named, value = others[:1], others[1]
        loops, rest = (space.new(value.shape[axis]),), index[axis + 1 :]
        asked = [(named[0], (*index[:axis], *loops, *rest))]
    wraps = node.op is ix.put
    found = [space.at(p, i, x.shape[axis + k], wraps) for k, (p, i) in enumerate(asked)]
    return (*index[:axis], *loops, *rest), (*index[:axis], *found, *rest), value, asked


def is_loop(node: Node) -> bool:
    """Whether an element of the node can be computed by itself in a loop."""
    if node.op.kind == "elementwise":
        return node.op.emit is not None
    return node.op.kind == "movement" or is_read(node) or is_one_hot(node)


def needs(
    space: Space, node: Node, index: Index, ready: Callable[[Node], bool]
) -> list[tuple[Node, Index | Linear]]:
    """The elements of its inputs that one element of a node needs."""
    op = node.op
    if op.kind == "elementwise":
        return [(x, stretched(index, x.shape)) for x in node.inputs]
    if is_read(node):
        x, moved, asked = read(space, node, index)
        return [(x, moved), *asked]
    if is_one_hot(node):
        x, places, src = node.inputs
        single = one_hot_index(node, index)
        return [(x, index), (places, single), (src, single)]
    if op is reshape:
        x = node.inputs[0]
        if ready(x):
            return [(x, space.flat(index, node.shape))]
    found: list[tuple[Node, Index | Linear]] = []
    found += [(node.inputs[i], moved) for i, moved, _ in parts(space, node, index)]
    return found


def one_hot_index(node: Node, index: Index) -> Index:
    axis = node.attrs["axis"]
    return (*index[:axis], ZERO, *index[axis + 1 :])


def read(space: Space, node: Node, index: Index):
    """What take and gather read: (the node read from, the index there, the index arrays asked)."""
    x, *places = node.inputs
    axis = node.attrs["axis"]
    if node.op is ix.gather:
        asked = [(places[0], index)]
        rest = index[axis + 1 :]
    else:
        common = node.ndim - x.ndim + len(places)
        asked = [(p, stretched(index[axis : axis + common], p.shape)) for p in places]
        rest = index[axis + common :]
    wraps = node.op is ix.take
    found = [space.at(p, i, x.shape[axis + k], wraps) for k, (p, i) in enumerate(asked)]
    return x, (*index[:axis], *found, *rest), asked
