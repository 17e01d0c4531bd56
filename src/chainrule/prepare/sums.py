"""Sums of many terms of one kind as one node.

The cotangent of what was split is a sum of paddings, and that is a cat.  The gradient of a weight
that was used at many times is a sum of contractions, and that is one contraction over all times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from heapq import heappop, heappush

from ..graph import Node, is_pending, toposort
from ..ops import elementwise as ew
from ..ops import movement as mv
from ..ops.contraction import Labels, contract
from ..ops.op import reshape, sum_
from ..rewrite import again, rebuild
from ..shapes import Shape, size, spec
from .moves import constant, extent, joined, padded_axis, pending, reshaped
from .products import Three, contracted
from .walk import once

FEWEST_TERMS = 4  # contractions or reductions that are worth being one
SMALL = 1 << 14  # elements that may be brought together for the sake of fewer nodes


class Sums:
    """One walk over the graph; `merge` makes the terms of a sum fewer, or says None."""

    def __init__(self, outputs: Sequence[Node]):
        self.outputs = outputs
        self.order = toposort(outputs, enter=is_pending)
        self.once = once(outputs)
        self.new: dict[Node, Node] = {}
        sums = [n for n in self.order if _is_sum(n)]
        self.inner = {x for n in sums for x in n.inputs if x in self.once and _is_sum(x)}

    def run(self, merge: Callable[[list[Node]], list[Node] | None]) -> list[Node]:
        def make(node: Node, inputs: list[Node]) -> Node:
            found = None
            if _is_sum(node) and node not in self.inner:
                found = merge(self._terms(node))
            self.new[node] = reduce(ew.add, found) if found else again(node, inputs)
            return self.new[node]

        return rebuild(self.outputs, make)

    def _terms(self, root: Node) -> list[Node]:
        terms, stack = [], list(reversed(root.inputs))
        while stack:
            node = stack.pop()
            if node in self.inner:
                stack += reversed(node.inputs)
            else:
                terms.append(node)
        return terms

    def made(self, node: Node) -> Node:
        """What an old node has become."""
        return self.new.get(node, node)

    def core(self, term: Node) -> Node:
        """The term without the reshapes around it."""
        while pending(term, reshape) and term in self.once:
            term = term.inputs[0]
        return term


def _is_sum(node: Node) -> bool:
    """Whether the node adds two values of its own shape."""
    return pending(node, ew.add) and all(x.spec is node.spec for x in node.inputs)


def _grouped(terms: Iterable[Node], key: Callable[[Node], tuple | None]):
    """The terms by key, and those that have none."""
    groups: dict[tuple, list[Node]] = {}
    others = []
    for term in terms:
        found = key(term)
        if found is None:
            others.append(term)
        else:
            groups.setdefault(found, []).append(term)
    return groups, others


# --------------------------------------------------------------------------- paddings
def join_pads(outputs: Sequence[Node]) -> list[Node]:
    """pad(a) + pad(b) + ... that do not overlap is cat(a, b, ...), with zeros in the gaps."""
    sums = Sums(outputs)

    def key(term: Node) -> tuple | None:
        core = sums.core(term)
        axis = padded_axis(core)
        return None if axis is None else (axis, core.shape, term.shape)

    def merge(terms: list[Node]) -> list[Node] | None:
        groups, others = _grouped(terms, key)
        found = []
        for (axis, _, shape), group in groups.items():
            term_of = {sums.core(t): t for t in group}
            for layer in _layers([sums.core(t) for t in group], axis):
                if len(layer) == 1:
                    others.append(term_of[layer[0]])
                else:
                    found.append(reshaped(_row(sums, layer, axis), shape))
        return [*map(sums.made, others), *found] if found else None

    return sums.run(merge)


def _layers(pads: Iterable[Node], axis: int) -> list[list[Node]]:
    """The paddings in as few rows as possible, each in order and without overlaps."""
    layers: list[list[Node]] = []
    ends: list[tuple[int, int]] = []  # a heap: where each layer ends, and which it is
    for x in sorted(pads, key=lambda x: extent(x, axis)):
        start, stop = extent(x, axis)
        if ends and ends[0][0] <= start:
            at = heappop(ends)[1]
        else:
            at = len(layers)
            layers.append([])
        layers[at].append(x)
        heappush(ends, (stop, at))
    return layers


def _row(sums: Sums, pads: Sequence[Node], axis: int) -> Node:
    parts: list[Node] = []
    end = 0

    def fill_up_to(start: int) -> None:
        if start > end:
            shape = pads[0].shape
            gap = (*shape[:axis], start - end, *shape[axis + 1 :])
            parts.append(constant(0, spec(gap, pads[0].dtype)))

    for x in pads:
        start, stop = extent(x, axis)
        fill_up_to(start)
        parts.append(sums.made(x.inputs[0]))
        end = stop
    fill_up_to(pads[0].shape[axis])
    return joined(parts, axis)


# --------------------------------------------------------------------------- products
class Products(Sums):
    """Many contractions of one form, or many reductions, become one over all their operands."""

    def __init__(self, outputs: Sequence[Node]):
        super().__init__(outputs)
        self.place = {n: i for i, n in enumerate(self.order)}
        self.cats = {
            part: (n, i) for n in self.order if n.op is mv.cat and n.attrs["axis"] == 0
            for i, part in enumerate(n.inputs)
        }

    def merge(self, terms: list[Node]) -> list[Node] | None:
        if len(terms) < FEWEST_TERMS:
            return None
        groups, others = _grouped(terms, self._key)
        found = []
        for (kind, shape, *_), group in groups.items():
            if len(group) < FEWEST_TERMS:
                others += group
            else:
                one = {contract: self._contraction, sum_: self._reduction}[kind]
                found.append(reshaped(one([self.core(t) for t in group]), shape))
        return [*map(self.made, others), *found] if found else None

    def _key(self, term: Node) -> tuple | None:
        core = self.core(term)
        if term not in self.once or core not in self.once or core.value is not None:
            return None
        if core.op is sum_ and size(core.inputs[0].shape) <= SMALL:
            axes = _axes(core)
            return sum_, term.shape, axes, core.inputs[0].shape[0 in axes :]
        if core.op is contract and _is_small(core):
            labels = _named(core.attrs["labels"])
            both = _leading(labels) is not None
            return contract, term.shape, labels, *(x.shape[both:] for x in core.inputs)
        return None

    def _in_order(self, terms: list[Node]) -> list[Node]:
        """In the order of a cat that the operands are in already, else of their recording."""
        for i in reversed(range(len(terms[0].inputs))):
            found = [self.cats.get(t.inputs[i], (None, 0)) for t in terms]
            if found[0][0] is not None and all(cat is found[0][0] for cat, _ in found):
                return [t for _, t in sorted(zip([k for _, k in found], terms),
                                             key=lambda pair: pair[0])]
        return sorted(terms, key=lambda t: max(self.place.get(x, -1) for x in t.inputs))

    def _operand(self, terms: Sequence[Node], i: int, stack: bool) -> Node:
        parts = [self.made(t.inputs[i]) for t in terms]
        return joined([reshaped(p, (1, *p.shape)) for p in parts] if stack else parts, 0)

    def _contraction(self, terms: list[Node]) -> Node:
        terms = self._in_order(terms)
        xl, yl, ol = _named(terms[0].attrs["labels"])
        stack = _leading((xl, yl, ol)) is None
        if stack:
            new = max(xl + yl, default=-1) + 1
            xl, yl = (new, *xl), (new, *yl)
        x, y = (self._operand(terms, i, stack) for i in (0, 1))
        return contracted(x, y, (xl, yl, ol))

    def _reduction(self, terms: list[Node]) -> Node:
        terms = self._in_order(terms)
        axes = _axes(terms[0])
        if 0 in axes:
            return sum_(self._operand(terms, 0, False), axis=axes)
        return sum_(self._operand(terms, 0, True), axis=(0, *(a + 1 for a in axes)))


def merge_products(outputs: Sequence[Node]) -> list[Node]:
    """Sums of contractions or of sums over many operands, as one over their cat."""
    products = Products(outputs)
    return products.run(products.merge)


def _axes(node: Node) -> tuple[int, ...]:
    axis = node.attrs["axis"]
    return (axis,) if isinstance(axis, int) else axis


def _named(labels: Three) -> Three:
    """The labels counted as they come, so that equal forms compare equal."""
    number: dict[int, int] = {}
    xl, yl, ol = (tuple([number.setdefault(a, len(number)) for a in ls]) for ls in labels)
    return xl, yl, ol


def _leading(labels: tuple[Labels, Labels, Labels]) -> int | None:
    """The label of the first axis of both operands, if it is summed over."""
    xl, yl, ol = labels
    return xl[0] if xl and yl and xl[0] == yl[0] and xl[0] not in ol else None


def _is_small(node: Node) -> bool:
    """Whether copying the operands costs less than one more pass over the result."""
    if any(pending(x, mv.window) for x in node.inputs):
        return False
    operands: list[Shape] = [x.shape for x in node.inputs]
    return sum(map(size, operands)) <= max(SMALL, size(node.shape))
