"""Schedules made of schedules, and the one that follows a measured value."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, SupportsFloat

from ..errors import ArgumentError, ArgumentTypeError, StateError
from .optimizer import Optimizer
from .schedule import LRScheduler, per_group, require_optimizer


class _Combined(LRScheduler):
    """Schedules of one optimizer, saved and loaded together."""

    _schedulers: Sequence[LRScheduler]

    def _require(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer) -> None:
        name = type(self).__name__
        for i, scheduler in enumerate(schedulers):
            if not isinstance(scheduler, LRScheduler):
                raise ArgumentTypeError(
                    f"{name} requires schedulers, got {type(scheduler).__name__} at index {i}"
                )
            if isinstance(scheduler, ReduceLROnPlateau):
                raise ArgumentError(
                    f"{name} requires schedulers whose step() takes no value, "
                    f"got ReduceLROnPlateau at index {i}",
                    hint="step ReduceLROnPlateau separately",
                )
            if scheduler.optimizer is not optimizer:
                raise ArgumentError(
                    f"{name} requires schedulers of one optimizer, got another one's at index {i}"
                )

    def state_dict(self) -> dict[str, Any]:
        states = [scheduler.state_dict() for scheduler in self._schedulers]
        return {**super().state_dict(), "_schedulers": states}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        own = self._schedulers
        super().load_state_dict({**state_dict, "_schedulers": own})
        for scheduler, state in zip(own, state_dict["_schedulers"], strict=True):
            scheduler.load_state_dict(state)


class SequentialLR(_Combined):
    """One schedule after the other: the i-th starts, at its t = 0, at `milestones[i - 1]`.

    Raises ValueError unless there is one scheduler more than milestones and all are for
    `optimizer`.

    >>> import chainrule as torch
    >>> opt = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=1.0)
    >>> warm = torch.optim.lr_scheduler.LinearLR(opt, start_factor=0.5, total_iters=2)
    >>> decay = torch.optim.lr_scheduler.ExponentialLR(opt, gamma=0.5)
    >>> schedule = torch.optim.lr_scheduler.SequentialLR(opt, [warm, decay], milestones=[2])
    >>> opt.step()
    >>> [schedule.step() or schedule.get_last_lr()[0] for t in range(4)]
    [0.75, 1.0, 0.5, 0.25]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: Sequence[LRScheduler],
        milestones: list[int],
        last_epoch: int = -1,
    ):
        self._require(schedulers, optimizer)
        if not schedulers or len(milestones) != len(schedulers) - 1:
            raise ArgumentError(
                "SequentialLR requires one scheduler more than milestones, "
                f"got {len(schedulers)} schedulers and {len(milestones)} milestones"
            )
        self._schedulers, self._milestones = schedulers, milestones
        self.last_epoch, self.optimizer = last_epoch + 1, optimizer
        # Each scheduler has taken its step 0 when it was made; only the first was to.
        self._set([group["initial_lr"] for group in optimizer.param_groups])
        _undo_step(self)
        first = schedulers[bisect_right(milestones, 0)]
        first._initial_step()
        self._last_lr = first.get_last_lr()

    def step(self) -> None:  # type: ignore[override]
        self.last_epoch += 1
        i = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[i]
        if i > 0 and self._milestones[i - 1] == self.last_epoch:
            scheduler._update_lr(0)
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()


def _undo_step(scheduler: LRScheduler) -> None:
    if isinstance(scheduler, _Combined):
        for inner in scheduler._schedulers:
            _undo_step(inner)
    else:
        scheduler.last_epoch -= 1


class ChainedScheduler(_Combined):
    """All schedules at once, each changing the rate that the one before it left.

    Raises ValueError for no schedulers or for those of different optimizers.

    >>> import chainrule as torch
    >>> opt = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=1.0)
    >>> step = torch.optim.lr_scheduler.StepLR(opt, step_size=2, gamma=0.1)
    >>> decay = torch.optim.lr_scheduler.ExponentialLR(opt, gamma=0.5)
    >>> schedule = torch.optim.lr_scheduler.ChainedScheduler([step, decay])
    >>> opt.step()
    >>> [schedule.step() or round(schedule.get_last_lr()[0], 4) for t in range(3)]
    [0.5, 0.025, 0.0125]
    """

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None):
        if not schedulers:
            raise ArgumentError("ChainedScheduler requires at least one scheduler, got none")
        self.optimizer = optimizer or schedulers[0].optimizer
        self._require(schedulers, self.optimizer)
        self._schedulers = schedulers
        self._remember()

    def step(self) -> None:  # type: ignore[override]
        for scheduler in self._schedulers:
            scheduler.step()
        self._remember()


class ReduceLROnPlateau(LRScheduler):
    """lr <- max(factor lr, min_lr) when a value has not improved for more than `patience` steps.

    Better than the best means lower (mode "min") or higher ("max") by more than `threshold`, a
    fraction of the best ("rel") or a difference ("abs").  After a reduction the next `cooldown`
    steps do not count.  A change of at most `eps` is not made.  Raises ValueError for factor >= 1,
    another mode, or a wrong number of `min_lr`.

    >>> import chainrule as torch
    >>> opt = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=1.0)
    >>> schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(opt, factor=0.5, patience=1)
    >>> for loss in [3.0, 2.0, 2.0, 2.0]: schedule.step(loss)
    >>> schedule.get_last_lr()
    [0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: list[float] | float = 0,
        eps: float = 1e-8,
    ):
        if factor >= 1:
            raise ArgumentError(f"ReduceLROnPlateau requires factor < 1, got {factor}")
        for option, value, allowed in (
            ("mode", mode, ("min", "max")),
            ("threshold_mode", threshold_mode, ("rel", "abs")),
        ):
            if value not in allowed:
                raise ArgumentError(
                    f"ReduceLROnPlateau requires {option} in {allowed}, got {value!r}"
                )
        self.optimizer = require_optimizer("ReduceLROnPlateau", optimizer)
        self.mode, self.threshold, self.threshold_mode = mode, threshold, threshold_mode
        self.factor, self.patience, self.cooldown, self.eps = factor, patience, cooldown, eps
        self.default_min_lr = None if isinstance(min_lr, list | tuple) else min_lr
        self.min_lrs = per_group("ReduceLROnPlateau", "min_lr", min_lr, optimizer)
        self.mode_worse = math.inf if mode == "min" else -math.inf
        self.last_epoch = 0
        self._reset()
        self._remember()

    def _reset(self) -> None:
        """Forget the values seen so far."""
        self.best, self.cooldown_counter, self.num_bad_epochs = self.mode_worse, 0, 0

    def step(self, metrics: SupportsFloat, epoch: int | None = None) -> None:  # type: ignore[override]
        """Take the value `metrics` of one more epoch into account."""
        current = float(metrics)
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        if self._is_better(current, self.best):
            self.best, self.num_bad_epochs = current, 0
        else:
            self.num_bad_epochs += 1
        if self.in_cooldown:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce()
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        self._remember()

    @property
    def in_cooldown(self) -> bool:
        return self.cooldown_counter > 0

    def _is_better(self, value: float, best: float) -> bool:
        change = -self.threshold if self.mode == "min" else self.threshold
        limit = best * (1 + change) if self.threshold_mode == "rel" else best + change
        return value < limit if self.mode == "min" else value > limit

    def _reduce(self) -> None:
        groups = self.optimizer.param_groups
        if len(self.min_lrs) != len(groups):  # a group was added since
            if self.default_min_lr is None:
                raise StateError(
                    f"ReduceLROnPlateau requires one min_lr for each of {len(groups)} "
                    f"parameter groups, got {len(self.min_lrs)}",
                    hint="a group was added to the optimizer; extend scheduler.min_lrs",
                )
            self.min_lrs = [self.default_min_lr] * len(groups)
        rates = [float(group["lr"]) for group in groups]
        lower = [
            max(rate * self.factor, least) for rate, least in zip(rates, self.min_lrs)
        ]
        self._set(
            [new if old - new > self.eps else old for old, new in zip(rates, lower)]
        )
