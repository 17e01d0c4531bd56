"""`torch.autograd.grad` and `backward`: gradients of several tensors at once."""

from __future__ import annotations

from typing import Any

from ..errors import ArgumentError, GradError
from ..func import vmap
from ..graph import Node
from ..ops.elementwise import fill
from ..scope import composite
from ..tensor import Tensor, gradients
from ..tensor import backward as accumulate


def _listed(x: Any) -> list:
    return [x] if isinstance(x, Tensor) else list(x)


def _cotangents(given: Any, count: int) -> list:
    return [None] * count if given is None else _listed(given)


@composite()
def backward(
    tensors, grad_tensors=None, retain_graph=None, create_graph=False, inputs=None
) -> None:
    """Accumulate the gradients of `tensors`, summed, into `.grad` of the leaves or of `inputs`.

    >>> import chainrule as torch
    >>> x = torch.tensor(3.0, requires_grad=True)
    >>> torch.autograd.backward([x * x, 10 * x]); x.grad
    tensor(16.)
    """
    tensors = _listed(tensors)
    given = _cotangents(grad_tensors, len(tensors))
    accumulate(tensors, given, retain_graph, create_graph, inputs)


@composite()
def grad(
    outputs, inputs, grad_outputs=None, retain_graph=None, create_graph=False, only_inputs=True,
    allow_unused=None, is_grads_batched=False, materialize_grads=False,
) -> tuple[Tensor | None, ...]:
    """d(outputs)/d(inputs), without touching any `.grad`.

    `outputs` that are no scalars need cotangents, `grad_outputs`.  An input that the outputs do
    not depend on raises RuntimeError (GradError); with `allow_unused` its gradient is None, with
    `materialize_grads` zeros.  With `is_grads_batched` the cotangents have a leading axis, and so
    have the gradients.

    >>> import chainrule as torch
    >>> x = torch.tensor(3.0, requires_grad=True)
    >>> torch.autograd.grad(x ** 2, x)
    (tensor(6.),)
    """
    outputs, inputs = _listed(outputs), _listed(inputs)
    if materialize_grads and allow_unused is False:
        raise ArgumentError(
            "grad requires allow_unused where it materializes gradients, got allow_unused=False"
        )
    given = _cotangents(grad_outputs, len(outputs))

    def of(*cotangents):
        found = gradients(outputs, cotangents, retain_graph, create_graph, inputs)
        return tuple(_result(x, found, allow_unused, materialize_grads) for x in inputs)

    return vmap(of)(*given) if is_grads_batched else of(*given)


def _result(
    x: Tensor, found: dict[Node, Node], allow_unused: bool | None, materialize: bool
) -> Tensor | None:
    ct = found.get(x.node)
    if ct is not None:
        return Tensor._from_node(ct)
    if materialize:
        return Tensor._from_node(fill(x.node, 0.0))
    if not allow_unused:
        raise GradError(
            "grad requires inputs that the outputs depend on, got one they do not (One of the "
            "differentiated Tensors appears to not have been used in the graph. Set "
            "allow_unused=True if this is the desired behavior)"
        )
    return None
