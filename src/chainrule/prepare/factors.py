"""Factors out of sums: sum(c x) = c sum(x) where c does not change along the summed axes.

A number leaves a contraction too: its few results are scaled instead of its operands.

What is left to be summed is often what another sum needs too.  And a sum of terms whose factors
are themselves sums, as in the gradient of a normalisation, needs no pass of its own:
sum(a x + b y) = a sum(x) + b sum(y), where sum(x) and sum(y) are found together with a and b.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from math import prod

from .. import dtypes
from ..graph import Node, is_pending, toposort
from ..ops import elementwise as ew
from ..ops.contraction import contract
from ..ops.op import Op, expand, sum_
from ..rewrite import again, rebuild
from ..shapes import Shape, size, spec
from .moves import constant, expanded, pending, reshaped, without

MOST_TERMS = 4
DEEPEST = 8  # how far below a sum its factors are looked for


@dataclass(frozen=True)
class Term:
    """sign * product of `over` / product of `under` * product of `rest`, of which only the rest
    changes along the summed axes."""

    rest: tuple[Node, ...]
    over: tuple[Node, ...] = ()
    under: tuple[Node, ...] = ()
    negative: bool = False

    @property
    def is_plain(self) -> bool:
        return not (self.over or self.under or self.negative)

    def __neg__(self) -> Term:
        return Term(self.rest, self.over, self.under, not self.negative)

    def __mul__(self, other: Term) -> Term:
        return Term(self.rest + other.rest, self.over + other.over, self.under + other.under,
                    self.negative != other.negative)


def take_out_factors(outputs: Sequence[Node]) -> list[Node]:
    """Sums of products without the factors that do not change along the summed axes."""
    factors = Factors(outputs)
    return rebuild(outputs, factors.make)


class Factors:
    """One walk over the graph, which looks at old nodes and builds on new ones."""

    def __init__(self, outputs: Sequence[Node]):
        order = toposort(outputs, enter=is_pending)
        self.uses = Counter(x for n in order for x in n.inputs) + Counter(outputs)
        self.place = {n: i for i, n in enumerate(order)}
        self.operands = _operands(order, outputs)
        self.new: dict[Node, Node] = {}

    def make(self, node: Node, inputs: list[Node]) -> Node:
        found = None
        if node.dtype not in (dtypes.float32, dtypes.float64):
            pass  # what is scaled down may be too large before
        elif node.op is contract:
            found = self._contraction(node, inputs)
        elif node.op is sum_:
            axis = node.attrs["axis"]
            found = self._sum(node, (axis,) if isinstance(axis, int) else axis)
        self.new[node] = found or again(node, inputs)
        return self.new[node]

    def _contraction(self, node: Node, inputs: list[Node]) -> Node | None:
        found = [_unscaled(x) if old in self.operands else (x, [])
                 for old, x in zip(node.inputs, inputs)]
        numbers = [n for _, some in found for n in some]
        if not numbers:
            return None
        return reduce(ew.mul, numbers, contract(*[x for x, _ in found], **node.attrs))

    def _sum(self, node: Node, axes: tuple[int, ...]) -> Node | None:
        (x,) = node.inputs
        terms = self._terms(x, x.shape, axes, DEEPEST)
        if not self._pays(terms):
            return None
        total = None
        sums: dict[tuple, Node] = {}
        for t in terms:
            rest = tuple(sorted(t.rest, key=lambda n: self.place.get(n, -1)))
            if rest not in sums:
                sums[rest] = self._sum_of(rest, x.shape, axes)
            value = self._scaled(t, sums[rest], x.shape, axes)
            if total is None:
                total = ew.neg(value) if t.negative else value
            else:
                total = ew.sub(total, value) if t.negative else ew.add(total, value)
        return total

    def _terms(self, x: Node, shape: Shape, axes: tuple[int, ...], depth: int) -> list[Term]:
        """x as a sum of terms."""
        flat = _constant_along(x, shape, axes)
        if flat is not None:
            return [Term((), (flat,))]
        whole = [Term((x,))]
        if x.value is not None or not depth or x.op not in _RULES:
            return whole
        found = _RULES[x.op](*[self._terms(y, shape, axes, depth - 1) for y in x.inputs])
        if found is None or len(found) > MOST_TERMS or all(t.is_plain for t in found):
            return whole
        # What is there anyway is not computed once more from what is not.
        if self.uses[x] > 1 and not all(self._is_there(y) for t in found for y in t.rest):
            return whole
        return found

    def _pays(self, terms: list[Term]) -> bool:
        if len(terms) == 1:
            return not terms[0].is_plain and 1 <= len(terms[0].rest) <= 2
        # To sum terms one by one pays if all are there anyway, and none just for this sum.
        return len(terms) <= MOST_TERMS and all(
            not t.is_plain and len(t.rest) == 1 and self._is_there(t.rest[0]) for t in terms)

    def _is_there(self, x: Node) -> bool:
        return x.value is not None or self.uses[x] > 1

    def _sum_of(self, rest: tuple[Node, ...], shape: Shape, axes: tuple[int, ...]) -> Node:
        product = reduce(ew.mul, [self.new.get(n, n) for n in rest])
        product = reshaped(product, (1,) * (len(shape) - product.ndim) + product.shape)
        return summed(expanded(product, shape), axes)

    def _scaled(self, term: Term, x: Node, shape: Shape, axes: tuple[int, ...]) -> Node:
        """x times the factors that were taken out, which lose the summed axes."""
        rank = len(shape)

        def kept(factor: Node) -> Node:
            factor = self.new.get(factor, factor)
            lead = rank - factor.ndim
            return reshaped(factor, tuple([
                n for i, n in enumerate(factor.shape, lead) if i not in axes]))

        if term.over:
            x = ew.mul(x, reduce(ew.mul, map(kept, term.over)))
        return reduce(ew.div, map(kept, term.under), x)


def _operands(order: Sequence[Node], outputs: Sequence[Node]) -> set[Node]:
    """The nodes that only contractions need."""
    users: dict[Node, bool] = dict.fromkeys(outputs, False)
    for node in order:
        for x in node.inputs:
            users[x] = users.get(x, True) and node.op is contract
    return {x for x, only in users.items() if only}


def _unscaled(x: Node) -> tuple[Node, list[Node]]:
    """x without the numbers that it is multiplied with."""
    numbers = []
    while pending(x, ew.mul):
        a, b = x.inputs
        if b.spec is x.spec and size(a.shape) == 1:
            a, b = b, a
        if a.spec is not x.spec or size(b.shape) != 1:
            break
        numbers.append(reshaped(b, ()))
        x = a
    return x, numbers


def summed(x: Node, axes: tuple[int, ...]) -> Node:
    """sum(x); the sum of n equal numbers is n times one of them."""
    if all(x.shape[a] == 1 for a in axes):
        return without(x, axes)
    if pending(x, ew.constant):
        z = constant(x.attrs["value"], spec((1,) * x.ndim, x.dtype))
    else:
        z = x.inputs[0] if pending(x, expand) and x.inputs[0].ndim == x.ndim else x
    same = [a for a in axes if z.shape[a] != x.shape[a]]
    if not same:
        return sum_(x, axis=axes)
    n = constant(prod([x.shape[a] for a in same]), spec((), x.dtype))
    shape = tuple([1 if a in same else n for a, n in enumerate(x.shape)])
    return ew.mul(sum_(expanded(z, shape), axis=axes), n)


def _constant_along(x: Node, shape: Shape, axes: tuple[int, ...]) -> Node | None:
    """x, without what stretches it, if it does not change along these axes."""
    while pending(x, expand) and x.inputs[0].ndim == x.ndim:
        x = x.inputs[0]
    lead = len(shape) - x.ndim
    return x if all(a < lead or x.shape[a - lead] == 1 for a in axes) else None


def _product(a: list[Term], b: list[Term]) -> list[Term] | None:
    if len(a) == len(b) == 1 or (len(a) == 1 and not a[0].rest) or (len(b) == 1 and not b[0].rest):
        return [s * t for s in a for t in b]
    return None


def _quotient(a: list[Term], b: list[Term]) -> list[Term] | None:
    if len(b) != 1 or b[0].rest or b[0].under:
        return None
    return [s * Term((), (), b[0].over, b[0].negative) for s in a]


def _sum(a: list[Term], b: list[Term]) -> list[Term] | None:
    # Not x - mean(x): the sums of both parts would be large, and their difference inexact.
    return a + b if all(t.rest for t in (*a, *b)) else None


_RULES: dict[Op, Callable] = {
    ew.mul: _product,
    ew.div: _quotient,
    ew.neg: lambda a: [-t for t in a],
    ew.add: _sum,
    ew.sub: lambda a, b: _sum(a, [-t for t in b]),
}
