"""Trade time for memory: forget the inside of a function and compute it again going backward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..autodiff import backpropagate, is_leaf
from ..func import flatten
from ..grad_mode import enable_grad, no_grad
from ..graph import Node, record, toposort
from ..ops.op import Op
from ..tensor import Tensor

__all__ = ["checkpoint", "checkpoint_sequential"]


class _Inside:
    """The graph of a checkpointed function between what enters it and one of its outputs."""

    def __init__(self, output: Node, entering: set[Node]):
        self.output = output
        self.order = toposort([output], enter=lambda n: n not in entering)
        inner = set(self.order)
        found = dict.fromkeys(
            x for n in self.order for x in n.inputs if x not in inner and x.requires_grad
        )
        leaves = (n for n in self.order if n.requires_grad and is_leaf(n))
        self.boundary = (*found, *dict.fromkeys(leaves))

    def copy(self) -> Node:
        """The same graph again, as nodes without values."""
        new: dict[Node, Node] = {}
        for n in self.order:
            if n.op is None or n in self.boundary or not n.inputs:
                continue
            inputs = tuple(new.get(x, x) for x in n.inputs)
            new[n] = record(n.op, inputs, n.attrs, n.spec, n.op.differentiable)
        return new.get(self.output, self.output)

    def __eq__(self, other) -> bool:
        return isinstance(other, _Inside)

    def __hash__(self) -> int:
        return hash(_Inside)


def _vjp(ct: Node, out: Node, *inputs: Node, inside: _Inside):
    """Record the inside once more, tracked, and back-propagate through the copy."""
    with enable_grad():
        again = inside.copy()
    found = backpropagate([again], [ct], inside.boundary)
    return (*[found.get(x) for x in inside.boundary], None)


recompute = Op(
    "recompute", "library", lambda *nodes, inside: nodes[-1].spec,
    lambda *values, inside: values[-1], _vjp, None, None, None, saves=lambda node: [],
)


def checkpoint(function: Callable, *args: Any, use_reentrant: bool | None = None,
               preserve_rng_state: bool = True, **kwargs: Any) -> Any:
    """function(*args, **kwargs), keeping no value of its inside for the backward pass.

    The inside is recorded again when backward passes, with the random numbers of the first time:
    they are part of the graph.  Memory is that of the arguments and the result; time is one more
    forward pass.  See PyTorch's torch.utils.checkpoint.

    >>> import chainrule as torch
    >>> x = torch.tensor(2.0, requires_grad=True)
    >>> torch.utils.checkpoint.checkpoint(lambda x: (x * x).sin(), x, use_reentrant=False)
    tensor(-0.7568, grad_fn=<RecomputeBackward0>)
    """
    result = function(*args, **kwargs)
    entering = {x.node for x in flatten((args, kwargs))[0] if isinstance(x, Tensor)}
    outputs, build = flatten(result)
    return build([_gate(o, entering) for o in outputs])


def _gate(output: Any, entering: set[Node]) -> Any:
    if not isinstance(output, Tensor) or not output.requires_grad or output.node in entering:
        return output
    inside = _Inside(output.node, entering)
    with no_grad():
        plain = inside.copy()
    inputs = (*inside.boundary, plain)
    return Tensor._from_node(record(recompute, inputs, {"inside": inside}, plain.spec))


def checkpoint_sequential(functions, segments: int, input: Any, use_reentrant=None, **kwargs):
    """Checkpoint a chain of modules in `segments` pieces."""
    functions = list(functions.children() if hasattr(functions, "children") else functions)
    size = -(-len(functions) // segments)

    def run_chain(chain):
        def forward(x):
            for f in chain:
                x = f(x)
            return x

        return forward

    for start in range(0, len(functions), size):
        input = checkpoint(run_chain(functions[start : start + size]), input, **kwargs)
    return input
