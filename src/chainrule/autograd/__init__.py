"""`torch.autograd`: gradients on demand, custom functions, grad modes, checks."""

from __future__ import annotations

from .. import config
from ..autodiff import backpropagate, free
from ..errors import GradError
from ..grad_mode import enable_grad, inference_mode, no_grad, set_grad_enabled
from ..ops import elementwise as _ew
from ..scope import composite
from ..tensor import Tensor, _cotangent
from ..tensor import backward as _backward
from . import functional
from .function import Function
from .gradcheck import gradcheck, gradgradcheck

__all__ = [
    "Function", "Variable", "backward", "detect_anomaly", "enable_grad", "functional", "grad",
    "gradcheck", "gradgradcheck", "inference_mode", "no_grad", "set_detect_anomaly",
    "set_grad_enabled",
]


def _listed(x) -> list:
    return list(x) if isinstance(x, (tuple, list)) else [x]


@composite()
def backward(tensors, grad_tensors=None, retain_graph=None, create_graph=False, inputs=None
             ) -> None:
    """Accumulate the gradients of `tensors` into `.grad` of the leaves."""
    tensors = _listed(tensors)
    gradients = [None] * len(tensors) if grad_tensors is None else _listed(grad_tensors)
    wrt = None if inputs is None else _listed(inputs)
    _backward(tensors, gradients, retain_graph, create_graph, wrt)


@composite()
def grad(outputs, inputs, grad_outputs=None, retain_graph=None, create_graph=False,
         only_inputs=True, allow_unused=None, is_grads_batched=False, materialize_grads=False
         ) -> tuple[Tensor | None, ...]:
    """d(outputs)/d(inputs), without touching any `.grad`.

    >>> import chainrule as torch
    >>> x = torch.tensor(3.0, requires_grad=True)
    >>> torch.autograd.grad(x ** 2, x)
    (tensor(6.),)
    """
    outputs, inputs = _listed(outputs), _listed(inputs)
    given = [None] * len(outputs) if grad_outputs is None else _listed(grad_outputs)
    for x in inputs:
        if not x.requires_grad:
            raise GradError(
                "grad requires inputs that require grad, got one that does not (One of the "
                "differentiated Tensors does not require grad)",
                hint=x.why(),
            )
    nodes = [x.node for x in outputs]
    cotangents = [_cotangent(x, g) for x, g in zip(outputs, given)]
    with set_grad_enabled(create_graph):
        found = backpropagate(nodes, cotangents, [x.node for x in inputs])
    if not (create_graph if retain_graph is None else retain_graph):
        free(nodes)
    return tuple(_result(x, found, allow_unused, materialize_grads) for x in inputs)


def _result(x: Tensor, found, allow_unused, materialize) -> Tensor | None:
    ct = found.get(x.node)
    if ct is not None:
        return Tensor._from_node(ct)
    if materialize:
        return Tensor._from_node(_ew.fill(x.node, value=0.0))
    if not allow_unused:
        raise GradError(
            "grad requires inputs that the outputs depend on, got one they do not (One of the "
            "differentiated Tensors appears to not have been used in the graph. Set "
            "allow_unused=True if this is the desired behavior)"
        )
    return None


def Variable(data: Tensor, requires_grad: bool = False) -> Tensor:
    """PyTorch's old name for a tensor that may require grad."""
    return data.detach().requires_grad_(requires_grad) if requires_grad else data


class set_detect_anomaly:
    """Raise AnomalyError at the first gate, forward or backward, whose value is NaN.

    The error names the op, the line that recorded it and the range of its inputs.  Backward
    computes the gradients at once while this is on.
    """

    def __init__(self, mode: bool = True, check_nan: bool = True):
        self._saved = config.anomaly
        config.anomaly = mode and check_nan

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        config.anomaly = self._saved


detect_anomaly = set_detect_anomaly
