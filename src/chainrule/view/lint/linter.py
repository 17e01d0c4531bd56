"""`lint`: what is silently wrong with a loss, or with a step of training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ...errors import ArgumentError, ArgumentTypeError
from ...graph import Node
from ...nn.module import Module
from ...tensor import Tensor
from ..facts import facts_of
from ..keep import copied
from ..labels import Names, users_names
from ..undo import undone
from . import frames, layers, losses, reach, updates
from .finding import Finding, Findings, finding
from .modes import acting
from .reading import Reading
from .steps import Followed, Steps, optimizer_params
from .watching import watch


def lint(
    what: Any, *args: Any, model: Module | None = None, optimizer: Any = None, times: int = 3
) -> Findings:
    """What is silently wrong with a loss, or with one step of training.

    Of a loss, its graph is examined, its real values and gradients: squashed or raw values where
    a loss takes logits or log-probabilities, shapes that are broadcast, saturated and dead layers,
    vanishing gradients; with `model` or `optimizer` also parameters that it does not reach.

    A function, one step of your training, is called `times` times with `args` and followed:
    zero_grad that is missing, updates that are too large, train() and eval(), graphs that are kept.
    Everything that it does is undone.  `with lint.watch() as findings:` follows what is inside, and
    `chainrule run --lint script.py` a whole program.

    The findings are printed as text, are listed one by one, and are falsy when there is none.
    ArgumentTypeError for what is neither a loss nor a function.

    >>> import chainrule as torch
    >>> logits = torch.zeros(4, 10, requires_grad=True)
    >>> loss = torch.nn.functional.cross_entropy(logits.sigmoid(), torch.arange(4))
    >>> [finding.rule for finding in torch.lint(loss)]
    ['sigmoid before cross_entropy']
    """
    if isinstance(what, Tensor) and not args:
        return _of_loss(what, model, optimizer)
    if not callable(what) or isinstance(what, Tensor):
        raise ArgumentTypeError(
            "lint requires a loss, or a function and its arguments, got "
            f"{type(what).__name__} and {len(args)} arguments")
    if times < 1:
        raise ArgumentError(f"lint requires times >= 1, got {times}")
    return _of_step(what, args, times)


lint.watch = watch  # type: ignore[attr-defined]


def _of_step(step: Callable, args: tuple, times: int) -> Findings:
    with undone(step, args):
        with watch() as findings:
            for _ in range(times):
                step(*args)
    return findings


def _of_loss(loss: Tensor, model: Module | None, optimizer: Any) -> Findings:
    copies = copied([loss.node])
    names = users_names().on(copies)
    found = examine(copies[loss.node], names)
    known = model or optimizer
    if known is not None:
        for each in _reach(copies[loss.node], names, model, optimizer):
            found.add(each)
    return found


def examine(output: Node, names: Names) -> Findings:
    """What the graph of a loss alone tells: a copy (keep.py), whose nodes the findings name."""
    reading = Reading(output, names)
    found = Findings(losses.loss_rules(reading))
    for rules in (layers.layer_rules, layers.not_numbers, _depths):
        for each in rules(reading):
            found.add(each)
    return found


def _depths(reading: Reading) -> Iterator[Finding]:
    output = reading.output
    if not output.requires_grad or output.shape or any(n.freed for n in reading.order):
        return
    gradients = facts_of(Tensor._from_node(output), reading.leaves(), True).gradients
    by_id = {id(n.owner()): g for n, g in gradients.items() if n.owner is not None}
    names = {id(n.owner()): name for n, name in reading.names.nodes.items()
             if n.owner is not None}
    yield from updates.depth_rules(updates.depths_of(reading), by_id, names)


def _reach(
    output: Node, names: Names, model: Module | None, optimizer: Any
) -> Iterator[Finding]:
    reading = Reading(output, names)
    steps = Steps(Findings())
    steps.names = frames.tensor_names(frames.variables())
    if model is not None:
        for name, own in model.named_parameters():
            steps.names.setdefault(id(own), name)
    params: list[Tensor] = optimizer_params(optimizer) if optimizer is not None else []
    params += [] if model is None else list(model.parameters())
    below, ends = reach.cuts_of(reading)
    reached = {id(p) for p in reach.owners(reading.leaves())}
    lone: list[Followed] = []
    for p in dict.fromkeys(params):
        if p.requires_grad and id(p) not in reached:
            lone.append(steps.follow(p))
            lone[-1].cut = below.get(id(p))
    holder = type(model if optimizer is None else optimizer).__name__
    yield from reach.unreached(lone, ends, holder, output.site)
    if model is not None and optimizer is not None and not model.training:
        what = acting(model)
        if what:
            yield finding(
                "training in evaluation mode", output.site,
                f"{type(model).__name__} is in evaluation mode, with its {what} switched off.",
                "Dropout drops nothing, and batch normalisation does not learn the statistics of "
                "the batches.", "model.train() before training.", (output,))


