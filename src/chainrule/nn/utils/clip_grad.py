"""Keeping gradients small.  `foreach` chooses an implementation in PyTorch and nothing here."""

from __future__ import annotations

from collections.abc import Iterable
from types import GeneratorType

from ...errors import GradError
from ...functional.repeated import repeated
from ...grad_mode import no_grad
from ...methods.create import tensor as new_tensor
from ...methods.joining import stack
from ...scope import composite
from ...tensor import Tensor
from ...warning import old_name, warn


def _listed(tensors: Tensor | Iterable[Tensor]) -> list[Tensor]:
    return [tensors] if isinstance(tensors, Tensor) else list(tensors)


@no_grad()
@composite()
def get_total_norm(
    tensors: Tensor | Iterable[Tensor],
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """|all tensors as one vector| = |(|t_1|, |t_2|, ...)|, by the norm of order `norm_type`.

    Raises RuntimeError for a norm that is infinite or NaN, if asked to.

    >>> import chainrule as torch
    >>> torch.nn.utils.get_total_norm([torch.tensor([3.0]), torch.tensor([4.0])])
    tensor(5.)
    """
    listed = _listed(tensors)
    if not listed:
        return new_tensor(0.0)
    total = _norm_of_all(listed, float(norm_type))
    if error_if_nonfinite and not total.isfinite():
        raise GradError(
            f"get_total_norm requires a finite norm of order {norm_type}, got {total.item()}",
            hint="error_if_nonfinite=False scales by it anyway",
        )
    return total


@repeated
def _norm_of_all(tensors: list[Tensor], order: float) -> Tensor:
    norms = [tensor.norm(order) for tensor in tensors]
    return stack([norm.to(norms[0].dtype) for norm in norms]).norm(order)


@no_grad()
@composite()
def clip_grads_with_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    total_norm: Tensor,
    foreach: bool | None = None,
) -> None:
    """grad <- grad min(1, max_norm / (total_norm + 1e-6)), for every parameter with a grad.

    >>> import chainrule as torch
    >>> w = torch.tensor([3.0], requires_grad=True); w.sum().backward()
    >>> torch.nn.utils.clip_grads_with_norm_(w, 1.0, torch.tensor(2.0)); w.grad
    tensor([0.5000])
    """
    grads = [p.grad for p in _listed(parameters) if p.grad is not None]
    for grad, clipped in zip(grads, _clipped(grads, float(max_norm), total_norm)):
        grad.copy_(clipped)


@repeated
def _clipped(grads: list[Tensor], max_norm: float, total_norm: Tensor) -> list[Tensor]:
    factor = (max_norm / (total_norm + 1e-6)).clamp(max=1.0)
    return [grad * factor for grad in grads]


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scale all grads by one factor so that their norm, as one vector, is at most `max_norm`.

    Returns the norm before.  Raises RuntimeError for a norm that is infinite or NaN, if asked to.
    Nothing is computed yet: the scaling becomes part of the step.  Pascanu et al. 2013.

    >>> import chainrule as torch
    >>> w = torch.zeros(2, requires_grad=True)
    >>> (w * torch.tensor([3.0, 4.0])).sum().backward()
    >>> torch.nn.utils.clip_grad_norm_([w], max_norm=1.0), w.grad
    (tensor(5.), tensor([0.6000, 0.8000]))
    """
    listed = _listed(parameters)
    if not listed and isinstance(parameters, GeneratorType):
        warn(
            "clip_grad_norm_: the generator of parameters is empty, nothing is clipped",
        )
    grads = [p.grad for p in listed if p.grad is not None]
    total_norm = get_total_norm(grads, norm_type, error_if_nonfinite)
    clip_grads_with_norm_(listed, max_norm, total_norm)
    return total_norm


@no_grad()
@composite()
def clip_grad_value_(
    parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: bool | None = None
) -> None:
    """grad <- min(max(grad, -clip_value), clip_value), element by element.

    >>> import chainrule as torch
    >>> w = torch.zeros(2, requires_grad=True)
    >>> (w * torch.tensor([3.0, -0.5])).sum().backward()
    >>> torch.nn.utils.clip_grad_value_([w], 1.0); w.grad
    tensor([ 1.0000, -0.5000])
    """
    for p in _listed(parameters):
        if p.grad is not None:
            p.grad.clamp_(-float(clip_value), float(clip_value))


clip_grad_norm = old_name(clip_grad_norm_, "clip_grad_norm")
