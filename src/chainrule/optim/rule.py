"""The update of parameters like one before: promised, and not recorded anew.

What `Optimizer.update` records depends on the options of the group that are no floats, on the
shapes and dtypes of the parameters and their state, and on what is decided by numbers.  The floats
and the step count only enter as numbers, each by a formula; so the update of a group is recorded
once on stand-ins, and from then on the numbers are worked out and the rest is promised.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import numpy as np

from .. import config, dtypes
from ..graph import COMPUTED, NO_ATTRS, Node
from ..managed import Managed, watching
from ..scope import context
from ..shapes import Spec
from ..template import Template, between
from ..tensor import Tensor

_MOST_RULES = 1024
_MOST_DECISIONS = 8  # ways an update may take that numbers decide on


Entry: TypeAlias = tuple[Tensor, Tensor, dict[str, Any]]  # a parameter, its gradient, its state


class Rule:
    """The recorded update of some parameters: how its numbers follow from the options and the
    step count t, and its template, from (p, grad, *state) of each and numbers to (p, *state)."""

    def __init__(self, template: Template, formulas: list[tuple[str, Spec]], decisions: dict):
        self.template = template
        found = list(dict.fromkeys(formulas))
        self.specs = [spec for _, spec in found]
        self.numbers = [found.index(f) for f in formulas]  # as inputs of the template
        known = {"__builtins__": {}, "inf": math.inf, "nan": math.nan}
        tests = [f"({text})" if is_so else f"not ({text})" for text, is_so in decisions.items()]
        values = "".join(f"{text}, " for text, _ in found)
        self.holds: Callable = eval(f"lambda group, t: {' and '.join(tests) or True}", known)
        self.values: Callable = eval(f"lambda group, t: ({values})", known)

    def promise(self, group: dict, t: float | None, nodes: Iterable[Node]) -> list[Node]:
        """The new values of what `nodes` are."""
        now = context.now
        leaves = []
        for value, spec in zip(self.values(group, t), self.specs):
            leaf = Node(None, (), NO_ATTRS, spec, False, now.site, now.scope, COMPUTED)
            leaf.value = np.array(value, spec.dtype.np)
            leaves.append(leaf)
        return self.template.call([*nodes, *[leaves[i] for i in self.numbers]])


_rules: dict[tuple, list[Rule]] = {}


def promised(kind: type, group: dict, entries: list[Entry], record: Callable) -> bool:
    """Promise the new values of these parameters and their state; False if they must be recorded.

    `record(p, grad, state, group)` does so for one of them; `kind` is the optimizer's class.
    """
    options = _options(group)
    if options is None or config.anomaly or watching.watcher is not None:
        return False
    turns: dict[float | None, list[Entry]] = {}
    for entry in entries:
        count = entry[2].get("step")
        turns.setdefault(None if count is None else count.item(), []).append(entry)
    ready = []
    for t, some in turns.items():
        nodes, names = _nodes(some)
        if nodes is None or not (t is None or t.__class__ is float):
            return False
        key = (kind, dtypes.default_dtype(), options, *names, *[n.spec for n in nodes])
        unique = dict.fromkeys(nodes)
        if len(unique) < len(nodes):  # two biases that are added have one gradient
            if len({id(p) for p, _, _ in some}) < len(some):
                return False
            key = (key, *map([*unique].index, nodes))
        rule = _rule(key, t, group, some, nodes, record)
        if rule is None:
            return False
        ready.append((rule, t, unique, some))
    for rule, t, unique, some in ready:
        _bind(some, rule.promise(group, t, unique))
    return True


def _nodes(entries: list[Entry]) -> tuple[list[Node] | None, list[str]]:
    """The nodes of all parameters, gradients and states, and the states' names.

    None instead of the nodes if one is a view, or followed.
    """
    nodes: list[Node] = []
    names: list[str] = []
    put = nodes.append
    for p, grad, state in entries:
        node = p._node
        if p._base is not None or node.owner is None or grad._base is not None:
            return None, names
        put(node)
        put(grad._node)
        names += state
        for x in state.values():
            if not isinstance(x, Tensor) or x._base is not None or x._keep is not None:
                return None, names
            put(x._node)
    return nodes, names


def _bind(entries: list[Entry], results: list[Node]) -> None:
    new = iter(results)
    for p, _, state in entries:
        node = next(new)
        if node is not p._node:
            node.owner, node.hooks = weakref.ref(p), p._hooks
            p._node = node
            p._version += 1
        for x in state.values():
            x._node = next(new)
            x._version += 1


def _rule(key, t, group, entries, nodes, record) -> Rule | None:
    known = _rules.get(key)
    if known is None:
        if len(_rules) >= _MOST_RULES:
            _rules.pop(next(iter(_rules)))
        known = _rules[key] = []
    for rule in known:
        if rule.holds(group, t):
            return rule
    if len(known) == _MOST_DECISIONS:
        return None
    made = _Recording(record, t).rule(group, entries, nodes)
    if made is not None:
        known.append(made)
    return made


def _options(group: dict) -> tuple | None:
    """The options that a rule depends on by more than a formula; None if it cannot be told."""
    found = []
    for name, value in group.items():
        if name == "params" or name == "param_names" or isinstance(value, float):
            continue
        if value.__class__ is tuple and all([isinstance(x, float) for x in value]):
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
        if isinstance(value, float):
            return Managed(value, text, self.recording)
        if isinstance(value, tuple):
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

    def rule(self, group: dict, entries: list[Entry], nodes: list[Node]) -> Rule | None:
        """What the update records; None if not everything in it is known to come again."""
        symbols, given, results = _Symbols(group, self), iter(nodes), []
        for _, _, state in entries:
            p, grad = Tensor._from_node(next(given)), Tensor._from_node(next(given))
            own = {name: self._stand_in(name, next(given)) for name in state}
            before, gradient = dict(own), grad._node
            self.record(p, grad, own, symbols)
            if own.keys() != before.keys() or grad._node is not gradient or any(
                own[name] is not before[name] for name in own
            ):
                return None
            results += [p._node, *[x._node for x in own.values()]]
        leaves = [n for n in between(nodes, results) if id(n.value) in self.entered]
        texts = [self.entered[id(n.value)][1].formula for n in leaves]
        template = Template([*dict.fromkeys(nodes), *leaves], results)
        if any(isinstance(v, Managed) for s in template.steps for v in s.attrs.values()):
            return None
        formulas = [(text, n.spec) for text, n in zip(texts, leaves) if text is not None]
        return Rule(template, formulas, self.decisions) if len(formulas) == len(leaves) else None

    def _stand_in(self, name: str, node: Node) -> Tensor:
        if name != "step":
            return Tensor._from_node(node)
        count = object.__new__(_Count)
        count._node, count._number = node, Managed(self.t or 0.0, "t", self)
        return count
