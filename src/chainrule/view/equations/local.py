"""The local formula of one operator: what it hands to each of its inputs, from its own vjp."""

from __future__ import annotations

from collections.abc import Mapping

from ...autodiff import is_leaf
from ...grad_mode import no_grad
from ...graph import COMPUTED, NO_ATTRS, Node
from ...memo import Memo
from ...ops.op import ALL_OPS
from ...shapes import Spec, spec
from ..labels import is_number
from .algebra import Algebra
from .expression import ONE, Expr, bare
from .reading import Reader, apply
from .text import Text
from .writing import SUM, Writer, is_plain

_OURS = frozenset(ALL_OPS)
_rules = Memo(2048, 200_000)


def local_rules(node: Node, names: Mapping[Node, str] | None = None) -> dict[int, str]:
    """For each input of an operator the formula of its local derivative, as text.

    Of an elementwise op the derivative, "∂/∂x exp(x) = exp(x)"; of others what becomes of the
    gradient that arrives, "dL/dA = dL/dC Bᵀ".  Inputs are called as `names` says, else x, y ...
    An input without a derivative has no entry, and neither has what a user's own Function does.

    >>> import chainrule as torch
    >>> from chainrule.view.equations import local_rules
    >>> x = torch.tensor([1.0, 2.0], requires_grad=True)
    >>> local_rules((x * 3).node), local_rules(x.tanh().node)
    ({0: '∂/∂x (3 x) = 3'}, {0: '∂/∂x tanh(x) = 1 - tanh(x)²'})
    """
    if is_leaf(node) or not node.inputs or node.op not in _OURS:
        return {}
    called = _names(node, names or {})
    fixed = tuple([_number(x) for x in node.inputs])
    key = (node.op, tuple(node.attrs.items()), tuple([x.spec for x in node.inputs]), node.spec,
           called, fixed, tuple([x.requires_grad for x in node.inputs]))
    found = _rules.get(key)
    if found is None:
        try:
            found = _derive(node, called, fixed)
        except Exception:  # a drawing is not to fail for want of one formula
            found = {}
        _rules.remember(key, key, found)
    return found


def _number(x: Node) -> float | None:
    """A number that the program text holds."""
    return x.value.item() if is_number(x) and x.value is not None else None


def _names(node: Node, names: Mapping[Node, str]) -> tuple[str, ...]:
    """What the inputs and the result are called."""
    matrices = node.op.kind == "contraction" and all(x.ndim > 1 for x in node.inputs)
    letters = iter("ABDEFGH" if matrices else "xywuvabcpqrs")
    taken: set[str] = set()
    found: list[str] = []
    for x in node.inputs:
        name = names.get(x, "") if _number(x) is None else "1"
        while not name or (name in taken and x not in names):
            name = next(letters, f"x{len(found)}")
        taken.add(name)
        found.append(name)
    out = names.get(node) or next(c for c in ("C" if matrices else "y", "z", "out") if c not in
                                  taken)
    return (*found, out)


def _derive(node: Node, called: tuple[str, ...], fixed: tuple) -> dict[int, str]:
    elementwise = node.op.kind == "elementwise"
    algebra = Algebra()
    symbols: dict[Node, Expr] = {}
    reader = Reader(algebra, symbols, lambda leaf: algebra.make("symbol", (), "c", leaf.shape),
                    lambda *_: None)

    def stand_in(like: Node, expression: Expr) -> Node:
        fake = _fake(spec((), like.dtype) if elementwise else like.spec, like)
        symbols[fake] = expression
        return fake

    inputs = []
    for x, name, value in zip(node.inputs, called, fixed):
        shape = () if elementwise else x.shape
        symbol = algebra.make("symbol", (), name, shape)
        inputs.append(stand_in(x, reader.definition(x) if value is not None else symbol))
    inside = [symbols[x] for x in inputs]
    ct: Expr = algebra.number(ONE)
    out = algebra.make("symbol", (), called[-1], node.shape)
    if elementwise:
        fake = _fake(spec((), node.dtype), node, tuple(inputs))
        out = apply(algebra, fake, inside)
    else:
        ct = algebra.make("gradient", (), called[-1], node.shape)
    with no_grad():
        shares = node.op.vjp(stand_in(node, ct), stand_in(node, out), *inputs, **node.attrs)
    writer = Writer(algebra, Text("L"), {name for name in called if len(name) == 1})
    return {i: _line(writer, called[i], out, reader.read(share), elementwise)
            for i, (x, share) in enumerate(zip(node.inputs, shares))
            if share is not None and x.requires_grad}


def _fake(of: Spec, like: Node, inputs: tuple[Node, ...] = ()) -> Node:
    """A node that is only looked at, never computed."""
    op, attrs = (like.op, like.attrs) if inputs else (None, NO_ATTRS)
    return Node(op, inputs, attrs, of, False, like.site, None, COMPUTED)


def _line(writer: Writer, name: str, out: Expr, share: Expr, elementwise: bool) -> str:
    if elementwise:
        what = writer.write(out, SUM)
        if out.kind not in ("call", "symbol"):
            what = f"({what})"
        return f"∂/∂{name} {what} = {writer.line(share).text}"
    line = writer.line(share)
    left = writer.dialect.gradient(name)
    if line.letters:
        return f"{writer.dialect.element(left, line.letters)} = {line.text}"
    stretched = share.kind == "expand" and is_plain(bare(share))
    return f"{left} = broadcast({line.text})" if stretched else f"{left} = {line.text}"

