"""`torch.autograd.functional`: jacobian, hessian and products with them, on one or more inputs."""

from __future__ import annotations

from collections.abc import Callable

from .. import func as _func
from ..methods.create import ones_like
from ..tensor import Tensor

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]


def _tuple(x) -> tuple:
    return tuple(x) if isinstance(x, (tuple, list)) else (x,)


def _maybe_detached(result, create_graph: bool):
    return result if create_graph else _func.map_tensors(Tensor.detach, result)


def _ones_like(output):
    return _func.map_tensors(ones_like, output)


def jacobian(func: Callable, inputs, create_graph=False, strict=False, vectorize=False,
             strategy="reverse-mode"):
    """d func_i / d input_j, as nested tuples when there are several of either."""
    xs = _tuple(inputs)
    one = not isinstance(inputs, (tuple, list))
    transform = _func.jacfwd if strategy == "forward-mode" else _func.jacrev
    found = transform(func, 0 if one else tuple(range(len(xs))))(*xs)
    return _maybe_detached(found, create_graph)


def hessian(func: Callable, inputs, create_graph=False, strict=False, vectorize=False,
            outer_jacobian_strategy="reverse-mode"):
    """The second derivatives of a scalar function."""
    xs = _tuple(inputs)
    one = not isinstance(inputs, (tuple, list))
    argnums = 0 if one else tuple(range(len(xs)))

    def scalar(*args):
        return func(*args).reshape(())

    found = _func.jacrev(_func.jacrev(scalar, argnums), argnums)(*xs)
    return _maybe_detached(found, create_graph)


def vjp(func: Callable, inputs, v=None, create_graph=False, strict=False):
    """(func(inputs), v^T J)."""
    output, pull = _func.vjp(func, *_tuple(inputs))
    cotangent = _ones_like(output) if v is None else v
    found = pull(*cotangent) if isinstance(cotangent, tuple) else pull(cotangent)
    found = found if isinstance(inputs, (tuple, list)) else found[0]
    return _maybe_detached((output, found), create_graph)


def jvp(func: Callable, inputs, v=None, create_graph=False, strict=False):
    """(func(inputs), J v)."""
    xs = _tuple(inputs)
    tangents = _tuple(_ones_like(xs) if v is None else v)
    return _maybe_detached(_func.jvp(func, xs, tangents), create_graph)


def hvp(func: Callable, inputs, v=None, create_graph=False, strict=False):
    """(func(inputs), H v): the derivative of the gradient along v."""
    xs = _tuple(inputs)
    tangents = _tuple(_ones_like(xs) if v is None else v)
    argnums = tuple(range(len(xs)))
    _, product = _func.jvp(_func.grad(func, argnums), xs, tangents)
    found = product if isinstance(inputs, (tuple, list)) else product[0]
    return _maybe_detached((func(*xs), found), create_graph)


def vhp(func: Callable, inputs, v=None, create_graph=False, strict=False):
    """(func(inputs), v^T H): the Hessian is symmetric, so this is hvp."""
    return hvp(func, inputs, v, create_graph, strict)
