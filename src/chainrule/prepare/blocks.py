"""Reductions of much to little, in two steps: first within blocks, then over the blocks.

So they run in parallel, and since the blocks follow from the shape alone, no rounding depends on
how many workers share them.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from ..graph import Node
from ..ops import reduction as rd
from ..ops.op import Op, sum_
from ..rewrite import again, rebuild
from ..shapes import size
from .moves import joined, reshaped, sliced, whole

MOST_RESULTS = 16  # what has more is split among workers as it is
SMALL = 1 << 14  # elements that one worker reduces at once
FEWEST_BLOCKS, MOST_BLOCKS, BLOCK = 16, 256, 1 << 12
FEWEST_WITHIN = 32  # elements of a block, that it is worth one

_REDUCTIONS = {sum_, rd.amax, rd.amin, rd.prod, rd.any_, rd.all_}


def split_reductions(outputs: Sequence[Node]) -> list[Node]:
    """Reduce in blocks where there is much to reduce and little to gain from the results."""

    def make(node: Node, inputs: list[Node]) -> Node:
        if node.op in _REDUCTIONS and size(node.shape) < MOST_RESULTS:
            axis = node.attrs["axis"]
            return _reduced(node.op, inputs[0], (axis,) if isinstance(axis, int) else axis)
        return again(node, inputs)

    return rebuild(outputs, make)


def _reduced(op: Op, x: Node, axes: tuple[int, ...]) -> Node:
    if size(x.shape) <= SMALL:
        return _plain(op, x, axes)
    outer = _outer(x, axes)
    if outer:
        return _twice(op, x, axes, outer)
    longest = max(axes, key=lambda a: x.shape[a])
    n, blocks = x.shape[longest], _blocks(x, x.shape[longest])
    if n < blocks * FEWEST_WITHIN:
        return _plain(op, x, axes)
    return _in_blocks(op, x, axes, longest, blocks)


def _plain(op: Op, x: Node, axes: Sequence[int]) -> Node:
    return op(x, axis=axes[0] if op is rd.prod else tuple(axes))


def _outer(x: Node, axes: tuple[int, ...]) -> tuple[int, ...]:
    """The first axes, if they are enough blocks and leave enough within them."""
    for i in range(1, len(axes)):
        count, within = (prod(x.shape[a] for a in part) for part in (axes[:i], axes[i:]))
        if count >= FEWEST_BLOCKS and within >= FEWEST_WITHIN:
            return axes[:i]
    return ()


def _twice(op: Op, x: Node, axes: Sequence[int], outer: Sequence[int]) -> Node:
    """All axes but the outer ones first, then these."""
    first = [a for a in axes if a not in outer]
    kept = [a for a in range(x.ndim) if a not in first]
    return _reduced(op, _plain(op, x, first), tuple([kept.index(a) for a in outer]))


def _blocks(x: Node, n: int) -> int:
    """Into how many blocks to cut an axis of length n: a divisor where there is a good one."""
    wanted = min(max(size(x.shape) // BLOCK, FEWEST_BLOCKS), MOST_BLOCKS)
    divisors = [b for b in range(max(wanted // 2, FEWEST_BLOCKS), 4 * wanted) if n % b == 0]
    return min(divisors, key=lambda b: abs(b - wanted), default=wanted)


def _in_blocks(op: Op, x: Node, axes: tuple[int, ...], axis: int, blocks: int) -> Node:
    n = x.shape[axis]
    within = n // blocks
    rest = n - within * blocks
    row, tail = whole(x.shape), whole(x.shape)
    row[axis], tail[axis] = (0, n - rest, 1), (n - rest, n, 1)
    cut = reshaped(sliced(x, tuple(row)),
                   (*x.shape[:axis], blocks, within, *x.shape[axis + 1 :]))
    moved = [a + 1 if a >= axis else a for a in axes]
    if not rest:
        return _twice(op, cut, (*moved, axis), (axis,))
    parts = _plain(op, cut, moved)
    last = _plain(op, sliced(x, tuple(tail)), axes)
    at = sum(a not in axes for a in range(axis))
    last = reshaped(last, (*last.shape[:at], 1, *last.shape[at:]))
    return _plain(op, joined([parts, last], at), (at,))
