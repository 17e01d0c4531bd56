"""`autograd.Function`: a coarse gate with a derivative of its own.

One application is recorded as one node, `custom`.  With several outputs it is one node for all of
them and a `part` for each, so that backward is called once, with every cotangent that arrived.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import ArgumentTypeError, GradError, ShapeError, StateError
from ..grad_mode import no_grad
from ..graph import Node, leaf, record
from ..ops.elementwise import add, cast, constant, detach
from ..ops.op import Op, nondifferentiable, sum_to
from ..scope import composite
from ..tensor import Tensor


class FunctionCtx:
    """What forward hands to backward."""

    def __init__(self, needs_input_grad: tuple[bool, ...]):
        self.needs_input_grad = needs_input_grad
        self._saved: tuple[Node | None, ...] | None = ()
        self._dirty: tuple = ()
        self._not_differentiable: tuple = ()
        self._materialize = True

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep tensors for backward, as they are now: a later write does not reach them."""
        for t in tensors:
            if t is not None and not isinstance(t, Tensor):
                raise ArgumentTypeError(
                    f"save_for_backward requires Tensors or None, got {type(t).__name__}",
                    hint="keep other things as attributes of ctx",
                )
        self._saved = tuple(None if t is None else t.node for t in tensors)

    save_for_forward = save_for_backward

    @property
    def saved_tensors(self) -> tuple:
        """What save_for_backward kept.  Different from PyTorch: only backward can ask."""
        if self._saved is None:
            raise StateError("saved_tensors requires a backward that is running, got none")
        return tuple(None if n is None else Tensor._from_node(n) for n in self._saved)

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """These outputs get no gradient."""
        self._not_differentiable = tensors

    def mark_dirty(self, *tensors: Tensor) -> None:
        """Forward wrote to these inputs: as outputs they are the same tensors, not new ones."""
        self._dirty = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Whether missing cotangents reach backward as zeros (True) or as None."""
        self._materialize = value


class _Rule:
    """One application of a Function, without its nodes: those are inputs of the custom node, so
    that they are let go with it.  They are the tensors among the arguments, then the saved
    tensors, then the value.

    All rules compare equal: what runs forward is the same whatever backward does.
    """

    def __init__(self, function: type[Function], ctx: FunctionCtx, args: tuple, outputs: tuple):
        self.function, self.ctx, self.arguments = function, ctx, len(args)
        self.tensors = [i for i, a in enumerate(args) if isinstance(a, Tensor)]
        self.specs = [o.node.spec if isinstance(o, Tensor) else None for o in outputs]
        self.several = sum(s is not None for s in self.specs) > 1
        # Per saved tensor the output that it is, if it is one: it gets its history back.
        self.saved: list[tuple[bool, int | None]] = []

    def keep(self, inputs: list[Node], outputs: tuple) -> list[Node]:
        """Take over what forward has saved: the nodes to be kept."""
        saved, self.ctx._saved = self.ctx._saved or (), None
        place: dict[Node | None, int] = {
            o.node: i for i, o in enumerate(outputs) if isinstance(o, Tensor)
        }
        for x in inputs:
            place.pop(x, None)
        self.saved = [(n is not None, place.get(n)) for n in saved]
        return [n for n in saved if n is not None]

    def restore(self, out: Node, kept: tuple[Node, ...]) -> tuple[Node | None, ...]:
        """The nodes of ctx.saved_tensors."""
        nodes = iter(kept)
        found = [(next(nodes) if there else None, i) for there, i in self.saved]
        if self.several:
            return tuple(n if n is None or i is None else self.part(out, n, i) for n, i in found)
        return tuple(n if i is None else out for n, i in found)

    def part(self, joint: Node, value: Node, index: int, differentiable: bool = True) -> Node:
        """One of several outputs, as the user sees it."""
        attrs = {"index": index, "name": self.function.__name__}
        return record(part, (joint, value), attrs, value.spec, differentiable)

    def cotangents(self, ct: Node) -> list[Tensor | None]:
        """One cotangent per output, from that of the custom node."""
        only = next(i for i, s in enumerate(self.specs) if s is not None)
        arrived = _unpacked(ct) if self.several else {only: ct}
        if self.ctx._materialize:
            for i, s in enumerate(self.specs):
                if s is not None and i not in arrived:
                    arrived[i] = constant(value=0.0, like=s)
        found = [arrived.get(i) for i in range(len(self.specs))]
        return [None if n is None else Tensor._from_node(n) for n in found]

    def __eq__(self, other) -> bool:
        return isinstance(other, _Rule)

    def __hash__(self) -> int:
        return hash(_Rule)

    def __repr__(self) -> str:
        return self.function.__name__


def _last(*values: np.ndarray, **attrs) -> np.ndarray:
    return values[-1]


def _custom_vjp(ct: Node, out: Node, *nodes: Node, rule: _Rule, name: str):
    """Call the user's backward."""
    count = len(rule.tensors)
    inputs, kept = nodes[:count], nodes[count:-1]
    rule.ctx._saved = rule.restore(out, kept)
    try:
        results = rule.function.backward(rule.ctx, *rule.cotangents(ct))
    finally:
        rule.ctx._saved = None
    results = results if isinstance(results, tuple) else (results,)
    if len(results) < rule.arguments or any(r is not None for r in results[rule.arguments :]):
        raise GradError(
            f"{name}.backward requires one gradient per input of forward, {rule.arguments}, got "
            f"{len(results)} (returned an incorrect number of gradients)"
        )
    for i, g in enumerate(results):
        if g is not None and i not in rule.tensors:
            raise GradError(
                f"{name}.backward requires None for inputs that are no Tensors, got a gradient "
                f"for input {i}"
            )
    found = [_checked(results[i], x, name) for i, x in zip(rule.tensors, inputs)]
    return (*found, *(None,) * (len(kept) + 1))


def _checked(g: Any, x: Node, name: str) -> Node | None:
    """The gradient that backward gave for x, in x's shape and dtype."""
    if g is None:
        return None
    if not isinstance(g, Tensor):
        raise ArgumentTypeError(f"{name}.backward requires Tensors or None, got {type(g).__name__}")
    node, lead = g.node, g.ndim - x.ndim
    if lead < 0 or any(m not in (1, n) for n, m in zip(node.shape[lead:], x.shape)):
        raise ShapeError(
            f"{name}.backward requires a gradient of the input's shape {x.shape}, got "
            f"{node.shape} (returned an invalid gradient)"
        )
    node = sum_to(node, x.shape)
    return node if node.dtype is x.dtype else cast(node, dtype=x.dtype)


custom = Op(
    "custom", "library", lambda *nodes, **attrs: nodes[-1].spec, _last, _custom_vjp, None, None,
    None, saves=lambda node: node.inputs[len(node.attrs["rule"].tensors) : -1],
)

# The cotangents of several outputs travel to the custom node packed into scalars of no value.
part = Op(
    "part", "library", lambda *nodes, **attrs: nodes[-1].spec, _last,
    lambda ct, out, joint, value, index, name: (pack(ct, index=index), None), None, None, None,
    saves=lambda node: (),
)
pack: Op = Op(
    "pack", "library", lambda ct, index: _NOTHING.spec, lambda ct, index: _NOTHING.value,
    nondifferentiable, None, None, None,
)
_NOTHING: Node = leaf(0.0)


def _unpacked(ct: Node) -> dict[int, Node]:
    """What a sum of packed cotangents holds."""
    found: dict[int, Node] = {}
    stack = [ct]
    while stack:
        node = stack.pop()
        if node.op is pack:
            # An output that was saved has come back as another part of the same index.
            index, (arrived,) = node.attrs["index"], node.inputs
            found[index] = add(found[index], arrived) if index in found else arrived
        else:
            stack.extend(node.inputs)
    return found


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

    @classmethod
    def apply(cls, *args):
        """Run forward without recording it for autograd, and record this gate instead."""
        return _apply(cls, args)


@composite()
def _apply(cls: type[Function], args: tuple) -> Any:
    # Their nodes now: forward may write to its arguments.
    inputs = [a.node for a in args if isinstance(a, Tensor)]
    ctx = FunctionCtx(tuple(isinstance(a, Tensor) and a.requires_grad for a in args))
    with no_grad():
        if hasattr(cls, "setup_context"):
            output = cls.forward(*args)
            cls.setup_context(ctx, args, output)
        else:
            output = cls.forward(ctx, *args)
    several = isinstance(output, (tuple, list))
    outputs = tuple(output) if several else (output,)
    results = _gates(_Rule(cls, ctx, args, outputs), inputs, outputs)
    return results if several else results[0]


def _gates(rule: _Rule, inputs: list[Node], outputs: tuple) -> tuple:
    """The outputs, with the gate as their history."""
    ctx, attrs = rule.ctx, {"rule": rule, "name": rule.function.__name__}
    kept = rule.keep(inputs, outputs)

    def gate(value: Node, differentiable: bool = True) -> Node:
        return record(custom, (*inputs, *kept, value), attrs, value.spec, differentiable)

    joint = gate(_NOTHING) if rule.several else None
    results = []
    for i, output in enumerate(outputs):
        if isinstance(output, Tensor):
            smooth = not any(output is x for x in ctx._not_differentiable)
            value = detach(output.node) if output.requires_grad else output.node
            node = rule.part(joint, value, i, smooth) if joint else gate(value, smooth)
            output = _bound(output, node, any(output is x for x in ctx._dirty))
        results.append(output)
    return tuple(results)


def _bound(output: Tensor, node: Node, dirty: bool) -> Tensor:
    if not dirty:
        return Tensor._from_node(node)
    output._check_writable()
    output._write(node)
    return output


def once_differentiable(backward: Callable) -> Callable:
    """Mark a backward whose result cannot be differentiated again: to try raises.

    >>> import chainrule as torch
    >>> from chainrule.autograd.function import Function, once_differentiable
    >>> class Twice(Function):
    ...     @staticmethod
    ...     def forward(ctx, x): return 2 * x
    ...     @staticmethod
    ...     @once_differentiable
    ...     def backward(ctx, grad): return 2 * grad
    >>> torch.autograd.grad(Twice.apply(x := torch.ones(1, requires_grad=True)), x)
    (tensor([2.]),)
    """

    @functools.wraps(backward)
    def marked(ctx, *cts):
        with no_grad():
            results = backward(ctx, *cts)
        nodes = [ct.node for ct in cts if isinstance(ct, Tensor)]
        several = isinstance(results, tuple)
        found = tuple(
            Tensor._from_node(record(once, (*nodes, g.node), {}, g.node.spec))
            if isinstance(g, Tensor) else g
            for g in (results if several else (results,))
        )
        return found if several else found[0]

    return marked


def _refuse(ct: Node, out: Node, *nodes: Node):
    raise GradError(
        "a second derivative requires a backward that can be differentiated, got one marked "
        "@once_differentiable (trying to differentiate twice a function that was marked with "
        "@once_differentiable)"
    )


once = Op("once", "library", lambda *nodes: nodes[-1].spec, _last, _refuse, None, None, None,
          saves=lambda node: ())
