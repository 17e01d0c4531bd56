"""The equations of a graph: forward as recorded, backward as the ops' own derivatives make it.

Values with a name are symbols; what has none is written where it is used.  So the equations are
the graph, cut at the names.  Where a line would be too long, or a longer piece would be written
more than once, the piece gets a name, and all is derived once more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from ...autodiff import is_leaf, vjp
from ...grad_mode import no_grad
from ...graph import COMPUTED, NO_ATTRS, Node
from ..picture import is_source
from .algebra import Algebra
from .expression import ONE, Expr, bare
from .indices import is_indexed, only_splits
from .names import Naming
from .reading import Reader
from .writing import is_opaque, is_plain

LONG = 84  # characters of a right side
SHORT = 20  # what may be written twice
FAR_TOO_LONG = 1500
_ROUNDS, _FEW_ROUNDS = 40, 12

Row = tuple[Node, str, Expr]


@dataclass
class Derivation:
    """What a graph says, (node, name, right side) forward and backward; what the names mean."""

    algebra: Algebra
    forward: list[Row] = field(default_factory=list)
    backward: list[Row] = field(default_factory=list)
    symbols: dict[str, Node] = field(default_factory=dict)
    numbers: dict[str, float] = field(default_factory=dict)


def derive(order: list[Node], output: Node, naming: Naming, backward: bool) -> Derivation:
    """The equations of everything in `order`, of which `output` is the last."""
    named: set[Node] = set()
    for _ in range(_ROUNDS if len(order) < 1000 else _FEW_ROUNDS):
        found = _Round(order, output, naming, named)
        found.go_forward()
        if backward:
            found.go_backward()
        more = found.to_name() - named
        if not more:
            break
        named |= more
        found.let_go()
    result = found.finished()
    found.let_go()
    return result


class _Round:
    """One derivation, with names for the user's values, modules, and the nodes in `extra`."""

    def __init__(self, order: list[Node], output: Node, naming: Naming, extra: set[Node]):
        self.order, self.output, self.naming = order, output, naming
        self.algebra = Algebra()
        self.result = Derivation(self.algebra)
        self.names = naming.with_names_for([n for n in order if n in extra], output)
        symbols = {n: self._symbol(n, name) for n, name in self.names.items()}
        self.reader = Reader(self.algebra, symbols, self._name_leaf, self._number)
        self.written: dict[Node, Expr] = {}  # unnamed nodes, and what stands in their place
        self.arriving: dict[Node, Expr] = {}  # unnamed nodes, and their gradients
        self.cut: set[Node] = set()  # nodes that must have a name, or expressions grow for ever

    def _symbol(self, node: Node, name: str) -> Expr:
        self.result.symbols[name] = node
        return self.algebra.make("symbol", (), name, node.shape)

    def _name_leaf(self, node: Node) -> Expr:
        name = self.naming.invent(node)
        self.names[node] = name
        return self._symbol(node, name)

    def _number(self, node: Node, user: Node, value: float) -> Expr | None:
        found = self.naming.number(user, value, node.dtype.itemsize)
        if found is None:
            return None
        name, number, factor = found
        self.result.numbers[name] = number
        return self.algebra.mul(self.algebra.number(factor),
                                self.algebra.make("symbol", (), name, ()))

    # ------------------------------------------------------------------ forward
    def go_forward(self) -> None:
        for node in self.order:
            if is_source(node):
                continue
            right = self.reader.definition(node)
            if node in self.names:
                self.result.forward.append((node, self.names[node], right))
            elif right.width > FAR_TOO_LONG:
                self.cut.add(node)
                self.reader.symbols[node] = self._name_leaf(node)
                self.result.forward.append((node, self.names[node], right))
            else:
                self.written[node] = self.reader.read(node)

    # ------------------------------------------------------------------ backward
    def go_backward(self) -> None:
        """The chain rule, node by node in reverse order; a named node hands on its symbol."""
        seed = self._stand_in(self.output, self.algebra.number(ONE))
        cts: dict[Node, list[Node]] = {self.output: [seed]}
        with no_grad():
            for node in reversed(self.order):
                shares = cts.pop(node, None)
                if shares is None or not node.requires_grad:
                    continue
                ct = seed if node is self.output else self._arrived(node, shares)
                if is_leaf(node) or is_source(node):
                    continue
                for x, share in zip(node.inputs, vjp(node, ct)):
                    if share is not None and x.requires_grad:
                        cts.setdefault(x, []).append(share)

    def _arrived(self, node: Node, shares: list[Node]) -> Node:
        """All uses have given their share: an equation, if the node has a name."""
        gradient = self.algebra.add(*[self.reader.read(share) for share in shares])
        if node not in self.names:
            if not is_source(node):
                self.arriving[node] = gradient
                if gradient.width > FAR_TOO_LONG:
                    self.cut.add(node)
                    symbol = self.algebra.make("gradient", (), "?", node.shape)
                    return self._stand_in(node, symbol)
                return self._stand_in(node, gradient)
            self.reader.read(node)
        name = self.names[node]
        self.result.backward.append((node, name, gradient))
        known = self._is_number(bare(gradient))
        symbol = self.algebra.make("gradient", (), name, node.shape)
        return self._stand_in(node, gradient if known else symbol)

    def _is_number(self, x: Expr) -> bool:
        """Whether x is made of numbers only, such as λ/2."""
        leaves = [e for e in _parts(x) if not e.args] if not x.shape and x.width < SHORT else [x]
        return all(e.kind == "number" or e.data in self.result.numbers for e in leaves)

    def _stand_in(self, node: Node, expression: Expr) -> Node:
        """A node that only stands for an expression, of the same shape and dtype."""
        fake = Node(None, (), NO_ATTRS, node.spec, False, node.site, None, COMPUTED)
        self.reader.symbols[fake] = expression
        return fake

    def let_go(self) -> None:
        """Drop all nodes at once: reader and round refer to each other, and references count."""
        vars(self.reader).clear()

    def finished(self) -> Derivation:
        """The equations, in which what has a name is called by it."""
        symbols = {}
        for node, name, right in self.result.forward:
            if right.args and right.kind != "expand":
                symbols[right] = self.algebra.make("symbol", (), name, node.shape)
        self.result.backward = [(node, name, self.algebra.replaced(right, symbols))
                                for node, name, right in self.result.backward]
        return self.result

    # ------------------------------------------------------------------ names that are missing
    def to_name(self) -> set[Node]:
        """Nodes without a name that would make the equations shorter if they had one."""
        if self.cut:
            return self.cut
        rights = [e for _, _, e in (*self.result.forward, *self.result.backward)]
        counts: Counter[Expr] = Counter()
        for right in rights:
            counts.update(_parts(right))
        pieces = {e: n for n, e in reversed([*self.arriving.items(), *self.written.items()])
                  if bare(e).args}
        found: dict[Expr, Node] = {}
        for e, node in pieces.items():
            if counts[e] > 1 and (e.width > SHORT or is_costly(e)):
                found[e] = node
        inner = {part for e in found for x in e.args for part in _parts(x)}
        outermost = {node for e, node in found.items() if e not in inner}
        return outermost | self._hidden(rights, pieces) or self._too_long(rights, pieces)

    def _hidden(self, rights: list[Expr], pieces: dict[Expr, Node]) -> set[Node]:
        """What a function is of that needs whole arrays, where it can only be written by element.
        """
        found = set()
        pieces = self._cores(pieces) | pieces
        for part in {p for right in rights for p in _parts(right)}:
            moved = part.kind == "call" and part.data[0] in ("pad", "fold")
            merged = part.kind == "reshape" and not only_splits(part.args[0].shape, part.shape)
            for x in part.args if moved or merged or is_opaque(part) else ():
                if is_plain(bare(x)) or (x.kind == "reshape" and is_plain(x.args[0])):
                    continue  # a function of that can be written
                inner = [e for e in _below(x) if e in pieces and not is_plain(e)]
                x = inner[-1] if inner else x
                loose = x.kind in ("add", "mul", "power", "call") and not is_indexed(x)
                if x in pieces and (loose if moved else inner):
                    found.add(pieces[x])
        return found

    def _cores(self, pieces: dict[Expr, Node]) -> dict[Expr, Node]:
        """The pieces without what the algebra takes out of them: coefficients, shapes."""
        found: dict[Expr, Node] = {}
        for e, node in pieces.items():
            core = self.algebra.without_scalars(e)
            while core.kind in ("reshape", "permute"):
                core = core.args[0]
            found.setdefault(core, node)
        return found

    def _too_long(self, rights: list[Expr], pieces: dict[Expr, Node]) -> set[Node]:
        """In every line that is too long, the widest piece that is not."""
        found = set()
        for right in rights:
            if right.width > 4 * LONG:
                found |= {pieces[e] for e in _cut(right, pieces)}
            elif right.width > LONG:
                parts = [e for e in set(_parts(right)) if e in pieces and e is not right
                         and SHORT < e.width <= max(LONG, right.width // 2)]
                if parts:
                    found.add(pieces[max(parts, key=lambda e: e.width)])
        return found


def _parts(x: Expr) -> Iterator[Expr]:
    """x and all that it consists of, as often as it would be written."""
    stack, left = [x], 20_000
    while stack and left:
        e = stack.pop()
        left -= 1
        yield e
        stack += e.args



def _cut(right: Expr, pieces: dict[Expr, Node]) -> set[Expr]:
    """The widest pieces that fit on a line, wherever the right side has some."""
    found: set[Expr] = set()
    seen: set[Expr] = set()
    stack = list(right.args)
    while stack:
        e = stack.pop()
        if e in pieces and SHORT < e.width <= LONG:
            found.add(e)
        elif e not in seen:
            seen.add(e)
            stack += e.args
    return found


def _below(x: Expr) -> Iterator[Expr]:
    """x, and what was moved to become x."""
    yield x
    while x.kind in ("reshape", "permute"):
        x = x.args[0]
        yield x


def is_costly(x: Expr) -> bool:
    """Whether nobody would compute x twice, however short it is."""
    return x.kind in ("contract", "reduce") or is_opaque(x)
