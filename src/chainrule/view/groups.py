"""The tree of a page's groups: what folds into one box.

Modules and composite functions are groups as they nest in the program.  Beside them there are two
of our own making: blocks that repeat each other ("Block x 12") fold into one, and a group of very
many boxes is divided by the lines of the program that recorded them.  A group is always convex: no
path leaves it and comes back, so that it can stand as one box in a graph without cycles.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ..graph import Node
from ..scope import Scope
from .labels import Names, scope_label
from .picture import inputs_of, is_source, scopes_of

LEAST_REPEATS = 3
LEAST_REPEATED = 8  # nodes: what is smaller is as easily read as counted
MOST_ITEMS = 40
MOST_OPEN = 26  # boxes to begin with, if modules are opened
MOST_LAYERS_OPEN = 14  # boxes to begin with, if also the layers are


@dataclass(eq=False)
class Group:
    """What folds into one box; `items` are in an order in which all edges go forward."""

    kind: str  # root | module | function | repeat | lines
    label: str
    scope: Scope | None = None
    parent: Group | None = None
    items: list[Node | Group] = field(default_factory=list)
    times: int = 1  # how many blocks a repeat holds
    is_open: bool = False

    def nodes(self) -> Iterator[Node]:
        """All nodes inside, however deep."""
        stack: list[Node | Group] = [self]
        while stack:
            item = stack.pop()
            if isinstance(item, Group):
                stack.extend(reversed(item.items))
            else:
                yield item

    def groups(self) -> Iterator[Group]:
        """The groups inside and this one, each before those inside of it."""
        stack = [self]
        while stack:
            group = stack.pop()
            yield group
            stack.extend(reversed([x for x in group.items if isinstance(x, Group)]))


def group_tree(order: list[Node], names: Names) -> tuple[Group, dict[Node, str]]:
    """The root of the groups of a graph, and the functions that consist of a single operator."""
    scopes, called = scopes_of(order, names.nodes)
    root = _by_scope(order, scopes)
    _dissolve_cycles(root)
    position = {node: i for i, node in enumerate(order)}
    for group in list(root.groups()):
        _Items(group).sort()
        _fold_repeats(group, position)
    for group in list(root.groups()):
        _divide(group)
    _open(root)
    return root, called


def _by_scope(order: list[Node], scopes: dict[Node, tuple[Scope, ...]]) -> Group:
    root = Group("root", "", is_open=True)
    made: dict[tuple[Scope, ...], Group] = {(): root}
    for node in order:
        path = scopes[node]
        for i in range(len(path)):
            if path[: i + 1] not in made:
                scope, outer = path[i], made[path[:i]]
                kind = "module" if scope.kind == "module" else "function"
                inner = Group(kind, scope_label(scope), scope, outer)
                made[path[: i + 1]] = inner
                outer.items.append(inner)
        made[path].items.append(node)
    return root


# ------------------------------------------------------------------------------ items of one group


class _Items:
    """The items of one group as a graph of their own."""

    def __init__(self, group: Group):
        self.group = group
        self.home: dict[Node, Node | Group] = {}
        for item in group.items:
            for node in item.nodes() if isinstance(item, Group) else (item,):
                self.home[node] = item
        self.inputs: dict[Node | Group, list] = {item: [] for item in group.items}
        for node, item in self.home.items():
            for x in inputs_of(node):
                other = self.home.get(x, item)
                if other is not item:
                    self.inputs[item].append(other)

    def sort(self) -> None:
        """Put the items in an order in which all edges go forward; a leaf right before its use."""
        order: dict[Node | Group, None] = {}
        heads = {x for inputs in self.inputs.values() for x in inputs}
        stack = [item for item in reversed(self.group.items) if item not in heads]
        while stack:
            item = stack[-1]
            waiting = [x for x in self.inputs[item] if x not in order]
            if waiting and item not in order:
                stack.extend(reversed(waiting))
            else:
                order[stack.pop()] = None
        self.group.items[:] = order

    def between(self, some: set) -> list[Node | Group]:
        """`some`, and what lies on a path between two of them, in order."""
        below, above = self._reached(some, self.inputs), self._reached(some, self._users())
        return [x for x in self.group.items if x in some or (x in below and x in above)]

    def _users(self) -> dict[Node | Group, list]:
        users: dict[Node | Group, list] = {item: [] for item in self.group.items}
        for item, inputs in self.inputs.items():
            for x in inputs:
                users[x].append(item)
        return users

    @staticmethod
    def _reached(some: Iterable, edges: dict) -> set:
        found, stack = set(), list(some)
        while stack:
            for x in edges[stack.pop()]:
                if x not in found:
                    found.add(x)
                    stack.append(x)
        return found

    def on_cycles(self) -> set:
        """The items on a cycle, or between two cycles."""
        users, inputs = self._users(), {x: set(i) for x, i in self.inputs.items()}
        left = set(inputs)
        for edges, back in ((self.inputs, users), (users, self.inputs)):
            waiting = {x: len({y for y in edges[x] if y in left}) for x in left}
            free = [x for x, n in waiting.items() if not n]
            while free:
                left.discard(x := free.pop())
                for y in set(back[x]) & left:
                    waiting[y] -= 1
                    if not waiting[y]:
                        free.append(y)
        return left


def _dissolve_cycles(root: Group) -> None:
    """Put the items of groups that stand on a cycle into the groups around them."""
    stack = [root]
    while stack:
        group = stack.pop()
        while found := [x for x in _Items(group).on_cycles() if isinstance(x, Group)]:
            # The smallest first: what stands between may be in order without it.
            _dissolve(min(found, key=lambda g: sum(1 for _ in g.nodes())))
        stack.extend(x for x in group.items if isinstance(x, Group))


def _dissolve(group: Group) -> None:
    outer = group.parent
    assert outer is not None
    at = outer.items.index(group)
    for item in group.items:
        if isinstance(item, Group):
            item.parent = outer
    outer.items[at : at + 1] = group.items


def _wrap(outer: Group, items: list[Node | Group], new: Group) -> None:
    """Move some items of a group into a new group, which takes the place of the last."""
    new.parent, new.items = outer, list(items)
    for item in items:
        if isinstance(item, Group):
            item.parent = new
    moved, last = set(items), items[-1]
    outer.items[:] = [new if x is last else x for x in outer.items if x is last or x not in moved]


# ------------------------------------------------------------------------------ repeated blocks


def _fold_repeats(group: Group, position: dict[Node, int]) -> None:
    """Fold at least LEAST_REPEATS blocks of one structure, with what joins them, into one."""
    alike: dict[tuple, list[Group]] = defaultdict(list)
    for item in group.items:
        if isinstance(item, Group) and item.kind in ("module", "function"):
            alike[_structure(item, position)].append(item)
    for blocks in alike.values():
        if len(blocks) < LEAST_REPEATS or sum(1 for _ in blocks[0].nodes()) < LEAST_REPEATED:
            continue
        items = _Items(group)
        inside = items.between(set(blocks))
        if any(isinstance(x, Group) and x not in blocks for x in inside):
            continue  # they take turns with others: each is a stage of its own
        if len(inside) == len(group.items):
            continue  # the group around them is this already
        label = f"{_class_of(blocks[0])} x {len(blocks)}"
        _wrap(group, inside, Group("repeat", label, times=len(blocks)))
        _Items(group).sort()


def _structure(group: Group, position: dict[Node, int]) -> tuple:
    """Ops, shapes and wiring of a group, without names and values."""
    nodes = sorted(group.nodes(), key=position.__getitem__)
    number = {node: i for i, node in enumerate(nodes)}
    return tuple(
        (n.name, n.spec, repr(n.attrs) if n.attrs else "", *[number.get(x) for x in inputs_of(n)])
        for n in nodes)


def _class_of(group: Group) -> str:
    assert group.scope is not None
    return group.scope.cls.__name__ if group.scope.cls is not None else group.scope.label


# ------------------------------------------------------------------------------ very many items


def _divide(group: Group) -> None:
    """Divide a group of more than MOST_ITEMS items, first by line, then into equal parts."""
    if len(group.items) <= MOST_ITEMS:
        return
    for run in _runs(group.items):
        if len(run) > 3 and len(run) < len(group.items):
            _wrap(group, run, Group("lines", _lines(run)))
    size = -(-len(group.items) // MOST_ITEMS)
    parts = [group.items[i : i + size] for i in range(0, len(group.items), size)]
    for part in parts if size > 1 else ():
        _wrap(group, part, Group("lines", _lines(part)))
    for item in group.items:
        if isinstance(item, Group) and item.kind == "lines":
            _divide(item)


def _runs(items: list[Node | Group]) -> list[list[Node | Group]]:
    """The items in runs that one line of the program recorded."""
    runs: list[list[Node | Group]] = []
    before = None
    for item in items:
        here = _line_of(item)
        if before is None or here != before:
            runs.append([])
        runs[-1].append(item)
        before = here
    return runs


def _line_of(item: Node | Group) -> tuple[str, int]:
    node = item if isinstance(item, Node) else next(item.nodes())
    where = node.where
    return os.path.basename(where.filename), where.line


def _lines(items: Iterable[Node | Group]) -> str:
    """`train.py:31`, `train.py:31-44`."""
    places = [_line_of(x) for item in items
              for x in (item.nodes() if isinstance(item, Group) else (item,)) if not is_source(x)]
    if not places:
        places = [_line_of(item) for item in items]
    file = places[0][0]
    lines = [line for name, line in places if name == file]
    first, last = min(lines), max(lines)
    return f"{file}:{first}" if first == last else f"{file}:{first}-{last}"


# ------------------------------------------------------------------------------ open to begin with


def _open(root: Group) -> None:
    """Open groups from the outside inward while few boxes show: first those that hold modules,
    then, in small graphs, all others.  Blocks that repeat each other stay one box."""
    boxes = len(root.items)
    for most, which in ((MOST_OPEN, _holds_groups), (MOST_LAYERS_OPEN, lambda g: True)):
        for group in _breadth_first(root):
            more = len(group.items) - 1
            assert group.parent is not None
            if group.is_open or not group.parent.is_open or group.kind == "repeat":
                continue
            if not which(group):
                continue
            model = which is _holds_groups and _is_alone(group)
            if boxes + more <= (MOST_ITEMS if model else most):
                group.is_open = True
                boxes += more


def _is_alone(group: Group) -> bool:
    """Whether this is the only group beside nodes: the model itself."""
    assert group.parent is not None
    return sum(isinstance(x, Group) and x.kind == "module" for x in group.parent.items) == 1


def _holds_groups(group: Group) -> bool:
    return any(isinstance(x, Group) and x.kind in ("module", "repeat") for x in group.items)


def _breadth_first(root: Group) -> Iterator[Group]:
    level = [root]
    while level:
        level = [x for group in level for x in group.items if isinstance(x, Group)]
        yield from level
