"""What the tests of torch.compile share: a step compiled and not, and what must be equal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import chainrule as torch
from chainrule import nn
from chainrule import optim as optimizers
from chainrule.graph import Node
from chainrule.nn import functional as F


def bits(tree: Any) -> Any:
    """What must be equal: the bits of all tensors, and all else."""
    if isinstance(tree, torch.Tensor):
        value = tree.detach().numpy()
        return (value.dtype.str, value.shape, value.tobytes())
    if isinstance(tree, dict):
        return [(k if isinstance(k, (str, int)) else "", bits(v)) for k, v in tree.items()]
    if isinstance(tree, (list, tuple)):
        return [bits(v) for v in tree]
    return tree


class Run:
    """A step and what it works on; `state` is everything that the step may change."""

    def __init__(self, step: Callable, *modules: nn.Module, opt: Any = None, keep: Any = ()):
        self.step, self.modules, self.opt, self.keep = step, modules, opt, keep

    def state(self) -> Any:
        found: list[Any] = [bits(m.state_dict()) for m in self.modules]
        found += [bits([p.grad for p in m.parameters()]) for m in self.modules]
        found += [bits(self.opt.state_dict())] if self.opt else []
        return [*found, bits(self.keep), torch.get_rng_state().numpy().tobytes()]


def skipped(function: Any) -> bool:
    """Whether some calls of a compiled function need no recording."""
    return bool(function._replays)


def same(make: Callable[[Callable], Run], calls: int = 7, between: Callable = lambda run, i: None,
         skips: bool = True) -> Any:
    """Check that the step made by make(torch.compile) does what that of make(identity) does.

    `between(run, i)` happens before call i, to both.
    """
    histories = []
    for wrap in (lambda f: f, torch.compile):
        torch.manual_seed(0)
        run = make(wrap)
        history = []
        for i in range(calls):
            between(run, i)
            result = run.step()
            history.append((bits(result), run.state()))
        histories.append(history)
    for i, (plain, compiled) in enumerate(zip(*histories)):
        assert plain[0] == compiled[0], f"the result of call {i}"
        assert plain[1] == compiled[1], f"the state after call {i}"
    assert skipped(run.step) is skips
    return run


def recorded(call: Callable[[], Any]) -> int:
    """How many nodes a call records."""
    count = 0
    init = Node.__init__

    def counting(self, *args):
        nonlocal count
        count += args[0] is not None
        init(self, *args)

    Node.__init__ = counting  # type: ignore[method-assign]
    try:
        call()
    finally:
        Node.__init__ = init  # type: ignore[method-assign]
    return count


def mlp(*sizes: int) -> nn.Module:
    layers: list[nn.Module] = []
    for a, b in zip(sizes, sizes[1:]):
        layers += [nn.Linear(a, b), nn.Tanh()]
    return nn.Sequential(*layers[:-1])


def training(wrap: Callable, model: nn.Module, opt: Any, loss_of: Callable, clip=None) -> Run:
    def step():
        opt.zero_grad()
        loss = loss_of()
        loss.backward()
        if clip:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        opt.step()
        return loss

    return Run(wrap(step), model, opt=opt)


def regression(wrap: Callable, optimizer: Callable = optimizers.SGD, **options: Any) -> Run:
    model = mlp(3, 5, 2)
    x, y = torch.rand(4, 3), torch.rand(4, 2)
    opt = optimizer(model.parameters(), **{"lr": 0.1, **options})
    return training(wrap, model, opt, lambda: F.mse_loss(model(x), y))


def calls_agree(function: Callable, calls: list[tuple], skips: bool | None = True) -> Any:
    """Check that a compiled function gives what the function gives, for these arguments in turn.

    Each entry is a function that makes the arguments, so that both get their own.
    """
    compiled = torch.compile(function)
    torch.manual_seed(0)
    expected = []
    for make in calls:
        args = make()
        expected.append((bits(function(*args)), bits(args)))
    torch.manual_seed(0)
    for i, (make, (result, after)) in enumerate(zip(calls, expected)):
        args = make()
        assert bits(compiled(*args)) == result, f"call {i}"
        assert bits(args) == after, f"the arguments after call {i}"
    if skips is not None:
        assert skipped(compiled) is skips
    return compiled
