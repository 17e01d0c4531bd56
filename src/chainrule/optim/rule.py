"""The update of a parameter like one before: promised, and not recorded anew.

What `Optimizer.update` records depends on the options of the group that are no floats, on the
shapes and dtypes of the parameter and its state, and on what is decided by numbers.  The floats
and the step count only enter as numbers, each by a formula; so the update is recorded once on
stand-ins, and from then on the numbers are worked out and the rest is promised.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .. import config, dtypes
from ..graph import COMPUTED, NO_ATTRS, Node
from ..managed import Managed, watching
from ..scope import context
from ..template import Template, between
from ..tensor import Tensor

_MOST_RULES = 1024
_MOST_DECISIONS = 8  # ways an update may take that numbers decide on


class Numbers:
    """How the numbers of an update follow from its group and its step count."""

    def __init__(self, formulas: tuple[tuple, ...], decisions: tuple[tuple, ...]):
        self.specs = [spec for _, spec in formulas]
        known = {"__builtins__": {}, "inf": math.inf, "nan": math.nan}
        tests = " and ".join(f"({t})" if is_so else f"not ({t})" for t, is_so in decisions)
        values = "".join(f"{text}, " for text, _ in formulas)
        self.hold: Callable = eval(f"lambda group, t: {tests or True}", known)
        self.of: Callable = eval(f"lambda group, t: ({values})", known)

    def leaves(self, group: dict, t: float | None) -> list[Node]:
        """The numbers as leaves."""
        now = context.now
        found = []
        for value, spec in zip(self.of(group, t), self.specs):
            node = Node(None, (), NO_ATTRS, spec, False, now.site, now.scope, COMPUTED)
            node.value = np.array(value, spec.dtype.np)
            found.append(node)
        return found


class Rule(NamedTuple):
    """An update that was recorded: from (p, grad, *state, *numbers) to (p, *state)."""

    template: Template
    numbers: Numbers


_rules: dict[tuple, list[Rule]] = {}
_numbers: dict[tuple, Numbers] = {}


class Updates:
    """The updates of one parameter group in one step."""

    def __init__(self, optimizer: Any, group: dict, record: Callable):
        self.group, self.record = group, record
        self.leaves: dict[tuple, list[Node]] = {}
        known = watching.watcher is None and not config.anomaly
        self.key = (type(optimizer), dtypes.default_dtype(), _options(group) if known else None)

    def update(self, p: Tensor, grad: Tensor, state: dict[str, Any]) -> bool:
        """Promise the new values of p and its state; False if they must be recorded."""
        node = p._node
        if self.key[-1] is None or p._base is not None or node.owner is None or grad._base:
            return False
        nodes = [node, grad._node]
        for x in state.values():
            if not isinstance(x, Tensor) or x._base is not None or x._keep is not None:
                return False
            nodes.append(x._node)
        count = state.get("step")
        t = None
        if count is not None:
            t = count.item()
            if t.__class__ is not float:
                return False
        rule = self._rule(nodes, state, t)
        if rule is None:
            return False
        made = self.leaves.get((rule.numbers, t))
        if made is None:
            made = self.leaves[rule.numbers, t] = rule.numbers.leaves(self.group, t)
        new, *others = rule.template.call([*nodes, *made])
        if new is not node:
            new.owner, new.hooks = weakref.ref(p), p._hooks
            p._node = new
            p._version += 1
        for x, now in zip(state.values(), others):
            x._node = now
            x._version += 1
        return True

    def _rule(self, nodes: list[Node], state: dict[str, Any], t: float | None) -> Rule | None:
        key = (self.key, *state, *[n.spec for n in nodes])
        known = _rules.get(key)
        if known is None:
            if len(_rules) >= _MOST_RULES:
                _rules.pop(next(iter(_rules)))
            known = _rules[key] = []
        for rule in known:
            if rule.numbers.hold(self.group, t):
                return rule
        if len(known) == _MOST_DECISIONS:
            return None
        made = _Recording(self.record, t).rule(self.group, nodes, state)
        if made is not None:
            known.append(made)
        return made


def _options(group: dict) -> tuple | None:
    """The options that a rule depends on by more than a formula; None if it cannot be told."""
    found = []
    for name, value in group.items():
        if name == "params" or name == "param_names" or value.__class__ is float:
            continue
        if value.__class__ is tuple and all([x.__class__ is float for x in value]):
            value = len(value)
        elif value is not None and value.__class__ not in (bool, int, str):
            return None
        found.append((name, value.__class__, value))
    return tuple(found)


# --------------------------------------------------------------------------- recording
class _Count(Tensor):
    """The stand-in of a step count: as a number it is t."""

    _number: Managed

    def item(self):
        return self._number


class _Symbols(dict):
    """The options of a group, whose floats are named."""

    def __init__(self, group: dict, recording: _Recording):
        super().__init__(group)
        self.recording = recording

    def __getitem__(self, name: str) -> Any:
        value, text = super().__getitem__(name), f"group[{name!r}]"
        if type(value) is float:
            return Managed(value, text, self.recording)
        if type(value) is tuple:
            return tuple(Managed(x, f"{text}[{i}]", self.recording) for i, x in enumerate(value))
        return value


class _Recording:
    """One update on stand-ins, followed as managed.py describes."""

    def __init__(self, record: Callable, t: float | None):
        self.record, self.t = record, t
        self.entered: dict[int, tuple[np.ndarray, Managed]] = {}  # by id of the array
        self.decisions: dict[str, bool] = {}

    def enter_number(self, array: np.ndarray, number: Managed) -> None:
        self.entered[id(array)] = (array, number)

    def decide(self, number: Managed, formula: str | None, outcome: bool) -> None:
        if formula is not None:
            self.decisions[formula] = outcome

    def used(self, number: Managed) -> None:
        self.decisions[f"{number.formula} == {number.plain()!r}"] = True

    def rule(self, group: dict, nodes: list[Node], state: dict[str, Tensor]) -> Rule | None:
        """What the update records; None if not everything in it is known to come again."""
        p, grad, *others = [Tensor._from_node(n) for n in nodes]
        own = dict(zip(state, others))
        if self.t is not None:
            own["step"] = object.__new__(_Count)
            own["step"]._node = state["step"]._node
            own["step"]._number = Managed(self.t, "t", self)
        before = dict(own)
        self.record(p, grad, own, _Symbols(group, self))
        if own.keys() != before.keys() or any(own[name] is not before[name] for name in own):
            return None
        results = [p._node, *[x._node for x in own.values()]]
        leaves = [n for n in between(nodes, results) if id(n.value) in self.entered]
        formulas = tuple([(self.entered[id(n.value)][1].formula, n.spec) for n in leaves])
        template = Template([*nodes, *leaves], results)
        if grad._node is not nodes[1] or any(
            isinstance(v, Managed) for s in template.steps for v in s.attrs.values()
        ):
            return None
        full = (formulas, tuple(self.decisions.items()))
        numbers = _numbers.get(full) or _numbers.setdefault(full, Numbers(*full))
        return Rule(template, numbers)
