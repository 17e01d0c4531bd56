"""RMSprop: steps divided by a running root mean square of the gradient."""

from __future__ import annotations

from ..methods.create import zeros, zeros_like
from ..tensor import Tensor
from .optimizer import Group, Optimizer, ParamsT, State, advance, check_nonnegative


class RMSprop(Optimizer):
    """v <- alpha v + (1 - alpha) g^2;  p <- p - lr g / (sqrt(v) + eps).  If `centered`,

        a <- alpha a + (1 - alpha) g,   sqrt(v - a^2) in place of sqrt(v)

    and with momentum mu:  b <- mu b + g / (sqrt(v) + eps);  p <- p - lr b.  As in PyTorch, eps is
    outside of the root.  Raises ValueError for a negative option.  Tieleman and Hinton 2012;
    centered: Graves 2013.

    >>> import chainrule as torch
    >>> w = torch.tensor([1.0, -3.0], requires_grad=True)
    >>> opt = torch.optim.RMSprop([w], lr=0.25, alpha=0.75, eps=0)
    >>> (w ** 2).sum().backward(); opt.step(); w.tolist()
    [0.5, -2.5]
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ):
        check_nonnegative("RMSprop", lr=lr, eps=eps, momentum=momentum)
        check_nonnegative("RMSprop", weight_decay=weight_decay, alpha=alpha)
        super().__init__(
            params,
            dict(
                lr=lr, momentum=momentum, alpha=alpha, eps=eps, centered=centered,
                weight_decay=weight_decay, capturable=capturable, foreach=foreach,
                maximize=maximize, differentiable=differentiable,
            ),
        )

    def start(self, p: Tensor, group: Group) -> State:
        state = {"step": zeros(()), "square_avg": zeros_like(p)}
        if group["momentum"] > 0:
            state["momentum_buffer"] = zeros_like(p)
        if group["centered"]:
            state["grad_avg"] = zeros_like(p)
        return state

    def update(self, p: Tensor, grad: Tensor, state: State, group: Group) -> None:
        """p <- p - lr g / (sqrt(v) + eps)"""
        alpha, momentum = group["alpha"], group["momentum"]
        advance(state)
        v = state["square_avg"].mul_(alpha).addcmul_(grad, grad, value=1 - alpha)
        if group["centered"]:
            a = state["grad_avg"].lerp_(grad, 1 - alpha)
            v = v - a * a
        root = v.sqrt() + group["eps"]
        if momentum > 0:
            p.sub_(group["lr"] * state["momentum_buffer"].mul_(momentum).add_(grad / root))
        else:
            p.sub_(group["lr"] * grad / root)
