"""All parameters as one vector, and back."""

from __future__ import annotations

from collections.abc import Iterable

from ...errors import ArgumentTypeError, ShapeError
from ...methods.joining import cat
from ...scope import composite
from ...tensor import Tensor


@composite()
def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """The elements of all parameters, in order, as one vector; gradients flow through it.

    >>> import chainrule as torch
    >>> torch.nn.utils.parameters_to_vector([torch.ones(2, 1), torch.zeros(1)])
    tensor([1., 1., 0.])
    """
    return cat([p.reshape(-1) for p in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Set the values of all parameters, in order, from one vector.

    Raises ShapeError (a RuntimeError) unless it has as many elements as they have; PyTorch accepts
    a longer one.  The parameters are copies; in PyTorch they would share the vector's memory.

    >>> import chainrule as torch
    >>> w = torch.zeros(2, 1, requires_grad=True)
    >>> torch.nn.utils.vector_to_parameters(torch.tensor([1.0, 2.0]), [w]); w.tolist()
    [[1.0], [2.0]]
    """
    if not isinstance(vec, Tensor):
        raise ArgumentTypeError(f"vector_to_parameters requires a Tensor, got {type(vec).__name__}")
    parameters = list(parameters)
    total = sum(p.numel() for p in parameters)
    if vec.numel() != total:
        raise ShapeError(
            f"vector_to_parameters requires as many elements as the parameters have, {total}, "
            f"got {vec.numel()}"
        )
    offset = 0
    for p in parameters:
        p.data = vec[offset : offset + p.numel()].view(p.shape).detach().clone()
        offset += p.numel()
