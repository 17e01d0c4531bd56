"""Python's operators on tensors: + - * / // % ** @ & | ^ ~ << >> < <= == != > >=."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..graph import backlog
from ..ops import elementwise as ew
from ..ops import logic
from ..ops.op import Elementwise, scalar
from ..tensor import Tensor
from .create import as_tensor
from .logic import bitwise_and, bitwise_not, bitwise_or, bitwise_xor
from .operands import NUMBERS
from .pointwise import abs, add, div, floor_divide, mul, neg, pow, remainder, sub
from .products import matmul
from .register import written_back

__all__: list[str] = []

def _operator(op: Elementwise, reflected: bool = False) -> Callable:
    """The method behind an operator: the shortest way from a line of the user's to a node."""
    new, binary, divides = object.__new__, op.binary, op is ew.div

    def operate(self, other):
        left = self._node if self._base is None else self.node
        kind = other.__class__
        if kind is float or kind is int:  # first: to ask whether x is a Tensor takes longer
            # A divisor that an integer dtype cannot hold must not wrap: uint8 / -1.
            right = scalar(float(other) if divides else other, left)
        elif isinstance(other, Tensor):
            right = other._node if other._base is None else other.node
        elif isinstance(other, NUMBERS):
            whole = divides and not isinstance(other, float)
            right = scalar(float(other) if whole else other, left)
        elif isinstance(other, np.ndarray):
            right = as_tensor(other).node
        else:
            return NotImplemented
        node = binary(right, left) if reflected else binary(left, right)
        if node.depth > backlog.limit:
            return Tensor._from_node(node)
        result = new(Tensor)
        result._node = node
        return result

    return operate


def _power(self: Tensor, exponent) -> Tensor:
    kind, node = exponent.__class__, self.node
    if (kind is int or kind is float) and node.spec.dtype.is_floating_point:
        node = ew.power.unary(node, {"exponent": exponent})
        if node.depth > backlog.limit:
            return Tensor._from_node(node)
        result = object.__new__(Tensor)
        result._node = node
        return result
    return pow(self, exponent)


def _plus(self: Tensor) -> Tensor:
    return self


def _raised(self: Tensor, base) -> Tensor:
    return pow(base, self)


def _times(self: Tensor, other) -> Tensor:
    return matmul(self, other) if isinstance(other, Tensor) else NotImplemented


def _left_times(self: Tensor, other) -> Tensor:
    return matmul(as_tensor(other, dtype=self.dtype), self)


ARITHMETIC = {
    "add": ew.add, "sub": ew.sub, "mul": ew.mul, "truediv": ew.div, "mod": ew.remainder,
    "floordiv": ew.floor_divide, "and": logic.bitwise_and, "or": logic.bitwise_or,
    "xor": logic.bitwise_xor, "lshift": logic.left_shift, "rshift": logic.right_shift,
}
COMPARISONS = {
    "lt": logic.lt, "le": logic.le, "gt": logic.gt, "ge": logic.ge, "eq": logic.eq,
    "ne": logic.ne,
}
FUNCTIONS = {
    "neg": neg, "pos": _plus, "abs": abs, "invert": bitwise_not, "pow": _power, "rpow": _raised,
    "matmul": _times, "rmatmul": _left_times,
}
IN_PLACE = {
    "add": add, "sub": sub, "mul": mul, "truediv": div, "mod": remainder, "floordiv": floor_divide,
    "pow": pow, "and": bitwise_and, "or": bitwise_or, "xor": bitwise_xor, "matmul": matmul,
}
for _name, _op in ARITHMETIC.items():
    setattr(Tensor, f"__{_name}__", _operator(_op))
    setattr(Tensor, f"__r{_name}__", _operator(_op, reflected=True))
for _name, _op in COMPARISONS.items():
    setattr(Tensor, f"__{_name}__", _operator(_op))
for _name, _function in FUNCTIONS.items():
    setattr(Tensor, f"__{_name}__", _function)
for _name, _function in IN_PLACE.items():
    setattr(Tensor, f"__i{_name}__", written_back(_function, f"__i{_name}__"))
