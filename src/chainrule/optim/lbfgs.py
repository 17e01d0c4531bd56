"""L-BFGS: a quasi-Newton method that remembers the last few steps instead of a Hessian."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from ..errors import ArgumentError
from ..grad_mode import enable_grad, no_grad
from ..methods.create import zeros_like
from ..methods.joining import cat
from ..scope import composite
from ..tensor import Tensor
from .optimizer import Optimizer, ParamsT, State, check_nonnegative

# Strong Wolfe conditions: sufficient decrease, and a slope that has flattened.
DECREASE, FLATTEN = 1e-4, 0.9


class LBFGS(Optimizer):
    """Step along d = -H g, where H approximates the inverse Hessian from the last steps s and
    gradient changes y (Nocedal and Wright, Numerical Optimization, algorithms 7.4 and 7.5):

        s_k = x_{k+1} - x_k,   y_k = g_{k+1} - g_k,   rho_k = 1 / (y_k . s_k)
        H_{k+1} = (I - rho s y^T) H_k (I - rho y s^T) + rho s s^T

    One step() makes up to `max_iter` such steps and calls `closure`, which is required, up to about
    `max_eval` times (default 1.25 `max_iter`).  It ends early when max |g| <= `tolerance_grad`, or
    when the step or the change of the loss falls below `tolerance_change`.  The step length is
    `lr`, or, with `line_search_fn="strong_wolfe"`, found on the way.  `history_size` steps are
    remembered, each of the size of all parameters.

    Raises ValueError for more than one parameter group or another `line_search_fn`.  Unlike
    PyTorch, the line search computes in Python numbers, and the state has no scratch entry "al".

    >>> import chainrule as torch
    >>> w = torch.tensor([3.0, -2.0], requires_grad=True)
    >>> opt = torch.optim.LBFGS([w], line_search_fn="strong_wolfe")
    >>> def closure():
    ...     opt.zero_grad()
    ...     loss = (w ** 2 * torch.tensor([1.0, 10.0])).sum()
    ...     loss.backward()
    ...     return loss
    >>> first = opt.step(closure)
    >>> bool(closure() < 1e-6)
    True
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ):
        check_nonnegative("LBFGS", lr=lr)
        if line_search_fn not in (None, "strong_wolfe"):
            raise ArgumentError(
                f"LBFGS requires line_search_fn None or 'strong_wolfe', got {line_search_fn!r}"
            )
        max_eval = max_iter * 5 // 4 if max_eval is None else max_eval
        super().__init__(
            params,
            dict(
                lr=lr, max_iter=max_iter, max_eval=max_eval, tolerance_grad=tolerance_grad,
                tolerance_change=tolerance_change, history_size=history_size,
                line_search_fn=line_search_fn,
            ),
        )
        if len(self.param_groups) != 1:
            raise ArgumentError(
                f"LBFGS requires one parameter group, got {len(self.param_groups)}",
                hint="its state couples all parameters; pass them in one list",
            )

    @property
    def _params(self) -> list[Tensor]:
        return self.param_groups[0]["params"]

    @no_grad()
    def step(self, closure: Callable[[], Any]) -> Any:  # type: ignore[override]
        """Up to `max_iter` quasi-Newton steps; returns the first loss that `closure` gave."""
        group = self.param_groups[0]
        # The state of all parameters is kept with the first one, as in PyTorch.
        state = self.state[self._params[0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)
        first_loss, grad = self._evaluate(closure)
        loss, evals = float(first_loss), 1
        last = 0 if _largest(grad) <= group["tolerance_grad"] else group["max_iter"]
        for i in range(1, last + 1):
            state["n_iter"] += 1
            d = state["d"] = _direction(grad, state, group["history_size"])
            state["prev_flat_grad"], state["prev_loss"] = grad, loss
            state["t"] = self._first_length(grad, state)
            slope = grad.dot(d).item()
            if slope > -group["tolerance_change"]:
                break
            if group["line_search_fn"]:
                origin = Point(0.0, loss, grad, slope)
                room = group["max_eval"] - evals
                point, used = self._search(closure, origin, state["t"], d, room)
                state["t"], loss, grad, _ = point
                self._move(state["t"], d)
                evals += used
            else:
                self._move(state["t"], d)
                if i < last:  # nobody reads the loss after the last step
                    value, grad = self._evaluate(closure)
                    loss = float(value)
                    evals += 1
            if evals >= group["max_eval"] or self._converged(loss, grad, state):
                break
        state["func_evals"] += evals
        return first_loss

    def _first_length(self, grad: Tensor, state: State) -> float:
        """The step length tried first.  The very first step has no curvature to go by: cautious."""
        lr = float(self.param_groups[0]["lr"])
        return lr * min(1.0, 1.0 / grad.abs().sum().item()) if state["n_iter"] == 1 else lr

    def _converged(self, loss: float, grad: Tensor, state: State) -> bool:
        group = self.param_groups[0]
        return (
            _largest(grad) <= group["tolerance_grad"]
            or _largest(state["d"] * state["t"]) <= group["tolerance_change"]
            or abs(loss - state["prev_loss"]) < group["tolerance_change"]
        )

    def _evaluate(self, closure: Callable[[], Any]) -> tuple[Any, Tensor]:
        """The loss and all gradients as one vector; a parameter without a grad counts as zero."""
        with enable_grad():
            loss = closure()
        return loss, _flatten([zeros_like(p) if p.grad is None else p.grad for p in self._params])

    @composite()
    def _move(self, t: float, d: Tensor) -> None:
        """x <- x + t d"""
        offset = 0
        for p in self._params:
            p.add_(d[offset : offset + p.numel()].view(p.shape), alpha=t)
            offset += p.numel()

    def _search(
        self, closure: Callable[[], Any], origin: Point, t: float, d: Tensor, room: int
    ) -> tuple[Point, int]:
        """The point along d that strong_wolfe finds; the parameters are where they were."""
        x = [p.clone() for p in self._params]

        def phi(t: float) -> Point:
            self._move(t, d)
            loss, grad = self._evaluate(closure)
            for p, before in zip(self._params, x):
                p.copy_(before)
            return Point(t, float(loss), grad, grad.dot(d).item())

        smallest = self.param_groups[0]["tolerance_change"] / _largest(d)
        return strong_wolfe(phi, origin, t, smallest, room)


def _largest(x: Tensor) -> float:
    return x.abs().max().item()


@composite()
def _direction(grad: Tensor, state: State, history_size: int) -> Tensor:
    """-H g by the two-loop recursion, after taking the last step into the memory."""
    if state["n_iter"] == 1:
        state.update(old_dirs=[], old_stps=[], ro=[], H_diag=1)
        return -grad
    changes, steps, ro = state["old_dirs"], state["old_stps"], state["ro"]
    y, s = grad - state["prev_flat_grad"], state["d"] * state["t"]
    curvature = y.dot(s)
    if curvature > 1e-10:  # else H would not stay positive definite
        if len(changes) == history_size:
            del changes[0], steps[0], ro[0]
        changes.append(y)
        steps.append(s)
        ro.append(1.0 / curvature)
        state["H_diag"] = curvature / y.dot(y)
    d, alphas = -grad, []
    for y, s, r in zip(reversed(changes), reversed(steps), reversed(ro)):
        alphas.append(s.dot(d) * r)
        d = d - alphas[-1] * y
    d = d * state["H_diag"]
    for y, s, r, alpha in zip(changes, steps, ro, reversed(alphas)):
        d = d + (alpha - y.dot(d) * r) * s
    return d


class Point(NamedTuple):
    """A point x + t d on the line of a search: f and its gradient there, and the slope g . d."""

    t: float
    loss: float
    grad: Tensor
    slope: float


def strong_wolfe(
    phi: Callable[[float], Point], origin: Point, t: float, smallest: float, max_evals: int
) -> tuple[Point, int]:
    """A point with f(t) <= f(0) + c1 t f'(0) and |f'(t)| <= c2 |f'(0)|, and the evaluations used.

    First steps outward until such a point lies between the last two, then narrows that bracket by
    cubic interpolation until it is shorter than `smallest` or `max_evals` are spent.  Nocedal and
    Wright, algorithms 3.5 and 3.6, with the safeguards of Schmidt's minFunc.
    """
    previous, point, evals = origin, phi(t), 1
    while evals <= max_evals:
        if _too_high(point, origin) or (evals > 2 and point.loss >= previous.loss):
            break
        if _flat(point, origin):
            return point, evals
        if point.slope >= 0:
            break
        reach = (point.t + 0.01 * (point.t - previous.t), 10 * point.t)
        previous, point = point, phi(_cubic_minimum(previous, point, *reach))
        evals += 1
    else:
        previous = origin
    return _zoom(phi, origin, [previous, point], smallest, evals, max_evals)


def _zoom(
    phi: Callable[[float], Point],
    origin: Point,
    bracket: list[Point],
    smallest: float,
    evals: int,
    max_evals: int,
) -> tuple[Point, int]:
    """Narrow a bracket that holds a suitable point; returns its better end."""
    low, stuck = _lower(bracket), False
    while evals <= max_evals and abs(bracket[1].t - bracket[0].t) >= smallest:
        t, stuck = _inside(bracket, stuck)
        point, high = phi(t), 1 - low
        evals += 1
        if _too_high(point, origin) or point.loss >= bracket[low].loss:
            bracket[high] = point
            low = _lower(bracket)
            continue
        if _flat(point, origin):
            return point, evals
        if point.slope * (bracket[high].t - bracket[low].t) >= 0:
            bracket[high] = bracket[low]
        bracket[low] = point
    return bracket[low], evals


def _lower(bracket: list[Point]) -> int:
    return 0 if bracket[0].loss <= bracket[1].loss else 1


def _too_high(point: Point, origin: Point) -> bool:
    return point.loss > origin.loss + DECREASE * point.t * origin.slope


def _flat(point: Point, origin: Point) -> bool:
    return abs(point.slope) <= -FLATTEN * origin.slope


def _inside(bracket: list[Point], stuck: bool) -> tuple[float, bool]:
    """A step length to try in the bracket.  Twice close to the same end is no progress: then move
    a tenth of the length away from it."""
    left, right = sorted(point.t for point in bracket)
    t = _cubic_minimum(bracket[0], bracket[1], left, right)
    margin = 0.1 * (right - left)
    if min(right - t, t - left) >= margin:
        return t, False
    if stuck or t >= right or t <= left:
        return (right - margin if right - t < t - left else left + margin), False
    return t, True


def _cubic_minimum(a: Point, b: Point, low: float, high: float) -> float:
    """Where the cubic through both points, with their slopes, is least, within [low, high]."""
    if a.t > b.t:
        a, b = b, a
    if b.t > a.t:
        d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.t - b.t)
        square = d1 * d1 - a.slope * b.slope
        d2 = math.sqrt(square) if square >= 0 else math.nan
        divisor = b.slope - a.slope + 2 * d2
        if divisor != 0 and not math.isnan(divisor):
            t = b.t - (b.t - a.t) * ((b.slope + d2 - d1) / divisor)
            return min(max(t, low), high)
    return (low + high) / 2


@composite()
def _flatten(tensors: list[Tensor]) -> Tensor:
    return cat([tensor.reshape(-1) for tensor in tensors])
