"""Place items in columns, left to right, so that the links between them are short and rarely cross.

The method of Sugiyama, Tagawa and Toda (1981): columns by longest path, few crossings by sorting
each column by the mean position of its neighbours, then the vertical positions that minimise

    sum over links  weight * (y of the tail's port - y of the head's port)^2

while the items of a column keep their order and their distance.  For one column that is an
isotonic regression, solved exactly; sweeping over the columns converges to the minimum.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import defaultdict
from dataclasses import dataclass, field

GAP_BETWEEN_ITEMS = 14.0
GAP_BETWEEN_BENDS = 9.0
GAP_BETWEEN_COLUMNS = 18.0
SWEEPS = 12
STRAIGHTENING = 40
PATIENCE = 40_000  # items times rounds


@dataclass(eq=False)
class Item:
    """A rectangle to place; `x`, `y` is its centre.  A bend of a long link has no `key`."""

    width: float
    height: float
    key: object = None
    # "first" and "last" hold an item in the outermost columns: the ports of a group.
    side: str = ""
    # Where links attach, measured from the centre; None spreads them evenly.
    ports: dict[tuple[str, object], float] | None = None
    clearance: float = 0.0  # to be kept free above and below
    column: int = 0
    x: float = 0.0
    y: float = 0.0
    lane: tuple[float, float] = (0.0, 0.0)  # the sides of the column: between them links are level

    @property
    def reach(self) -> float:
        """From the centre to where other items may begin."""
        return self.height / 2 + self.clearance


@dataclass(eq=False)
class Link:
    """An edge between two items, with room for a label of the given size beside its tail."""

    tail: Item
    head: Item
    key: object
    label: tuple[float, float] | None = None
    bends: list[Item] = field(default_factory=list)
    # Offsets from the centres of tail and head at which the link attaches.
    tail_port: float = 0.0
    head_port: float = 0.0

    def stops(self) -> list[Item]:
        return [self.tail, *self.bends, self.head]


def arrange(items: list[Item], links: list[Link]) -> tuple[float, float]:
    """Place all items, and bend the links; returns width and height of the drawing.

    The drawing's upper left corner is (0, 0).  The links must not form a cycle.
    """
    columns = columns_of(items, links)
    _spread_ports(columns, links)
    _straighten(columns, links)
    return _place(columns, links)


def columns_of(items: list[Item], links: list[Link]) -> list[list[Item]]:
    """What does not depend on any size: the columns, their order, and the bends of the links."""
    assign_columns(items, links)
    columns = _bend_links(items, links)
    _reduce_crossings(columns, links)
    return columns


# ------------------------------------------------------------------------------ columns


def topological(items: list[Item], links: list[Link]) -> list[Item]:
    """The items in an order in which all links go forward; those on cycles are left out."""
    waiting = {item: 0 for item in items}
    heads = defaultdict(list)
    for link in links:
        waiting[link.head] += 1
        heads[link.tail].append(link.head)
    order = [item for item in items if not waiting[item]]
    for item in order:
        for head in heads[item]:
            waiting[head] -= 1
            if not waiting[head]:
                order.append(head)
    return order


def assign_columns(items: list[Item], links: list[Link]) -> None:
    """Column = longest path from a source; then what has more users than inputs moves right.

    Even columns hold items, odd ones the labels and bends between them.
    """
    tails, heads = defaultdict(list), defaultdict(list)
    for link in links:
        tails[link.head].append(link.tail)
        heads[link.tail].append(link.head)
    order = topological(items, links)
    first = 1 if any(item.side == "first" for item in items) else 0
    for item in order:
        item.column = 0
        if item.side != "first":
            item.column = max((t.column + 1 for t in tails[item]), default=first)
    last = max((item.column for item in order if item.side != "last"), default=-1) + 1
    for item in reversed(order):
        if item.side == "last":
            item.column = last
        elif not item.side and len(heads[item]) > len(tails[item]):
            item.column = min(h.column for h in heads[item]) - 1
    for item in order:
        item.column *= 2


def _bend_links(items: list[Item], links: list[Link]) -> list[list[Item]]:
    """Give each link one bend in every column it passes; the first carries its label."""
    columns: list[list[Item]] = [[] for _ in range(max((i.column for i in items), default=0) + 1)]
    for item in items:
        columns[item.column].append(item)
    for link in links:
        link.bends = []
        for column in range(link.tail.column + 1, link.head.column):
            size = link.label if link.label and not link.bends else (0.0, 0.0)
            bend = Item(*size, column=column)
            link.bends.append(bend)
            columns[column].append(bend)
    return columns


# ------------------------------------------------------------------------------ crossings


def _neighbours(links: list[Link]) -> tuple[dict, dict]:
    """(left, right): for each item the (neighbour, port offset in the neighbour) on that side."""
    left, right = defaultdict(list), defaultdict(list)
    for link in links:
        stops = link.stops()
        for a, b in zip(stops, stops[1:]):
            left[b].append((a, _port(a, "out", link)))
            right[a].append((b, _port(b, "in", link)))
    return left, right


def _port(item: Item, side: str, link: Link) -> float:
    """The offset of a link in an item whose ports are known, as a fraction of its height."""
    if not item.ports:
        return 0.0
    return item.ports[side, link.key] / max(item.height, 1.0)


def _reduce_crossings(columns: list[list[Item]], links: list[Link]) -> None:
    """Sweep to and fro, sorting each column by its neighbours' mean; keep the best order seen."""
    left, right = _neighbours(links)
    best: list[list[Item]] = []
    fewest = -1
    for backward in (False, True):
        _initial_order(columns, links, backward)
        for sweep in range(_effort(SWEEPS, columns) + 1):
            count = _crossings(columns, right)
            if count < fewest or not best:
                best, fewest = [list(c) for c in columns], count
            if not count:
                break
            forward = sweep % 2 == 0
            for column in columns if forward else reversed(columns):
                _sort_by_mean(columns, column, left if forward else right)
        if not fewest:
            break
    for column, ordered in zip(columns, best):
        column[:] = ordered


def _effort(rounds: int, columns: list[list[Item]]) -> int:
    """Fewer rounds for a drawing so large that nobody sees the difference."""
    return min(rounds, 1 + PATIENCE // (1 + sum(map(len, columns))))


def _initial_order(columns: list[list[Item]], links: list[Link], backward: bool) -> None:
    """Depth first from the outputs, inputs in their own order: trees come out without crossings.

    `backward` starts with the last input instead: where one value has several uses, one of the
    two is often much better than the other.
    """
    inputs = defaultdict(list)
    for link in links:
        stops = link.stops()
        for a, b in zip(stops, stops[1:]):
            inputs[b].append(a)
    rank: dict[Item, int] = {}
    stack = [item for column in columns for item in reversed(column)]
    while stack:
        item = stack.pop()
        if item not in rank:
            rank[item] = len(rank)
            stack.extend(inputs[item] if backward else reversed(inputs[item]))
    for column in columns:
        column.sort(key=rank.__getitem__)


def _sort_by_mean(columns: list[list[Item]], column: list[Item], neighbours: dict) -> None:
    if not column:
        return
    position: dict[Item, float] = {}
    for near in (column[0].column - 1, column[0].column + 1):
        if 0 <= near < len(columns):
            position.update({item: i for i, item in enumerate(columns[near])})
    mean = {}
    for i, item in enumerate(column):
        seen = [position[other] + offset for other, offset in neighbours[item]]
        mean[item] = sum(seen) / len(seen) if seen else float(i)
    column.sort(key=mean.__getitem__)


def _crossings(columns: list[list[Item]], right: dict) -> int:
    """How many pairs of links cross: the inversions between each two columns."""
    total = 0
    for column, after in zip(columns, columns[1:]):
        position = {item: i for i, item in enumerate(after)}
        seen: list[float] = []
        for item in column:
            ends = sorted(position[other] + offset for other, offset in right[item])
            total += sum(len(seen) - bisect_right(seen, end) for end in ends)
            for end in ends:
                insort(seen, end)
    return total


def _spread_ports(columns: list[list[Item]], links: list[Link]) -> None:
    """Attach the links of an item one below the other, in the order in which they arrive."""
    position = {item: i for column in columns for i, item in enumerate(column)}
    arriving, leaving = defaultdict(list), defaultdict(list)
    for link in links:
        stops = link.stops()
        leaving[link.tail].append((position[stops[1]], link))
        arriving[link.head].append((position[stops[-2]], link))
    for side, attached in (("in", arriving), ("out", leaving)):
        for item, ends in attached.items():
            ends.sort(key=lambda end: end[0])
            room = 0.0 if item.side else 0.64 * item.height
            pitch = min(12.0, room / max(len(ends) - 1, 1))
            for i, (_, link) in enumerate(ends):
                offset = pitch * (i - (len(ends) - 1) / 2)
                if item.ports is not None:
                    offset = item.ports[side, link.key]
                if side == "in":
                    link.head_port = offset
                else:
                    link.tail_port = offset


# ------------------------------------------------------------------------------ positions


def _straighten(columns: list[list[Item]], links: list[Link]) -> None:
    """Find the y that minimise the sum in this file's first lines.

    A last sweep looks at the left only: what is fed by one link then lies exactly level with it.
    """
    left, right = _pulls(links)
    both = {item: left[item] + right[item] for column in columns for item in column}
    for column in columns:
        _stack(column, {}, both)
    for _ in range(_effort(STRAIGHTENING, columns)):
        for pulls, order in ((left, columns), (right, columns[::-1]), (both, columns)):
            for column in order:
                _stack(column, {item: item.y for item in column}, pulls)
    for column in columns:
        _stack(column, {item: item.y for item in column}, left)


def _pulls(links: list[Link]) -> tuple[dict, dict]:
    """(left, right): for each item the (weight, neighbour, offset) that draw it to y + offset."""
    left, right = defaultdict(list), defaultdict(list)
    fed = {link.head for link in links}
    for link in links:
        stops = link.stops()
        # What flows on is kept straight; a leaf can be moved to where it is used.
        weight = 4.0 if link.tail in fed or link.tail.side else 1.0
        for a, b in zip(stops, stops[1:]):
            bend = 4.0 if a.key is b.key is None else 1.0
            offset = (link.tail_port if a is link.tail else 0.0) - (
                link.head_port if b is link.head else 0.0
            )
            left[b].append((weight * bend, a, offset))
            right[a].append((weight * bend, b, -offset))
    return left, right


def _stack(column: list[Item], now: dict[Item, float], pulls: dict) -> None:
    """Move one column to the best y for its neighbours' present y: isotonic regression.

    With z = y - (room taken by the items above), 'in order and apart' reads 'z does not fall', and
    pooling adjacent violators finds the nearest such z.
    """
    room = 0.0
    above: Item | None = None
    rooms: list[float] = []
    blocks: list[tuple[float, float, int]] = []  # sum of weight * target, weight, items
    for item in column:
        if above is not None:
            bends = above.key is item.key is None
            gap = GAP_BETWEEN_BENDS if bends else GAP_BETWEEN_ITEMS
            room += above.reach + item.reach + gap
        above = item
        rooms.append(room)
        weight, moment = 1e-6, 1e-6 * (now.get(item, room) - room)
        for pull, other, offset in pulls[item] if now else ():
            weight += pull
            moment += pull * (other.y + offset - room)
        blocks.append((moment, weight, 1))
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] > blocks[-1][0] / blocks[-1][1]:
            (m, w, n), (m0, w0, n0) = blocks.pop(), blocks.pop()
            blocks.append((m0 + m, w0 + w, n0 + n))
    levels = [m / w for m, w, n in blocks for _ in range(n)]
    for item, level, room in zip(column, levels, rooms):
        item.y = level + room


def _place(columns: list[list[Item]], links: list[Link]) -> tuple[float, float]:
    """Set every x, the wider apart the steeper the links, and move the drawing to (0, 0)."""
    steepest = [0.0] * len(columns)
    fed = {link.head for link in links}
    for link in links:
        stops = link.stops()
        for a, b in zip(stops, stops[1:]):
            rise = (b.y + (link.head_port if b is link.head else 0)) - (
                a.y + (link.tail_port if a is link.tail else 0)
            )
            steepest[a.column] = max(steepest[a.column], abs(rise))
    right = 0.0
    for column, rise in zip(columns, steepest):
        width = max((item.width for item in column), default=0.0)
        for item in column:
            item.x, item.lane = right + width / 2, (right, right + width)
            if item not in fed and not item.side and item.key is not None:
                item.x += (width - item.width) / 2  # a source stands close to its users
        # A column of bends without labels takes no room of its own.
        empty = not width and column and column[0].column % 2
        right += width + (0.0 if empty else GAP_BETWEEN_COLUMNS) + min(0.4 * rise, 80.0)
    items = [item for column in columns for item in column]
    top = min((item.y - item.reach for item in items), default=0.0)
    for item in items:
        item.y -= top
    width = max((item.x + item.width / 2 for item in items), default=0.0)
    return width, max((item.y + item.reach for item in items), default=0.0)
