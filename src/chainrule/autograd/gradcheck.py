"""Compare a derivative rule with finite differences, in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product

import numpy as np

from ..errors import ArgumentError, GradError
from ..methods.create import as_tensor, zeros
from ..scope import composite
from ..tensor import Tensor, from_array
from .gradients import grad


class GradcheckError(GradError):
    """A derivative that does not agree with finite differences."""


def _outputs(result) -> tuple[Tensor, ...]:
    found = tuple(result) if isinstance(result, (tuple, list)) else (result,)
    return tuple(x for x in found if isinstance(x, Tensor) and x.dtype.is_floating_point)


def _numeric(function: Callable, inputs: list, which: int, output: int, eps: float) -> np.ndarray:
    """The Jacobian of one output with respect to one input by central differences."""
    base = inputs[which]._value()
    columns = []
    for place in product(*map(range, base.shape)):
        values = []
        for sign in (1, -1):
            moved = base.copy()
            moved[place] += sign * eps
            args = list(inputs)
            args[which] = from_array(moved, requires_grad=True)
            values.append(_outputs(function(*args))[output]._value())
        columns.append((values[0] - values[1]).reshape(-1) / (2 * eps))
    return np.stack(columns, 1) if columns else np.zeros((0, 0))


def _analytic(function: Callable, inputs: list, which: int, output: int) -> np.ndarray:
    """The same Jacobian by one backward pass per output element."""
    out = _outputs(function(*inputs))[output]
    rows = []
    for place in product(*map(range, out.shape)):
        seed = zeros(out.shape, dtype=out.dtype)
        seed[place] = 1
        (g,) = grad(out, inputs[which], seed, retain_graph=True, allow_unused=True)
        shape = (inputs[which].numel(),)
        rows.append(np.zeros(shape) if g is None else g.detach()._value().reshape(-1))
    return np.stack(rows) if rows else np.zeros((0, inputs[which].numel()))


@composite()
def gradcheck(
    func: Callable, inputs: Tensor | Sequence, *, eps: float = 1e-6, atol: float = 1e-5,
    rtol: float = 1e-3, raise_exception: bool = True, nondet_tol: float = 0.0,
    check_undefined_grad: bool = True, check_grad_dtypes: bool = False,
    check_batched_grad: bool = False, fast_mode: bool = False, **_,
) -> bool:
    """Check every d(output)/d(input) of `func` against (f(x + eps) - f(x - eps)) / (2 eps).

    Use float64 inputs.  Raises GradcheckError naming the input, the analytic and the numeric
    value where they differ by more than atol + rtol |numeric|.

    >>> import chainrule as torch
    >>> x = torch.tensor([0.5, 1.0], dtype=torch.float64, requires_grad=True)
    >>> torch.autograd.gradcheck(torch.tanh, (x,))
    True
    """
    args = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    wanted = [
        i for i, x in enumerate(args) if isinstance(x, Tensor) and x.requires_grad
    ]
    if not wanted:
        raise ArgumentError("gradcheck requires an input that requires grad, got none")
    outputs = _outputs(func(*args))
    for o, i in product(range(len(outputs)), wanted):
        if not outputs[o].requires_grad:
            continue
        problem = _difference(func, args, i, o, eps, atol, rtol)
        if problem:
            if raise_exception:
                raise GradcheckError(problem, hint="check the backward of this function")
            return False
    return True


def _difference(func, args, i: int, o: int, eps, atol, rtol) -> str | None:
    numeric, analytic = _numeric(func, args, i, o, eps), _analytic(func, args, i, o)
    wrong = ~(np.abs(analytic - numeric) <= atol + rtol * np.abs(numeric))
    if not wrong.any():
        return None
    row, column = (int(k) for k in np.argwhere(wrong)[0])
    return (
        f"gradcheck requires the derivative of output {o} with respect to input {i} to agree "
        f"with finite differences, got analytic {analytic[row, column]:.10g} and numeric "
        f"{numeric[row, column]:.10g} for element {column} of the input (Jacobian mismatch)"
    )


@composite()
def gradgradcheck(
    func: Callable, inputs: Tensor | Sequence, grad_outputs=None, *, eps: float = 1e-6,
    atol: float = 1e-5, rtol: float = 1e-3, raise_exception: bool = True, **_,
) -> bool:
    """`gradcheck` of the gradient itself: the second derivatives.

    >>> import chainrule as torch
    >>> x = torch.tensor([0.5, 1.0], dtype=torch.float64, requires_grad=True)
    >>> torch.autograd.gradgradcheck(torch.tanh, (x,))
    True
    """
    args = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    outputs = _outputs(func(*args))
    if grad_outputs is None:
        rng = np.random.default_rng(0)
        given = [from_array(rng.standard_normal(x.shape).astype(x.dtype.np), requires_grad=True)
                 for x in outputs]
    else:
        given = [as_tensor(g) for g in _outputs(grad_outputs)]
    wanted = [i for i, x in enumerate(args) if isinstance(x, Tensor) and x.requires_grad]

    def first(*everything):
        xs, cotangents = everything[: len(args)], everything[len(args) :]
        found = grad(_outputs(func(*xs)), [xs[i] for i in wanted], list(cotangents),
                     create_graph=True, allow_unused=True)
        return tuple(g for g in found if g is not None)

    return gradcheck(first, (*args, *given), eps=eps, atol=atol, rtol=rtol,
                     raise_exception=raise_exception)
