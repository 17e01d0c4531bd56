"""From the recorded graph to expressions: what each op means in an algebra."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from ...autodiff import is_leaf
from ...graph import Node, toposort
from ...ops.op import ALL_OPS
from ...shapes import size
from .algebra import Algebra
from .collapse import constant
from .expression import ONE, Expr, Number, bare, is_number, number_of, split

_OURS = frozenset(ALL_OPS)  # others are the user's own, whatever they are called
_SMALL = 100_000  # of such arrays it is looked up whether they hold one number only


class Reader:
    """Reads nodes as expressions, down to those that have a symbol."""

    def __init__(self, algebra: Algebra, symbols: dict[Node, Expr],
                 unnamed: Callable[[Node], Expr], number: Callable[..., Expr | None]):
        self.algebra = algebra
        self.symbols = symbols
        self._unnamed = unnamed  # a symbol for a leaf that has no name
        self._number = number  # what the user calls a number, or None
        self._read: dict[Node, Expr] = {}
        self._called: dict[Node, Expr] = {}  # numbers, as the user's lines call them

    def read(self, node: Node) -> Expr:
        """What a node is, in symbols."""
        for n in toposort([node], enter=self._is_open):
            self._read[n] = self.definition(n)
        return self.symbols.get(node) or self._read[node]

    def _is_open(self, node: Node) -> bool:
        return node not in self.symbols and node not in self._read

    def definition(self, node: Node) -> Expr:
        """What the op of the node makes of its inputs, also if the node has a symbol itself."""
        if is_leaf(node) or (not node.inputs and node.name != "constant"):
            return self._leaf(node)
        if not node.requires_grad and node.dtype.name == "bool":
            fixed = _uniform(_fixed_value(node))
            if fixed is not None:
                return self.algebra.number(fixed, node.shape)
        for x in node.inputs:
            if self._is_open(x):
                self.read(x)
        args = [self._argument(x, node) for x in node.inputs]
        return apply(self.algebra, node, args)

    def _argument(self, x: Node, user: Node) -> Expr:
        found = self.symbols.get(x) or self._read[x]
        derived = user.scope is not None and user.scope.kind == "gradient"
        number = x.op is None and x not in self.symbols and x.value is not None and not x.shape
        if number and not derived:
            self._called[x] = self._number(x, user, float(x.value)) or found
        return self._called.get(x, found) if number else found

    def _leaf(self, node: Node) -> Expr:
        fixed = None if node.requires_grad else _uniform(node.value)
        if fixed is not None and node.op is None:
            if isinstance(fixed, float):
                precision = 2.0**-53 if node.dtype.itemsize == 8 else 2.0**-23
                found = constant(self.algebra, fixed, precision)
                return self.algebra.expand(found, node.shape)
            return self.algebra.number(fixed, node.shape)
        self.symbols[node] = symbol = self._unnamed(node)
        return symbol


def _uniform(value: np.ndarray | None) -> Any:
    """The number that all elements are, or None."""
    if value is None or not 0 < value.size <= _SMALL:
        return None
    first = value.flat[0]
    if value.size > 1 and not (value == first).all():
        return None
    if value.dtype.kind in "biu":
        return Fraction(int(first))
    # Written as short as its own precision allows: 0.1 in float32 is 0.1.
    return number_of(float(str(first)))


def _fixed_value(node: Node, depth: int = 6) -> np.ndarray | None:
    """The value of a test of data, such as whether any target is to be ignored."""
    if node.value is not None or not node.inputs or not depth:
        return node.value if node.op is None else None
    if any(x.requires_grad or size(x.shape) > _SMALL for x in node.inputs):
        return None
    if node.op not in _OURS or node.op.kind not in ("elementwise", "movement"):
        return None
    values = [_fixed_value(x, depth - 1) for x in node.inputs]
    if any(v is None for v in values):
        return None
    return np.asarray(node.op.eval(*values, **node.attrs))


# ------------------------------------------------------------------------------ ops


def apply(a: Algebra, node: Node, args: list[Expr]) -> Expr:
    """The op of a node, applied to expressions of its inputs."""
    name = node.name.rstrip("_")
    if node.op not in _OURS:
        return a.call(f"{name}_", args, (), node.shape)
    rule = _RULES.get(node.name)
    if rule is not None:
        return rule(a, node, *args)
    if node.op.kind == "elementwise":
        return a.expand(a.call(_CALLED.get(name, name), args, _attrs(node)), node.shape)
    if node.op.kind == "reduction" and name in _REDUCTIONS:
        axis = node.attrs["axis"]
        axes = (axis,) if isinstance(axis, int) else axis
        return a.reshape(a.reduce(_REDUCTIONS[name], args[0], axes), node.shape)
    return a.call(name, args, _attrs(node), node.shape)


def _attrs(node: Node) -> tuple:
    return tuple(sorted(node.attrs.items()))


_CALLED = {"maximum": "max", "minimum": "min", "logical_not": "not", "bitwise_not": "not",
           "logical_and": "and", "logical_or": "or", "remainder": "mod"}
_REDUCTIONS = {"sum": "sum", "amax": "max", "amin": "min", "prod": "prod", "any": "any",
               "all": "all", "argmax": "argmax", "argmin": "argmin"}


def _passed(a: Algebra, node: Node, x: Expr, *others: Expr) -> Expr:
    return a.expand(x, node.shape)


def _cast(a: Algebra, node: Node, x: Expr) -> Expr:
    (source,) = node.inputs
    if source.dtype.is_floating_point and not node.dtype.is_floating_point:
        if node.dtype.name == "bool":
            return a.call("ne", [x, a.number(Fraction(0))])
        return a.call("trunc", [x])
    return x


def _constant(a: Algebra, node: Node) -> Expr:
    return a.expand(constant(a, float(node.attrs["value"]), 2.0**-53), node.shape)


def _power(a: Algebra, node: Node, x: Expr) -> Expr:
    return a.power(x, number_of(node.attrs["exponent"]))


def _pow(a: Algebra, node: Node, x: Expr, y: Expr) -> Expr:
    if y.kind == "number":
        return a.expand(a.power(x, y.data), node.shape)
    return a.call("pow", [x, y])


def _and(a: Algebra, node: Node, x: Expr, y: Expr) -> Expr:
    return a.mul(x, y) if node.dtype.name == "bool" else a.call("and", [x, y])


def _contract(a: Algebra, node: Node, x: Expr, y: Expr) -> Expr:
    return a.expand(a.contract(x, y, node.attrs["labels"]), node.shape)


def _overwrite(a: Algebra, node: Node, x: Expr, y: Expr) -> Expr:
    return a.expand(y, node.shape)


def _scatter_add(a: Algebra, node: Node, x: Expr, index: Expr, src: Expr) -> Expr:
    """What is added to zeros has its coefficient in front."""
    coef: Number = ONE
    factors: tuple[Expr, ...] = ()
    if is_number(x, 0):
        coef, factors = split(bare(src))
        coef = coef or ONE
        inner = a.mul(*factors) if factors else a.number(split(bare(src))[0] / coef)
        src = a.expand(inner, src.shape)
    made = a.call("scatter_add", [x, index, src], _attrs(node), node.shape)
    return a.mul(a.number(coef), made)


def _half(exponent: Fraction) -> Callable:
    return lambda a, node, x: a.power(x, exponent)


_RULES: dict[str, Callable[..., Expr]] = {
    "add": lambda a, node, x, y: a.add(x, y),
    "sub": lambda a, node, x, y: a.sub(x, y),
    "mul": lambda a, node, x, y: a.mul(x, y),
    "div": lambda a, node, x, y: a.div(x, y),
    "neg": lambda a, node, x: a.neg(x),
    "reciprocal": lambda a, node, x: a.power(x, -ONE),
    "sqrt": _half(Fraction(1, 2)),
    "rsqrt": _half(Fraction(-1, 2)),
    "power": _power,
    "pow": _pow,
    "clone": _passed,
    "detach": _passed,
    "reattach": _overwrite,
    "overwrite": _overwrite,
    "cast": _cast,
    "constant": _constant,
    "logical_and": _and,
    "bitwise_and": _and,
    "contract": _contract,
    "reshape": lambda a, node, x: a.reshape(x, node.shape),
    "permute": lambda a, node, x: a.permute(x, node.attrs["axes"]),
    "expand": lambda a, node, x: a.expand(x, node.shape),
    "scatter_add": _scatter_add,
}
