"""The machine's own grain: the fused kernels of a step, as a page holds them.

The program is that of the loss and the gradients of all leaves that require grad, compiled aside.
A kernel computes nodes that rewriting has made from the recorded ones; they have kept the line and
the scope of what they were made from, and by these they are found again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..graph import Node, is_pending, toposort
from ..scope import Scope
from .picture import is_source
from .placing import columns_alone

MOST_BENDS = 1500

if TYPE_CHECKING:
    from ..jit.printout import Printout
    from ..jit.step import Step


def kernels_of(
    outputs: Sequence[Node], order: Sequence[Node], names: Mapping[Node, str]
) -> dict[str, Any]:
    """The kernels that compute `outputs`, whose forward nodes are `order`, with microseconds."""
    from ..jit.measure import measure
    from ..jit.printout import Printout
    from ..jit.program import Program

    leaves = [n for n in toposort(outputs, enter=is_pending) for n in n.inputs if not is_pending(n)]
    leaves = list(dict.fromkeys(leaves))
    with np.errstate(all="ignore"):
        program = Program(outputs, leaves)
        times = measure(program, [n.value for n in leaves])
    known = dict(zip(program.leaves, (names.get(n) or _number(n) for n in leaves)))
    known |= {new: names[old] for old, new in zip(outputs, program.outputs) if old in names}
    printout = Printout(program, {n: name for n, name in known.items() if name}, times)
    steps = [s for s in printout.steps if s.kernel.kind != "cat"]
    *head, _ = printout.head()  # the last line is where code is kept on this machine
    data = {"head": head, "list": _list(printout, steps, order)}
    data["us"] = round(times.whole, 3)
    return data | _graph(printout, steps)


def _number(node: Node) -> str:
    value = node.value
    return f"{value.item():.6g}" if value is not None and value.ndim == 0 else ""


def _list(printout: Printout, steps: Sequence[Step], order: Sequence[Node]) -> list[dict[str, Any]]:
    by_place: dict[tuple, list[int]] = defaultdict(list)
    for i, node in enumerate(order):
        if not is_source(node):
            by_place[tuple(node.site), node.scope, node.name].append(i)
    kernels = []
    for i, step in enumerate(steps):
        cost = step.cost()
        nodes = [m.node for m in step.kernel.members] + step.inlined()
        forward, backward = _origins(nodes, by_place)
        kernel = {
            "id": i, "level": step.level, "kind": step.kind,
            "what": ", ".join(printout.nodes(step)),
            "reads": printout.texts(step.reads), "writes": printout.texts(step.writes),
            "read": cost.read, "written": cost.written, "flops": cost.flops, "nodes": forward,
            "backward": backward, "text": step.text,
        }
        if printout.times is not None and step in printout.times.kernels:
            kernel["us"] = round(printout.times.kernels[step], 3)
        kernels.append({key: fact for key, fact in kernel.items() if fact not in ("", [], None)})
    return kernels


def _origins(
    nodes: Sequence[Node], by_place: Mapping[tuple, list[int]]
) -> tuple[list[int], list[int]]:
    """(forward nodes computed, forward nodes whose backward is computed)."""
    forward: set[int] = set()
    backward: set[int] = set()
    for node in nodes:
        scope: Scope | None = node.scope
        gradient = None
        while scope is not None:
            if scope.kind == "gradient":
                gradient = scope  # the outermost: of the op in the user's graph
            scope = scope.parent
        if gradient is None:
            forward.update(by_place.get((tuple(node.site), node.scope, node.name), ()))
        else:
            op = gradient.label.removesuffix("_backward")
            backward.update(by_place.get((tuple(node.site), gradient.parent, op), ()))
    return sorted(forward), sorted(backward)


def _graph(printout: Printout, steps: Sequence[Step]) -> dict[str, Any]:
    """The arrays that go from kernel to kernel, and where the kernels stand."""
    makers = _makers(printout, steps)
    edges: dict[tuple[int, int], list[str]] = defaultdict(list)
    for i, step in enumerate(steps):
        for x in step.reads:
            for maker in makers.get(x, ()):
                if steps[maker].level < step.level:  # of a concatenation, what is there already
                    edges[maker, i] += printout.texts([x])
    data: dict[str, Any] = {
        "edges": [{"tail": a, "head": b, "label": ", ".join(dict.fromkeys(labels))}
                  for (a, b), labels in edges.items()]}
    # A program's links are long where values are kept for the way back: laid out, they would take
    # more room than the kernels.  The page then has one column for each level.
    if sum(steps[b].level - steps[a].level for a, b in edges) <= MOST_BENDS:
        data["layout"] = columns_alone(len(steps), list(edges), "k")
    return data


def _makers(printout: Printout, steps: Sequence[Step]) -> dict[Node, list[int]]:
    """The kernels that write each array; a concatenation is written by those of its parts."""
    makers = {x: [i] for i, step in enumerate(steps) for x in step.writes}
    for step in printout.steps:
        if step.kernel.kind == "cat":
            parts = [i for x in step.reads for i in makers.get(x, ())]
            makers |= {x: list(dict.fromkeys(parts)) for x in step.writes}
    return makers
