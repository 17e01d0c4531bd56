"""A snapshot of a graph: all that can be seen of it, at one moment.

`snapshot(loss)` works on a copy of the graph (keep.py), so the program goes on as if nobody had
looked.  What it finds is plain data with a written format (assets/graph.schema.json); the page, the
drawings and the exports are made from that.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import numpy as np

from ..autodiff import saved_by
from ..backprop import BackProp
from ..errors import ArgumentError
from ..graph import Node
from ..history import why
from ..scope import enter, leave
from ..tensor import Tensor
from . import exports
from .arrays import array_facts
from .cost import flops
from .drawing import drawn
from .facts import visit_aside
from .groups import Group, group_tree
from .insight import equations_of, findings_of, mark_origin, mark_rules
from .keep import copied
from .labels import Names, einsum_text, is_constant, names_of, node_of, op_label
from .lifetimes import lifetimes
from .lint.finding import Finding
from .machine import kernels_of
from .page import page
from .picture import forward_order, inputs_of, is_source
from .placing import placed
from .sources import line_of
from .svg import write

FORMAT, VERSION = "chainrule.graph", 1
FREED = "Backward has freed this graph: gradients are known only of what is left of it. Take the " \
    "snapshot before backward(), or call backward(retain_graph=True)."
MOST_KERNELS_OF = 2500  # nodes of a graph that is compiled to be shown
MOST_EQUATIONS_OF = 1500  # nodes of a graph whose equations somebody would read
SMALL = 60  # nodes of a graph whose matrices are drawn, too


def snapshot(
    tensor: Tensor, *, names: Mapping[str, Tensor] | None = None, title: str | None = None,
    times: bool = True, findings: Iterable[Finding] = (),
) -> Snapshot:
    """All that can be seen of the graph that `tensor` was made from.

    For every node: op, line, module, shape, bytes, value and gradient (the number, or norm, mean,
    range, histogram ...), what is kept for backward and for whom, microseconds and flops; for every
    edge upstream x local = downstream; the groups it folds into, the memory of the step over time,
    and the kernels it is compiled to.  `names` maps names to tensors; the caller's variables are
    found by themselves.  Without `times` nothing is measured.  `findings` are told besides those of
    the graph alone: give it what `lint.watch()` gathers.

    Everything is computed aside, and no later bit of the program changes.

    >>> import chainrule as torch
    >>> x, w = torch.tensor(2.0), torch.tensor(3.0, requires_grad=True)
    >>> s = torch.snapshot((x * w - 1) ** 2)
    >>> [(n["op"], n["value"]["number"], n["gradient"]["number"]) for n in s.data["nodes"][1:3]]
    [('leaf', 3.0, 20.0), ('mul', 6.0, 10.0)]
    """
    node = node_of("snapshot", tensor)
    known = names_of(sys._getframe(1), names)
    return Snapshot(node, known, title=title, times=times, findings=findings)


class Snapshot:
    """What `snapshot(tensor)` returns; `data` is the plain data, `save` writes it in many forms."""

    def __init__(
        self, node: Node, names: Names, *, title: str | None = None, times: bool = True,
        failure: BaseException | None = None, findings: Iterable[Finding] = (),
    ):
        copies = copied([node])
        self.node, self.names = copies[node], names.on(copies)
        name = self.names.nodes.get(self.node, "output")
        self.title = title or f"{name}, recorded at {node.where}"
        self._freed = any(n.freed for n in copies)
        self._times, self._failure = times and failure is None, failure
        self._findings = findings  # looked at with the data: more may come until then

    @cached_property
    def data(self) -> dict[str, Any]:
        """The snapshot as plain data: dicts, lists, numbers and texts."""
        builder, found = self._repeatable
        if not self._times:
            return found
        with _recorded_at(self.node):
            return found | builder.measured()

    @cached_property
    def _repeatable(self) -> tuple[_Builder, dict[str, Any]]:
        """Who has built the data, and all of it that needs no clock: forms that leave out what is
        measured need not wait for it."""
        builder = _Builder(self.node, self.names)
        with _recorded_at(self.node):
            return builder, self._gathered(builder)

    def _gathered(self, built: _Builder) -> dict[str, Any]:
        found = built.build(self.title, self._freed)
        if self._failure is not None:
            return _failed(found, str(self._failure))
        mark_origin(self.node, built.order, found["nodes"])
        mark_rules(built.order, found["nodes"], self.names)
        more = {"findings": findings_of(self.node, self.names, built.order, self._findings)}
        if len(built.order) <= MOST_EQUATIONS_OF and not self._freed:
            more["equations"] = equations_of(self.node, self.names, built.order)
        return found | {key: fact for key, fact in more.items() if fact}

    def save(self, path: str | os.PathLike) -> None:
        """Write a file whose ending says what: .html, .svg, .json, .dot, .mmd (Mermaid), .txt.

        ArgumentError for another ending; OSError where the file cannot be written.
        """
        makers = {".html": self.html, ".svg": self.svg, ".json": self.json, ".dot": self.dot,
                  ".mmd": self.mermaid, ".txt": self.__str__}
        make = makers.get(os.path.splitext(path)[1].lower())
        if make is None:
            raise ArgumentError(f"save requires a file that ends in {', '.join(makers)}, "
                                f"got {os.path.basename(path)!r}")
        write(path, make())

    def html(self) -> str:
        """One page, in one file: no server, no network."""
        return page(self.data)

    def svg(self, **options: Any) -> str:
        """The textbook drawing; `options` are those of `draw`: backward, values, limit, depth."""
        return drawn(Tensor._from_node(self.node), self.names, title=self.title, **options)

    def json(self) -> str:
        """The data as JSON, without what is measured: the same bytes for the same run."""
        kept = exports.repeatable(self._repeatable[1])
        return json.dumps(kept, separators=(",", ":"), allow_nan=False)

    def dot(self) -> str:
        """The graph for Graphviz."""
        return exports.dot(self._repeatable[1])

    def mermaid(self) -> str:
        """The graph for Mermaid."""
        return exports.mermaid(self._repeatable[1])

    def __str__(self) -> str:
        return exports.program(self._repeatable[1])

    def _repr_html_(self) -> str:
        return exports.frame(self.html())


@contextmanager
def _recorded_at(node: Node) -> Iterator[None]:
    """What is recorded inside belongs to the line of the output."""
    saved = enter(None, node.site)
    try:
        yield
    finally:
        leave(saved)


class _Builder:
    """Gathers the data of one snapshot.  Every node it holds is a copy."""

    def __init__(self, output: Node, names: Names):
        self.output, self.names = output, names
        self.order = forward_order(output)
        self.number = {node: i for i, node in enumerate(self.order)}
        self.forward = [n for n in self.order if not is_source(n)]
        self.root, self.called = group_tree(self.order, names)
        self.groups = {group: i for i, group in enumerate(self.root.groups())}
        self.home = {n: g for g in self.groups for n in g.items if isinstance(n, Node)}
        self.nodes: list[dict[str, Any]] = []
        self.edges: dict[tuple[Node, int], dict[str, Any]] = {}
        self.saved: dict[Node, list[Node]] = {}
        self.gradients: dict[Node, Node] = {}
        self.shares: dict[tuple[Node, int], Node] = {}
        self.locals: dict[tuple[Node, int], Node] = {}

    def build(self, title: str, freed: bool) -> dict[str, Any]:
        self.nodes = [self._node(n) for n in self.order]
        self.edges = {
            (n, i): {"tail": self.number[x], "head": self.number[n], "index": i}
            for n in self.order for i, x in enumerate(inputs_of(n))}
        backward = self._back() if self.output.requires_grad else []
        self._measure()
        layout, routes = placed(self.root, self.number, self.groups)
        for use, route in routes.items():
            self.edges[use]["route"] = route
        data = {
            "format": FORMAT, "version": VERSION, "title": title,
            "output": self.number[self.output], "nodes": self.nodes,
            "edges": list(self.edges.values()),
            "groups": [self._group(g) for g in self.groups], "layout": layout,
            "forward": [self.number[n] for n in self.forward],
            "backward": [self.number[n] for n in backward],
            "memory": lifetimes(self.order, self.forward, backward, self.saved, self.gradients),
        }
        notes = [FREED] * (freed and not self.gradients) + self._left_out()
        if notes:
            data["note"] = " ".join(notes)
        return data

    def measured(self) -> dict[str, Any]:
        """Write down how long each node takes; the kernels of the step, with their times."""
        self._time()
        kernels = self._kernels()
        return {} if kernels is None else {"kernels": kernels}

    def _left_out(self) -> list[str]:
        """What a page of so large a graph does without."""
        count = len(self.order)
        if count <= MOST_EQUATIONS_OF:
            return []
        without = ["equations"] + ["kernels"] * (count > MOST_KERNELS_OF)
        return [f"{count:,} nodes are drawn folded, without {' and '.join(without)}: take a "
                "snapshot of a tensor half-way to see more of less."]

    # ------------------------------------------------------------------ nodes and groups
    def _node(self, node: Node) -> dict[str, Any]:
        file, line, source = line_of(node)
        facts = {
            "id": self.number[node], "name": self.names.nodes.get(node), "op": node.name,
            "label": self._label(node), "kind": self._kind(node),
            "inputs": [self.number[x] for x in inputs_of(node)], "attrs": _attrs(node),
            "shape": list(node.shape), "dtype": repr(node.dtype).removeprefix("torch."),
            "bytes": node.nbytes, "group": self.groups[self.home[node]],
            "path": node.scope.path if node.scope else None, "file": file, "line": line,
            "source": source, "requires_grad": node.requires_grad, "flops": flops(node),
        }
        return {key: fact for key, fact in facts.items() if fact or key in ("id", "group", "shape")}

    def _kind(self, node: Node) -> str:
        if not is_source(node):
            return "operator"
        if is_constant(node, self.names):
            return "constant"
        return "parameter" if node.requires_grad else "data"

    def _label(self, node: Node) -> str:
        if not is_source(node):
            return op_label(node, {}, self.called.get(node, node.name))
        if is_constant(node, self.names) and node.value is not None:
            return f"{node.value.item():.4g}"
        return self.names.nodes.get(node) or ("" if node.op is None else node.name)

    def _group(self, group: Group) -> dict[str, Any]:
        inside = list(group.nodes())
        own = set(inside)
        leaving = [n for n in inside if not is_source(n)] or inside
        parameters = sum(int(np.prod(n.shape)) for n in inside if self._kind(n) == "parameter")
        first = self.nodes[self.number[leaving[0]]] if leaving else {}
        facts = {
            "id": self.groups[group], "label": group.label, "kind": group.kind,
            "open": group.is_open, "count": len(own), "parameters": parameters,
            "times": group.times if group.kind == "repeat" else None,
            "file": first.get("file"), "line": first.get("line"),
        }
        found = {key: fact for key, fact in facts.items() if fact or key in ("id", "label")}
        if group.parent is not None:
            found["parent"] = self.groups[group.parent]
        if leaving:
            found["output"] = self.number[max(leaving, key=self.number.__getitem__)]
        return found

    # ------------------------------------------------------------------ the way back
    def _back(self) -> list[Node]:
        """Record the back-propagation of the copy; the gates that a gradient reaches, in order."""
        found = BackProp(Tensor._from_node(self.output))
        for node in self.order:
            ct = found.gradient(node)
            if ct is not None:
                self.gradients[node] = ct.node
        for edge in found.edges():
            use = edge.node, edge.index
            self.shares[use] = edge.downstream.node
            if edge.local is not None:
                self.locals[use] = edge.local.node
        for node in self.order:
            if node in self.gradients and not is_source(node):
                for kept in dict.fromkeys(saved_by(node)):
                    self.saved.setdefault(kept, []).append(node)
        for kept, owners in self.saved.items():
            self.nodes[self.number[kept]]["saved_for"] = [self.number[n] for n in owners]
        return [n for n in found.reverse if n in self.gradients and not is_source(n)]

    def _measure(self) -> None:
        """Compute everything, one array at a time, and write down the facts of each."""
        slots: list[tuple[dict[str, Any], str, str]] = []
        wanted: list[Node] = []

        def want(node: Node, facts: dict[str, Any], key: str, image: str = "") -> None:
            slots.append((facts, key, image))
            wanted.append(node)

        for n, facts in zip(self.order, self.nodes):
            want(n, facts, "value", self._image(n, "value"))
            if n in self.gradients:
                want(self.gradients[n], facts, "gradient", self._image(n, "gradient"))
        for role, found in (("gradient", self.shares), ("local", self.locals)):
            for use, node in found.items():
                want(node, self.edges[use], role)

        def visit(places: list[int], value: np.ndarray, seconds: float) -> None:
            known: dict[str, dict] = {}
            for i in places:
                facts, key, image = slots[i]
                if image not in known:
                    known[image] = array_facts(value, image)
                facts[key] = known[image]

        visit_aside(wanted, visit)
        for n, facts in zip(self.order, self.nodes):
            self._judge(n, facts)

    def _image(self, node: Node, role: str) -> str:
        """The role whose colours a picture of this node has; empty if it is not worth one."""
        shape = node.shape
        images = len(shape) == 4 and min(shape[2:]) > 2 or (
            len(shape) == 3 and is_source(node) and min(shape[1:]) > 7)
        matrix = len(shape) == 2 and min(shape) > 1 and max(shape) > 4 and len(self.order) <= SMALL
        return role if images or matrix else ""

    def _judge(self, node: Node, facts: dict[str, Any]) -> None:
        """How the gradient of a node stands to its value, or why there is none."""
        gradient, value = facts.get("gradient"), facts["value"]
        if gradient is None:
            facts["gradient_state"] = "none"
            facts["why"] = why(node, False) if not node.requires_grad else (
                "This value requires grad, but what it is used for hands no gradient to it.")
            return
        zero = gradient.get("norm") == 0.0
        facts["gradient_state"] = "zero" if zero else "arrives"
        norms = gradient.get("norm"), value.get("norm")
        if all(isinstance(x, float) for x in norms) and norms[1]:
            facts["ratio"] = float(f"{norms[0] / norms[1]:.6g}")

    def _time(self) -> None:
        """Microseconds of each forward gate, by itself, in the interpreter."""
        again = copied([self.output], values=False)
        slots = [(again[n], facts) for n, facts in zip(self.order, self.nodes) if not is_source(n)]

        def visit(places: list[int], value: np.ndarray, seconds: float) -> None:
            for i in places:
                slots[i][1]["us"] = round(1e6 * seconds, 2)

        visit_aside([node for node, _ in slots], visit)

    def _kernels(self) -> dict[str, Any] | None:
        if not self.forward or len(self.order) > MOST_KERNELS_OF:
            return None
        named = dict(self.names.nodes)
        outputs = [self.output]
        named.setdefault(self.output, "output")
        for n in self.order:
            if is_source(n) and n in self.gradients:
                outputs.append(self.gradients[n])
                named[self.gradients[n]] = f"{named.get(n, f'leaf{self.number[n]}')}.grad"
        found = kernels_of(outputs, self.order, named)
        for kernel in found["list"]:
            for i in {*kernel.get("nodes", ()), *kernel.get("backward", ())}:
                self.nodes[i].setdefault("kernels", []).append(kernel["id"])
        return found


def _failed(data: dict[str, Any], message: str) -> dict[str, Any]:
    """The data of a graph that ends in a failure (failure.py)."""
    node = data["nodes"][data["output"]]
    for key in ("value", "dtype", "bytes"):
        del node[key]
    node |= {"kind": "error", "label": "✗", "message": message}
    return data | {"failure": message, "forward": data["forward"][:-1]}


def _attrs(node: Node) -> dict[str, str]:
    if node.name == "contract":
        return {"equation": einsum_text(node.attrs["labels"])}
    return {key: _short(value) for key, value in node.attrs.items()}


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 80 else text[:79] + "…"

