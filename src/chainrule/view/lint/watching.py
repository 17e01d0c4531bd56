"""Following a training: what is looked at when, and that nothing of it changes the program.

Graphs are looked at in copies (keep.py), and at the first, second, third, 5th, 8th, 13th ... pass
from each line: mistakes show early, and a long training is hardly slowed down.  What needs no
values - who cleared which gradient - is followed at every step.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ... import config
from ...graph import backlog
from ...observers import Observer, observed
from ...scope import Site, context, current_site
from ...tensor import Tensor
from ..keep import copied
from ..labels import users_names
from . import frames, layers, losses, reach, updates
from .finding import Finding, Findings, stand_in
from .keeping import Keeping, outdated
from .modes import Modes
from .reading import Reading
from .steps import Followed, Steps, optimizer_params

LOOKS = 3  # in a row at which a layer is seen to learn badly before that is a finding
_OFTEN = {"saturated layer", "dead units", "vanishing gradients", "exploding gradients",
          "equal units"}

_ONCE = "not a number"  # from the first, all others follow


@contextmanager
def watch() -> Iterator[Findings]:
    """Follow what trains inside; what is found is complete at the end.

    >>> import chainrule as torch
    >>> w = torch.ones(2, requires_grad=True)
    >>> optimizer = torch.optim.SGD([w], lr=0.1)
    >>> with torch.lint.watch() as findings:
    ...     for step in range(3):
    ...         (w * w).sum().backward()
    ...         optimizer.step()
    >>> [f.rule for f in findings]
    ['missing zero_grad']
    """
    follower = Follower()
    try:
        with observed(follower):
            yield follower.findings
    finally:
        follower.finish()


class Follower(Observer):
    """Looks on while a program trains, and collects findings."""

    def __init__(self) -> None:
        self.findings = Findings()
        self.steps = Steps(self.findings)
        self.modes = Modes(self.findings)
        self.keeping = Keeping(self.findings)
        self.roots: dict[int, list[Followed]] = {}  # the parameters of networks, by id
        self._passes: dict[Site, int] = {}
        self._looked: _Look | None = None  # at the last backward pass
        self._trends: dict[int, updates.Trend] = {}
        self._before: dict[int, updates.Before] = {}
        self._in_a_row: dict[tuple[str, str], int] = {}
        self._open_ends: list[reach.Cut] = []

    # ------------------------------------------------------------------ events
    def backward(self, tensors: Sequence[Any]) -> None:
        with self._aside():
            site = current_site()
            count = self._passes[site] = self._passes.get(site, 0) + 1
            self._looked = self._look(tensors) if is_due(count) else None
            self.steps.backward(self._looked.leaves if self._looked else ())

    def passed(self, tensors: Sequence[Any]) -> None:
        with self._aside():
            self.keeping.passed(tensors)
            self.steps.passed(current_site())
            if self._looked is not None:
                self._looked.leaves = []

    def zeroed(self, owner: Any) -> None:
        with self._aside():
            self.steps.zeroed(owner, current_site())

    def stepping(self, optimizer: Any) -> None:
        with self._aside():
            self.steps.stepping(optimizer, current_site())
            if self._looked is not None:
                self._before[id(optimizer)] = updates.before(optimizer)

    def stepped(self, optimizer: Any) -> None:
        with self._aside():
            site, params = current_site(), optimizer_params(optimizer)
            self.steps.stepped(optimizer, site)
            self.modes.stepped(params)
            if self._looked is not None:
                self.keeping.look(frames.variables())
                self._sizes(optimizer, site, self._looked)

    def forwarded(self, call: tuple[Any, Any]) -> None:
        with self._aside():
            self.modes.forwarded(*call)

    def finish(self) -> None:
        """What only the end can tell."""
        with self._aside():
            self.steps.finish()
            self.modes.finish()
            idle = any(f.rule in ("step without backward", "zero_grad between backward and step")
                       for f in self.findings)
            for _, stepper in self.steps.steppers:
                lone = [k for k in stepper.params if k.requires_grad and not k.has_arrived]
                if stepper.stepped and not idle:
                    self._report(reach.unreached(
                        lone, self._open_ends, stepper.name, stepper.site))
            for root in self.roots.values():
                site = next((s.site for _, s in self.steps.steppers
                             if any(k in root for k in s.params)), None)
                if site is not None:
                    self._report(reach.left_out(root, site))

    # ------------------------------------------------------------------ looking
    def _look(self, tensors: Sequence[Any]) -> _Look:
        found = frames.variables()
        self.steps.call(frames.tensor_names(found))
        for root in frames.roots_of(found).values():
            self.roots[id(root)] = [self.steps.follow(p) for p in root.parameters()]
        outputs = [t.node for t in tensors]
        copies = copied(outputs)
        names = users_names().on(copies)
        del found
        look = _Look()
        for output in dict.fromkeys(outputs):
            reading = Reading(copies[output], names)
            self._report(outdated(reading, copies))
            self._read(reading, look)
        return look

    def _read(self, reading: Reading, look: _Look) -> None:
        self._report(losses.loss_rules(reading))
        self._report(layers.layer_rules(reading))
        self._report(layers.not_numbers(reading))
        below, ends = reach.cuts_of(reading)
        for key, cut in below.items():
            if key in self.steps.params:
                self.steps.params[key].cut = cut
        self._open_ends += ends
        self.modes.used({n.lost for n in reading.order if n.lost is not None})
        look.leaves += reach.owners(reading.leaves())
        look.depths = updates.depths_of(reading)
        value = reading.values.get(reading.output)
        look.loss = float(value.reshape(-1)[0]) if value is not None and value.size == 1 else None

    def _sizes(self, optimizer: Any, site: Site, look: _Look) -> None:
        old = self._before.pop(id(optimizer), None)
        if old is None:
            return
        trend = self._trends.setdefault(id(optimizer), updates.Trend())
        step = max(self._passes.values())
        name = type(optimizer).__name__
        self._report(updates.trend_rules(trend, old, look.loss, name, step, site))
        if look.depths is not None:
            gradients = {id(p): p._grad._node.value for p, _ in look.depths.weights
                         if p._grad is not None and p._grad._node.value is not None}
            self._report(updates.depth_rules(look.depths, gradients, self.steps.names))

    def _report(self, found: Iterator[Finding]) -> None:
        for finding in found:
            if finding.rule == _ONCE and any(f.rule == _ONCE for f in self.findings):
                continue
            if finding.rule in _OFTEN:
                key = (finding.rule, finding.where)
                self._in_a_row[key] = self._in_a_row.get(key, 0) + 1
                if self._in_a_row[key] < LOOKS:
                    continue
            self.findings.add(_light(finding))

    @contextmanager
    def _aside(self) -> Iterator[None]:
        """Whatever is done inside leaves no trace, and what goes wrong there stops nobody."""
        saved = context.now, config.anomaly, backlog.floor, backlog.limit
        config.anomaly = False
        try:
            with np.errstate(all="ignore"):
                yield
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            text = f"{type(error).__name__}: {error} ({where.name}, line {where.lineno})"
            if text not in self.findings.troubles:
                self.findings.troubles.append(text)
        finally:
            context.now, config.anomaly, backlog.floor, backlog.limit = saved


class _Look:
    """What is remembered of a graph until the optimizer has stepped."""

    def __init__(self) -> None:
        self.leaves: list[Tensor] = []
        self.depths: updates.Depths | None = None
        self.loss: float | None = None


def is_due(count: int) -> bool:
    """Whether the count is a Fibonacci number.

    >>> [n for n in range(1, 40) if is_due(n)]
    [1, 2, 3, 5, 8, 13, 21, 34]
    """
    a, b = 1, 2
    while a < count:
        a, b = b, a + b
    return a == count


def _light(finding: Finding) -> Finding:
    """The finding with stand-ins, which hold nothing of the graph."""
    nodes = tuple(stand_in(n) if n.inputs or n.value is not None else n for n in finding.nodes)
    return Finding(finding.rule, finding.where, finding.what, finding.why, finding.fix, nodes)


