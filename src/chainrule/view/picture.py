"""What a drawing of a graph consists of: one element for each box, one wire for each line.

The convention of textbooks: squares are variables, circles are operators, a wire carries a value.
Numbers written in the program belong to the operator's own label (`+1`, `1/x`).  Modules and
composite functions are regions around their operators; in a large graph regions become one
element each: first functions and innermost modules, then the modules around them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..autodiff import is_leaf
from ..graph import Node, toposort
from ..nn.parameter import Parameter
from ..scope import Scope
from .labels import Names, is_constant, op_label, scope_label

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
    names: Names


def is_source(node: Node) -> bool:
    """A leaf, or a node whose inputs were let go: nothing of how it came about can be shown."""
    return is_leaf(node) or not node.inputs


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
    output: Node, names: Names, limit: int, depth: int | None = None
) -> Picture:
    """The elements and wires for everything that `output` was made from.

    Regions nested deeper than `depth` become one element each; by default as few as it takes to
    have at most `limit` elements.
    """
    order = forward_order(output)
    folded = {n: f"{n.value.item():.4g}" for n in order if is_constant(n, names)}
    scopes, called = scopes_of(order, names.nodes)
    if depth is None:
        depths = _readable(scopes, set(folded), limit)
    else:
        depths = dict.fromkeys(order, depth)
    return _Builder(output, order, names, folded, scopes, called, depths).build()


def _readable(scopes: dict[Node, Scopes], folded: set[Node], limit: int) -> dict[Node, int]:
    """How many regions around each node stay open.

    First the regions within innermost modules close, level by level, with the functions outside of
    modules; then the innermost modules; then, level by level, those that hold them.
    """
    holders = {s for path in scopes.values() for i, s in enumerate(path) if _holds_module(path, i)}
    outer = {node: sum(s in holders for s in path) for node, path in scopes.items()}
    inner = max((len(path) - outer[node] for node, path in scopes.items()), default=0)
    # The inside of a layer is shown only where little else is: limit // 2.
    views = [({node: n + k for node, n in outer.items()}, limit // 2) for k in range(inner, 0, -1)]
    for d in range(max(outer.values(), default=0), -1, -1):
        views.append(({node: min(n, d) for node, n in outer.items()}, limit))
    for view, most in views:
        shown = {
            node if len(path) <= view[node] else path[: view[node] + 1]
            for node, path in scopes.items()
            if node not in folded
        }
        if len(shown) <= most:
            return view
    return view


def _holds_module(path: Scopes, i: int) -> bool:
    return any(scope.kind == "module" for scope in path[i + 1 :])


# ------------------------------------------------------------------------------ scopes


def scopes_of(
    order: list[Node], names: Mapping[Node, str]
) -> tuple[dict[Node, Scopes], dict[Node, str]]:
    """For every node the regions around it, outermost first; and the functions of a single op.

    A parameter stands where it is used, and so does a leaf that has no name; what the caller has
    a name for stands outside.
    """
    found = {node: _chain(node.scope) for node in order if not is_source(node)}
    used: dict[Node, list[Scopes]] = defaultdict(list)
    for node in found:
        for x in node.inputs:
            used[x].append(found[node])
    for node in order:
        if is_source(node):
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
        if not is_source(node):
            for i in range(len(path)):
                children[path[: i + 1]].add(path[: i + 2] if i + 1 < len(path) else node)
    dropped: set[Scope] = set()
    alone: dict[Scopes, Node] = {}  # region -> the one operator in it
    for path in sorted(children, key=len, reverse=True):
        (child, *others) = children[path]
        if others:
            continue
        operator = child if isinstance(child, Node) else alone.get(child)
        if operator is not None:
            alone[path] = operator
            dropped.add(path[-1])
        else:
            dropped.add(child[-1])  # the outer name says more: `fc1` around its `linear`
    kept = {n: tuple(s for s in path if s not in dropped) for n, path in paths.items()}
    called = {n: path[-1].label for path, n in alone.items() if path[-1].kind == "function"}
    return kept, called


# ------------------------------------------------------------------------------ elements and wires


@dataclass
class _Builder:
    output: Node
    order: list[Node]
    names: Names
    folded: dict[Node, str]
    scopes: dict[Node, Scopes]
    called: dict[Node, str]
    depths: dict[Node, int]  # how many regions around the node are open
    made: dict[object, Element] = field(default_factory=dict)  # by node or closed region
    carries: dict[Node, Element] = field(default_factory=dict)  # what the users are wired to
    wires: dict[object, Wire] = field(default_factory=dict)

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
            if node is self.output or (node in self.names.nodes and not is_source(node)):
                self._name(node, users[node])
        return Picture(list(self.made.values()), list(self.wires.values()), self.order, self.names)

    def _place(self, node: Node) -> None:
        path, depth = self.scopes[node], self.depths[node]
        collapsed = len(path) > depth
        key = path[: depth + 1] if collapsed else node
        element = self.made.get(key)
        if element is None:
            element = self.made[key] = self._element(node, path, depth)
        if collapsed:
            element.inside.append(node)
            if not is_source(node):
                element.node = node
        self.carries[node] = element

    def _element(self, node: Node, path: Scopes, depth: int) -> Element:
        if len(path) > depth:
            return Element("module", node, scope_label(path[depth]), path[:depth])
        if not is_source(node):
            name = self.called.get(node, node.name)
            return Element("operator", node, op_label(node, self.folded, name), path)
        kind = "parameter" if node.requires_grad else "data"
        return Element(kind, node, self.names.nodes.get(node, ""), path)

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
        label = self.names.nodes.get(node, "output")
        variable = Element("variable", node, label, scopes)
        self.made["variable", node] = variable
        for wire in self.wires.values():
            if wire.node is node:
                wire.tail = variable
        self.wires["variable", node] = Wire(source, variable, node, [])
