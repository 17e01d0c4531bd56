"""Learning-rate schedules that rise and fall, and that may move the momentum against the rate."""

from __future__ import annotations

import math
import types
from collections.abc import Callable
from typing import Any

from ..errors import ArgumentError
from .optimizer import Group, Optimizer
from .schedule import LRScheduler, Rate, per_group, require_optimizer


def _require_counts(name: str, **counts: Any) -> None:
    for option, value in counts.items():
        if not isinstance(value, int) or value <= 0:
            raise ArgumentError(f"{name} requires {option} to be a positive int, got {value!r}")


class CosineAnnealingWarmRestarts(LRScheduler):
    """The falling half of CosineAnnealingLR, again and again, each T_mult times as long:

        lr = eta_min + (lr_0 - eta_min) (1 + cos(pi T_cur / T_i)) / 2

    T_cur epochs since the last restart, T_i = T_0 T_mult^i.  `step(epoch)` takes fractions.  Raises
    ValueError unless T_0 and T_mult are whole and positive.  Loshchilov and Hutter 2017.

    >>> import chainrule as torch
    >>> opt = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=1.0)
    >>> schedule = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(opt, T_0=2)
    >>> [schedule.step() or round(schedule.get_last_lr()[0], 3) for t in range(4)]
    [0.5, 1.0, 0.5, 1.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_0: int,
        T_mult: int = 1,
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ):
        _require_counts("CosineAnnealingWarmRestarts", T_0=T_0, T_mult=T_mult)
        self.T_0 = self.T_i = T_0
        self.T_mult, self.eta_min = T_mult, eta_min
        self.T_cur: float = last_epoch
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Rate]:
        height = 1 + math.cos(math.pi * self.T_cur / self.T_i)
        return [self.eta_min + (lr - self.eta_min) * height / 2 for lr in self.base_lrs]

    def step(self, epoch: float | None = None) -> None:  # type: ignore[override]
        """One epoch further, or to `epoch`, which may be a fraction."""
        if epoch is None and self.last_epoch >= 0:
            epoch = self.last_epoch + 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur %= self.T_i
                self.T_i *= self.T_mult
        else:
            epoch = epoch or 0
            self._seek(epoch)
        self.last_epoch = math.floor(epoch)
        self._set(self.get_lr())

    def _seek(self, epoch: float) -> None:
        """Find the restart before `epoch`: the largest T_0 + ... + T_{i-1} that is not beyond it.

        Counted, and not as a logarithm: PyTorch's is rounded down just before some restarts.
        """
        if epoch < 0:
            raise ArgumentError(f"CosineAnnealingWarmRestarts requires epoch >= 0, got {epoch}")
        self.T_i, self.T_cur = self.T_0, epoch
        while self.T_cur >= self.T_i:
            self.T_cur -= self.T_i
            self.T_i *= self.T_mult


class _MomentumCycle(LRScheduler):
    """Keeps "momentum", or the first of "betas", between "base_momentum" and "max_momentum"."""

    cycle_momentum: bool
    use_beta1: bool

    def _start_momentum(self, base: Any, largest: Any, last_epoch: int) -> None:
        """Note the bounds in the groups.  The cycle starts, like every cycle, at the largest."""
        name, optimizer = type(self).__name__, self.optimizer
        self.use_beta1 = "betas" in optimizer.defaults
        if not self.use_beta1 and "momentum" not in optimizer.defaults:
            raise ArgumentError(
                f"{name} requires an optimizer with momentum or betas, "
                f"got {type(optimizer).__name__}",
                hint="cycle_momentum=False cycles the rate alone",
            )
        self.base_momentums = per_group(name, "base_momentum", base, optimizer)
        self.max_momentums = per_group(name, "max_momentum", largest, optimizer)
        if last_epoch == -1:
            bounds = zip(self.base_momentums, self.max_momentums)
            for group, (low, high) in zip(optimizer.param_groups, bounds):
                group["max_momentum"], group["base_momentum"] = high, low
                self._set_momentum(group, high)

    def _set_momentum(self, group: Group, momentum: float) -> None:
        if self.use_beta1:
            group["betas"] = (momentum, *group["betas"][1:])
        else:
            group["momentum"] = momentum


def _cos(start: Rate, end: Rate, fraction: float) -> Rate:
    return end + (start - end) / 2 * (math.cos(math.pi * fraction) + 1)


def _linear(start: Rate, end: Rate, fraction: float) -> Rate:
    return (end - start) * fraction + start


_ANNEAL = {"cos": _cos, "linear": _linear}


class OneCycleLR(_MomentumCycle):
    """One cycle over `total_steps` calls of step(), one a batch (Smith and Topin 2018):

        initial = max_lr / div_factor  ->  max_lr  ->  initial / final_div_factor

    It rises for the fraction `pct_start` of the steps; with `three_phase` it falls back to
    `initial` just as fast, and then further.  The momentum (beta1 in Adam) moves the other way,
    between `max_momentum` and `base_momentum`.  Raises ValueError for missing or wrong numbers, and
    from step() after the last one.

    >>> import chainrule as torch
    >>> opt = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=1.0, momentum=0.9)
    >>> schedule = torch.optim.lr_scheduler.OneCycleLR(opt, 1.0, total_steps=6, pct_start=0.5)
    >>> opt.step()
    >>> [schedule.step() or round(schedule.get_last_lr()[0], 3) for t in range(5)]
    [0.52, 1.0, 0.75, 0.25, 0.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ):
        self.optimizer = require_optimizer("OneCycleLR", optimizer)
        self.total_steps = _total_steps(total_steps, epochs, steps_per_epoch)
        if not 0 <= pct_start <= 1:
            raise ArgumentError(f"OneCycleLR requires 0 <= pct_start <= 1, got {pct_start}")
        if anneal_strategy not in _ANNEAL:
            raise ArgumentError(
                f"OneCycleLR requires anneal_strategy 'cos' or 'linear', got {anneal_strategy!r}"
            )
        self._anneal_func_type = anneal_strategy
        self._schedule_phases = _phases(pct_start * self.total_steps, self.total_steps, three_phase)
        max_lrs = per_group("OneCycleLR", "max_lr", max_lr, optimizer)
        if last_epoch == -1:
            for group, highest in zip(optimizer.param_groups, max_lrs):
                initial = highest / div_factor
                group.update(
                    initial_lr=initial, max_lr=highest, min_lr=initial / final_div_factor
                )
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self._start_momentum(base_momentum, max_momentum, last_epoch)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Rate]:
        if self.last_epoch > self.total_steps:
            raise ArgumentError(
                f"OneCycleLR requires at most total_steps = {self.total_steps} calls of step(), "
                f"got call {self.last_epoch}",
                hint="a cycle counts batches: pass epochs * len(loader) as total_steps",
            )
        phase, fraction = self._phase()
        anneal, rates = _ANNEAL[self._anneal_func_type], []
        for group in self.optimizer.param_groups:
            rates.append(anneal(group[phase["start_lr"]], group[phase["end_lr"]], fraction))
            if self.cycle_momentum:
                ends = group[phase["start_momentum"]], group[phase["end_momentum"]]
                self._set_momentum(group, anneal(*ends, fraction))
        return rates

    def _phase(self) -> tuple[dict[str, Any], float]:
        """The phase that t is in, and how much of it has passed."""
        start = 0.0
        for phase in self._schedule_phases:
            end = phase["end_step"]
            if self.last_epoch <= end or phase is self._schedule_phases[-1]:
                break
            start = end
        length = end - start
        return phase, (self.last_epoch - start) / length if length else 1.0


def _total_steps(total_steps: int | None, epochs: int | None, steps_per_epoch: int | None) -> int:
    if total_steps is not None:
        _require_counts("OneCycleLR", total_steps=total_steps)
        return total_steps
    if epochs is None or steps_per_epoch is None:
        raise ArgumentError(
            "OneCycleLR requires total_steps, or epochs and steps_per_epoch, "
            f"got epochs={epochs}, steps_per_epoch={steps_per_epoch}"
        )
    _require_counts("OneCycleLR", epochs=epochs, steps_per_epoch=steps_per_epoch)
    return epochs * steps_per_epoch


def _phases(rise: float, total: int, three_phase: bool) -> list[dict[str, Any]]:
    """When each phase ends, and the keys of the groups between which it anneals."""

    def phase(end_step: float, lr: tuple[str, str], momentum: tuple[str, str]) -> dict[str, Any]:
        return dict(
            end_step=end_step, start_lr=lr[0], end_lr=lr[1],
            start_momentum=momentum[0], end_momentum=momentum[1],
        )

    high, low = "max_momentum", "base_momentum"
    up = phase(rise - 1, ("initial_lr", "max_lr"), (high, low))
    if not three_phase:
        return [up, phase(total - 1, ("max_lr", "min_lr"), (low, high))]
    down = phase(2 * rise - 2, ("max_lr", "initial_lr"), (low, high))
    return [up, down, phase(total - 1, ("initial_lr", "min_lr"), (high, high))]


class CyclicLR(_MomentumCycle):
    """lr = base_lr + (max_lr - base_lr) h s, where h rises 0 -> 1 over `step_size_up` calls of
    step() and falls back over `step_size_down`; and s in cycle c, at step t, is

        triangular: 1        triangular2: 2^(1 - c)        exp_range: gamma^t

    or `scale_fn` of c (of t, if `scale_mode` is "iterations").  The momentum moves the other way.
    Raises ValueError for another mode without a `scale_fn`.  Smith 2017.

    >>> import chainrule as torch
    >>> opt = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=1.0)
    >>> schedule = torch.optim.lr_scheduler.CyclicLR(opt, 0.0, 1.0, step_size_up=2)
    >>> opt.step()
    >>> [schedule.step() or schedule.get_last_lr()[0] for t in range(4)]
    [0.5, 1.0, 0.5, 0.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | list[float],
        max_lr: float | list[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.8,
        max_momentum: float | list[float] = 0.9,
        last_epoch: int = -1,
    ):
        self.optimizer = require_optimizer("CyclicLR", optimizer)
        if mode not in ("triangular", "triangular2", "exp_range") and scale_fn is None:
            raise ArgumentError(
                "CyclicLR requires mode 'triangular', 'triangular2' or 'exp_range', or a scale_fn, "
                f"got mode {mode!r}"
            )
        base_lrs = per_group("CyclicLR", "base_lr", base_lr, optimizer)
        self.max_lrs = per_group("CyclicLR", "max_lr", max_lr, optimizer)
        if last_epoch == -1:
            self._set(base_lrs)
        down = step_size_up if step_size_down is None else step_size_down
        self.total_size = float(step_size_up + down)
        self.step_ratio = step_size_up / self.total_size
        self.mode, self.gamma, self._scale_fn_custom = mode, gamma, scale_fn
        own_mode = "iterations" if mode == "exp_range" else "cycle"
        self.scale_mode = own_mode if scale_fn is None else scale_mode
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self._start_momentum(base_momentum, max_momentum, last_epoch)
        super().__init__(optimizer, last_epoch)
        self.base_lrs = base_lrs

    def scale_fn(self, x: float) -> float:
        """s, as a function of the cycle or of the step."""
        if self._scale_fn_custom is not None:
            return self._scale_fn_custom(x)
        if self.mode == "exp_range":
            return self.gamma**x
        return 2.0 ** (1 - x) if self.mode == "triangular2" else 1.0

    def get_lr(self) -> list[Rate]:
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        x = 1 + self.last_epoch / self.total_size - cycle  # how much of this cycle has passed
        rising = x <= self.step_ratio
        height = x / self.step_ratio if rising else (x - 1) / (self.step_ratio - 1)
        scale = self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            bounds = zip(self.base_momentums, self.max_momentums)
            for group, (low, high) in zip(self.optimizer.param_groups, bounds):
                self._set_momentum(group, high - (high - low) * height * scale)
        rates = zip(self.base_lrs, self.max_lrs)
        return [low + (high - low) * height * scale for low, high in rates]

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer; of a `scale_fn` the attributes, if it is an object."""
        state, function = super().state_dict(), self._scale_fn_custom
        plain = function is None or isinstance(function, types.FunctionType)
        return {**state, "_scale_fn_custom": None if plain else dict(function.__dict__)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        own = self._scale_fn_custom
        super().load_state_dict({**state_dict, "_scale_fn_custom": own})
        if state_dict["_scale_fn_custom"] is not None:
            own.__dict__.update(state_dict["_scale_fn_custom"])
