"""Nodes to kernels: what is computed together.

Nodes are taken in their order.  An elementwise or movement node that one other node uses is not
computed by itself: it is written out where it is used.  Any other joins the kernel that computes
the last of what it needs, if in that kernel's loops every element meets just the elements it
needs; else it starts a kernel.  So a contraction takes what follows element by element (bias,
activation, the optimizer's update), and a reduction keeps its neighbours: a softmax is one kernel
over rows, in which each row passes several times through the nearest cache.

What one kernel computes and another needs is stored; everything else stays in registers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

from ..graph import Node
from ..ops import elementwise as ew
from ..ops import movement as mv
from ..ops import reduction as rd
from ..ops.contraction import contract
from ..ops.op import reshape
from ..shapes import size
from . import math
from .index import MOST_PARTS, ZERO, Index, Linear, NotLinear, Space, lifted
from .needs import is_loop, is_read, is_write, needs, writes
from .operands import operand

MOST_MEMBERS = 80  # a larger kernel would run out of registers
FEWEST_UNITS = 8  # a fusion that leaves less to do in parallel is not worth it,
SMALL = 1 << 14  # unless there is little to do at all
DEEPEST = 60  # nodes written out within each other, and
HEAVIEST = 1000  # instructions of what is written out: of a tree it is more than its depth
CHEAP = 4  # instructions that are rather done again than stored and read back

REDUCTIONS = {rd.sum_, rd.amax, rd.amin, rd.prod, rd.any_, rd.all_, rd.argmax, rd.argmin}


@dataclass(eq=False)
class Member:
    """A node computed in a kernel: which element in which turn of the loops."""

    node: Node
    index: Index
    operand: Index | None = None  # of a reduction: the element of its input


@dataclass(eq=False)
class Kernel:
    """Members that run in one nest of loops, or one node that needs a kernel of its own."""

    number: int
    # loops | contract | scatter | host | cat (nothing to compute: its parts have been written)
    kind: str
    space: Space
    _parallel: set[int] = field(default_factory=set)
    members: list[Member] = field(default_factory=list)
    sources: set[Node] = field(default_factory=set)  # what it reads from memory
    shapes: dict[tuple, Index] = field(default_factory=dict)  # an index for this shape

    @property
    def parallel(self) -> set[int]:
        """The variables whose turns are independent, split as the space has split them since."""
        if not self._parallel.isdisjoint(self.space.splits):
            self._parallel = self.space.variables(
                tuple([Linear(0, ((v, 1),)) for v in sorted(self._parallel)]))
        return self._parallel

    @parallel.setter
    def parallel(self, variables: set[int]) -> None:
        self._parallel = variables

    def own(self, node: Node) -> Member:
        return self._by_node[node]

    def __post_init__(self):
        self._by_node: dict[Node, Member] = {}

    def add(self, member: Member) -> None:
        self.members.append(member)
        self._by_node[member.node] = member
        self.shapes.setdefault(member.node.shape, member.index)

    def __contains__(self, node: Node) -> bool:
        return node in self._by_node


class Fusion:
    """The kernels of a graph, in an order in which they can run."""

    def __init__(self, order: Sequence[Node], outputs: Iterable[Node],
                 refused: Mapping[Node, str] | None = None):
        self.refused = refused or {}  # what cannot be compiled, and why
        self.outputs = set(outputs)
        self.position = {n: i for i, n in enumerate(order)}
        self.uses = Counter(x for n in order for x in n.inputs)
        self._overlapped = {_computed_below(n.inputs[0]) for n in order if _overlaps(n)}
        self.kernels: list[Kernel] = []
        self.home: dict[Node, Kernel] = {}
        self.part_of: dict[Node, tuple[Node, int]] = {}  # (cat, where it starts along the axis)
        self._weight: dict[Node, int] = {}
        self._depth: dict[Node, int] = {}
        self._scalars: Kernel | None = None
        self._siblings: dict[tuple, Kernel] = {}
        self._reducers: dict[tuple, Kernel] = {}
        self._written: dict[Kernel, tuple] = {}
        for node in order:
            if node.value is None:
                self._place(node)
        self.stored = self._find_stored()

    def ready(self, node: Node, kernel: Kernel) -> bool:
        """Whether the kernel meets the node in memory, or as a member of its own."""
        home = self.home.get(node)
        return node.value is not None or (home is not None and home.number <= kernel.number)

    # ------------------------------------------------------------------ which nodes have a home
    def _place(self, node: Node) -> None:
        if 0 in node.shape and node not in self.outputs:
            return
        if node.op is contract and node not in self.refused:
            self._contract(node)
        elif node.op in REDUCTIONS and node not in self.refused:
            self._reduce(node)
        elif is_write(node) and node not in self.refused:
            self._scatter(node)
        elif not is_loop(node) or node in self.refused:
            self._host(node)
        elif node.op is mv.cat and len(node.inputs) > MOST_PARTS:
            self._assemble(node)
        elif node in self.outputs or not self._is_inline(node):
            self.materialize(node)

    def _is_inline(self, node: Node) -> bool:
        """Whether the node is written out where it is used, and not computed by itself."""
        weight = self._weight[node] = self._cost(node)
        depth = self._depth[node] = 1 + max(
            [self._depth.get(x, 0) for x in node.inputs if x not in self.home], default=0)
        if depth > DEEPEST or weight > HEAVIEST:
            return False
        if node.op.kind == "movement" or node.op is ew.constant or is_read(node):
            return True
        if node in self._overlapped:
            return False
        if self.uses[node] <= 1:
            return True
        if size(node.shape) == 1 and weight < 16:
            return True
        return weight <= CHEAP and len(self._deep_sources(node)) <= 1

    def _cost(self, node: Node) -> int:
        """Instructions to compute one element, with what is written out in it."""
        own = 0 if node.op.kind != "elementwise" else getattr(math, "COST", {}).get(node.op.name, 1)
        return own + sum(self._weight.get(x, 0) for x in node.inputs if x not in self.home)

    def _deep_sources(self, node: Node) -> set[Node]:
        """What is computed elsewhere and would have to be stored for this node's sake."""
        found, stack = set(), list(node.inputs)
        while stack:
            x = stack.pop()
            if x in self.home:
                found.add(x)
            elif x.value is None:
                stack += x.inputs
        return found

    def _latest(self, node: Node) -> int:
        """The number of the last kernel that this node's inputs need; -1 for none."""
        latest, stack, seen = -1, list(node.inputs), set()
        while stack:
            x = stack.pop()
            if x in seen:
                continue
            seen.add(x)
            if x in self.home:
                latest = max(latest, self.home[x].number)
            elif x.value is None:
                stack += x.inputs
        return latest

    # ------------------------------------------------------------------ kernels
    def _new(self, kind: str) -> Kernel:
        kernel = Kernel(len(self.kernels), kind, Space())
        self.kernels.append(kernel)
        return kernel

    def _host(self, node: Node) -> None:
        """One node that the interpreter computes."""
        for x in node.inputs:
            self.in_memory(x)
        kernel = self._new("host")
        kernel.add(Member(node, (ZERO,) * node.ndim))
        self.home[node] = kernel

    def _assemble(self, node: Node) -> None:
        """A cat of many: every part is written into its place by the kernel that computes it."""
        start, axis = 0, node.attrs["axis"]
        parts = []
        for x in node.inputs:
            if 0 not in x.shape:
                part = Node(ew.clone, (x,), {}, x.spec, False, node.site, node.scope, 0)
                self.position[part] = self.position[node]
                self.part_of[part] = (node, start)
                self.materialize(part)
                parts.append(part)
            start += x.shape[axis]
        kernel = self._new("cat")
        kernel.sources = set(parts)
        kernel.add(Member(node, (ZERO,) * node.ndim))
        self.home[node] = kernel

    def _is_computed(self, node: Node) -> bool:
        """Whether the node is more than a view of what is in memory before the program runs."""
        return bool(node in self.home or self._weight.get(node) or self._deep_sources(node))

    def in_memory(self, node: Node) -> None:
        """See to it that this node's value can be read from memory."""
        if node.value is None and node not in self.home:
            self.materialize(node)

    def materialize(self, node: Node) -> None:
        """Compute an elementwise or movement node in some kernel."""
        if node.op is mv.cat and all(map(self._is_computed, node.inputs)):
            self._assemble(node)  # no element has to ask which part it is of
            return
        latest = self._latest(node)
        for kernel in self._candidates(node, latest):
            index = self._fit(kernel, node)
            if index is not None:
                self._join(kernel, Member(node, index))
                return
        while True:
            kernel = Kernel(len(self.kernels), "loops", Space())
            index = tuple([kernel.space.new(n) for n in node.shape])
            try:
                self._check(kernel, node, index)
                break
            except NotLinear as problem:
                if not self._resolve(problem.node, node):
                    self._host(node)
                    return
        kernel.number = len(self.kernels)
        self.kernels.append(kernel)
        kernel.parallel = kernel.space.variables(index)
        self._join(kernel, Member(node, index))
        if size(node.shape) == 1:
            self._scalars = kernel

    def _candidates(self, node: Node, latest: int) -> Iterator[Kernel]:
        if latest >= 0:
            yield self.kernels[latest]
        if size(node.shape) == 1 and self._scalars is not None and self._scalars.number > latest:
            yield self._scalars
        sibling = self._siblings.get(node.shape)
        if sibling is not None and sibling.number > latest and size(node.shape) > 1:
            if self._reads(node) & sibling.sources:
                yield sibling

    def _reads(self, node: Node) -> set[Node]:
        found, stack = set(), list(node.inputs)
        while stack:
            x = stack.pop()
            if x in self.home or (x.value is not None and x.shape):
                found.add(x)
            elif x.value is None:
                stack += x.inputs
        return found

    def _resolve(self, problem: Node, node: Node) -> bool:
        """Bring to memory what cannot be read through an index map; False if that is the node."""
        if problem.op is reshape:
            self.in_memory(problem.inputs[0])
            return True
        if problem is node:
            return False
        self._host(problem)
        return True

    def _join(self, kernel: Kernel, member: Member) -> None:
        kernel.add(member)
        self.home[member.node] = kernel
        kernel.sources |= {x for x in self._reads(member.node) if self.home.get(x) is not kernel}
        if kernel.kind == "loops" and member.operand is None:
            self._siblings[member.node.shape] = kernel

    # ------------------------------------------------------------------ fitting into loops
    def _fit(self, kernel: Kernel, node: Node) -> Index | None:
        """The index at which `node` can be computed within the kernel's loops, or None."""
        if kernel.kind not in ("loops", "contract") or len(kernel.members) >= MOST_MEMBERS:
            return None
        try:
            index = self._index(kernel, node)
            if index is None or not self._check(kernel, node, index):
                return None
        except NotLinear:
            return None
        parallel, own = kernel.parallel, kernel.space.variables(index)
        if not parallel <= own:
            return None
        if own != parallel and size(node.shape) > SMALL and self._units(kernel) < FEWEST_UNITS:
            return None
        return index

    def _units(self, kernel: Kernel) -> int:
        return prod(kernel.space.sizes[v] for v in kernel.parallel)

    def _index(self, kernel: Kernel, node: Node) -> Index | None:
        found = self._lift(kernel, node, {})
        if found is None:
            return kernel.shapes.get(node.shape)
        if None in found:
            if kernel.kind == "contract":
                return None
            strange = all(i is None or i is ZERO for i in found)
            if strange and not self._reads(node) & kernel.sources:
                return None  # it needs a number from this kernel, and nothing of its loops
            found = self._completed(kernel, node, found)
        index = kernel.space.resolved(tuple(found))
        used = [v for i in index for v in i.variables]
        # An outer product of a row with itself would need two variables for one.
        return index if len(used) == len(set(used)) else None

    def _completed(self, kernel: Kernel, node: Node, index: list) -> list:
        """Axes that no member tells get a loop: one of this length, or a new one."""
        known = kernel.shapes.get(node.shape)
        if known is not None and all(i is None or i == k for i, k in zip(index, known)):
            return list(known)
        space = kernel.space
        used = space.variables(tuple([i for i in index if i is not None]))
        free = [
            v for v, n in enumerate(space.sizes)
            if v not in used | kernel.parallel and v not in space.splits
            and v not in space.found
        ]
        result = []
        for i, n in zip(index, node.shape):
            if i is None:
                v = next((v for v in free if space.sizes[v] == n), None)
                if v is not None:
                    free.remove(v)
                i = space.new(n) if v is None else Linear(0, ((v, 1),))
            result.append(i)
        return result

    def _lift(self, kernel: Kernel, node: Node, memo: dict) -> list | None:
        """The index of `node` as far as the members below it tell."""
        if node in memo:
            return memo[node]
        memo[node] = None
        if node in kernel:
            memo[node] = list(kernel.space.resolved(kernel.own(node).index))
        elif node.value is None and node not in self.home:
            if node.op.kind == "movement":
                below = self._lift(kernel, node.inputs[0], memo)
                memo[node] = None if below is None else lifted(kernel.space, node, below)
            else:
                memo[node] = self._lift_elementwise(kernel, node, memo)
        return memo[node]

    def _lift_elementwise(self, kernel: Kernel, node: Node, memo: dict) -> list | None:
        """What is known of the inputs is known of the result, axis by axis."""
        result: list | None = None
        if is_read(node):
            return None
        for x in node.inputs:
            below = self._lift(kernel, x, memo)
            if below is None or len(x.shape) > node.ndim:
                continue
            result = result or [ZERO if n == 1 else None for n in node.shape]
            lead = node.ndim - x.ndim
            for a, (i, n) in enumerate(zip(below, x.shape)):
                if n != 1 and result[lead + a] is None:
                    result[lead + a] = i
        return result

    def _check(self, kernel: Kernel, node: Node, index: Index) -> bool:
        """Whether every member that the node needs is met at its own index.

        An operand needs no more than its own turn: nothing that other turns compute.
        """
        space = kernel.space
        for x, place in list(self.below(kernel, node, index)):
            if x in kernel:
                own = kernel.own(x)
                if space.flat(own.index, x.shape) != space.resolve(place):
                    return False
        return True

    # ------------------------------------------------------------------ what a node needs
    def below(self, kernel: Kernel, node: Node, index: Index) -> Iterator[tuple[Node, Linear]]:
        """What is in memory or a register below one element of a node that is written out."""
        space = kernel.space
        stack = [(node, index)]
        seen = set()
        while stack:
            node, index = stack.pop()
            for x, i in needs(space, node, index, lambda x: self.ready(x, kernel)):
                if self.ready(x, kernel):
                    yield x, i if isinstance(i, Linear) else space.flat(i, x.shape)
                elif (x, i) not in seen and not isinstance(i, Linear):
                    seen.add((x, i))
                    stack.append((x, i))

    # ------------------------------------------------------------------ reductions
    def _reduce(self, node: Node) -> None:
        (x,) = node.inputs
        latest = self._latest(node)
        kernels = [self.kernels[latest]] if latest >= 0 else []
        sibling = self._reducers.get(x.shape)
        if sibling is not None and sibling.number > latest and self._reads(node) & sibling.sources:
            kernels.append(sibling)
        for kernel in kernels:
            if kernel.kind == "loops" and self._reduce_within(kernel, node):
                return
        while True:
            kernel = Kernel(len(self.kernels), "loops", Space())
            operand = tuple([kernel.space.new(n) for n in x.shape])
            try:
                kernel.number = len(self.kernels)
                if x.value is None and x not in self.home:
                    self._check(kernel, x, operand)
                break
            except NotLinear as problem:
                if not self._resolve(problem.node, x):
                    self._host(x)
        kernel.number = len(self.kernels)
        self.kernels.append(kernel)
        index = _kept(operand, node.attrs["axis"])
        kernel.parallel = kernel.space.variables(index)
        kernel.shapes[x.shape] = operand
        self._reducers[x.shape] = kernel
        self._join(kernel, Member(node, index, operand))

    def _reduce_within(self, kernel: Kernel, node: Node) -> bool:
        """Reduce in a kernel's loops: its other turns stay parallel, these become a loop inside."""
        (x,) = node.inputs
        if len(kernel.members) >= MOST_MEMBERS:
            return False
        try:
            operand = self._index(kernel, x)
            if operand is None or not self._check_operand(kernel, x, operand):
                return False
        except NotLinear:
            return False
        space = kernel.space
        index = _kept(operand, node.attrs["axis"])
        kept = space.variables(index)
        inner = space.variables(operand) - kept
        parallel = kernel.parallel - inner
        if not kept <= parallel or not parallel <= kept:
            return False
        for m in kernel.members:
            if m.operand is not None and space.variables(m.index) & inner:
                return False
        if len(parallel) < len(kernel.parallel):
            units = prod(space.sizes[v] for v in parallel)
            if units < FEWEST_UNITS and size(x.shape) > SMALL:
                return False
        kernel.parallel = parallel
        self._join(kernel, Member(node, index, operand))
        return True

    def _check_operand(self, kernel: Kernel, x: Node, index: Index) -> bool:
        if x in kernel:
            return kernel.space.resolved(kernel.own(x).index) == kernel.space.resolved(index)
        if x.value is not None or x in self.home:
            return True
        return self._check(kernel, x, index)

    # ------------------------------------------------------------------ contractions
    def _contract(self, node: Node) -> None:
        while True:
            kernel = Kernel(len(self.kernels), "contract", Space())
            labels = node.attrs["labels"]
            sizes = {a: n for x, ls in zip(node.inputs, labels) for a, n in zip(ls, x.shape)}
            variable = {a: kernel.space.new(n) for a, n in sizes.items()}
            try:
                for x, ls in zip(node.inputs, labels):
                    operand(self, kernel, x, tuple([variable[a] for a in ls]))
                break
            except NotLinear as problem:
                self._to_memory(problem.node)
        kernel.number = len(self.kernels)
        self.kernels.append(kernel)
        index = tuple([variable[a] for a in labels[2]])
        kernel.parallel = kernel.space.variables(index)
        self._join(kernel, Member(node, index, tuple([variable[a] for a in sizes])))

    def _to_memory(self, problem: Node) -> None:
        if problem.op is reshape and problem.inputs[0] not in self.home \
                and problem.inputs[0].value is None:
            self.in_memory(problem.inputs[0])
        else:
            self.in_memory(problem)

    # ------------------------------------------------------------------ writes
    def _scatter(self, node: Node) -> None:
        """A node that writes to places which are values: x first, then write after write.

        What lies beside the indexed axes is independent, and parallel.
        """
        while True:
            kernel = Kernel(len(self.kernels), "scatter", Space())
            index = tuple([kernel.space.new(n) for n in node.shape])
            written, places, value, asked = writes(kernel.space, node, index)
            try:
                for x, i in [(node.inputs[0], index), (value, written), *asked]:
                    if x.value is None and x not in self.home:
                        self._check(kernel, x, i)
                break
            except NotLinear as problem:
                if not self._resolve(problem.node, node):
                    self._host(problem.node)
        kernel.number = len(self.kernels)
        self.kernels.append(kernel)
        kernel.parallel = kernel.space.variables(index) & kernel.space.variables(written)
        self._written[kernel] = written, places, value, asked
        self._join(kernel, Member(node, index, written))

    def writes_of(self, kernel: Kernel) -> tuple:
        """What a scatter kernel writes: see `writes`."""
        return self._written[kernel]

    # ------------------------------------------------------------------ memory
    def _find_stored(self) -> set[Node]:
        """What must be in memory: outputs, and what another kernel reads."""
        stored = {n for n in self.outputs if n.value is None} | self.part_of.keys()
        for kernel in self.kernels:
            for member in kernel.members if kernel.kind != "cat" else ():
                for x in self._members_below(member.node, kernel):
                    if self.home[x] is not kernel:
                        stored.add(x)
            if kernel.kind in ("host", "cat"):
                stored.add(kernel.members[0].node)
        return stored

    def _members_below(self, node: Node, kernel: Kernel) -> Iterator[Node]:
        stack, seen = list(node.inputs), set()
        while stack:
            x = stack.pop()
            if x in seen:
                continue
            seen.add(x)
            if x.value is None and self.ready(x, kernel):
                yield x
            elif x.value is None:
                stack += x.inputs


def _kept(operand: Index, axis) -> Index:
    gone = (axis,) if isinstance(axis, int) else axis
    return tuple([i for a, i in enumerate(operand) if a not in gone])


def _overlaps(node: Node) -> bool:
    """Whether a window meets its elements more than once."""
    return node.op is mv.window and prod(node.attrs["size"]) > prod(node.attrs["stride"])


def _computed_below(node: Node) -> Node:
    """The node without the movement above it."""
    while node.value is None and node.op.kind == "movement":
        node = node.inputs[0]
    return node
