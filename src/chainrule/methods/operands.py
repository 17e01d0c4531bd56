"""What elementwise functions take, and how an elementwise op becomes one of them."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Number
from typing import Any

import numpy as np

from ..errors import ArgumentTypeError
from ..graph import Node
from ..ops.op import Elementwise, scalar
from ..tensor import Tensor
from .create import as_tensor
from .register import into, method, named

NUMBERS = (int, float, np.number, np.bool_)


def operand(x: Any, name: str) -> Any:
    """What an op takes: a node, or a Python number."""
    if isinstance(x, Tensor):
        return x.node
    if isinstance(x, NUMBERS) or isinstance(x, Number):
        return x
    if isinstance(x, np.ndarray):
        return as_tensor(x).node
    raise ArgumentTypeError(f"{name} requires tensors or numbers, got {type(x).__name__}")


def operands(a: Any, b: Any, name: str) -> tuple[Node, Node]:
    """The nodes of two operands, of which one may be a number: it becomes a scalar leaf."""
    a, b = operand(a, name), operand(b, name)
    if not isinstance(a, Node):
        if not isinstance(b, Node):
            raise ArgumentTypeError(f"{name} requires at least one Tensor, got two numbers")
        return scalar(a, b), b
    return a, b if isinstance(b, Node) else scalar(b, a)


def unary(op: Elementwise, name: str, formula: str, *aliases: str) -> Callable:
    """f(input), its methods and its in-place methods."""

    def function(input: Tensor, *, out: Tensor | None = None) -> Tensor:
        if not isinstance(input, Tensor):
            kind = input.__class__.__name__
            raise ArgumentTypeError(f"{name} requires a Tensor, got {kind}")
        result = Tensor._from_node(op.unary(input.node))
        return result if out is None else into(out, result)

    return method(*aliases, inplace=True)(named(function, name, f"{formula}, elementwise."))


def binary(op: Elementwise, name: str, formula: str, *aliases: str) -> Callable:
    """f(input, other), its methods and its in-place methods."""

    def function(input, other, *, out: Tensor | None = None) -> Tensor:
        result = Tensor._from_node(op.binary(*operands(input, other, name)))
        return into(out, result)

    doc = f"{formula}, elementwise with broadcasting."
    return method(*aliases, inplace=True)(named(function, name, doc))
