"""Learning-rate schedules: lr as a function of the number t of scheduler.step() calls.

Most schedules have two forms.  The *recurrence* lr_t = r(lr_{t-1}) is what step() uses, so that
schedules can be combined and a rate that was set by hand is respected; the *closed form* lr_t =
f(lr_0, t) is used by step(epoch=t).  The rate is a Python number, a runtime input of the graph.
"""

from __future__ import annotations

import math
import types
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

from ..errors import ArgumentError, ArgumentTypeError, ChainruleError
from ..tensor import Tensor
from ..warning import warn
from .optimizer import Optimizer

# A float, or a tensor of one element.
Rate: TypeAlias = Any


class MissingRate(ChainruleError, KeyError):
    """A parameter group without "initial_lr"."""

    # KeyError would print the message as a quoted string on one line.
    __str__ = Exception.__str__


def copied(rate: Any) -> Any:
    """A rate that does not change when the tensor it came from does."""
    return rate.clone() if isinstance(rate, Tensor) else rate


def require_optimizer(name: str, optimizer: Any) -> Optimizer:
    """`optimizer`, or ArgumentTypeError where the schedule `name` was given something else."""
    if not isinstance(optimizer, Optimizer):
        raise ArgumentTypeError(f"{name} requires an Optimizer, got {type(optimizer).__name__}")
    return optimizer


def per_group(name: str, option: str, value: Any, optimizer: Optimizer) -> list[Any]:
    """One value for every parameter group, from a list of them or one for all (ValueError)."""
    groups = len(optimizer.param_groups)
    if not isinstance(value, list | tuple):
        return [copied(value) for _ in range(groups)]
    if len(value) != groups:
        raise ArgumentError(
            f"{name} requires one {option} for each of {groups} parameter groups, got {len(value)}"
        )
    return list(value)


class LRScheduler:
    """The base: t = `last_epoch` counts step() calls, starting at 0 with the scheduler itself.

    A schedule of your own overrides `get_lr`, which returns the rate of each group at
    `self.last_epoch`.  With `last_epoch` other than -1 it continues where an earlier one stopped,
    and the groups must have "initial_lr" (from a loaded state), else KeyError.

    >>> import chainrule as torch
    >>> class Halve(torch.optim.lr_scheduler.LRScheduler):
    ...     def get_lr(self):
    ...         return [lr * 0.5 ** self.last_epoch for lr in self.base_lrs]
    >>> opt = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=1.0)
    >>> schedule = Halve(opt)
    >>> opt.step(); schedule.step(); schedule.get_last_lr()
    [0.5]
    """

    # While the scheduler itself takes its step 0.
    _is_initial = False

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1):
        self.optimizer = require_optimizer(type(self).__name__, optimizer)
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", copied(group["lr"]))
            elif "initial_lr" not in group:
                raise MissingRate(
                    f"{type(self).__name__} requires 'initial_lr' in every parameter group when "
                    f"last_epoch is not -1, got none in group {i}",
                    hint="load the optimizer's state first, or start with last_epoch=-1",
                )
        self.base_lrs = [copied(group["initial_lr"]) for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._initial_step()

    def _initial_step(self) -> None:
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    def step(self, epoch: int | None = None) -> None:
        """t <- t + 1 (or t <- epoch, by the closed form), and set the rate of every group.

        Call it after optimizer.step(); a warning says so when the first call comes too early.
        """
        if self._step_count == 1 and not self.optimizer._opt_called:
            warn(
                "lr_scheduler.step() was called before optimizer.step(): "
                "the first learning rate of the schedule is skipped",
            )
        self._step_count += 1
        self._update_lr(epoch)

    def _update_lr(self, epoch: int | None = None) -> None:
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        self._set(self.get_lr() if epoch is None else self._get_closed_form_lr())

    def _set(self, rates: Sequence[Rate]) -> None:
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate
        self._remember()

    def _remember(self) -> None:
        self._last_lr = [copied(group["lr"]) for group in self.optimizer.param_groups]

    def get_lr(self) -> list[Rate]:
        """The rates at `last_epoch`, one a group."""
        raise NotImplementedError(
            f"get_lr requires a schedule that defines it, got {type(self).__name__}"
        )

    def _get_closed_form_lr(self) -> list[Rate]:
        return self.get_lr()

    def get_last_lr(self) -> list[Rate]:
        """The rates that the last step() set, one a group."""
        return self._last_lr

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer."""
        return {key: value for key, value in self.__dict__.items() if key != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.__dict__.update(state_dict)


class _Recurrence(LRScheduler):
    """A schedule given by both forms, for one group."""

    def _next(self, lr: Rate, base_lr: Rate) -> Rate:
        """lr_t from lr_{t-1}."""
        raise NotImplementedError

    def _at(self, base_lr: Rate) -> Rate:
        """lr_t from lr_0."""
        raise NotImplementedError

    def get_lr(self) -> list[Rate]:
        groups = self.optimizer.param_groups
        rates = zip(groups, self.base_lrs)
        return [self._next(copied(group["lr"]), base_lr) for group, base_lr in rates]

    def _get_closed_form_lr(self) -> list[Rate]:
        return [self._at(base_lr) for base_lr in self.base_lrs]


class LambdaLR(LRScheduler):
    """lr_t = lr_0 f(t), with one function `lr_lambda` for all groups or a list with one for each.

    state_dict() holds the attributes of callable objects; functions are not saved.  Raises
    ValueError if their number is not that of the groups.

    >>> import chainrule as torch
    >>> opt = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=1.0)
    >>> schedule = torch.optim.lr_scheduler.LambdaLR(opt, lambda t: 1 / (1 + t))
    >>> opt.step()
    >>> [schedule.step() or round(schedule.get_last_lr()[0], 3) for t in range(3)]
    [0.5, 0.333, 0.25]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
        last_epoch: int = -1,
    ):
        name = type(self).__name__
        require_optimizer(name, optimizer)
        self.lr_lambdas = per_group(name, "lr_lambda", lr_lambda, optimizer)
        for function in self.lr_lambdas:
            if not callable(function):
                raise ArgumentTypeError(
                    f"{name} requires lr_lambda to be a function, got {type(function).__name__}"
                )
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Rate]:
        pairs = zip(self.lr_lambdas, self.base_lrs)
        return [base_lr * function(self.last_epoch) for function, base_lr in pairs]

    def state_dict(self) -> dict[str, Any]:
        state = super().state_dict()
        state["lr_lambdas"] = [
            None if isinstance(function, types.FunctionType) else dict(function.__dict__)
            for function in self.lr_lambdas
        ]
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        own = self.lr_lambdas
        super().load_state_dict({**state_dict, "lr_lambdas": own})
        for function, attributes in zip(own, state_dict["lr_lambdas"], strict=True):
            if attributes is not None:
                function.__dict__.update(attributes)


class MultiplicativeLR(LambdaLR):
    """lr_t = lr_{t-1} f(t)

    >>> import chainrule as torch
    >>> opt = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=1.0)
    >>> schedule = torch.optim.lr_scheduler.MultiplicativeLR(opt, lambda t: 0.5)
    >>> opt.step()
    >>> [schedule.step() or schedule.get_last_lr()[0] for t in range(3)]
    [0.5, 0.25, 0.125]
    """

    def get_lr(self) -> list[Rate]:
        pairs = zip(self.lr_lambdas, self.optimizer.param_groups)
        if self._is_initial:
            return [copied(group["lr"]) for _, group in pairs]
        return [group["lr"] * function(self.last_epoch) for function, group in pairs]


class StepLR(_Recurrence):
    """lr_t = lr_0 gamma^floor(t / step_size)

    >>> import chainrule as torch
    >>> opt = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=1.0)
    >>> schedule = torch.optim.lr_scheduler.StepLR(opt, step_size=2, gamma=0.5)
    >>> opt.step()
    >>> [schedule.step() or schedule.get_last_lr()[0] for t in range(4)]
    [1.0, 0.5, 0.5, 0.25]
    """

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ):
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def _next(self, lr: Rate, base_lr: Rate) -> Rate:
        t = self.last_epoch
        return lr * self.gamma if t != 0 and t % self.step_size == 0 else lr

    def _at(self, base_lr: Rate) -> Rate:
        return base_lr * self.gamma ** (self.last_epoch // self.step_size)


class MultiStepLR(_Recurrence):
    """lr_t = lr_0 gamma^(number of milestones <= t)

    >>> import chainrule as torch
    >>> opt = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=1.0)
    >>> schedule = torch.optim.lr_scheduler.MultiStepLR(opt, milestones=[1, 3], gamma=0.5)
    >>> opt.step()
    >>> [schedule.step() or schedule.get_last_lr()[0] for t in range(4)]
    [0.5, 0.5, 0.25, 0.25]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Iterable[int],
        gamma: float = 0.1,
        last_epoch: int = -1,
    ):
        self.milestones, self.gamma = Counter(milestones), gamma
        super().__init__(optimizer, last_epoch)

    def _next(self, lr: Rate, base_lr: Rate) -> Rate:
        # A milestone given twice counts twice.
        return lr * self.gamma ** self.milestones[self.last_epoch]

    def _at(self, base_lr: Rate) -> Rate:
        passed = bisect_right(sorted(self.milestones.elements()), self.last_epoch)
        return base_lr * self.gamma**passed


class ConstantLR(_Recurrence):
    """lr_t = lr_0 factor for t < total_iters, then lr_0

    Raises ValueError unless 0 <= factor <= 1.

    >>> import chainrule as torch
    >>> opt = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=1.0)
    >>> schedule = torch.optim.lr_scheduler.ConstantLR(opt, factor=0.5, total_iters=2)
    >>> opt.step()
    >>> [schedule.step() or schedule.get_last_lr()[0] for t in range(3)]
    [0.5, 1.0, 1.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        factor: float = 1.0 / 3,
        total_iters: int = 5,
        last_epoch: int = -1,
    ):
        if not 0 <= factor <= 1:
            raise ArgumentError(f"ConstantLR requires 0 <= factor <= 1, got {factor}")
        self.factor, self.total_iters = factor, total_iters
        super().__init__(optimizer, last_epoch)

    def _next(self, lr: Rate, base_lr: Rate) -> Rate:
        if self.last_epoch == 0:
            return lr * self.factor
        return lr * (1 / self.factor) if self.last_epoch == self.total_iters else lr

    def _at(self, base_lr: Rate) -> Rate:
        return base_lr * (self.factor if self.last_epoch < self.total_iters else 1.0)


class LinearLR(_Recurrence):
    """lr_t = lr_0 (start + (end - start) min(t, total_iters) / total_iters)

    Raises ValueError unless 0 < start_factor <= 1 and 0 <= end_factor <= 1.

    >>> import chainrule as torch
    >>> opt = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=1.0)
    >>> schedule = torch.optim.lr_scheduler.LinearLR(opt, start_factor=0.5, total_iters=2)
    >>> opt.step()
    >>> [schedule.step() or schedule.get_last_lr()[0] for t in range(3)]
    [0.75, 1.0, 1.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ):
        if not 0 < start_factor <= 1:
            raise ArgumentError(f"LinearLR requires 0 < start_factor <= 1, got {start_factor}")
        if not 0 <= end_factor <= 1:
            raise ArgumentError(f"LinearLR requires 0 <= end_factor <= 1, got {end_factor}")
        self.start_factor, self.end_factor = start_factor, end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def _next(self, lr: Rate, base_lr: Rate) -> Rate:
        start, rise, t = self.start_factor, self.end_factor - self.start_factor, self.last_epoch
        if t == 0:
            return lr * start
        if self._is_initial or t > self.total_iters:
            return lr
        return lr * (1 + rise / (self.total_iters * start + (t - 1) * rise))

    def _at(self, base_lr: Rate) -> Rate:
        rise, t = self.end_factor - self.start_factor, min(self.total_iters, self.last_epoch)
        return base_lr * (self.start_factor + rise * t / self.total_iters)


class ExponentialLR(_Recurrence):
    """lr_t = lr_0 gamma^t

    >>> import chainrule as torch
    >>> opt = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=1.0)
    >>> schedule = torch.optim.lr_scheduler.ExponentialLR(opt, gamma=0.5)
    >>> opt.step()
    >>> [schedule.step() or schedule.get_last_lr()[0] for t in range(3)]
    [0.5, 0.25, 0.125]
    """

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1):
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def _next(self, lr: Rate, base_lr: Rate) -> Rate:
        return lr if self._is_initial else lr * self.gamma

    def _at(self, base_lr: Rate) -> Rate:
        return base_lr * self.gamma**self.last_epoch


class PolynomialLR(_Recurrence):
    """lr_t = lr_0 (1 - min(t, total_iters) / total_iters)^power

    >>> import chainrule as torch
    >>> opt = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=1.0)
    >>> schedule = torch.optim.lr_scheduler.PolynomialLR(opt, total_iters=4)
    >>> opt.step()
    >>> [schedule.step() or schedule.get_last_lr()[0] for t in range(3)]
    [0.75, 0.5, 0.25]
    """

    def __init__(
        self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1
    ):
        self.total_iters, self.power = total_iters, power
        super().__init__(optimizer, last_epoch)

    def _left(self, t: int) -> float:
        return 1 - min(t, self.total_iters) / self.total_iters

    def _next(self, lr: Rate, base_lr: Rate) -> Rate:
        t = self.last_epoch
        if self._is_initial or t > self.total_iters:
            return lr
        return lr * (self._left(t) / self._left(t - 1)) ** self.power

    def _at(self, base_lr: Rate) -> Rate:
        return base_lr * self._left(self.last_epoch) ** self.power


class CosineAnnealingLR(_Recurrence):
    """lr_t = eta_min + (lr_0 - eta_min) (1 + cos(pi t / T_max)) / 2

    After T_max it rises again, with period 2 T_max.  Loshchilov and Hutter 2017.

    >>> import chainrule as torch
    >>> opt = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=1.0)
    >>> schedule = torch.optim.lr_scheduler.CosineAnnealingLR(opt, T_max=4)
    >>> opt.step()
    >>> [schedule.step() or round(schedule.get_last_lr()[0], 3) for t in range(4)]
    [0.854, 0.5, 0.146, 0.0]
    """

    def __init__(
        self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1
    ):
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def _height(self, t: int) -> float:
        return 1 + math.cos(math.pi * t / self.T_max)

    def _next(self, lr: Rate, base_lr: Rate) -> Rate:
        t = self.last_epoch
        if self._is_initial:
            return lr
        if self._step_count == 1 and t > 0:  # resumed: there is no lr_{t-1}
            return self._at(base_lr)
        if (t - 1 - self.T_max) % (2 * self.T_max) == 0:  # the last height was 0: do not divide
            return lr + (base_lr - self.eta_min) * (1 - math.cos(math.pi / self.T_max)) / 2
        return self._height(t) / self._height(t - 1) * (lr - self.eta_min) + self.eta_min

    def _at(self, base_lr: Rate) -> Rate:
        return self.eta_min + (base_lr - self.eta_min) * self._height(self.last_epoch) / 2
