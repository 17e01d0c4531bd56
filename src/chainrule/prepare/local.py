"""Rules that look at one node and what lies right below it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..graph import Node
from ..ops import elementwise as ew
from ..ops import indexing as ix
from ..ops import movement as mv
from ..ops import reduction as rd
from ..ops.contraction import contract
from ..ops.movement import Bounds
from ..ops.op import Op, expand, reshape, sum_
from ..rewrite import again, rebuild
from .factors import summed
from .folds import Product, folded
from .moves import (
    below_reshape,
    expanded,
    is_constant,
    joined,
    pending,
    permuted,
    reshaped,
    sliced,
    spread,
    whole,
    without,
)
from .products import contracted, part, relabelled
from .walk import once


class Local:
    """One walk over the graph: what each old node becomes from its new inputs."""

    def __init__(self, outputs: Sequence[Node]):
        self.once = once(outputs)
        self.folds: dict[Node, Node] = {}  # what the input of an old fold has become
        self.products: dict[Node, Product] = {}  # of what a new node is the contraction

    def make(self, node: Node, inputs: list[Node]) -> Node:
        rule = _RULES.get(node.op)
        found = rule(self, node, *inputs) if rule is not None else None
        return found if found is not None and found.spec is node.spec else again(node, inputs)

    def own(self, node: Node, x: Node, op) -> bool:
        """Whether the input x is an application of op that only this node needs."""
        return node.inputs[0] in self.once and pending(x, op)

    # ------------------------------------------------------------------ movement
    def permute(self, node: Node, x: Node) -> Node:
        if self.own(node, x, contract):
            return relabelled(x, node.attrs["axes"])
        return permuted(x, node.attrs["axes"])

    def slice_(self, node: Node, x: Node) -> Node:
        (old,), bounds = node.inputs, node.attrs["bounds"]
        found = None
        if old in self.once and pending(old, reshape):
            (z,) = old.inputs
            inner = below_reshape(z.shape, old.shape, bounds)
            if inner is not None:
                found = self._part(x.inputs[0] if pending(x, reshape) else x, z, inner)
        else:
            found = self._part(x, old, bounds)
        return sliced(x, bounds) if found is None else reshaped(found, node.shape)

    def _part(self, x: Node, old: Node, bounds: Bounds) -> Node | None:
        """A slice of the fold or contraction x, which only this slice needs: just that part."""
        if old in self.once and old in self.folds:
            lead = old.ndim - len(old.attrs["shape"])
            if all(b[2] == 1 for b in bounds) and list(bounds[:lead]) == whole(old.shape[:lead]):
                return self._folded(old, self.folds[old], bounds[lead:])
        if old in self.once and pending(x, contract) and x.spec is old.spec:
            return part(x, bounds)
        return None

    def fold(self, node: Node, x: Node) -> Node | None:
        self.folds[node] = x
        lead = node.ndim - len(node.attrs["shape"])
        return self._folded(node, x, tuple(whole(node.shape[lead:])))

    def _folded(self, node: Node, x: Node, bounds: Bounds) -> Node | None:
        product = self.products.get(x) if node.inputs[0] in self.once else None
        return folded(x, bounds, product, node.attrs["stride"], node.attrs["dilation"])

    def contract(self, node: Node, x: Node, y: Node) -> Node:
        found = contracted(x, y, node.attrs["labels"])
        self.products[found] = x, y, node.attrs["labels"]
        return found

    # ------------------------------------------------------------------ numbers
    def add(self, node: Node, x: Node, y: Node) -> Node | None:
        if is_constant(y, 0) and x.spec is node.spec:
            return x
        if is_constant(x, 0) and y.spec is node.spec:
            return y
        for a, b, old in ((x, y, node.inputs[0]), (y, x, node.inputs[1])):
            if old in self.once and _adds_to_zeros(a) and a.spec is b.spec:
                return again(a, [b, *a.inputs[1:]])
        return None

    def sub(self, node: Node, x: Node, y: Node) -> Node | None:
        if is_constant(y, 0) and x.spec is node.spec:
            return x
        return ew.neg(y) if is_constant(x, 0) and y.spec is node.spec else None

    def cast(self, node: Node, x: Node) -> Node | None:
        """By way of a type that holds every value there is no other way."""
        if not pending(x, ew.cast) or not np.can_cast(x.inputs[0].dtype.np, x.dtype.np):
            return None
        source = x.inputs[0]
        return source if source.dtype is node.dtype else ew.cast(source, dtype=node.dtype)

    # ------------------------------------------------------------------ reductions
    def sum_(self, node: Node, x: Node) -> Node | None:
        axes = node.attrs["axis"]
        axes = (axes,) if isinstance(axes, int) else axes
        if not x.dtype.is_floating_point:
            return None
        if self.own(node, x, ew.neg):
            return ew.neg(_summed(x.inputs[0], axes))
        return _summed(x, axes)

    def extreme(self, node: Node, x: Node) -> Node | None:
        axes = node.attrs["axis"]
        return without(x, axes) if all(x.shape[a] == 1 for a in axes) else None

    def gather(self, node: Node, x: Node, index: Node) -> Node | None:
        """The element at the place of the largest one is the largest one."""
        axis = node.attrs["axis"]
        shape = (*x.shape[:axis], 1, *x.shape[axis + 1 :])
        if index.shape != shape or not pending(index, reshape):
            return None
        for arg, extreme in ((rd.argmax, rd.amax), (rd.argmin, rd.amin)):
            found = index.inputs[0]
            if pending(found, arg) and found.inputs[0] is x and found.attrs["axis"] == axis:
                return reshaped(extreme(x, axis=(axis,)), shape)
        return None


def _adds_to_zeros(x: Node) -> bool:
    """Whether x sums rows into places that hold zeros."""
    if x.value is not None or not (
            x.op is ix.scatter_add or x.op is ix.put and x.attrs["accumulate"]):
        return False
    return is_constant(x.inputs[0], 0)


def _summed(x: Node, axes: tuple[int, ...]) -> Node:
    if _adds_to_zeros(x) and x.op is ix.scatter_add and x.attrs["axis"] in axes:
        return sum_(x.inputs[2], axis=axes)
    return summed(x, axes)


def simplify_more(outputs: Sequence[Node]) -> list[Node]:
    """Movement in its shortest form, folds as contractions, products as what they are."""
    return rebuild(outputs, Local(outputs).make)


_RULES: dict[Op, Callable] = {
    mv.permute: Local.permute,
    mv.slice_: Local.slice_,
    mv.fold: Local.fold,
    mv.pad: lambda here, node, x: spread(x, node.attrs["widths"]),
    mv.cat: lambda here, node, *parts: joined(
        [x for x in parts if x.shape[node.attrs["axis"]]] or parts[:1], node.attrs["axis"]),
    reshape: lambda here, node, x: reshaped(x, node.shape),
    expand: lambda here, node, x: expanded(x, node.shape) if x.ndim == node.ndim else None,
    contract: Local.contract,
    ew.add: Local.add,
    ew.sub: Local.sub,
    ew.cast: Local.cast,
    sum_: Local.sum_,
    rd.amax: Local.extreme,
    rd.amin: Local.extreme,
    ix.gather: Local.gather,
}
