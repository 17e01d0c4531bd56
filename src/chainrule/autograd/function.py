"""`autograd.Function`: a coarse gate with a derivative of its own."""

from __future__ import annotations

import weakref
from typing import Any

from ..errors import ArgumentTypeError, GradError, ShapeError
from ..grad_mode import no_grad
from ..graph import Node, record
from ..methods.create import zeros
from ..ops.op import Op
from ..scope import composite
from ..shapes import Spec
from ..tensor import Tensor


class FunctionCtx:
    """What forward hands to backward."""

    def __init__(self, needs: tuple[bool, ...]):
        self.needs_input_grad = needs
        self._saved: tuple = ()
        self._specs: list[Spec | None] = []
        self._tensor_positions: list[int] = []
        self._outputs: list[tuple[Node, weakref.ref[Node]]] = []
        self._not_differentiable: tuple = ()
        self._materialize = True

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep tensors for backward, as they are now: a later write does not reach them."""
        self._saved = tuple(None if t is None else t.node for t in tensors)

    save_for_forward = save_for_backward

    @property
    def saved_tensors(self) -> tuple:
        """What save_for_backward kept."""
        # An output that was saved has the gate's own history, so that backward can be
        # differentiated; a weak reference, because the gate holds this context.
        gates = {raw: gate() or raw for raw, gate in self._outputs}
        return tuple(
            None if n is None else Tensor._from_node(gates.get(n, n)) for n in self._saved
        )

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """These outputs get no gradient."""
        self._not_differentiable = tensors

    def mark_dirty(self, *tensors: Tensor) -> None:
        """Inputs that forward wrote to: nodes never change, so there is nothing to mark."""

    def set_materialize_grads(self, value: bool) -> None:
        """Whether missing gradients reach backward as zeros (True) or as None."""
        self._materialize = value


class _Rule:
    """One application of a Function.

    backward is called once per output that has a cotangent (with zeros for the other outputs) and
    the results are added: the same sum as PyTorch's single call, since backward is linear.
    All rules compare equal: what runs forward is the same whatever backward does.
    """

    def __init__(self, function: type[Function], ctx: FunctionCtx, count: int, outputs: int):
        self.function, self.ctx, self.count, self.outputs = function, ctx, count, outputs

    def __eq__(self, other) -> bool:
        return isinstance(other, _Rule)

    def __hash__(self) -> int:
        return hash(_Rule)

    def __repr__(self) -> str:
        return self.function.__name__


def _infer(*nodes: Node, rule, name, index) -> Spec:
    return nodes[-1].spec


def _vjp(ct: Node, out: Node, *nodes: Node, rule: _Rule, name: str, index: int):
    """Call the user's backward with this output's cotangent (zeros for the other outputs)."""
    ctx, function = rule.ctx, rule.function
    grads: list[Tensor | None] = [None] * rule.outputs
    grads[index] = Tensor._from_node(ct)
    if ctx._materialize and rule.outputs > 1:
        grads = [g if g is not None else _zeros(ctx, i) for i, g in enumerate(grads)]
    results = function.backward(ctx, *grads)
    results = results if isinstance(results, tuple) else (results,)
    if len(results) < rule.count or any(r is not None for r in results[rule.count :]):
        raise GradError(
            f"{name}.backward requires one gradient per input of forward, {rule.count}, got "
            f"{len(results)} (returned an incorrect number of gradients)"
        )
    picked = [results[i] for i in ctx._tensor_positions]
    return (*[_checked(g, x, name) for g, x in zip(picked, nodes)], None)


def _zeros(ctx: FunctionCtx, i: int) -> Tensor | None:
    spec = ctx._specs[i]
    return None if spec is None else zeros(spec.shape, dtype=spec.dtype)


def _checked(g: Tensor | None, x: Node, name: str) -> Node | None:
    if g is None:
        return None
    if not isinstance(g, Tensor):
        raise ArgumentTypeError(f"{name}.backward requires Tensors or None, got {type(g).__name__}")
    if g.shape != x.shape:
        raise ShapeError(
            f"{name}.backward requires a gradient of the input's shape {x.shape}, got "
            f"{tuple(g.shape)} (returned an invalid gradient)"
        )
    return g.node


custom = Op(
    "custom", "library", _infer, lambda *values, rule, name, index: values[-1], _vjp, None, None,
    None, saves=lambda node: [],
)


class Function:
    """A user's own gate: `forward` computes, `backward` maps cotangents to cotangents.

    Both of PyTorch's styles work: `forward(ctx, *args)`, or `forward(*args)` with
    `setup_context(ctx, inputs, output)`.  Call it through `apply`.

    >>> import chainrule as torch
    >>> class Twice(torch.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x): return 2 * x
    ...     @staticmethod
    ...     def backward(ctx, grad): return 2 * grad
    >>> x = torch.tensor(3.0, requires_grad=True)
    >>> Twice.apply(x).backward(); x.grad
    tensor(2.)
    """

    @staticmethod
    def forward(*args, **kwargs) -> Any:
        raise NotImplementedError("Function requires a static method forward")

    @staticmethod
    def backward(ctx, *grads) -> Any:
        raise NotImplementedError("Function requires a static method backward")

    vjp = backward

    @classmethod
    def apply(cls, *args):
        """Run forward without recording it for autograd, and record this gate instead."""
        return _apply(cls, args)


@composite()
def _apply(cls: type[Function], args: tuple):
    tensors = [a for a in args if isinstance(a, Tensor)]
    ctx = FunctionCtx(tuple(isinstance(a, Tensor) and a.requires_grad for a in args))
    ctx._tensor_positions = [i for i, a in enumerate(args) if isinstance(a, Tensor)]
    with no_grad():
        if "setup_context" in dir(cls):
            output = cls.forward(*args)
            cls.setup_context(ctx, args, output)  # type: ignore[attr-defined]
        else:
            output = cls.forward(ctx, *args)
    several = isinstance(output, (tuple, list))
    outputs = tuple(output) if several else (output,)
    ctx._specs = [o.node.spec if isinstance(o, Tensor) else None for o in outputs]
    rule = _Rule(cls, ctx, len(args), len(outputs))
    results = tuple(_gate(rule, i, o, tensors) for i, o in enumerate(outputs))
    return results if several else results[0]


def _gate(rule: _Rule, index: int, output: Any, tensors: list[Tensor]) -> Any:
    if not isinstance(output, Tensor):
        return output
    skipped = any(output is x for x in rule.ctx._not_differentiable)
    node = output.node
    attrs = {"rule": rule, "name": rule.function.__name__, "index": index}
    inputs = (*[t.node for t in tensors], node)
    smooth = node.dtype.is_floating_point and not skipped
    gate = record(custom, inputs, attrs, node.spec, smooth)
    rule.ctx._outputs.append((node, weakref.ref(gate)))
    return Tensor._from_node(gate)
