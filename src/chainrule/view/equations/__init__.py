"""The equations of a graph, forward and backward, as text and as LaTeX.

`text.py` says how the text is to be read.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import FrameType
from typing import Any
from weakref import ref

from ...errors import GradError
from ...graph import Node
from ...history import why
from ...tensor import Tensor
from ..labels import node_of
from ..picture import forward_order, is_source
from .derivation import Derivation, Row, derive
from .folding import folded
from .latex import Latex, block
from .local import local_rules
from .names import Naming
from .text import Text, laid_out
from .writing import Dialect, Writer

__all__ = ["Equation", "Equations", "equations", "local_rules"]


@dataclass(frozen=True)
class Equation:
    """One equation; `name` is what the value is called that it, or whose gradient it, is about."""

    name: str
    text: str
    latex: str
    _node: Any = field(repr=False, compare=False)

    @property
    def node(self) -> Node | None:
        """The forward node, as long as somebody else holds its graph."""
        return self._node()


@dataclass(frozen=True)
class Equations:
    """What `equations` returns: `str()` is the text, `latex()` a block for a paper.

    `forward` and `backward` are lists of `Equation`; `shapes` says of which shape each name is,
    `numbers` what the names of numbers stand for, `note` why there is no backward part.
    """

    forward: list[Equation]
    backward: list[Equation]
    shapes: dict[str, tuple[int, ...]]
    numbers: dict[str, float]
    note: str = ""
    _nodes: dict[str, Any] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        parts = ["forward", *laid_out(folded([e.text for e in self.forward]))]
        if self.backward:
            parts += ["", "backward", *laid_out(folded([e.text for e in self.backward]))]
        return "\n".join([*parts, *(["", self.note] if self.note else [])])

    def latex(self) -> str:
        """Both parts as aligned equations, to be pasted into a document that loads amsmath."""
        parts = [block([e.latex for e in part]) for part in (self.forward, self.backward) if part]
        return "\n".join(parts)

    def _repr_latex_(self) -> str:
        return self.latex()

    def node(self, name: str) -> Node | None:
        """The node that a name stands for, as long as somebody else holds its graph."""
        found = self._nodes.get(name)
        return None if found is None else found()


def equations(loss: Tensor, *, names: Mapping[str, Tensor] | None = None) -> Equations:
    """The equations by which `loss` is computed, and those of its gradients, derived from the
    graph: the chain rule, written out in the names of your variables.

    What has a name - a variable where this is called, a parameter, what comes out of a module -
    has an equation of its own; the rest is written where it is used, or called h1, h2 ... where it
    would make a line long.  A product of matrices is written side by side, an elementwise one with
    ⊙; what is neither is said of one element, z[i,j] = ....  `names` adds to your variables.

    Recorded aside: no `.grad` is touched, and nothing is kept.  Raises GradError if backward has
    freed the graph.  A tensor that requires no grad has a forward part only.

    >>> import chainrule as torch
    >>> W, x, y = torch.ones(2, 3, requires_grad=True), torch.ones(3), torch.ones(2)
    >>> h = torch.tanh(W @ x)
    >>> L = ((h - y) ** 2).sum()
    >>> print(torch.equations(L))
    forward
      h = tanh(W x)
      L = ‖h - y‖²
    <BLANKLINE>
    backward
      dL/dh = 2 (h - y)
      dL/dW = (dL/dh ⊙ (1 - h²)) xᵀ
    """
    return derived(node_of("equations", loss), names, sys._getframe(1))


def derived(
    output: Node, names: Mapping[str, Any] | None = None, frame: FrameType | None = None
) -> Equations:
    """What `equations` returns for the node of a loss; `names` are tensors, numbers and modules,
    and `frame` has more."""
    order = forward_order(output)
    for node in order:
        if node.freed and not is_source(node) or (node.freed and node is output):
            raise GradError(
                f"equations requires the whole graph, got one that backward has freed at "
                f"{node.name}",
                site=node.where,
                hint="call equations before backward, or backward(retain_graph=True)",
            )
    naming = Naming(frame, names, order)
    found = derive(order, output, naming, output.requires_grad)
    note = "" if output.requires_grad else f"no backward part: {why(output, False)}"
    return _written(found, output, note)


def _written(found: Derivation, output: Node, note: str) -> Equations:
    name = next(k for k, n in found.symbols.items() if n is output)
    taken = {k for k in (*found.symbols, *found.numbers) if len(k) == 1}
    writers = [Writer(found.algebra, dialect, taken) for dialect in (Text(name), Latex(name))]
    forward = [_equation(row, writers, False) for row in found.forward]
    backward = [_equation(row, writers, True) for row in found.backward]
    shapes = {k: n.shape for k, n in found.symbols.items()}
    nodes = {k: ref(n) for k, n in found.symbols.items()}
    return Equations(forward, backward, shapes, found.numbers, note, nodes)


def _equation(row: Row, writers: list[Writer], of_gradient: bool) -> Equation:
    node, name, right = row
    texts = []
    for writer in writers:
        line, dialect = writer.line(right), writer.dialect
        texts.append(dialect.equation(_left(dialect, name, line.letters, of_gradient), line.text))
    return Equation(name, texts[0], texts[1], ref(node))


def _left(dialect: Dialect, name: str, letters: list[str], of_gradient: bool) -> str:
    left = dialect.gradient(name) if of_gradient else dialect.symbol(name)
    return dialect.element(left, letters) if letters else left
