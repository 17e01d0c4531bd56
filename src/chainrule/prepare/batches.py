"""Products of many inputs with one weight, as one product.

A loop over time multiplies row after row of its input with the same weight.  The rows are all
there before the first of them is needed, so they are multiplied together; and the gradients of
the rows, which are brought together anyway, are multiplied after that.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..graph import Node, is_pending, toposort
from ..ops import movement as mv
from ..ops.contraction import contract
from ..ops.op import reshape
from ..rewrite import again, rebuild
from .moves import joined, pending, reshaped, row_of, rows, sliced, whole, without
from .products import Three, contracted
from .walk import once

FEWEST = 4  # products that are worth being one


def batch_products(outputs: Sequence[Node]) -> list[Node]:
    """Contractions of rows of one tensor with one operand are one contraction."""
    batches = _batches(outputs)
    if not batches:
        return list(outputs)
    new: dict[Node, Node] = {}
    made: dict[tuple, Node] = {}

    def make(node: Node, inputs: list[Node]) -> Node:
        found = None
        if node in batches:
            key, start, stop, index = batches[node]
            if key not in made:
                made[key] = _product(key, start, stop, new)
            bounds = whole(made[key].shape)
            bounds[0] = (index - start, index - start + 1, 1)
            found = without(sliced(made[key], tuple(bounds)), (0,))
        new[node] = found or again(node, inputs)
        return new[node]

    return rebuild(outputs, make)


def _batches(outputs: Sequence[Node]) -> dict[Node, tuple[tuple, int, int, int]]:
    """Which contractions to make together: (key, first row, last row + 1, own row)."""
    groups: dict[tuple, dict[int, list[Node]]] = {}
    for node in toposort(outputs, enter=is_pending):
        if node.op is contract:
            for i, x in enumerate(node.inputs):
                row = row_of(x)
                if row is not None:
                    base, axis, index = row
                    key = (base, axis, node.inputs[1 - i], i, node.attrs["labels"])
                    groups.setdefault(key, {}).setdefault(index, []).append(node)
    found = {}
    for key, members in groups.items():
        start, stop = min(members), max(members) + 1
        if len(members) >= FEWEST and stop - start <= 2 * len(members):
            for index, nodes in members.items():
                for node in nodes:
                    found[node] = (key, start, stop, index)
    return found


def _product(key: tuple, start: int, stop: int, new: dict[Node, Node]) -> Node:
    base, axis, other, i, labels = key
    x = rows(new.get(base, base), axis, start, stop)
    other = new.get(other, other)
    time = max((*labels[0], *labels[1]), default=-1) + 1
    own = (time, *labels[i])
    out = (time, *labels[2])
    three = (own, labels[1], out) if i == 0 else (labels[0], own, out)
    return _product_with(other, 1 - i, x, three)


def product_of_cats(outputs: Sequence[Node]) -> list[Node]:
    """A cat of contractions with one operand is the contraction of a cat."""
    single = once(outputs)

    def own(x: Node) -> bool:
        return x in single and (x.op is not reshape or x.inputs[0] in single)

    def make(node: Node, inputs: list[Node]) -> Node:
        found = None
        if node.op is mv.cat and len(inputs) >= FEWEST and all(map(own, node.inputs)):
            found = _of_cat(inputs, node.attrs["axis"]) or _of_stack(inputs, node.attrs["axis"])
        return found or again(node, inputs)

    return rebuild(outputs, make)


def _shared(products: Sequence[Node]) -> int | None:
    """Which operand all of these contractions have in common: 0 or 1."""
    first = products[0]
    if not all(pending(p, contract) and p.attrs == first.attrs for p in products):
        return None
    for i in (0, 1):
        others = [p.inputs[1 - i] for p in products]
        # A cat of windows would be windows in memory.
        if all(p.inputs[i] is first.inputs[i] for p in products) and not any(
                pending(x, mv.window) for x in others):
            return i
    return None


def _of_cat(parts: Sequence[Node], axis: int) -> Node | None:
    shared = _shared(parts)
    if shared is None:
        return None
    labels = parts[0].attrs["labels"]
    label, own = labels[2][axis], labels[1 - shared]
    if label not in own or label in labels[shared]:
        return None
    joint = joined([p.inputs[1 - shared] for p in parts], own.index(label))
    return _product_with(parts[0].inputs[shared], shared, joint, labels)


def _of_stack(parts: Sequence[Node], axis: int) -> Node | None:
    """The parts have a new axis, of length 1, along which they are joined."""
    if not all(pending(p, reshape) and p.shape[axis] == 1 for p in parts):
        return None
    products = [p.inputs[0] for p in parts]
    if any(p.shape != (*c.shape[:axis], 1, *c.shape[axis:]) for p, c in zip(parts, products)):
        return None
    shared = _shared(products)
    if shared is None:
        return None
    labels = products[0].attrs["labels"]
    new = max((*labels[0], *labels[1]), default=-1) + 1
    rows = [c.inputs[1 - shared] for c in products]
    joint = joined([reshaped(x, (1, *x.shape)) for x in rows], 0)
    out = (*labels[2][:axis], new, *labels[2][axis:])
    other = labels[shared]
    three = (other, (new, *labels[1]), out) if shared == 0 else ((new, *labels[0]), other, out)
    return _product_with(products[0].inputs[shared], shared, joint, three)


def _product_with(other: Node, place: int, x: Node, labels: Three) -> Node:
    return contracted(other, x, labels) if place == 0 else contracted(x, other, labels)
