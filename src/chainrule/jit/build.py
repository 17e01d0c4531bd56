"""From a kernel of nodes to machine code's text: once for all kernels that look alike."""

from __future__ import annotations

from ..graph import Node
from . import contract
from .codegen import Code, Writer, loop_kernel
from .emit import Builder
from .engine import NAME, host
from .fuse import Fusion, Kernel
from .index import Linear, Space
from .loops import HALF, Lowering, Nest
from .memory import Buffer
from .operands import operand
from .step import Place, Step
from .vectors import NONE

_codes: dict[tuple, list[Code]] = {}  # what looks alike is written once
MOST_CODES = 10_000


def _remembered(key: tuple, make) -> list[Code]:
    found = _codes.get(key)
    if found is None:
        if len(_codes) >= MOST_CODES:
            _codes.clear()
        found = _codes[key] = make()
    return found


def build(fusion: Fusion, kernel: Kernel) -> Step:
    """The step of one kernel."""
    node = kernel.members[0].node
    if kernel.kind == "host":
        return Step(kernel, list(node.inputs), [node])
    if kernel.kind == "cat":
        return Step(kernel, sorted(kernel.sources, key=fusion.position.__getitem__), [node])
    nest = Lowering(fusion, kernel).nest()
    writes = [m.node for m in kernel.members if m.node in fusion.stored]
    if kernel.kind == "contract":
        return _contraction(fusion, kernel, nest, writes)
    key = (host(), str(nest), _types(nest))
    codes = _remembered(key, lambda: [loop_kernel(nest, host())])
    return Step(kernel, _reads(nest, writes), writes, codes, [_places(nest)], nest=nest)


def _types(nest: Nest) -> tuple:
    return tuple([x.dtype.name for x in nest.buffers]), tuple(nest.rows), tuple(nest.sizes.items())


def _reads(nest: Nest, writes: list[Node]) -> list[Node]:
    return [x for x in nest.buffers if x not in writes]


def _places(nest: Nest) -> list[Place]:
    return list(zip(nest.buffers, nest.starts))


# --------------------------------------------------------------------------- contractions
def _contraction(fusion: Fusion, kernel: Kernel, nest: Nest, writes: list[Node]) -> Step:
    node, space = kernel.members[0].node, kernel.space
    c, variables, sources = _summed(fusion, kernel)
    flat = space.flat(kernel.members[0].index, node.shape)
    prefer = next((k for k, v in enumerate(variables) if flat.coefficient(v) == 1), None)
    made = contract.plan(c, host(), prefer)
    temporaries = [Buffer(n, 0, 0) for n in made.temporaries]
    first: list[Place] = [*sources, *((t, 0) for t in temporaries)]
    key = (host(), c, prefer, tuple(variables), str(nest), _types(nest))
    codes = _remembered(key, lambda: [
        _phase(p, len(first), nest, variables, node.dtype.name) for p in made.phases])
    places = [first if not p.last else [*first, *_places(nest)] for p in made.phases]
    reads = [x for x, _ in sources] + _reads(nest, writes)
    return Step(kernel, reads, writes, codes, places, temporaries, nest, str(made))


def _summed(fusion: Fusion, kernel: Kernel):
    """The contraction in the kernel's variables: (it, its variables, where its operands lie)."""
    member, space = kernel.members[0], kernel.space
    node, labels = member.node, member.node.attrs["labels"]
    axes = {a: n for x, ls in zip(node.inputs, labels) for a, n in zip(ls, x.shape)}
    index = dict(zip(axes, member.operand or ()))
    own = [space.variables(tuple([index[a] for a in ls])) for ls in labels]
    variables = sorted(own[0] | own[1])
    accesses, sources = [], []
    for place, (x, ls) in enumerate(zip(node.inputs, labels)):
        memory, where, guards = operand(fusion, kernel, x, tuple([index[a] for a in ls]))
        start = 0 if guards else where.offset
        sources.append((memory, start))
        accesses.append(contract.Access(
            place, memory.dtype.name, where.offset - start, _steps(space, where, variables),
            tuple([contract.Guard(space.resolve(g.place).offset,
                                  _steps(space, g.place, variables), g.size) for g in guards])))

    def numbers(group: set[int]) -> tuple[int, ...]:
        return tuple([k for k, v in enumerate(variables) if v in group])

    x, y, out = own
    elem = "float32" if node.dtype.name in HALF else node.dtype.name
    c = contract.Contraction(
        tuple([space.sizes[v] for v in variables]), numbers(out & x & y), numbers(out & x - y),
        numbers(out & y - x), numbers(x & y - out), accesses[0], accesses[1], elem)
    return c, variables, sources


def _steps(space: Space, x: Linear, variables: list[int]) -> tuple[int, ...]:
    x = space.resolve(x)
    return tuple([x.coefficient(v) for v in variables])


def _phase(phase, count: int, nest: Nest, variables: list[int], elem: str) -> Code:
    b = Builder(NAME, host())
    if phase.last:
        phase.emit(b, _epilogue(nest, variables, count, elem))
    else:
        phase.emit(b)
    return Code(b.text(), phase.units, phase.grain, phase.scratch, phase.work)


def _epilogue(nest: Nest, variables: list[int], count: int, elem: str):
    """What happens to a piece of the result while it is in registers."""

    def finish(b, where, vector, value, mask):
        places = [b.buffer(count + k) for k in range(len(nest.buffers))]
        writer = Writer(b, nest, NONE if vector is None else variables[vector], value.lanes)
        writer.finish(places, {variables[k]: i for k, i in where.items()}, mask, value, elem)

    def ask(b, where, vector):
        env = {variables[k]: i for k, i in where.items()}
        asked = set()
        for i in nest.instructions():
            near = i.where.coefficient(variables[vector]) == 1 and not i.guards
            if i.do not in ("load", "store") or not near or (i.place, i.where) in asked:
                continue
            asked.add((i.place, i.where))
            if all(v in env for v, _ in i.where.terms):
                place = i.where.offset
                for v, step in i.where.terms:
                    place = b.add(place, b.mul(env[v], step))
                elem = i.extra if i.do == "load" else i.elem
                b.prefetch(b.buffer(count + i.place), elem, place)

    finish.ask = ask  # type: ignore[attr-defined]
    return finish
