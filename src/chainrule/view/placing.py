"""Where the boxes of a page stand: columns and orders for every group, whatever is folded.

A group that is folded has another size than one that is open, but the columns of its items, their
order and the bends of the links between them stay.  So they are decided here, once; from them and
from present sizes the page works out coordinates.
"""

from __future__ import annotations

from typing import Any

from ..graph import Node
from .groups import Group
from .layers import Item, Link, columns_of
from .layout import Box, Edge, Level, attach, levels_of, link_key, routes_of, source_of
from .picture import inputs_of


def placed(
    root: Group, number: dict[Node, int], groups: dict[Group, int]
) -> tuple[dict[str, Any], dict[tuple[Node, int], list[list[int]]]]:
    """(layout, routes) of a graph.

    The layout has, for the number of each group, its columns of item keys and its links.  The route
    of an edge, named by (user, input), is a list of (group, link) from its tail to its head.
    """
    paths = {node: path for group in groups for node, path in _paths(group, groups)}
    boxes = {node: Box(0, 0, path) for node, path in paths.items()}
    edges = {(n, i): Edge(boxes[x], boxes[n]) for n in number for i, x in enumerate(inputs_of(n))}
    of_box = {box: number[node] for node, box in boxes.items()}
    routes = routes_of({box: box.group for box in boxes.values()}, list(edges.values()))
    levels = levels_of({box: box.group for box in boxes.values()}, list(edges.values()), routes)
    layout: dict[str, Any] = {}
    place: dict[tuple[tuple, object], int] = {}
    for path in sorted(levels, key=lambda path: -len(path)):  # inner groups first
        level = levels[path]
        columns = _columns(level, levels)
        layout[str(path[-1] if path else 0)] = _as_json(level, columns, of_box)
        place |= {(path, key): i for i, key in enumerate(level.links)}
    found = {
        use: [[step[0][-1] if step[0] else 0, place[step[0], link_key(edge, step)]]
              for step in routes[edge]]
        for use, edge in edges.items()}
    return dict(sorted(layout.items(), key=lambda pair: int(pair[0]))), found


def columns_alone(count: int, edges: list[tuple[int, int]], key: str) -> dict[str, Any]:
    """The layout of a graph without groups, of `count` items from 0 named by `key`."""
    items = [Item(0, 0, i) for i in range(count)]
    links = [Link(items[a], items[b], (a, b)) for a, b in dict.fromkeys(edges)]
    columns = columns_of(items, links)
    return _written(columns, links, {item: f"{key}{item.key}" for item in items}, {})


def _paths(group: Group, groups: dict[Group, int]) -> list[tuple[Node, tuple[int, ...]]]:
    path: list[int] = []
    outer: Group | None = group
    while outer is not None and outer.parent is not None:
        path.append(groups[outer])
        outer = outer.parent
    return [(x, tuple(reversed(path))) for x in group.items if isinstance(x, Node)]


def _columns(level: Level, levels: dict[tuple, Level]) -> list[list[Item]]:
    """Order the items of one group; the ports of inner groups have an order already."""
    for key, item in level.items.items():
        if key in levels:
            item.height = 1.0
            inner = levels[key].items  # type: ignore[index]
            attach(item, {k: port.y for k, port in inner.items() if port.side}, level)
    columns = columns_of(list(level.items.values()), list(level.links.values()))
    ports = [item for column in columns for item in column if item.side]
    for side in ("first", "last"):
        mine = [item for item in ports if item.side == side]
        for i, item in enumerate(mine):
            item.y = (i + 0.5) / len(mine) - 0.5  # as if the group were of height 1
    return columns


def _as_json(level: Level, columns: list[list[Item]], of_box: dict[Box, int]) -> dict[str, Any]:
    name = {item: _name(key, of_box) for key, item in level.items.items()}
    source = {link: of_box[source_of(link)] for link in level.links.values()}
    return _written(columns, list(level.links.values()), name, source)


def _name(key: Any, of_box: dict[Box, int]) -> str:
    if isinstance(key, Box):
        return f"n{of_box[key]}"
    if key[0] in ("in", "out"):
        return f"{key[0][0]}{of_box[key[1]]}"
    return f"g{key[-1]}"


def _written(
    columns: list[list[Item]], links: list[Link], name: dict[Item, str], source: dict[Link, int]
) -> dict[str, Any]:
    name = dict(name)
    for i, bend in enumerate(bend for link in links for bend in link.bends):
        name[bend] = f"b{i}"
    found = []
    for link in links:
        entry: dict[str, Any] = {"tail": name[link.tail], "head": name[link.head]}
        if link.bends:
            entry["bends"] = [name[bend] for bend in link.bends]
        if link in source:
            entry["from"] = source[link]
        found.append(entry)
    return {"columns": [[name[item] for item in column] for column in columns], "links": found}
