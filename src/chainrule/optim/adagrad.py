"""Adagrad and Adadelta: each element has its own rate, from all its gradients so far."""

from __future__ import annotations

from typing import Any

from ..errors import ArgumentError
from ..methods.create import full_like, zeros, zeros_like
from ..tensor import Tensor
from .optimizer import Group, Optimizer, ParamsT, State, advance, check_nonnegative


class Adagrad(Optimizer):
    """s <- s + g^2;  p <- p - lr / (1 + (t - 1) `lr_decay`) g / (sqrt(s) + eps)

    s starts at `initial_accumulator_value`, when the optimizer is made.  Raises ValueError for a
    negative option.  Duchi, Hazan and Singer 2011.

    >>> import chainrule as torch
    >>> w = torch.tensor([1.0, -3.0], requires_grad=True)
    >>> opt = torch.optim.Adagrad([w], lr=0.5, eps=0)
    >>> (w ** 2).sum().backward(); opt.step(); w.tolist()
    [0.5, -2.5]
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ):
        options: dict[str, Any] = dict(
            lr=lr, lr_decay=lr_decay, eps=eps, weight_decay=weight_decay,
            initial_accumulator_value=initial_accumulator_value,
        )
        check_nonnegative("Adagrad", **options)
        options |= dict(
            foreach=foreach, maximize=maximize, differentiable=differentiable, fused=fused
        )
        super().__init__(params, options)
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p] = self.start(p, group)

    def start(self, p: Tensor, group: Group) -> State:
        return {"step": zeros(()), "sum": full_like(p, group["initial_accumulator_value"])}

    def update(self, p: Tensor, grad: Tensor, state: State, group: Group) -> None:
        """p <- p - lr_t g / (sqrt(s) + eps)"""
        t = advance(state)
        lr = group["lr"] / (1 + (t - 1) * group["lr_decay"])
        s = state["sum"].addcmul_(grad, grad)
        p.sub_(lr * grad / (s.sqrt() + group["eps"]))


class Adadelta(Optimizer):
    """d is in the units of p: the ratio of two running mean squares times g.

        v <- rho v + (1 - rho) g^2
        d = sqrt(u + eps) / sqrt(v + eps) g
        u <- rho u + (1 - rho) d^2
        p <- p - lr d

    Raises ValueError for a negative option or rho > 1.  Zeiler 2012, where lr = 1.

    >>> import chainrule as torch
    >>> w = torch.tensor([1.0], requires_grad=True)
    >>> opt = torch.optim.Adadelta([w], rho=0.75, eps=1.0)
    >>> (0.0 * w).sum().backward(); opt.step(); w.tolist()
    [1.0]
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ):
        options: dict[str, Any] = dict(lr=lr, rho=rho, eps=eps, weight_decay=weight_decay)
        check_nonnegative("Adadelta", **options)
        if rho > 1:
            raise ArgumentError(f"Adadelta requires rho <= 1, got {rho}")
        options |= dict(
            maximize=maximize, capturable=capturable, foreach=foreach,
            differentiable=differentiable,
        )
        super().__init__(params, options)

    def start(self, p: Tensor, group: Group) -> State:
        return {"step": zeros(()), "square_avg": zeros_like(p), "acc_delta": zeros_like(p)}

    def update(self, p: Tensor, grad: Tensor, state: State, group: Group) -> None:
        """p <- p - lr sqrt(u + eps) / sqrt(v + eps) g"""
        rho, eps = group["rho"], group["eps"]
        advance(state)
        v = state["square_avg"].mul_(rho).addcmul_(grad, grad, value=1 - rho)
        d = (state["acc_delta"] + eps).sqrt() / (v + eps).sqrt() * grad
        state["acc_delta"].mul_(rho).addcmul_(d, d, value=1 - rho)
        p.sub_(group["lr"] * d)
