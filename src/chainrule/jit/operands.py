"""How a contraction reads its operands: through index maps, straight from memory."""

from __future__ import annotations

from ..graph import Node
from ..ops.op import reshape
from .index import Guard, Index, Linear, NotLinear, Space, parts


def operand(fusion, kernel, x: Node, index: Index) -> tuple[Node, Linear, list[Guard]]:
    """The node in memory that holds the elements of x, where, and when they are not 0."""
    guards: list[Guard] = []
    space: Space = kernel.space
    while not fusion.ready(x, kernel):
        if x.op is reshape and fusion.ready(x.inputs[0], kernel):
            return x.inputs[0], space.flat(index, x.shape), guards
        if x.op.kind != "movement":
            raise NotLinear(x)
        found = parts(space, x, index)
        if len(found) != 1:
            raise NotLinear(x)
        (number, index, more), = found
        guards += more
        x = x.inputs[number]
    return x, space.flat(index, x.shape), guards
