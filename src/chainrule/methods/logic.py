"""Comparisons, predicates, logic, bits, and selection by a condition."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import dtypes
from ..errors import DTypeError
from ..graph import Node, leaf
from ..ops import logic as ops
from ..ops.op import cast, scalar, wrapped
from ..scope import composite
from ..tensor import Tensor, from_array
from .operands import binary, operand, unary
from .register import into, method

__all__ = [
    "allclose", "bitwise_and", "bitwise_left_shift", "bitwise_not", "bitwise_or",
    "bitwise_right_shift", "bitwise_xor", "eq", "equal", "ge", "greater", "greater_equal", "gt",
    "isclose", "isfinite", "isinf", "isnan", "isneginf", "isposinf", "le", "less", "less_equal",
    "logical_and", "logical_not", "logical_or", "logical_xor", "lt", "masked_fill", "ne",
    "not_equal", "signbit", "where",
]

eq = binary(ops.eq, "eq", "a == b")
ne = not_equal = binary(ops.ne, "ne", "a != b", "not_equal")
lt = less = binary(ops.lt, "lt", "a < b", "less")
le = less_equal = binary(ops.le, "le", "a <= b", "less_equal")
gt = greater = binary(ops.gt, "gt", "a > b", "greater")
ge = greater_equal = binary(ops.ge, "ge", "a >= b", "greater_equal")


@method()
def isclose(input: Tensor, other: Tensor, rtol=1e-05, atol=1e-08, equal_nan=False) -> Tensor:
    """|a - b| <= atol + rtol |b|, elementwise."""
    a, b = input._value(), other._value()
    wide = np.float64 if input.dtype.is_floating_point else a.dtype
    return from_array(
        np.isclose(a.astype(wide), b.astype(wide), rtol=rtol, atol=atol, equal_nan=equal_nan)
    )


@method()
def allclose(input: Tensor, other: Tensor, rtol=1e-05, atol=1e-08, equal_nan=False) -> bool:
    """Whether |a - b| <= atol + rtol |b| for all elements.

    >>> import chainrule as torch
    >>> torch.allclose(torch.tensor([1.0]), torch.tensor([1.0 + 1e-7]))
    True
    """
    return bool(isclose(input, other, rtol, atol, equal_nan).all())


@method()
def equal(input: Tensor, other: Tensor) -> bool:
    """Whether shapes and all values are the same."""
    if input.shape != other.shape:
        return False
    return bool(np.array_equal(input._value(), other._value()))


# --------------------------------------------------------------------------- predicates
isnan = unary(ops.isnan, "isnan", "whether x is NaN")
isinf = unary(ops.isinf, "isinf", "whether x is infinite")
isfinite = unary(ops.isfinite, "isfinite", "whether x is finite")


@method()
def isposinf(input: Tensor) -> Tensor:
    """Whether x is +infinity."""
    return input == float("inf")


@method()
def isneginf(input: Tensor) -> Tensor:
    """Whether x is -infinity."""
    return input == float("-inf")


@method()
def signbit(input: Tensor) -> Tensor:
    """Whether x < 0 or x is -0.0."""
    if not input.dtype.is_floating_point:
        return input < 0
    return where(input == 0, 1.0 / input, input) < 0


# --------------------------------------------------------------------------- logic and bits
logical_not = unary(ops.logical_not, "logical_not", "not x")
bitwise_not = unary(ops.bitwise_not, "bitwise_not", "the complement of the bits")
logical_and = binary(ops.logical_and, "logical_and", "a and b")
logical_or = binary(ops.logical_or, "logical_or", "a or b")
logical_xor = binary(ops.logical_xor, "logical_xor", "a xor b")
bitwise_and = binary(ops.bitwise_and, "bitwise_and", "the bits in both")
bitwise_or = binary(ops.bitwise_or, "bitwise_or", "the bits in either")
bitwise_xor = binary(ops.bitwise_xor, "bitwise_xor", "the bits in exactly one")
bitwise_left_shift = binary(ops.left_shift, "bitwise_left_shift", "a 2^b")
bitwise_right_shift = binary(ops.right_shift, "bitwise_right_shift", "floor(a / 2^b)")


# --------------------------------------------------------------------------- selection
@composite("WhereBackward0")
def where(condition, input=None, other=None, *, out=None):
    """a where the condition holds, else b; all three broadcast, a and b may be numbers.

    With the condition alone, `nonzero(as_tuple=True)`.  The gradient goes to what was chosen.
    Raises RuntimeError for a condition that is not bool.

    >>> import chainrule as torch
    >>> x = torch.tensor([-1.0, 2.0])
    >>> torch.where(x > 0, x, 0.0)
    tensor([0., 2.])
    """
    if input is None:
        return condition.nonzero(as_tuple=True)
    result = Tensor._from_node(ops.where(condition.node, *_pair(input, other)))
    return into(out, result)


def _pair(a, b):
    """Two operands of which neither needs to be a tensor."""
    a, b = operand(a, "where"), operand(b, "where")
    if isinstance(a, Node) or isinstance(b, Node):
        return against(a, b), against(b, a)
    found = dtypes.of_scalar(a if isinstance(a, float) else b if isinstance(b, float) else a)
    return leaf(a, found), leaf(b, found)


def against(x: Any, other: Node) -> Node:
    """x as a node: a number takes the dtype it has next to `other`."""
    return x if isinstance(x, Node) else scalar(x, other)


@method(name="where")
def _where(self: Tensor, condition, other) -> Tensor:
    return where(condition, self, other)


@method(inplace=True)
@composite("MaskedFillBackward0")
def masked_fill(input: Tensor, mask: Tensor, value) -> Tensor:
    """x with `value` where the mask holds; the mask broadcasts to x.

    Raises RuntimeError for a mask that is not bool.

    >>> import chainrule as torch
    >>> torch.ones(3).masked_fill(torch.tensor([True, False, True]), 0)
    tensor([0., 1., 0.])
    """
    if mask.dtype is not dtypes.bool_:
        raise DTypeError(
            f"masked_fill requires a bool mask, got {mask.dtype} (masked_fill only supports "
            "boolean masks)",
            hint="compare first: mask == 0",
        )
    value = operand(value, "masked_fill")
    if not isinstance(value, Node):
        value = leaf(wrapped(value, input.dtype.np), input.dtype)
    elif value.dtype is not input.dtype:
        value = cast(value, dtype=input.dtype)
    return Tensor._from_node(ops.where(mask.node, value, input.node))
