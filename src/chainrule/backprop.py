"""The back-propagation of one scalar as an object: every gate, its gradient, both its factors.

`backprop(loss)` records what `loss.backward()` would, touches no `.grad`, frees nothing, and
computes only what is looked at - beside the user's graph, so no later bit changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .autodiff import backpropagate, is_leaf, saved_by, seed, vjp
from .errors import GradError
from .grad_mode import no_grad
from .graph import Node, toposort
from .tensor import Tensor


@dataclass(frozen=True)
class Edge:
    """One factor of the chain rule: downstream = upstream x local, for one input of one gate.

    For gates that are not elementwise `local` is None: there the product is with a Jacobian.
    """

    node: Node
    index: int
    upstream: Tensor
    local: Tensor | None
    downstream: Tensor

    @property
    def input(self) -> Node:
        """The node at the lower end of the edge."""
        return self.node.inputs[self.index]

    def __repr__(self) -> str:
        return f"<edge {self.node.name} -> input {self.index} ({self.input.name})>"


@dataclass(frozen=True)
class Saved:
    """A value that the backward pass refers to."""

    node: Node
    owner: Node
    nbytes: int

    def __repr__(self) -> str:
        return f"<saved {self.node.name} {self.node.spec!r}, {self.nbytes} bytes, for " \
            f"{self.owner.name} at {self.owner.where}>"


class BackProp:
    """What `backprop(output)` returns."""

    def __init__(self, output: Tensor):
        if not output.requires_grad:
            raise GradError(
                "backprop requires a tensor that requires grad, got one that does not",
                hint=output.why(),
            )
        self.output = output
        node = output.node
        self.order: list[Node] = toposort([node])
        self._tracked = [n for n in self.order if n.requires_grad]
        with no_grad():
            self._cotangents = backpropagate([node], [seed(node)], hooks=False)

    @property
    def reverse(self) -> list[Node]:
        """The gates in the order in which the backward pass visits them."""
        return [n for n in reversed(self.order) if n.requires_grad and not is_leaf(n)]

    def gradient(self, of: Tensor | Node) -> Tensor | None:
        """d(output)/d(of); None where no gradient arrives."""
        node = of.node if isinstance(of, Tensor) else of
        ct = self._cotangents.get(node)
        return None if ct is None else Tensor._from_node(ct)

    def edges(self) -> Iterator[Edge]:
        """Every edge that a gradient flows along, output first."""
        for node in self.reverse:
            ct = self._cotangents.get(node)
            if ct is None:
                continue
            with no_grad():
                downstream = vjp(node, ct)
                local = vjp(node, seed(node)) if node.op.kind == "elementwise" else ()
            for i, down in enumerate(downstream):
                if down is not None and node.inputs[i].requires_grad:
                    slope = local[i] if local else None
                    factor = None if slope is None else Tensor._from_node(slope)
                    yield Edge(node, i, Tensor._from_node(ct), factor, Tensor._from_node(down))

    def saved(self) -> list[Saved]:
        """The forward values that the backward pass refers to; empty once it has passed."""
        found: dict[Node, Saved] = {}
        for node in self._tracked:
            if is_leaf(node) or node.freed or not node.inputs:
                continue
            for kept in saved_by(node):
                found.setdefault(kept, Saved(kept, node, kept.nbytes))
        return list(found.values())

    def __repr__(self) -> str:
        return f"<back-propagation of {self.output.node.name}: {len(self.order)} nodes, " \
            f"{len(self.reverse)} gates>"


def backprop(output: Tensor) -> BackProp:
    """Record the back-propagation of `output` and return it to be looked at.

    >>> import chainrule as torch
    >>> x, y = (torch.tensor(v, requires_grad=True) for v in (1.0, 2.0))
    >>> f = (x + y) ** 2
    >>> b = torch.backprop(f)
    >>> [(e.node.name, e.local.item(), e.downstream.item()) for e in b.edges()]
    [('power', 6.0, 6.0), ('add', 1.0, 6.0), ('add', 1.0, 6.0)]
    """
    return BackProp(output)
