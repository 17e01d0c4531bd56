"""Linear and bilinear maps."""

from __future__ import annotations

from ..errors import DTypeError, ShapeError
from ..graph import Node, record
from ..methods.summation import einsum
from ..ops import elementwise as ew
from ..ops.contraction import contract
from ..scope import composite
from ..shapes import Spec
from ..tensor import Tensor


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """y = x W^T + b over the last axis.

    input (*, in), weight (out, in) or (in,), bias (out,) -> (*, out) or (*).

    >>> import chainrule as torch
    >>> x, w, b = torch.ones(1, 2), torch.tensor([[1.0, 2.0]]), torch.tensor([0.5])
    >>> torch.nn.functional.linear(x, w, b)
    tensor([[3.5000]])
    """
    x, w = input.node, weight.node
    plan = _plans.get((x.spec, w.spec)) or _new_plan(x, w)
    return plan[bias is not None](x, w, bias, plan)


# (input, weight) -> what is recorded without and with a bias, the labels, and the result.
_plans: dict[tuple[Spec, Spec], tuple] = {}


def _new_plan(x: Node, w: Node) -> tuple:
    if not x.ndim or x.shape[-1] != w.shape[-1] or w.ndim > 2:
        raise ShapeError(
            f"linear requires input.shape[-1] == weight.shape[-1], got input {x.shape} and weight "
            f"{w.shape} (mat1 and mat2 shapes cannot be multiplied)",
            hint="nn.Linear(in_features, out_features) stores its weight as (out, in)",
        )
    if x.dtype is not w.dtype:
        raise DTypeError(
            f"linear requires input and weight of the same dtype, got {x.dtype} and {w.dtype}"
        )
    rows = tuple(range(2, x.ndim + 1))
    columns = (1,) if w.ndim == 2 else ()
    attrs = {"labels": ((*rows, 0), (*columns, 0), rows + columns)}
    recorded = [_LINEAR[min(x.ndim, 3), with_bias] for with_bias in (False, True)]
    plan = _plans[x.spec, w.spec] = (*recorded, attrs, contract.infer(x, w, **attrs))
    return plan


def _linear(x: Node, w: Node, bias: Tensor | None, plan: tuple) -> Tensor:
    y = record(contract, (x, w), plan[2], plan[3])
    return Tensor._from_node(y if bias is None else ew.add.binary(y, bias.node))


# PyTorch shows in the history how it computed: (rank of the input up to 3, with bias) -> name.
_LINEAR = {
    (1, False): composite("SqueezeBackward4")(_linear),
    (1, True): composite("ViewBackward0")(_linear),
    (2, False): composite("MmBackward0")(_linear),
    (2, True): composite("AddmmBackward0")(_linear),
    (3, False): composite("UnsafeViewBackward0")(_linear),
    (3, True): composite("ViewBackward0")(_linear),
}


@composite("AddBackward0")
def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """y_k = x1^T W_k x2 + b_k over the last axes.

    input1 (*, in1), input2 (*, in2), weight (out, in1, in2), bias (out,) -> (*, out).

    >>> import chainrule as torch
    >>> x, w = torch.ones(1, 2), torch.ones(3, 2, 2)
    >>> torch.nn.functional.bilinear(x, x, w)
    tensor([[4., 4., 4.]])
    """
    if input1.shape[:-1] != input2.shape[:-1]:
        raise ShapeError(
            f"bilinear requires inputs that agree but in the last axis, got "
            f"{tuple(input1.shape)} and {tuple(input2.shape)}"
        )
    if weight.dim() != 3 or tuple(weight.shape[1:]) != (input1.shape[-1], input2.shape[-1]):
        raise ShapeError(
            f"bilinear requires weight (out, {input1.shape[-1]}, {input2.shape[-1]}), got "
            f"{tuple(weight.shape)}"
        )
    product = einsum("...i,kij,...j->...k", input1, weight, input2)
    return product if bias is None else product + bias
