"""Graphs that are kept alive from step to step, by the variable that keeps them.

Here a kept loss costs little once backward has passed: its graph is freed, and a loop that only
accumulates is computed now and then (MAX_PENDING_DEPTH).  PyTorch keeps every graph whole that a
tensor with a history leads to, activations included until backward has passed.
"""

from __future__ import annotations

import ast
import weakref
from collections.abc import Iterator, Mapping
from typing import Any

from ...autodiff import is_leaf
from ...graph import Node
from ...scope import Site
from ...tensor import Tensor
from .finding import Finding, Findings, finding, stand_in
from .frames import containers
from .reach import line_at
from .reading import Reading

GROWTH = 3  # looks in a row at which there was more


class Keeping:
    """Follows what the user's variables hold from one step to the next."""

    def __init__(self, findings: Findings):
        self.findings = findings
        self._sizes: dict[tuple[str, int], list[int]] = {}  # of a list, at each look
        self._totals: dict[str, list[weakref.ref[Node]]] = {}
        self._losses: weakref.WeakSet[Node] = weakref.WeakSet()

    def passed(self, tensors: Any) -> None:
        """These were losses: to hold one of them until the next step is as usual."""
        for t in tensors:
            self._losses.add(t.node)

    def look(self, found: list[tuple[str, Any]]) -> None:
        """What do the variables hold now, at the end of a step?"""
        for name, items in containers(found):
            self._list(name, items)
        for name, value in found:
            if isinstance(value, Tensor):
                self._total(name, value)

    def _list(self, name: str, items: Any) -> None:
        if len(items) < GROWTH or not (_has_history(items[0]) and _has_history(items[-1])):
            return
        sizes = self._sizes.setdefault((name, id(items)), [])
        sizes.append(len(items))
        if len(sizes) > GROWTH:
            sizes.pop(0)
        if len(sizes) == GROWTH and sizes[0] < sizes[1] < sizes[2]:
            node = items[-1].node
            self.findings.add(finding(
                "graphs kept in a list", node.site,
                f"{name} holds {len(items)} tensors that require grad, one more at every step; the "
                f"last was recorded at {node.where}.",
                _COSTS, f"{name}.append(loss.item()), or loss.detach().", [stand_in(node)]))

    def _total(self, name: str, value: Tensor) -> None:
        node = value._node
        if not _has_history(value) or node in self._losses or not _adds_to(name, node.where):
            return
        seen = self._totals.setdefault(name, [])
        if seen and seen[-1]() is node:
            return
        seen.append(weakref.ref(node))
        if len(seen) == GROWTH:
            self.findings.add(finding(
                "a sum that keeps its graph", node.site,
                f"{name}, added to at {node.where}, requires grad, and goes on from step to step.",
                _COSTS, f"{name} += loss.item(), or loss.detach().", [stand_in(node)]))


_COSTS = "A tensor that requires grad leads to the graph it was made from. PyTorch keeps that " \
    "graph for as long: memory grows with every step. chainrule frees what backward has passed " \
    "and keeps the numbers; but what no backward passes stays, up to its limits, and costs time."


def outdated(reading: Reading, copies: Mapping[Node, Node]) -> Iterator[Finding]:
    """A graph that reaches back beyond an update: it holds an older value of a parameter too.

    `copies`: for every node of the program's graph, that of the reading.
    """
    leaves = [(n, n.owner()) for n in reading.leaves()]
    present = {id(p) for n, p in leaves if p is not None and copies.get(p._node) is n}
    output = reading.output
    for node, p in leaves:
        if p is not None and id(p) in present and copies.get(p._node) is not node:
            yield finding(
                "a graph across steps", output.site,
                f"The loss at {output.where} depends on a parameter of shape {tuple(p.shape)} "
                "as it is now and as it was before an update: something of an earlier step, such "
                "as a hidden state, was carried over with its history.",
                "The graph grows with every step, and so do time and memory; PyTorch refuses this, "
                "or needs retain_graph=True.",
                "carry over h.detach() in the place of h.", [stand_in(output)])
            return


def _has_history(x: Any) -> bool:
    return isinstance(x, Tensor) and x._node.requires_grad and not is_leaf(x._node)


def _adds_to(name: str, site: Site) -> bool:
    """Whether the line is `name += ...` or `name = name + ...`."""
    text = line_at(site).strip()
    try:
        statements = ast.parse(text).body
    except SyntaxError:  # a part of a longer statement
        return False
    for s in statements:
        if isinstance(s, ast.AugAssign) and isinstance(s.op, ast.Add):
            return isinstance(s.target, ast.Name) and s.target.id == name
        if isinstance(s, ast.Assign) and isinstance(s.value, ast.BinOp):
            target, sides = s.targets[0], (s.value.left, s.value.right)
            return isinstance(target, ast.Name) and target.id == name and any(
                isinstance(side, ast.Name) and side.id == name for side in sides)
    return False


