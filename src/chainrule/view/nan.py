"""`trace_nan`: the node, the line and the inputs that a NaN or an infinity came from."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

from ..autodiff import backpropagate, is_leaf, seed
from ..errors import AnomalyError, ArgumentTypeError
from ..grad_mode import no_grad
from ..graph import Node
from ..interpreter import run
from ..observers import Observer, observers
from ..tensor import Tensor
from .labels import node_of, users_names
from .origin import Origin, find_origin
from .replay import is_finite
from .trail import Trail


def trace_nan(what: Any = True) -> Any:
    """Find where a NaN or an infinity comes from.

    `trace_nan(loss)` looks at the graph that a tensor was made from, and at its gradients if it
    has any: it returns the `Origin` of what is not finite - the first node, forward or backward,
    that made a non-finite value of finite ones, its line, and its inputs with their ranges, in
    the array and at that place - or None if all is finite.  Printed, it is an explanation.

    `with trace_nan():`, or `trace_nan()` as a switch like `autograd.set_detect_anomaly`, does so
    for every training step.  Loss and gradients are looked at once a step, before the optimizer
    takes it; only if they are not finite is the recorded step replayed with checks, and
    AnomalyError raised: its text is the explanation, its `.origin` the Origin.  Parameters are
    then still what they were.  Updates that no optimizer makes are found out about at the next
    backward pass.  What is infinite and harmless - masked before it reaches the loss or a
    gradient - is not reported.  Training computes the same bits with and without; a step costs the
    reduction, and a second run, since its update waits for the look at its gradients.

    Raises TypeError for anything but a Tensor, True or False.

    >>> import chainrule as torch
    >>> x = torch.tensor([1.0, 0.0], requires_grad=True)
    >>> y = torch.where(x > 0, x.log(), 0.0)
    >>> origin = torch.trace_nan(y.sum())
    >>> origin.phase, origin.op, origin.index, origin.value
    ('backward', 'log', (1,), nan)
    """
    if isinstance(what, Tensor):
        return origin_of(what)
    if not isinstance(what, bool):
        raise ArgumentTypeError(
            f"trace_nan requires a Tensor, True or False, got {type(what).__name__}")
    return _Switch(what)


def origin_of(loss: Tensor) -> Origin | None:
    """The origin of what is not finite in `loss` or its gradients; None if all is finite.

    Hooks are not called, nothing is kept: the user's graph stays as it is.  The gradients of a
    graph that backward has freed cannot be looked at.

    >>> import chainrule as torch
    >>> x = torch.tensor([3.0, -4.0])
    >>> origin_of(x.sqrt().sum()).inputs[0].there
    '-4'
    """
    node = node_of("origin_of", loss)
    trail = Trail()
    graph = trail.graph([node])
    gradients: list[Node] = []
    if node.requires_grad and not any(n.freed for n in graph.order):
        with no_grad():
            found = backpropagate([node], [seed(node)], hooks=False)
        gradients = [ct for n, ct in found.items() if is_leaf(n)]
    return find_origin(trail.graph([node, *gradients]), [node], gradients, users_names())


class _Switch:
    """Switched on when it is made; left as a context, it is again as it was before."""

    def __init__(self, on: bool):
        self._before = [o for o in observers if isinstance(o, _Tracer)]
        self._set([_Tracer()] if on else [])

    @staticmethod
    def _set(tracers: list[_Tracer]) -> None:
        observers[:] = [*[o for o in observers if not isinstance(o, _Tracer)], *tracers]

    def __enter__(self) -> _Switch:
        return self

    def __exit__(self, kind: type | None, *exc: Any) -> None:
        mine = [o for o in observers if isinstance(o, _Tracer)]
        self._set(self._before)
        if kind is None:
            for tracer in mine:
                tracer.check()


class _Tracer(Observer):
    """Looks at the loss and the gradients of each step, before the optimizer takes it."""

    def __init__(self) -> None:
        self._forget()
        self._inside = 0  # optimizers that are stepping: with a closure, backward passes in there

    def _forget(self) -> None:
        self._trail = Trail()
        self._losses: list[Node] = []
        self._gradients: dict[Node, weakref.ref[Tensor]] = {}  # and the leaf that it is of

    # ------------------------------------------------------------------ what is told
    def backward(self, tensors: Sequence[Tensor]) -> None:
        if not all(self._now(leaf) is ct for ct, leaf in self._gradients.items()):
            self.check()  # they are not accumulated: the step was taken without an optimizer
        losses = [t.node for t in tensors]
        self._trail.add(losses)
        self._losses += losses

    def passed(self, tensors: Sequence[Tensor]) -> None:
        # To what is promised now, a part of the forward pass may belong (repeat.py).
        found = {ct: leaf for leaf in self._trail.leaves() if (ct := self._now(leaf)) is not None}
        self._trail.add(found)
        self._gradients = found
        if self._inside:
            self.check()

    def stepping(self, optimizer: Any) -> None:
        for group in optimizer.param_groups:
            _check_rate(group)
            for p in group["params"]:
                if p.grad is not None:
                    self._gradients.setdefault(p.grad.node, weakref.ref(p))
        self.check()
        self._inside += 1

    def stepped(self, optimizer: Any) -> None:
        self._inside -= 1

    @staticmethod
    def _now(leaf: weakref.ref[Tensor]) -> Node | None:
        """The gradient that a leaf has now."""
        tensor = leaf()
        return None if tensor is None or tensor.grad is None else tensor.grad.node

    # ------------------------------------------------------------------ the check
    def check(self) -> None:
        """Raise AnomalyError if a loss or a gradient of the last passes is not finite."""
        losses, trail, passed = self._losses, self._trail, self._gradients
        if not (losses or passed):
            return
        # What was clipped or cleaned since is what counts; what was cleared, as it was.
        gradients = list({(self._now(leaf) or ct): None for ct, leaf in passed.items()})
        if len(gradients) < len(passed) or any(ct not in passed for ct in gradients):
            trail.add(gradients)
            trail = trail.only([*losses, *gradients])
        self._forget()
        del passed  # a reference more, and a run keeps the gradients as they were before
        if all(map(is_finite, run(*losses, *gradients))):
            return
        origin = find_origin(trail.graph([*losses, *gradients]), losses, gradients, users_names())
        if origin is not None:
            raise origin.error()


def _check_rate(group: dict[str, Any]) -> None:
    rate = group.get("lr")
    if isinstance(rate, float) and not abs(rate) < float("inf"):
        raise AnomalyError(f"step requires a finite learning rate, got lr={rate}")
