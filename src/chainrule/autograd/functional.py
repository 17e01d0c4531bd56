"""`torch.autograd.functional`: jacobian, hessian and products with them, on one or more inputs.

`inputs` is a tensor, or a tuple of tensors that `func` takes as its arguments; the results have
the same form.  `vectorize` and `strict` change nothing: rows are always computed at once, and an
input that the result does not depend on has a derivative of zeros.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import func as transforms
from ..errors import GradError
from ..func import Positions, map_tensors
from ..methods.create import ones_like
from ..tensor import Tensor

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]


def _tuple(x: Any) -> tuple:
    return tuple(x) if isinstance(x, (tuple, list)) else (x,)


def _positions(inputs: Any) -> Positions:
    return tuple(range(len(inputs))) if isinstance(inputs, (tuple, list)) else 0


def _like_inputs(found: Any, inputs: Any) -> Any:
    return found if isinstance(inputs, (tuple, list)) else found[0]


def _kept(result: Any, create_graph: bool) -> Any:
    return result if create_graph else map_tensors(Tensor.detach, result)


def _vector(v: Any, like: Any, what: str) -> Any:
    """The given vector, or ones where `like` is a single number."""
    if v is not None:
        return v
    if not isinstance(like, Tensor) or like.numel() != 1:
        raise GradError(
            f"a product without a vector requires {what} with one element, got "
            f"{tuple(like.shape) if isinstance(like, Tensor) else f'{len(like)} tensors'} "
            "(The vector v can only be None if it is a single Tensor with a single element)"
        )
    return ones_like(like)


def _scalar(func: Callable) -> Callable:
    """func, checked to give one number."""

    def checked(*args):
        result = func(*args)
        if not isinstance(result, Tensor) or result.numel() != 1:
            raise GradError(
                "a Hessian requires a function with one number as its result, got "
                f"{tuple(result.shape) if isinstance(result, Tensor) else type(result).__name__}"
            )
        return result.reshape(())

    return checked


def jacobian(
    func: Callable, inputs, create_graph: bool = False, strict: bool = False,
    vectorize: bool = False, strategy: str = "reverse-mode",
):
    """d func_i / d input_j, as nested tuples when there are several of either.

    >>> import chainrule as torch
    >>> x, y = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])
    >>> torch.autograd.functional.jacobian(torch.dot, (x, y))
    (tensor([3., 4.]), tensor([1., 2.]))
    """
    transform = transforms.jacfwd if strategy == "forward-mode" else transforms.jacrev
    found = transform(func, _positions(inputs))(*_tuple(inputs))
    return _kept(found, create_graph)


def hessian(
    func: Callable, inputs, create_graph: bool = False, strict: bool = False,
    vectorize: bool = False, outer_jacobian_strategy: str = "reverse-mode",
):
    """d^2 func / d input_i d input_j of a function with one number as its result.

    >>> import chainrule as torch
    >>> torch.autograd.functional.hessian(lambda x: (x**3).sum(), torch.tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    places = _positions(inputs)
    gradient = transforms.jacrev(_scalar(func), places)
    return _kept(transforms.jacrev(gradient, places)(*_tuple(inputs)), create_graph)


def vjp(func: Callable, inputs, v=None, create_graph: bool = False, strict: bool = False):
    """(func(inputs), v^T J).

    >>> import chainrule as torch
    >>> torch.autograd.functional.vjp(lambda x: x**2, torch.tensor(3.0), torch.tensor(2.0))
    (tensor(9.), tensor(12.))
    """
    output, pull = transforms.vjp(func, *_tuple(inputs))
    found = pull(_vector(v, output, "a result"))
    return _kept((output, _like_inputs(found, inputs)), create_graph)


def jvp(func: Callable, inputs, v=None, create_graph: bool = False, strict: bool = False):
    """(func(inputs), J v).

    >>> import chainrule as torch
    >>> torch.autograd.functional.jvp(lambda x: x**2, torch.tensor(3.0), torch.tensor(2.0))
    (tensor(9.), tensor(12.))
    """
    tangents = _tuple(_vector(v, inputs, "an input"))
    return _kept(transforms.jvp(func, _tuple(inputs), tangents), create_graph)


def hvp(func: Callable, inputs, v=None, create_graph: bool = False, strict: bool = False):
    """(func(inputs), H v): the derivative of the gradient along v.

    >>> import chainrule as torch
    >>> torch.autograd.functional.hvp(lambda x: x**3, torch.tensor(2.0), torch.tensor(0.5))
    (tensor(8.), tensor(6.))
    """
    xs, tangents = _tuple(inputs), _tuple(_vector(v, inputs, "an input"))
    both = transforms.grad_and_value(_scalar(func), tuple(range(len(xs))))
    (_, value), (product, _) = transforms.jvp(both, xs, tangents)
    return _kept((value, _like_inputs(product, inputs)), create_graph)


def vhp(func: Callable, inputs, v=None, create_graph: bool = False, strict: bool = False):
    """(func(inputs), v^T H): the Hessian is symmetric, so this is hvp.

    >>> import chainrule as torch
    >>> torch.autograd.functional.vhp(lambda x: x**3, torch.tensor(2.0), torch.tensor(0.5))
    (tensor(8.), tensor(6.))
    """
    return hvp(func, inputs, v, create_graph, strict)
