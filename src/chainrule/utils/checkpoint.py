"""Trade time for memory: forget the inside of a function and compute it again going backward."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ..autodiff import backpropagate, is_leaf
from ..autograd.function import Function
from ..func import flatten
from ..grad_mode import enable_grad, is_grad_enabled
from ..graph import Node, record, toposort
from ..ops.op import Op
from ..rewrite import recorded_as
from ..scope import Frame, Scope, context
from ..tensor import Tensor

__all__ = ["checkpoint", "checkpoint_sequential"]


class _Inside(NamedTuple):
    """What a function has recorded, without a node that holds a value."""

    steps: list[tuple[Node, list[int]]]  # stand-ins without inputs, and the places of these
    outputs: list[int]

    def again(self, entering: Sequence[Node]) -> list[Node]:
        """Record it once more; returns its outputs."""
        nodes = list(entering)
        for step, places in self.steps:
            with recorded_as(step):
                inputs = tuple([nodes[i] for i in places])
                nodes.append(record(step.op, inputs, step.attrs, step.spec))
        return [nodes[i] for i in self.outputs]


def _inside(outputs: list[Node], scope: Scope) -> tuple[_Inside, list[Node]]:
    """What was recorded within `scope`, and the nodes that enter it from outside."""
    order = toposort(outputs, enter=lambda n: _is_inside(n, scope))
    inner = set(order)
    entering = list(dict.fromkeys(x for n in order for x in n.inputs if x not in inner))
    place = {n: i for i, n in enumerate([*entering, *order])}
    steps = [(_alone(n), [place[x] for x in n.inputs]) for n in order]
    return _Inside(steps, [place[n] for n in outputs]), entering


def _is_inside(node: Node, scope: Scope) -> bool:
    """Whether the node is an application, not let go yet, that was recorded within `scope`."""
    at = node.scope
    while at is not None and at is not scope:
        at = at.parent
    return at is scope and not is_leaf(node) and (node.value is None or bool(node.inputs))


def _alone(n: Node) -> Node:
    return Node(n.op, (), n.attrs, n.spec, n.requires_grad, n.site, n.scope, 0)


# x, but not before the cotangent has come: so that one inside is computed again at a time.
after = Op(
    "after", "library", lambda x, ct: x.spec, lambda x, ct: x, lambda g, out, x, ct: (g, None),
    None, None, None, saves=lambda node: (),
)


class CheckpointFunction(Function):
    """The gate that stands for a checkpointed function: its backward records it once more."""

    @staticmethod
    def forward(ctx, inside: _Inside, *entering: Tensor):
        ctx.inside = inside
        ctx.save_for_backward(*entering)
        ctx.set_materialize_grads(False)
        return tuple(Tensor._from_node(n) for n in inside.again([x.node for x in entering]))

    @staticmethod
    def backward(ctx, *cts: Tensor | None):
        arrived = [(i, ct.node) for i, ct in enumerate(cts) if ct is not None]
        with enable_grad():
            entering = [after(x.node, arrived[0][1]) for x in ctx.saved_tensors]
            results = ctx.inside.again(entering)
        outputs = [results[i] for i, _ in arrived]
        given = [ct for _, ct in arrived]
        found = backpropagate(outputs, given, entering, free=not is_grad_enabled())
        gradients = [found.get(x) for x in entering]
        return None, *[None if g is None else Tensor._from_node(g) for g in gradients]


def checkpoint(
    function: Callable, *args: Any, use_reentrant: bool | None = None,
    preserve_rng_state: bool = True, context_fn=None, determinism_check: str = "default",
    debug: bool = False, **kwargs: Any,
) -> Any:
    """function(*args, **kwargs), keeping no value of its inside for the backward pass.

    The inside is recorded again when backward passes, with the random numbers of the first time:
    they are part of the graph, and `function` itself is called once.  Memory is that of what
    enters and of the results; time is one more forward pass.  PyTorch's options are accepted and
    change nothing.

    >>> import chainrule as torch
    >>> from chainrule.utils.checkpoint import checkpoint
    >>> x = torch.tensor(2.0, requires_grad=True)
    >>> checkpoint(lambda x: (x * x).sin(), x, use_reentrant=False)
    tensor(-0.7568, grad_fn=<CheckpointFunctionBackward>)
    """
    saved = context.now
    scope = Scope(saved.scope, "checkpoint", "function")
    context.now = Frame(saved.grad_enabled, scope, saved.site)
    try:
        result = function(*args, **kwargs)
    finally:
        context.now = saved
    outputs, build = flatten(result)
    inner = [isinstance(o, Tensor) and _is_inside(o.node, scope) for o in outputs]
    if not any(o.requires_grad for o, is_inner in zip(outputs, inner) if is_inner):
        return result
    inside, entering = _inside([o.node for o, is_inner in zip(outputs, inner) if is_inner], scope)
    gates = iter(CheckpointFunction.apply(inside, *map(Tensor._from_node, entering)))
    return build([next(gates) if is_inner else o for o, is_inner in zip(outputs, inner)])


def checkpoint_sequential(
    functions, segments: int, input: Any, use_reentrant: bool | None = None,
    preserve_rng_state: bool = True,
) -> Any:
    """Call a chain of functions, or a Sequential, in `segments` checkpointed pieces.

    >>> import chainrule as torch
    >>> from chainrule.utils.checkpoint import checkpoint_sequential
    >>> checkpoint_sequential([torch.neg, torch.abs, torch.neg], 2, torch.tensor([1.0, 2.0]))
    tensor([-1., -2.])
    """
    chain = list(functions.children() if hasattr(functions, "children") else functions)
    size = max(len(chain) // segments, 1)
    cuts = [i * size for i in range(segments)] + [len(chain)]
    for start, stop in zip(cuts, cuts[1:]):
        input = checkpoint(_composed(chain[start:stop]), input)
    return input


def _composed(chain: list[Callable]) -> Callable:
    def forward(x):
        for f in chain:
            x = f(x)
        return x

    return forward
