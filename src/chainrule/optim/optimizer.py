"""What every optimizer shares: parameter groups, state, closures, hooks, and running the step."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Callable, Iterable
from copy import deepcopy
from typing import Any, TypeAlias

from ..errors import ArgumentError, ArgumentTypeError, StateError
from ..grad_mode import enable_grad, no_grad
from ..history import RemovableHandle
from ..interrupts import uninterrupted
from ..managed import managed, options, watching
from ..methods.create import tensor
from ..observers import observers, tell
from ..scope import composite
from ..tensor import Tensor, run_tensors
from ..warning import warn
from .rule import promised

ParamsT: TypeAlias = Iterable[Tensor] | Iterable[dict[str, Any]] | Iterable[tuple[str, Tensor]]
Group: TypeAlias = dict[str, Any]
State: TypeAlias = dict[str, Any]

#: As a default of `Optimizer(params, defaults)`: every parameter group must give this option.
required = object()


def _then_run(step: Callable) -> Callable:
    """Wrap step(): hooks around it, and at its end one run of the graph that it completed."""

    @functools.wraps(step)
    def stepped(self: Optimizer, *args, **kwargs):
        if observers:
            tell("stepping", self)
        for hook in list(self._step_pre_hooks):
            args, kwargs = hook(self, args, kwargs) or (args, kwargs)
        result = step(self, *args, **kwargs)
        self._opt_called = True
        tensors = self._updated() + _tensors(self.state)
        if watching.watcher is None or not watching.watcher.puts_off(tensors):
            run_tensors(tensors)
        for hook in list(self._step_post_hooks):
            hook(self, args, kwargs)
        if observers:
            tell("stepped", self)
        return result

    return stepped


class Optimizer:
    """theta <- theta + update(theta, d loss / d theta, state), for every parameter that has a grad.

    `params` are tensors, (name, tensor) pairs, or groups `{"params": [...], option: value}`; an
    option that a group leaves out is taken from `defaults`.  A built-in algorithm overrides
    `update` (and `start`, its first state); an algorithm of your own may override `step` instead,
    as in PyTorch.  The update is recorded as nodes; at the end of step() the parameters and the
    state are run together, so forward, backward and update are one graph.

    `foreach`, `fused`, `capturable` and `differentiable` choose between PyTorch's implementations
    of the same arithmetic.  They are kept in the groups and change nothing here.

    Raises TypeError for a lone tensor, a set, or what is not a tensor; ValueError for no
    parameters at all, a tensor that is not a leaf, or one that is in two groups.

    >>> import chainrule as torch
    >>> class Sign(torch.optim.Optimizer):
    ...     @torch.no_grad()
    ...     def step(self):
    ...         for group in self.param_groups:
    ...             for p in group["params"]:
    ...                 p -= group["lr"] * p.grad.sign()
    >>> w = torch.tensor([1.0, -2.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> Sign([w], {"lr": 0.5}).step()
    >>> w.tolist()
    [0.5, -1.5]
    """

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if "step" in cls.__dict__:
            cls.step = _then_run(cls.step)

    def __init__(self, params: ParamsT, defaults: dict[str, Any]):
        if isinstance(params, Tensor):
            raise ArgumentTypeError(
                f"{self._name} requires an iterable of parameters, got one Tensor",
                hint=f"write {self._name}([tensor], ...)",
            )
        self.defaults = defaults
        self.state: defaultdict[Any, State] = defaultdict(dict)
        self.param_groups: list[Group] = []
        self._step_pre_hooks: list[Callable] = []
        self._step_post_hooks: list[Callable] = []
        self._opt_called = False
        groups: list[Any] = list(params)
        if not groups:
            raise ArgumentError(f"{self._name} requires at least one parameter, got an empty list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    @property
    def _name(self) -> str:
        return type(self).__name__

    def add_param_group(self, param_group: Group) -> None:
        """Optimize one more group: a dict with "params" and the options that differ.

        >>> import chainrule as torch
        >>> a, b = torch.zeros(2, requires_grad=True), torch.zeros(3, requires_grad=True)
        >>> opt = torch.optim.SGD([a], lr=0.1)
        >>> opt.add_param_group({"params": b, "lr": 0.01})
        >>> [group["lr"] for group in opt.param_groups]
        [0.1, 0.01]
        """
        if not isinstance(param_group, dict):
            raise ArgumentTypeError(
                f"{self._name} requires a parameter group to be a dict, "
                f"got {type(param_group).__name__}"
            )
        self._set_params(param_group)
        for name, default in self.defaults.items():
            if default is required and name not in param_group:
                raise ArgumentError(
                    f"{self._name} requires every parameter group to give {name!r}, got none"
                )
            param_group.setdefault(name, default)
        self._check_unique(param_group)
        self.param_groups.append(param_group)

    def _set_params(self, group: Group) -> None:
        """Make group["params"] a list of leaves, and take the names out of (name, leaf) pairs."""
        params = group["params"]
        if isinstance(params, set):
            raise ArgumentTypeError(
                f"{self._name} requires parameters in an order, got a set",
                hint="the order of a set changes between runs; pass a list",
            )
        entries = [params] if isinstance(params, Tensor) else list(params)
        pairs = [entry for entry in entries if isinstance(entry, tuple)]
        if pairs and len(pairs) != len(entries):
            raise ArgumentError(
                f"{self._name} requires names for all parameters or for none, "
                f"got {len(pairs)} names for {len(entries)} parameters"
            )
        group["params"] = [pair[1] for pair in pairs] if pairs else entries
        if pairs:
            group["param_names"] = [pair[0] for pair in pairs]
        for p in group["params"]:
            if not isinstance(p, Tensor):
                raise ArgumentTypeError(
                    f"{self._name} requires every parameter to be a Tensor, got {type(p).__name__}"
                )
            if not (p.is_leaf or p.retains_grad):
                raise ArgumentError(
                    f"{self._name} requires every parameter to be a leaf, "
                    f"got the result of an operation, of shape {tuple(p.shape)}",
                    hint="only leaves receive a grad; pass the tensor it was computed from",
                )

    def _check_unique(self, group: Group) -> None:
        if len(set(group["params"])) < len(group["params"]):
            warn(
                f"{self._name}: a parameter is twice in one group and is updated twice a step",
            )
        for i, other in enumerate(self.param_groups):
            if ("param_names" in group) != ("param_names" in other):
                raise ArgumentError(
                    f"{self._name} requires names for all parameter groups or for none, "
                    f"got a group that differs from group {i}"
                )
            if not set(group["params"]).isdisjoint(other["params"]):
                raise ArgumentError(
                    f"{self._name} requires each parameter to be in one group, "
                    f"got one that is also in group {i}"
                )

    def zero_grad(self, set_to_none: bool = True) -> None:
        """grad <- None for every parameter, or grad <- 0 if not `set_to_none`.

        A parameter without a grad is skipped by step(); one with a zero grad is not.

        >>> import chainrule as torch
        >>> w = torch.ones(2, requires_grad=True)
        >>> w.sum().backward()
        >>> torch.optim.SGD([w]).zero_grad(set_to_none=False); w.grad.tolist()
        [0.0, 0.0]
        """
        for group in self.param_groups:
            for p in group["params"]:
                if set_to_none:
                    p.grad = None
                elif p.grad is not None:
                    p.grad.detach_().zero_()
        if observers:
            tell("zeroed", self)

    @_then_run
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Record the update of every parameter that has a grad, and run the graph once.

        `closure`, if given, is called first, with gradients enabled: it clears the grads, computes
        the loss, calls backward() and returns the loss, which step() returns.

        >>> import chainrule as torch
        >>> w = torch.tensor(3.0, requires_grad=True)
        >>> opt = torch.optim.SGD([w], lr=0.1)
        >>> (w * w).backward()
        >>> opt.step(); round(w.item(), 6)
        2.4
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        self._record_updates()
        return loss

    def start(self, p: Tensor, group: Group) -> State:
        """The state of `p` before its first update."""
        return {}

    def update(self, p: Tensor, grad: Tensor, state: State, group: Group) -> None:
        """Record the new value of `p` and of the tensors in `state`, in place."""
        raise NotImplementedError(
            f"step requires an optimizer that defines update or step, got {self._name}"
        )

    @no_grad()
    def _record_updates(self) -> None:
        with uninterrupted():  # all parameters are to be updated, or none
            optimizer_step(self)

    def _updated(self) -> list[Tensor]:
        return [p for group in self.param_groups for p in group["params"] if p.grad is not None]

    def state_dict(self) -> dict[str, Any]:
        """{"state": {i: state of parameter i}, "param_groups": [options and indices]}.

        Parameters are numbered in the order of the groups, as in PyTorch, so that the result can
        be loaded there and the other way round.

        >>> import chainrule as torch
        >>> torch.optim.SGD([torch.ones(2, requires_grad=True)]).state_dict()["state"]
        {}
        """
        number: dict[Tensor, int] = {}
        groups = []
        for group in self.param_groups:
            for p in group["params"]:
                number.setdefault(p, len(number))
            options = {name: value for name, value in group.items() if name != "params"}
            groups.append({**options, "params": [number[p] for p in group["params"]]})
        state = {number.get(p, p): state for p, state in self.state.items()}
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over groups and state from `state_dict`; either everything is loaded or nothing.

        State is copied and takes the dtype of its parameter, but for `step`.  Raises ValueError if
        the groups do not correspond, StateError (a RuntimeError) if a shape does not fit.

        >>> import chainrule as torch
        >>> w = torch.ones(2, requires_grad=True)
        >>> saved = torch.optim.SGD([w], lr=0.5).state_dict()
        >>> opt = torch.optim.SGD([w], lr=0.1)
        >>> opt.load_state_dict(saved); opt.param_groups[0]["lr"]
        0.5
        """
        saved = deepcopy(state_dict["param_groups"])
        sizes = [len(group["params"]) for group in self.param_groups]
        saved_sizes = [len(group["params"]) for group in saved]
        if sizes != saved_sizes:
            raise ArgumentError(
                f"{self._name}.load_state_dict requires groups of {sizes} parameters, "
                f"got groups of {saved_sizes}"
            )
        parameter: dict[Any, Tensor] = {}
        for group, loaded in zip(self.param_groups, saved):
            parameter.update(zip(loaded["params"], group["params"]))
            loaded["params"] = group["params"]
            # An option or names that an older PyTorch did not save stay as they are.
            for name, value in group.items():
                loaded.setdefault(name, value)
        state: defaultdict[Any, State] = defaultdict(dict)
        for key, value in state_dict["state"].items():
            p = parameter.get(key)
            state[key if p is None else p] = value if p is None else self._adopt(value, p, key)
        self.state, self.param_groups = state, saved

    def _adopt(self, value: Any, p: Tensor, key: Any) -> Any:
        """A copy of loaded state that suits the parameter `p`; `key` is its name in the dict."""
        if isinstance(value, dict):
            return {name: self._adopt(item, p, name) for name, item in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(self._adopt(item, p, key) for item in value)
        # An algorithm with a step of its own may keep any state.
        is_ours = type(self).step is Optimizer.step
        if not isinstance(value, Tensor):
            # PyTorch's own counts were numbers before 1.12.
            return tensor(float(value)) if is_ours and key == "step" else value
        if is_ours and value.dim() and value.shape != p.shape:
            raise StateError(
                f"{self._name}.load_state_dict requires {key!r} of shape {tuple(p.shape)}, "
                f"got {tuple(value.shape)}"
            )
        keep = key == "step" or not p.is_floating_point()
        return value.detach().to(value.dtype if keep else p.dtype).clone()

    def register_step_pre_hook(self, hook: Callable) -> RemovableHandle:
        """Call `hook(optimizer, args, kwargs)` before each step().

        It may return new (args, kwargs) for step.

        >>> import chainrule as torch
        >>> opt = torch.optim.SGD([torch.ones(1, requires_grad=True)])
        >>> handle = opt.register_step_pre_hook(lambda opt, args, kwargs: print("before"))
        >>> opt.step(); handle.remove(); opt.step()
        before
        """
        return RemovableHandle(self._step_pre_hooks, hook)

    def register_step_post_hook(self, hook: Callable) -> RemovableHandle:
        """Call `hook(optimizer, args, kwargs)` after each step(), when the parameters are known.

        >>> import chainrule as torch
        >>> opt = torch.optim.SGD([torch.ones(1, requires_grad=True)])
        >>> handle = opt.register_step_post_hook(lambda opt, args, kwargs: print("after"))
        >>> opt.step()
        after
        """
        return RemovableHandle(self._step_post_hooks, hook)

    def __repr__(self) -> str:
        text = f"{self._name} ("
        for i, group in enumerate(self.param_groups):
            options = [f"    {key}: {group[key]}\n" for key in sorted(group) if key != "params"]
            text += f"\nParameter Group {i}\n" + "".join(options)
        return text + ")"


@composite()
def optimizer_step(optimizer: Optimizer) -> None:
    """Record one update of every parameter that has a grad."""
    follows = type(optimizer).update.__module__.startswith(__package__)

    def record(p: Tensor, grad: Tensor, state: State, group: Group) -> None:
        optimizer.update(p, _gradient(p, grad, group), state, group)

    for group in optimizer.param_groups:
        entries = [
            (p, p._grad, optimizer.state.get(p) or optimizer.start(p, group))
            for p in group["params"] if p._grad is not None
        ]
        if not follows or not promised(type(optimizer), group, entries, record):
            known = options(group) if follows else group
            for p, grad, state in entries:
                record(p, grad, state, known)
        for p, _, state in entries:
            if state:  # plain SGD has none, and then no entry in state_dict either
                optimizer.state[p] = state


def _gradient(p: Tensor, grad: Tensor, group: Group) -> Tensor:
    """The gradient to descend, with its weight decay:

        g = dL/dp + wd p     (of L + wd/2 |p|^2);  decoupled: p <- (1 - lr wd) p instead

    where L is negated to be maximized.
    """
    grad, decay = -grad if group["maximize"] else grad, group["weight_decay"]
    if decay == 0:
        return grad
    if group.get("decoupled_weight_decay"):
        p.mul_(1 - group["lr"] * decay)
        return grad
    return grad.add(p, alpha=decay)


def advance(state: State) -> float:
    """t <- t + 1 in state["step"], and return t as a Python number for the bias corrections.

    The previous step() has run the tensor, so reading it computes nothing.
    """
    count = managed(state["step"].item) + 1
    state["step"].add_(1)
    return count


def check_nonnegative(name: str, **options: Any) -> None:
    """Refuse options of the optimizer `name` that are negative or NaN (ValueError)."""
    for option, value in options.items():
        if isinstance(value, Tensor) and value.numel() != 1:
            raise ArgumentError(
                f"{name} requires {option} to be one number, got shape {tuple(value.shape)}"
            )
        if not value >= 0:
            raise ArgumentError(f"{name} requires {option} >= 0, got {value}")


def check_betas(name: str, betas: tuple[float, float]) -> None:
    """Refuse decay rates outside of [0, 1) (ValueError)."""
    for i, beta in enumerate(betas):
        if not 0 <= beta < 1:
            raise ArgumentError(f"{name} requires 0 <= betas[{i}] < 1, got {beta}")


def _tensors(state: Any) -> list[Tensor]:
    """The tensors in nested dicts and lists."""
    found: list[Tensor] = []
    _gather(state, found)
    return found


def _gather(state: Any, found: list[Tensor]) -> None:
    for value in state.values() if isinstance(state, dict) else state:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, (dict, list)):
            _gather(value, found)
