"""Stochastic gradient descent, with momentum."""

from __future__ import annotations

from ..errors import ArgumentError
from ..tensor import Tensor
from .optimizer import Group, Optimizer, ParamsT, State, check_nonnegative


class SGD(Optimizer):
    """p <- p - lr g;  with momentum mu, dampening tau (b_0 = g_0):

        b <- mu b + (1 - tau) g
        p <- p - lr b              Nesterov:  p <- p - lr (g + mu b)

    g is the gradient + `weight_decay` p, negated if `maximize`.  Raises ValueError for a negative
    option, or for `nesterov` without momentum or with dampening.  As in PyTorch, and unlike
    Sutskever et al. 2013, lr multiplies the buffer and is not part of it.

    >>> import chainrule as torch
    >>> w = torch.tensor([1.0], requires_grad=True)
    >>> opt = torch.optim.SGD([w], lr=0.25)
    >>> (w ** 2).sum().backward(); opt.step(); w.tolist()
    [0.5]
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ):
        check_nonnegative("SGD", lr=lr, momentum=momentum, weight_decay=weight_decay)
        if nesterov and (momentum == 0 or dampening != 0):
            raise ArgumentError(
                "SGD with nesterov requires momentum > 0 and dampening = 0, "
                f"got momentum {momentum}, dampening {dampening}"
            )
        super().__init__(
            params,
            dict(
                lr=lr, momentum=momentum, dampening=dampening, weight_decay=weight_decay,
                nesterov=nesterov, maximize=maximize, foreach=foreach,
                differentiable=differentiable, fused=fused,
            ),
        )

    def update(self, p: Tensor, grad: Tensor, state: State, group: Group) -> None:
        """b <- mu b + (1 - tau) g;  p <- p - lr b, or - lr (g + mu b)"""
        momentum = group["momentum"]
        if momentum != 0:
            buffer = state.get("momentum_buffer")
            if buffer is None:
                buffer = state["momentum_buffer"] = grad.detach().clone()
            else:
                buffer.mul_(momentum).add_(grad, alpha=1 - group["dampening"])
            grad = grad.add(buffer, alpha=momentum) if group["nesterov"] else buffer
        p.sub_(group["lr"] * grad)
