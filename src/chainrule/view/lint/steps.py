"""Mistakes in the order of zero_grad, backward and step, found by following the gradients.

backward() adds to `.grad`, so a step uses a gradient that is its own only if that was cleared
since the last one.  What a gradient is at a moment is (the tensor in `.grad`, how often it was
written): the same pair after a step and before the next backward means that nobody cleared it.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ...graph import Node
from ...nn.parameter import Parameter
from ...tensor import Tensor
from ..labels import norm
from .finding import Finding, Findings, finding, stand_in

_MANY = 3  # times before it is no accident


class Moment(NamedTuple):
    """What `.grad` is now: the tensor, and how often it was written."""

    ref: weakref.ref[Tensor] | None
    version: int

    def is_same(self, other: Moment | None) -> bool:
        """Whether there was a gradient at the other moment, and still is: that one."""
        # By identity: equality of references would be asked of the tensors, elementwise.
        return other is not None and self.ref is not None and self.ref is other.ref \
            and self.version == other.version


def _moment(p: Tensor) -> Moment:
    grad = p._grad
    return Moment(None, 0) if grad is None else Moment(weakref.ref(grad), grad._version)


@dataclass(eq=False)
class Followed:
    """What is known of a parameter's gradient."""

    ref: weakref.ref[Tensor]
    name: str
    stand_in: Node
    is_parameter: bool  # an nn.Parameter
    first: int  # how often the parameter was written when it was first seen
    written: int  # and when backward last gave it something
    now: Moment  # its gradient at the last event
    used: Moment | None = None  # the gradient that a step has used
    used_norm: float | None = None
    stale: Any = None  # the line of the backward that added to that
    is_fresh: bool = False  # backward has given it something since it was cleared
    was_cleared: bool = False  # since the last step, with something from backward in it
    has_arrived: bool = False  # a gradient, ever
    has_optimizer: bool = False
    has_moved: bool = False  # it was written
    requires_grad: bool = True
    cut: Any = None  # what keeps gradients away: (reason, site)


@dataclass(eq=False)
class Stepper:
    """What is known of an optimizer."""

    name: str
    site: Any
    params: list[Followed]
    zeroed: int = 0  # with gradients in it
    stepped: int = 0
    idle: int = 0  # steps in a row without a gradient
    idle_cleared: int = 0  # those of them whose gradients were cleared before
    backwards: int = 0  # that passed since the last step


def optimizer_params(optimizer: Any) -> list[Tensor]:
    """All parameters of an optimizer."""
    return [p for group in optimizer.param_groups for p in group["params"]]


class Steps:
    """Follows the gradients of all parameters that an optimizer has."""

    def __init__(self, findings: Findings):
        self.findings = findings
        self.params: dict[int, Followed] = {}
        self.steppers: list[tuple[weakref.ref[Any], Stepper]] = []
        self.names: dict[int, str] = {}

    def call(self, names: dict[int, str]) -> None:
        """What tensors are called, by id, as far as it is known now."""
        self.names.update(names)
        for p, known in self._alive():
            known.name = names.get(id(p), known.name)

    # ------------------------------------------------------------------ events
    def backward(self, leaves: Iterable[Tensor] = ()) -> None:
        """A pass begins; `leaves` are some that it may lead to."""
        for p in leaves:
            self.follow(p)
        for p, known in self._alive():
            if not known.has_optimizer:
                self._by_hand(p, known)
            known.now = _moment(p)

    def passed(self, site: Any) -> None:
        """Who has been given a gradient, and to whom was it added that a step has used?"""
        for p, known in self._alive():
            now = _moment(p)
            if now.ref is None or now.is_same(known.now):
                continue
            if known.now.is_same(known.used):
                known.stale = site
            known.is_fresh = known.has_arrived = True
            known.now, known.written = now, p._version
        for _, stepper in self.steppers:
            stepper.backwards += 1

    def zeroed(self, owner: Any, site: Any) -> None:
        """An optimizer or a module has cleared what was in `.grad`."""
        params = optimizer_params(owner) if hasattr(owner, "param_groups") else \
            list(owner.parameters())
        for p in params:
            known = self.follow(p)
            known.was_cleared = known.was_cleared or known.is_fresh
            known.is_fresh, known.stale, known.used = False, None, None
        if hasattr(owner, "param_groups"):
            stepper = self._stepper(owner, site)
            stepper.zeroed += any(k.was_cleared for k in stepper.params)

    def stepping(self, optimizer: Any, site: Any) -> Stepper:
        """Gradients are followed from now on, also if backward comes inside of step()."""
        stepper = self._stepper(optimizer, site)
        stepper.site = site
        return stepper

    def stepped(self, optimizer: Any, site: Any) -> None:
        """Which gradients has this step used?"""
        stepper = self.stepping(optimizer, site)
        stepper.stepped += 1
        params = [(p, known) for known in stepper.params for p in (known.ref(),) if p is not None]
        stale = [(p, k) for p, k in params if k.stale is not None and p._grad is not None]
        if stale:
            self.findings.add(_missing_zero_grad(stepper, stale))
        self._idle(stepper)
        for p, known in params:
            known.used = known.now = _moment(p)
            known.used_norm = _norm(p._grad)
            known.stale, known.is_fresh, known.was_cleared = None, False, False
        stepper.backwards = 0

    def finish(self) -> None:
        """What only the end can tell: that step() never came."""
        self._alive()
        for _, stepper in self.steppers:
            unmoved = not any(k.has_moved for k in stepper.params)
            if not stepper.stepped and stepper.zeroed >= _MANY and unmoved:
                self.findings.add(finding(
                    "missing step", stepper.site,
                    f"The gradients of {stepper.name} are cleared again and again after "
                    "backward(), but its step() is never called.",
                    "No parameter of it changes: nothing is learned.",
                    "optimizer.step() after loss.backward()."))

    # ------------------------------------------------------------------ rules
    def _idle(self, stepper: Stepper) -> None:
        if any(k.is_fresh for k in stepper.params):
            stepper.idle = stepper.idle_cleared = 0
            return
        stepper.idle += 1
        stepper.idle_cleared += any(k.was_cleared for k in stepper.params)
        if stepper.idle != 2:
            return
        if stepper.idle_cleared:
            self.findings.add(finding(
                "zero_grad between backward and step", stepper.site,
                f"{stepper.name}.step() at {stepper.site} finds no gradient: they were "
                "cleared after backward() and before the step.",
                "No parameter of it changes (or only by momentum): nothing is learned.",
                "optimizer.zero_grad(), then loss.backward(), then optimizer.step()."))
        elif not stepper.backwards:
            self.findings.add(finding(
                "step without backward", stepper.site,
                f"{stepper.name}.step() at {stepper.site} is called again and no backward() "
                "has passed since the last time.",
                "It uses no gradient, or once more the old one.",
                "loss.backward() before optimizer.step()."))

    def _by_hand(self, p: Tensor, known: Followed) -> None:
        """A parameter without an optimizer has been written: that was the step."""
        if p._version == known.written or not known.is_fresh:
            return
        kept = _moment(p).is_same(known.now)
        if kept and known.stale is not None:
            self.findings.add(_missing_zero(known))
        known.used, known.stale, known.is_fresh = known.now if kept else None, None, False

    # ------------------------------------------------------------------ what is followed
    def _alive(self) -> list[tuple[Tensor, Followed]]:
        found = [(known.ref(), key, known) for key, known in self.params.items()]
        for p, key, known in found:
            if p is None:
                del self.params[key]
            elif p._version != known.first:
                known.has_moved = True
        return [(p, known) for p, _, known in found if p is not None]

    def follow(self, p: Tensor) -> Followed:
        """What is known of a parameter, from now on if it was not followed yet."""
        known = self.params.get(id(p))
        if known is None or known.ref() is not p:
            known = Followed(
                weakref.ref(p), self.names.get(id(p), f"one of shape {tuple(p.shape)}"),
                stand_in(p._node), isinstance(p, Parameter), p._version, p._version, _moment(p))
            known.is_fresh = known.has_arrived = p._grad is not None
            self.params[id(p)] = known
        return known

    def _stepper(self, optimizer: Any, site: Any) -> Stepper:
        stepper = next((s for ref, s in self.steppers if ref() is optimizer), None)
        if stepper is None:
            stepper = Stepper(type(optimizer).__name__, site, [])
            self.steppers.append((weakref.ref(optimizer), stepper))
        stepper.params = [self.follow(p) for p in optimizer_params(optimizer)]
        for known in stepper.params:
            known.has_optimizer = True
            p = known.ref()
            known.requires_grad = p is not None and p.requires_grad
        return stepper


def _missing_zero_grad(stepper: Stepper, stale: list[tuple[Tensor, Followed]]) -> Finding:
    p, worst = max(stale, key=lambda pair: pair[1].used_norm or 0.0)
    now = _norm(p._grad)
    sizes = "" if now is None or worst.used_norm is None else (
        f" The gradient of {worst.name} had the norm {worst.used_norm:.4g} at the step before, and "
        f"has {now:.4g} now: it is the sum of the old and the new one.")
    return finding(
        "missing zero_grad", worst.stale,
        f"backward() at {worst.stale} adds to gradients that {stepper.name}.step() at "
        f"{stepper.site} has used already, and which it now uses again.{sizes}",
        "backward() accumulates into .grad: without zero_grad() every step follows the sum of the "
        "gradients of all batches so far.",
        "optimizer.zero_grad() before loss.backward(), once for each step.",
        [worst.stand_in])


def _missing_zero(known: Followed) -> Finding:
    return finding(
        "missing zero_grad", known.stale,
        f"backward() at {known.stale} adds to the gradient of {known.name}, which an update by "
        "hand has used already, and the next update uses the sum.",
        "backward() accumulates into .grad: if nobody clears it, every update follows the sum of "
        "all gradients so far.",
        "w.grad = None (or w.grad.zero_()) after each update.", [known.stand_in])


def _norm(grad: Tensor | None) -> float | None:
    """The norm of a gradient whose value is known."""
    value = None if grad is None else grad._node.value
    with np.errstate(all="ignore"):
        return None if value is None else norm(value)

