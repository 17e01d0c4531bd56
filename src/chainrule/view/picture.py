"""What a drawing of a graph consists of: one element for each box, one wire for each line.

The convention of textbooks: squares are variables, circles are operators, a wire carries a value.
Numbers written in the program belong to the operator's own label (`+1`, `1/x`).  Modules and
composite functions are regions around their operators; in a large graph the inner regions, level
by level, become one element each.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..autodiff import is_leaf
from ..graph import Node, toposort
from ..nn.parameter import Parameter
from ..scope import Scope
from .labels import is_constant, op_label

Scopes = tuple[Scope, ...]


@dataclass(eq=False)
class Element:
    """A box: `kind` is data, parameter, variable, operator or module; `node` is what comes out."""

    kind: str
    node: Node
    label: str
    scopes: Scopes
    inside: list[Node] = field(default_factory=list)  # what a module stands for

    @property
    def is_variable(self) -> bool:
        return self.kind in ("data", "parameter", "variable")


@dataclass(eq=False)
class Wire:
    """The value of `node` on its way from one element to another, as the given (user, input)s."""

    tail: Element
    head: Element
    node: Node
    uses: list[tuple[Node, int]]


@dataclass
class Picture:
    elements: list[Element]
    wires: list[Wire]
    order: list[Node]
    names: Mapping[Node, str]


def inputs_of(node: Node) -> tuple[Node, ...]:
    """The inputs of a node; none for a leaf, even one that an update has recorded."""
    return () if is_leaf(node) else node.inputs


def forward_order(output: Node) -> list[Node]:
    """All nodes that `output` was made from, back to the leaves, inputs before users."""
    reached = {output}
    order = toposort([output])
    for node in reversed(order):
        if node in reached:
            reached.update(inputs_of(node))
    return [node for node in order if node in reached]


def picture_of(
    output: Node, names: Mapping[Node, str], limit: int, depth: int | None = None
) -> Picture:
    """The elements and wires for everything that `output` was made from.

    Regions nested deeper than `depth` become one element each; by default the greatest depth that
    shows at most `limit` elements.
    """
    order = forward_order(output)
    folded = _folded(order, names)
    scopes, called = _scopes(order, names)
    if depth is None:
        deepest = max(map(len, scopes.values()))
        depths = range(deepest, 0, -1)
        depth = next((d for d in depths if _count(order, scopes, folded, d) <= limit), 0)
    return _Builder(output, order, names, folded, scopes, called, depth).build()


def _folded(order: list[Node], names: Mapping[Node, str]) -> dict[Node, str]:
    """Constants that the labels of their users show."""
    return {n: _number(n) for n in order if is_constant(n) and n not in names}


def _number(node: Node) -> str:
    value = node.value.item()  # type: ignore[union-attr]
    return f"{value:.4g}"


def _count(order: list[Node], scopes: dict[Node, Scopes], folded, depth: int) -> int:
    shown = {node if len(s) <= depth else s[: depth + 1] for node, s in scopes.items()}
    return len(shown) - len(folded)


# ------------------------------------------------------------------------------ scopes


def _scopes(
    order: list[Node], names: Mapping[Node, str]
) -> tuple[dict[Node, Scopes], dict[Node, str]]:
    """For every node the regions around it, outermost first; and the functions of a single op.

    A parameter stands where it is used, and so does a leaf that has no name; what the caller has
    a name for stands outside.
    """
    found = {node: _chain(node.scope) for node in order if not is_leaf(node)}
    used: dict[Node, list[Scopes]] = defaultdict(list)
    for node in found:
        for x in node.inputs:
            used[x].append(found[node])
    for node in order:
        if is_leaf(node):
            inner = node not in names or _is_parameter(node)
            found[node] = _common(used[node]) if inner and used[node] else ()
    return _without_trivial(found)


def _is_parameter(node: Node) -> bool:
    return node.owner is not None and isinstance(node.owner(), Parameter)


def _chain(scope: Scope | None) -> Scopes:
    chain = []
    while scope is not None:
        chain.append(scope)
        scope = scope.parent
    return tuple(reversed(chain))


def _common(paths: list[Scopes]) -> Scopes:
    first, *rest = paths
    n = min(map(len, paths))
    same = (i for i in range(n) if any(path[i] is not first[i] for path in rest))
    return first[: next(same, n)]


def _without_trivial(
    paths: dict[Node, Scopes],
) -> tuple[dict[Node, Scopes], dict[Node, str]]:
    """Drop regions around a single operator, and those that a region around them repeats.

    An operator that is all of a function goes by the function's name: `unsqueeze`, not `reshape`.
    """
    children: dict[Scopes, set] = defaultdict(set)
    for node, path in paths.items():
        if not is_leaf(node):
            for i in range(len(path)):
                children[path[: i + 1]].add(path[: i + 2] if i + 1 < len(path) else node)
    dropped, called = set(), {}
    for path, inside in children.items():
        (child, *others) = inside
        if others:
            continue
        # The outer name says more: `fc1` around the one function `linear`.
        dropped.add(child[-1] if isinstance(child, tuple) else path[-1])
        if isinstance(child, Node) and path[-1].kind == "function":
            called[child] = path[-1].label
    kept = {n: tuple(s for s in path if s not in dropped) for n, path in paths.items()}
    return kept, called


# ------------------------------------------------------------------------------ elements and wires


class _Builder:
    def __init__(self, output, order, names, folded, scopes, called, depth):
        self.output, self.order, self.names, self.called = output, order, names, called
        self.folded, self.scopes, self.depth = folded, scopes, depth
        self.made: dict[object, Element] = {}  # node or collapsed region -> element
        self.carries: dict[Node, Element] = {}  # node -> the element its users are wired to
        self.wires: dict[object, Wire] = {}

    def build(self) -> Picture:
        for node in self.order:
            if node not in self.folded:
                self._place(node)
        users = defaultdict(list)
        for node in self.order:
            for i, x in enumerate(inputs_of(node)):
                users[x].append(node)
                if x not in self.folded:
                    self._wire(x, node, i)
        # A variable stands behind the operator that computes it, so it is placed last of all.
        for node in self.order:
            if node is self.output or (node in self.names and not is_leaf(node)):
                self._name(node, users[node])
        return Picture(list(self.made.values()), list(self.wires.values()), self.order, self.names)

    def _place(self, node: Node) -> None:
        path = self.scopes[node]
        collapsed = len(path) > self.depth
        key = path[: self.depth + 1] if collapsed else node
        element = self.made.get(key)
        if element is None:
            element = self._element(node, path, collapsed)
            self.made[key] = element
        if collapsed:
            element.inside.append(node)
            if not is_leaf(node):
                element.node = node
        self.carries[node] = element

    def _element(self, node: Node, path: Scopes, collapsed: bool) -> Element:
        if collapsed:
            return Element("module", node, path[self.depth].label, path[: self.depth])
        if not is_leaf(node):
            name = self.called.get(node, node.name)
            return Element("operator", node, op_label(node, self.folded, name), path)
        kind = "parameter" if node.requires_grad else "data"
        return Element(kind, node, self.names.get(node, ""), path)

    def _wire(self, x: Node, user: Node, index: int) -> None:
        tail, head = self.carries[x], self.carries[user]
        if tail is head:
            return
        key = (x, head) if head.kind == "module" else (x, user, index)
        wire = self.wires.setdefault(key, Wire(tail, head, x, []))
        wire.uses.append((user, index))

    def _name(self, node: Node, users: list[Node]) -> None:
        """Put a variable between what computes `node` and what uses it."""
        source = self.carries[node]
        outside = [self.carries[user] for user in users if self.carries[user] is not source]
        if source.kind == "module" and not outside and node is not self.output:
            return  # it lives and ends inside of a collapsed region
        scopes = _common([source.scopes, *(e.scopes for e in outside)]) if outside else ()
        label = self.names.get(node, "output")
        variable = Element("variable", node, label, scopes)
        self.made["variable", node] = variable
        for wire in self.wires.values():
            if wire.node is node:
                wire.tail = variable
        self.wires["variable", node] = Wire(source, variable, node, [])
