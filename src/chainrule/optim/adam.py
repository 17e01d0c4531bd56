"""Adam and its kin: steps scaled by running averages of the gradient and of its square."""

from __future__ import annotations

from ..methods.create import ones, zeros, zeros_like
from ..tensor import Tensor
from .optimizer import (
    Group,
    Optimizer,
    ParamsT,
    State,
    advance,
    check_betas,
    check_nonnegative,
)


class Adam(Optimizer):
    """m and v are running means of g and g^2, hat removes their bias towards their first value 0:

        m <- b1 m + (1 - b1) g         mhat = m / (1 - b1^t)
        v <- b2 v + (1 - b2) g^2       vhat = v / (1 - b2^t)
        p <- p - lr mhat / (sqrt(vhat) + eps)

    `amsgrad` uses the largest v so far.  `weight_decay` wd adds wd p to g, or, if
    `decoupled_weight_decay`, shrinks p by (1 - lr wd) first.  Raises ValueError for a negative
    option or a beta outside of [0, 1).  Kingma and Ba 2015; Reddi et al. 2018.

    >>> import chainrule as torch
    >>> w = torch.tensor([1.0, -3.0], requires_grad=True)
    >>> opt = torch.optim.Adam([w], lr=0.5, eps=0)
    >>> (w ** 2).sum().backward(); opt.step(); w
    tensor([ 0.5000, -2.5000], requires_grad=True)
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ):
        check_nonnegative(type(self).__name__, lr=lr, eps=eps, weight_decay=weight_decay)
        check_betas(type(self).__name__, betas)
        super().__init__(
            params,
            dict(
                lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, amsgrad=amsgrad,
                maximize=maximize, foreach=foreach, capturable=capturable,
                differentiable=differentiable, fused=fused,
                decoupled_weight_decay=decoupled_weight_decay,
            ),
        )

    def start(self, p: Tensor, group: Group) -> State:
        state = {"step": zeros(()), "exp_avg": zeros_like(p), "exp_avg_sq": zeros_like(p)}
        if group["amsgrad"]:
            state["max_exp_avg_sq"] = zeros_like(p)
        return state

    def update(self, p: Tensor, grad: Tensor, state: State, group: Group) -> None:
        """p <- p - lr mhat / (sqrt(vhat) + eps)"""
        (beta1, beta2), t = group["betas"], advance(state)
        m = state["exp_avg"].lerp_(grad, 1 - beta1)
        v = state["exp_avg_sq"].mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        if group["amsgrad"]:
            largest = state["max_exp_avg_sq"]
            v = largest.copy_(largest.maximum(v))
        root = v.sqrt() / (1 - beta2**t) ** 0.5
        p.sub_(group["lr"] / (1 - beta1**t) * m / (root + group["eps"]))


class AdamW(Adam):
    """Adam whose weight decay acts on p alone and not on m and v: p <- (1 - lr wd) p first.

    Differs from Adam with `decoupled_weight_decay` only in its default, wd = 0.01.  Loshchilov and
    Hutter 2019.

    >>> import chainrule as torch
    >>> w = torch.tensor([1.0], requires_grad=True)
    >>> opt = torch.optim.AdamW([w], lr=0.5, weight_decay=1.0)
    >>> (0 * w).sum().backward(); opt.step(); w.tolist()
    [0.5]
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ):
        super().__init__(
            params, lr, betas, eps, weight_decay, amsgrad,
            maximize=maximize, foreach=foreach, capturable=capturable,
            differentiable=differentiable, fused=fused, decoupled_weight_decay=True,
        )


class Adamax(Optimizer):
    """Adam with the largest gradient, discounted, in place of the mean square:

        m <- b1 m + (1 - b1) g
        u <- max(b2 u, |g| + eps)
        p <- p - lr / (1 - b1^t) m / u

    Raises ValueError as Adam does.  Kingma and Ba 2015, section 7.1.

    >>> import chainrule as torch
    >>> w = torch.tensor([1.0], requires_grad=True)
    >>> opt = torch.optim.Adamax([w], lr=0.5, eps=0)
    >>> (w ** 2).sum().backward(); opt.step(); w.tolist()
    [0.5]
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ):
        check_nonnegative("Adamax", lr=lr, eps=eps, weight_decay=weight_decay)
        check_betas("Adamax", betas)
        super().__init__(
            params,
            dict(
                lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, foreach=foreach,
                maximize=maximize, differentiable=differentiable, capturable=capturable,
            ),
        )

    def start(self, p: Tensor, group: Group) -> State:
        return {"step": zeros(()), "exp_avg": zeros_like(p), "exp_inf": zeros_like(p)}

    def update(self, p: Tensor, grad: Tensor, state: State, group: Group) -> None:
        """p <- p - lr / (1 - b1^t) m / u"""
        (beta1, beta2), t = group["betas"], advance(state)
        m = state["exp_avg"].lerp_(grad, 1 - beta1)
        u = state["exp_inf"]
        u.copy_((beta2 * u).maximum(grad.abs() + group["eps"]))
        p.sub_(group["lr"] / (1 - beta1**t) * m / u)


class NAdam(Optimizer):
    """Adam with Nesterov momentum that grows over the steps:

        mu_t = b1 (1 - 0.96^(t psi) / 2),   M_t = mu_1 mu_2 ... mu_t      (psi: `momentum_decay`)
        mhat = mu_(t+1) m / (1 - M_(t+1)) + (1 - mu_t) g / (1 - M_t)
        p <- p - lr mhat / (sqrt(vhat) + eps)

    with Adam's m, v and vhat.  Raises ValueError as Adam does.  Dozat 2016.

    >>> import chainrule as torch
    >>> w = torch.tensor([1.0], requires_grad=True)
    >>> opt = torch.optim.NAdam([w], lr=0.1)
    >>> (w ** 2).sum().backward(); opt.step(); bool(w < 1)
    True
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ):
        check_nonnegative("NAdam", lr=lr, eps=eps, weight_decay=weight_decay)
        check_nonnegative("NAdam", momentum_decay=momentum_decay)
        check_betas("NAdam", betas)
        super().__init__(
            params,
            dict(
                lr=lr, betas=betas, eps=eps, weight_decay=weight_decay,
                momentum_decay=momentum_decay, decoupled_weight_decay=decoupled_weight_decay,
                maximize=maximize, foreach=foreach, capturable=capturable,
                differentiable=differentiable,
            ),
        )

    def start(self, p: Tensor, group: Group) -> State:
        return {
            "step": zeros(()),
            "mu_product": ones(()),
            "exp_avg": zeros_like(p),
            "exp_avg_sq": zeros_like(p),
        }

    def update(self, p: Tensor, grad: Tensor, state: State, group: Group) -> None:
        """p <- p - lr (mu' m / (1 - M mu') + (1 - mu) g / (1 - M)) / (sqrt(vhat) + eps)"""
        (beta1, beta2), t, lr = group["betas"], advance(state), group["lr"]
        mu, mu_next = (
            beta1 * (1 - 0.5 * 0.96 ** (s * group["momentum_decay"])) for s in (t, t + 1)
        )
        product = state["mu_product"].mul_(mu).double()
        m = state["exp_avg"].lerp_(grad, 1 - beta1)
        v = state["exp_avg_sq"].mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        root = (v / (1 - beta2**t)).sqrt() + group["eps"]
        p.sub_(lr * (1 - mu) / (1 - product) * grad / root)
        p.sub_(lr * mu_next / (1 - product * mu_next) * m / root)


class RAdam(Optimizer):
    """Adam that waits until the variance of vhat is finite (rho_t > 5), and then rectifies it:

        rho = 2 / (1 - b2) - 1,    rho_t = rho - 2 t b2^t / (1 - b2^t)
        r^2 = (rho_t - 4)(rho_t - 2) rho / ((rho - 4)(rho - 2) rho_t)
        p <- p - lr mhat r sqrt(1 - b2^t) / (sqrt(v) + eps)      before: p <- p - lr mhat

    with Adam's m, v and mhat.  Raises ValueError as Adam does.  Liu et al. 2020.

    >>> import chainrule as torch
    >>> w = torch.tensor([1.0], requires_grad=True)
    >>> opt = torch.optim.RAdam([w], lr=0.25)
    >>> (w ** 2).sum().backward(); opt.step(); round(w.item(), 6)
    0.5
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ):
        check_nonnegative("RAdam", lr=lr, eps=eps, weight_decay=weight_decay)
        check_betas("RAdam", betas)
        super().__init__(
            params,
            dict(
                lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, maximize=maximize,
                foreach=foreach, capturable=capturable,
                decoupled_weight_decay=decoupled_weight_decay, differentiable=differentiable,
            ),
        )

    def start(self, p: Tensor, group: Group) -> State:
        return {"step": zeros(()), "exp_avg": zeros_like(p), "exp_avg_sq": zeros_like(p)}

    def update(self, p: Tensor, grad: Tensor, state: State, group: Group) -> None:
        """p <- p - lr mhat r sqrt(1 - b2^t) / (sqrt(v) + eps), if rho_t > 5"""
        (beta1, beta2), t = group["betas"], advance(state)
        m = state["exp_avg"].lerp_(grad, 1 - beta1)
        v = state["exp_avg_sq"].mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        step = m / (1 - beta1**t) * group["lr"]
        correction = 1 - beta2**t
        rho = 2 / (1 - beta2) - 1
        rho_t = rho - 2 * t * beta2**t / correction
        if rho_t > 5:
            r2 = (rho_t - 4) * (rho_t - 2) * rho / ((rho - 4) * (rho - 2) * rho_t)
            step = step * (correction**0.5 / (v.sqrt() + group["eps"])) * r2**0.5
        p.sub_(step)
