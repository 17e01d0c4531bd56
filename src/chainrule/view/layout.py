"""Lay out nested boxes and the edges between them.  Knows nothing of nodes, ops or SVG.

Each group is laid out by itself (layers.py), then stands in its parent as one box whose ports are
where the edges cross its border.  So groups never overlap, whatever they hold, and an edge
touches only the groups it has business with.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .layers import Item, Link, arrange, topological

Path = tuple
PADDING = 14.0
TITLE = 22.0


@dataclass(eq=False)
class Box:
    """A rectangle inside the groups named by `group`, outermost first.

    Its corners have `radius`; `clearance` is kept free above and below it.
    """

    width: float
    height: float
    group: Path = ()
    radius: float = 0.0
    clearance: float = 0.0
    x: float = 0.0
    y: float = 0.0


@dataclass(eq=False)
class Edge:
    """From box `tail` to box `head`; after `layout`, `points` are where its curve runs level.

    `label` is the room to keep beside the curve, and `label_at` becomes the centre of that room.
    """

    tail: Box
    head: Box
    label: tuple[float, float] | None = None
    points: list[tuple[float, float]] = field(default_factory=list)
    label_at: tuple[float, float] = (0.0, 0.0)


@dataclass(eq=False)
class Region:
    """Where a group ended up: its upper left corner and size."""

    path: Path
    left: float
    top: float
    width: float
    height: float


@dataclass(eq=False)
class Level:
    """What one group holds, before and after it is arranged."""

    path: Path
    items: dict[object, Item] = field(default_factory=dict)
    links: dict[object, Link] = field(default_factory=dict)
    width: float = 0.0
    height: float = 0.0
    left: float = 0.0
    top: float = 0.0


def layout(
    boxes: Sequence[Box], edges: Sequence[Edge], titles: dict[Path, float] | None = None
) -> tuple[float, float, list[Region]]:
    """Place boxes and edges left to right; returns width, height and a region for every group.

    `titles` gives the width of a group's title.  Boxes without a path between them keep their
    order.  A group that would stand on a cycle (an edge leaves it and comes back by way of a box
    outside) is dissolved into its parent: it has no region.
    """
    paths = {box: box.group for box in boxes}
    routes = routes_of(paths, edges)
    while cyclic := _groups_on_cycles(levels := levels_of(paths, edges, routes)):
        paths = {box: _without(path, cyclic) for box, path in paths.items()}
        routes = routes_of(paths, edges)
    for level in sorted(levels.values(), key=lambda level: -len(level.path)):
        _arrange(level, levels, titles or {})
    for level in sorted(levels.values(), key=lambda level: len(level.path)):
        _settle(level, levels)
    _join(edges, routes, levels)
    root = levels[()]
    inner = [level for path, level in levels.items() if path]
    return (
        root.width,
        root.height,
        [Region(v.path, v.left, v.top, v.width, v.height) for v in inner],
    )


def _without(path: Path, dissolved: set[Path]) -> Path:
    return tuple(part for i, part in enumerate(path) if path[: i + 1] not in dissolved)


# ------------------------------------------------------------------------------ from edges to links


def routes_of(paths: dict[Box, Path], edges: Sequence[Edge]) -> dict[Edge, list[tuple]]:
    """For each edge its way as (level's path, item it leaves, item it enters)."""
    routes = {}
    for edge in edges:
        tail, head = paths[edge.tail], paths[edge.head]
        common = 0
        while common < min(len(tail), len(head)) and tail[common] == head[common]:
            common += 1
        route: list[tuple] = []
        leaving: object = edge.tail
        for depth in range(len(tail), common, -1):
            route.append((tail[:depth], leaving, ("out", edge.tail)))
            leaving = tail[:depth]
        for depth in range(common, len(head)):
            route.append((head[:depth], leaving, head[: depth + 1]))
            leaving = ("in", edge.tail)
        route.append((head, leaving, edge.head))
        routes[edge] = route
    return routes


def link_key(edge: Edge, step: tuple) -> object:
    """Edges from the same box share their way until they part, the last step is an edge's own."""
    _, _, entering = step
    return edge if entering is edge.head else (edge.tail, entering)


def levels_of(
    paths: dict[Box, Path], edges: Sequence[Edge], routes: dict[Edge, list[tuple]]
) -> dict[Path, Level]:
    levels = {(): Level(())}
    for box, path in paths.items():
        for depth in range(len(path)):
            levels.setdefault(path[: depth + 1], Level(path[: depth + 1]))
            levels[path[:depth]].items.setdefault(path[: depth + 1], Item(0, 0, path[: depth + 1]))
        levels[path].items[box] = Item(box.width, box.height, box, clearance=box.clearance)
    shared: dict[object, int] = defaultdict(int)
    for edge in edges:
        for step in routes[edge]:
            shared[step[0], link_key(edge, step)] += 1
    for edge in edges:
        label = edge.label
        for step in routes[edge]:
            path, leaving, entering = step
            key = link_key(edge, step)
            tail, head = (_item(levels[path], end) for end in (leaving, entering))
            link = levels[path].links.setdefault(key, Link(tail, head, key))
            if label and shared[path, key] == 1:
                link.label, label = label, None
    return levels


def _item(level: Level, end: object) -> Item:
    """The item of a box or group, or the port through which edges from a box cross the border."""
    if end not in level.items:
        inward = end[0] == "in"  # type: ignore[index]
        level.items[end] = Item(0, 6, end, side="first" if inward else "last")
    return level.items[end]


def _groups_on_cycles(levels: dict[Path, Level]) -> set[Path]:
    """Groups that hold edges both towards and from something outside: they cannot be one box."""
    found = set()
    for level in levels.values():
        items, links = list(level.items.values()), list(level.links.values())
        flipped = [Link(link.head, link.tail, link.key) for link in links]
        placed = {*topological(items, links), *topological(items, flipped)}
        found |= {item.key for item in items if item not in placed and isinstance(item.key, tuple)}
    return found  # type: ignore[return-value]


# ------------------------------------------------------------------------------ positions


def _arrange(level: Level, levels: dict[Path, Level], titles: dict[Path, float]) -> None:
    """Lay out one group whose inner groups are done."""
    for key, item in level.items.items():
        if key in levels:
            _become_box(item, levels[key], level)  # type: ignore[index]
    width, height = arrange(list(level.items.values()), list(level.links.values()))
    if level.path:
        title = titles.get(level.path, 0.0)
        level.width = max(width + 2 * PADDING, title + 2 * PADDING)
        level.height = height + PADDING + TITLE
        # Ports stand on the border itself, the contents in the middle.
        shift = (level.width - width) / 2
        for item in _all_items(level):
            inward = {"first": -item.x - shift, "last": level.width - shift - item.x}
            moved = shift + inward.get(item.side, 0.0)
            _move(item, moved, TITLE)
    else:
        level.width, level.height = width, height


def _become_box(item: Item, inner: Level, outer: Level) -> None:
    """A finished group is an item with its ports where its own links cross the border."""
    item.width, item.height = inner.width, inner.height
    at = {key: port.y - inner.height / 2 for key, port in inner.items.items() if port.side}
    attach(item, at, outer)


def attach(item: Item, at: Mapping[object, float], outer: Level) -> None:
    """Give a group the ports of its links; `at` are the heights where its own cross the border."""
    item.ports = {}
    for link in outer.links.values():
        tail = source_of(link)
        if link.tail is item:
            item.ports["out", link.key] = at["out", tail]
        if link.head is item:
            item.ports["in", link.key] = at["in", tail]


def source_of(link: Link) -> Box:
    """The box from which the edges of a link come."""
    return link.key.tail if isinstance(link.key, Edge) else link.key[0]  # type: ignore[index]


def _all_items(level: Level) -> list[Item]:
    return [*level.items.values(), *(b for link in level.links.values() for b in link.bends)]


def _move(item: Item, across: float, down: float) -> None:
    item.x += across
    item.y += down
    item.lane = (item.lane[0] + across, item.lane[1] + across)


def _settle(level: Level, levels: dict[Path, Level]) -> None:
    """Turn positions within a level into positions on the page; its parent is settled already."""
    for item in _all_items(level):
        _move(item, level.left, level.top)
    for key, item in level.items.items():
        if isinstance(key, Box):
            key.x, key.y = item.x, item.y
        elif key in levels:
            inner = levels[key]  # type: ignore[index]
            inner.left, inner.top = item.x - item.width / 2, item.y - item.height / 2


def _join(
    edges: Sequence[Edge], routes: dict[Edge, list[tuple]], levels: dict[Path, Level]
) -> None:
    """String together the pieces of every edge.  Its label lies where it was given room."""
    for edge in edges:
        edge.points = []
        for step in routes[edge]:
            link = levels[step[0]].links[link_key(edge, step)]
            if link.label:
                edge.label_at = (link.bends[0].x, link.bends[0].y)
            if link.tail.key is edge.tail:
                edge.points.append(_border(edge.tail, link.tail_port, 1.0))
            edge.points += _level_runs(link)
            if link.head.key is edge.head:
                edge.points.append(_border(edge.head, link.head_port, -1.0))


def _level_runs(link: Link) -> list[tuple[float, float]]:
    """Between the columns a link may climb; where it passes one, and at its ends, it is level."""
    points = [(link.tail.lane[1], link.tail.y + link.tail_port)]
    for bend in link.bends:
        points += [(bend.lane[0], bend.y), (bend.lane[1], bend.y)]
    points.append((link.head.lane[0], link.head.y + link.head_port))
    if isinstance(link.head.key, tuple) and not link.head.side:  # on to the border of the group
        points.append((link.head.x - link.head.width / 2, link.head.y + link.head_port))
    return points


def _border(box: Box, port: float, side: float) -> tuple[float, float]:
    """Where a level line at the port's height meets the box, round corners included."""
    into_corner = max(0.0, abs(port) - (box.height / 2 - box.radius))
    missing = box.radius - (box.radius**2 - min(into_corner, box.radius) ** 2) ** 0.5
    return box.x + side * (box.width / 2 - missing), box.y + port
