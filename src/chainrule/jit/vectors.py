"""Which variable of a nest becomes the vector and how wide it is; which are merged or tiled."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from math import prod

from .emit import BITS
from .engine import Target
from .index import Guard, Linear
from .loops import HALF, Block, Instruction, Nest
from .math import COST

NONE = -1  # no variable
FARTHEST = 4  # lanes that lie farther apart in memory are read and written one by one
TILE = 16  # elements of a cache line, which a tile reads while it is near


def merged(nest: Nest) -> Nest:
    """The same nest with neighbouring variables made one wherever memory lets them."""
    places = [i.where for i in nest.instructions()]
    places += [g.place for i in nest.instructions() for g in i.guards]
    groups: dict[tuple, list[int]] = defaultdict(list)
    for v in nest.sizes:
        inside = tuple([v in b.inner for b in nest.blocks])
        groups[(v in nest.parallel, inside, tuple([v in r[0] for r in nest.rows]))].append(v)
    gone: dict[int, int] = {}
    sizes = dict(nest.sizes)
    steps = {v: [p.coefficient(v) for p in places] for v in nest.sizes}
    for group in groups.values():
        _merge_group(group, steps, sizes, gone)
    return _without(nest, gone, sizes) if gone else nest


def _merge_group(group: list[int], steps, sizes, gone) -> None:
    changed = True
    while changed:
        changed = False
        for a in group:
            for b in group:
                if a == b or a in gone or b in gone:
                    continue
                if steps[a] == [s * sizes[b] for s in steps[b]]:
                    gone[a] = b
                    sizes[b] *= sizes[a]
                    changed = True


def _without(nest: Nest, gone, sizes) -> Nest:
    def shorter(x: Linear) -> Linear:
        return Linear(x.offset, tuple([(v, c) for v, c in x.terms if v not in gone]))

    def rewritten(i: Instruction) -> Instruction:
        where = shorter(i.where)
        guards = tuple([Guard(shorter(g.place), g.size) for g in i.guards])
        return replace(i, where=where, guards=guards)

    blocks = [Block(tuple([v for v in b.inner if v not in gone]), [rewritten(i) for i in b.code])
              for b in nest.blocks]
    rows = [(tuple([v for v in r if v not in gone]), e) for r, e in nest.rows]
    kept = {v: n for v, n in sizes.items() if v not in gone}
    parallel = tuple([v for v in nest.parallel if v not in gone])
    return replace(nest, sizes=kept, parallel=parallel, blocks=blocks, rows=rows)


def vector_variable(nest: Nest, lanes: int) -> int:
    """The variable along which most of memory is contiguous; NONE if it is along none."""
    best, chosen = 0.0, NONE
    for v, n in nest.sizes.items():
        if nest.ordered and v not in nest.parallel:
            continue
        score = 0.0
        for block in nest.blocks:
            runs = prod(min(nest.sizes[u], 64) for u in block.inner)
            for i in block.code:
                if i.do not in ("load", "store") or not i.where.variables:
                    continue
                step = i.where.coefficient(v)
                worth = 0.3 if step == 0 else 1.0 if step == 1 else -0.5
                if 2 <= step <= FARTHEST:
                    worth = 0.5
                score += worth * runs * (2 if i.do == "store" else 1)
        score *= min(1.0, n / lanes)
        if score > best:
            best, chosen = score, v
    return chosen


def lanes_of(nest: Nest, target: Target) -> int:
    """How many elements one vector register holds."""
    elems = {i.elem for i in nest.instructions() if i.elem}
    if elems & {"float32", *HALF}:
        return target.lanes("float32")
    if "float64" in elems:
        return target.lanes("float64")
    widest = max((BITS[e] for e in elems if e in BITS), default=64)
    return target.bits // max(widest, 32)


def widened(nest: Nest, v: int, lanes: int) -> int:
    """The lanes of several registers, which hide each other's latency, where the code is short."""
    code = list(nest.instructions())
    if nest.ordered or nest.found & {u for i in code for u in i.where.variables}:
        return lanes
    if any(i.do in ("load", "store") and i.where.coefficient(v) > 1 for i in code):
        return lanes
    weight = sum(COST.get(i.extra[0].name, 1) if i.do == "op" else 1 for i in code)
    for times, most in ((4, 12), (2, 60)):
        if weight <= most and nest.sizes[v] % (times * lanes) == 0:
            return times * lanes
    return lanes


def tiled(nest: Nest, v: int) -> int:
    """The parallel variable along which memory is contiguous where it is far apart along v: a
    transposition runs over tiles of both; NONE if there is no such thing."""
    if v not in nest.parallel or any(b.inner for b in nest.blocks):
        return NONE
    for i in nest.instructions():
        if i.do == "load" and abs(i.where.coefficient(v)) > FARTHEST:
            for u in nest.parallel:
                if i.where.coefficient(u) == 1 and nest.sizes[u] > FARTHEST:
                    return u
    return NONE
