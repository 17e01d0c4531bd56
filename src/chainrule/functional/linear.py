"""Linear and bilinear maps."""

from __future__ import annotations

from ..errors import ShapeError
from ..methods.linalg import einsum
from ..scope import composite
from ..tensor import Tensor


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """y = x W^T + b over the last axis.

    input (*, in), weight (out, in) or (in,), bias (out,) -> (*, out) or (*).

    >>> import chainrule as torch
    >>> x, w, b = torch.ones(1, 2), torch.tensor([[1.0, 2.0]]), torch.tensor([0.5])
    >>> torch.nn.functional.linear(x, w, b)
    tensor([[3.5000]])
    """
    if not input.dim() or input.shape[-1] != weight.shape[-1]:
        raise ShapeError(
            f"linear requires input.shape[-1] == weight.shape[-1], got input "
            f"{tuple(input.shape)} and weight {tuple(weight.shape)} (mat1 and mat2 shapes cannot "
            "be multiplied)",
            hint="nn.Linear(in_features, out_features) stores its weight as (out, in)",
        )
    return _LINEAR[min(input.dim(), 3), bias is not None](input, weight, bias)


def _named(grad_fn: str):
    @composite(grad_fn)
    def linear(input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        product = input @ weight.t()
        return product if bias is None else product + bias

    return linear


# PyTorch shows in the history how it computed: (rank of the input up to 3, with bias) -> name.
_LINEAR = {
    (1, False): _named("SqueezeBackward4"),
    (1, True): _named("ViewBackward0"),
    (2, False): _named("MmBackward0"),
    (2, True): _named("AddmmBackward0"),
    (3, False): _named("UnsafeViewBackward0"),
    (3, True): _named("ViewBackward0"),
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
