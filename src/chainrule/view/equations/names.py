"""Who is called what: the user's variables, parameters and modules, and names for the rest."""

from __future__ import annotations

import dis
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from math import isfinite
from types import CodeType, FrameType
from typing import Any

from ...graph import Node
from ...nn.container import ModuleDict, ModuleList
from ...nn.module import Module
from ...scope import Scope
from ...tensor import Tensor
from ..frames import variables_in
from ..labels import names_of
from ..picture import inputs_of, is_source
from .expression import ONE, Number

GREEK = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "eps": "ε", "zeta": "ζ",
    "eta": "η", "theta": "θ", "kappa": "κ", "lam": "λ", "lamb": "λ", "lamda": "λ", "lambda_": "λ",
    "lmbda": "λ", "mu": "μ", "nu": "ν", "xi": "ξ", "rho": "ρ", "sigma": "σ", "tau": "τ",
    "phi": "φ", "chi": "χ", "psi": "ψ", "omega": "ω",
}  # fmt: skip
_OTHER_SIGNS = re.compile(r"[^\w.]|[²³ᵀ¹]")


class Naming:
    """The names of nodes and numbers in one set of equations; each name means one thing."""

    def __init__(
        self, frame: FrameType | None, given: Mapping[str, Any] | None, order: list[Node]
    ):
        self.variables = variables_in(frame) if frame else {}
        self.variables.update(given or {})
        self.names: dict[Node, str] = {}
        self._owned: dict[Node, str] = {}  # parameters and buffers, by variable and path
        self._taken: set[str] = set()
        inside = set(order)
        for node, name in self._users(frame, given):
            if node in inside and node not in self.names:
                self._give(node, name)
        self.modules = self._module_variables()
        self._roots = self._root_scopes(order)
        self._in_lists = self._lists()
        self._outputs(order)
        self._letter = self._free_letter()
        self._counts: Counter[str] = Counter()
        self._given = dict(self.names)

    def _give(self, node: Node, name: str) -> str:
        """Call the node so; a name that is taken gets a number."""
        name = _OTHER_SIGNS.sub("_", GREEK.get(name, name))
        unique, n = name, 1
        while unique in self._taken:
            n += 1
            unique = f"{name}_{n}"
        self._taken.add(unique)
        self.names[node] = unique
        return unique

    # ------------------------------------------------------------------ what the user named
    def _users(self, frame: FrameType | None, given: Any) -> Iterator[tuple[Node, str]]:
        nets = {k: v for k, v in self.variables.items()
                if isinstance(v, Module) and not k.startswith("_")}
        inner = self._owned
        holders: dict[str, set[Node]] = defaultdict(set)
        for variable, net in sorted(nets.items(), key=lambda kv: -_count(kv[1])):
            for name, tensor in [*net.named_parameters(), *net.named_buffers()]:
                if tensor.node not in inner:
                    inner[tensor.node] = f"{variable}.{name}"
                    holders[name].add(tensor.node)
        known = names_of(frame, given).nodes
        parameters = set(inner)
        yield from ((n, name) for n, name in known.items() if n not in parameters)
        for node, full in inner.items():
            own = next((k for k in reversed(self.variables)
                        if isinstance(self.variables[k], Tensor)
                        and self.variables[k].node is node), None)
            short = full.partition(".")[2]
            plain = "." in short and not short[0].isdigit() and len(holders[short]) == 1
            yield node, own or (short if plain else full)

    def _module_variables(self) -> dict[str, str]:
        """The variable of each class of module, where there is one."""
        found: dict[str, list[str]] = defaultdict(list)
        for name, value in self.variables.items():
            if isinstance(value, Module) and not name.startswith("_"):
                found[type(value).__name__].append(name)
        return {kind: names[0] for kind, names in found.items() if len(names) == 1}

    def _root_scopes(self, order: list[Node]) -> dict[Scope, str]:
        """The variable of each outermost module that ran, found by the parameters it used."""
        found: dict[Scope, set[str]] = defaultdict(set)
        for node in order:
            for root in list(_modules(node.scope))[-1:]:
                owned = [self._owned[x] for x in inputs_of(node) if x in self._owned]
                found[root].update(name.partition(".")[0] for name in owned)
        return {root: names.pop() for root, names in found.items() if len(names) == 1}

    def _lists(self) -> dict[str, str]:
        """The paths of modules in lists, which are not called and so not part of a scope."""
        found: dict[str, str] = {}
        for net in self.variables.values():
            if isinstance(net, Module):
                modules = dict(net.named_modules())
                for path, module in modules.items():
                    if not path or isinstance(module, (ModuleList, ModuleDict)):
                        continue
                    parts = path.split(".")
                    called = [part for i, part in enumerate(parts) if not isinstance(
                        modules[".".join(parts[:i + 1])], (ModuleList, ModuleDict))]
                    found.setdefault(".".join([type(net).__name__, *called]), path)
        return found

    def path(self, scope: Scope | None) -> str:
        """What the user calls the module that a scope is in: `fc1`, `net.0`, or ''."""
        if scope is None:
            return ""
        root, _, inner = scope.module.partition(".")
        inner = self._in_lists.get(scope.module, inner)
        outermost = list(_modules(scope))[-1:]
        known = self._roots.get(outermost[0], "") if outermost else ""
        known = known or self.modules.get(root, root if inner else "")
        if not inner or inner[0].isdigit():
            return ".".join(filter(None, (known, inner)))
        return inner

    def _outputs(self, order: list[Node]) -> None:
        """What comes out of a module is called after the module."""
        for scope, node in module_outputs(order):
            path = self.path(scope)
            if node not in self.names and path:
                self._give(node, path)

    # ------------------------------------------------------------------ what nobody named
    def _free_letter(self) -> str:
        used = re.compile(r"([a-z])\d+$")
        taken = {m.group(1) for name in self._taken if (m := used.match(name))}
        return next(c for c in "htuvaqrwz" if c not in taken)

    def with_names_for(self, nodes: Iterable[Node], output: Node) -> dict[Node, str]:
        """The names of all nodes that have one, and new ones for these and the output."""
        self.names, self._taken = dict(self._given), set(self._given.values())
        self._counts.clear()
        if output not in self.names:
            self._give(output, "output")
        for node in nodes:
            if node not in self.names:
                self.invent(node)
        return self.names

    def invent(self, node: Node) -> str:
        """A name for a node that has none: h1, or block.h1 inside of a module."""
        path = self.path(node.scope)
        prefix = f"{path}." if path else ""
        letter = "c" if is_source(node) and not node.requires_grad else self._letter
        while True:
            self._counts[prefix + letter] += 1
            name = f"{prefix}{letter}{self._counts[prefix + letter]}"
            if name not in self._taken:
                return self._give(node, name)

    def number(self, user: Node, value: float, precision: int) -> tuple[str, float, Number] | None:
        """(variable, its value, factor): what the user's line calls a number in it."""
        candidates: list[tuple[str, float]] = []
        for name in _mentioned(user.site[0], user.where.line):
            number = self.variables.get(name)
            if isinstance(number, bool) or not isinstance(number, (int, float)) or not number:
                continue
            if not isfinite(value) or (isinstance(number, int) and abs(number) < 3):
                continue
            candidates.append((GREEK.get(name, name), float(number)))
        close = (1e-15 if precision == 8 else 1e-7) * abs(value)
        for factor in (ONE, -ONE, ONE / 2, 2 * ONE, ONE / 3, ONE / 4, ONE / 6):
            for name, number in candidates:
                likely = abs(factor) == 1 or number % 1
                if likely and name not in self._taken and abs(
                        number * float(factor) - value) <= close:
                    return name, number, factor
        return None

    def single_letters(self) -> set[str]:
        """The names of one letter; no index may have one."""
        return {name for name in self._taken if len(name) == 1} | {"d"}


def _count(net: Module) -> int:
    return sum(1 for _ in net.parameters())


def _module(node: Node) -> str:
    return node.scope.module if node.scope else ""


@lru_cache(1024)
def _mentioned(code: CodeType, line: int) -> tuple[str, ...]:
    """The variables that a line of the user's program refers to."""
    parts = [(start, end) for start, end, number in code.co_lines() if number == line]
    names = {*code.co_names, *code.co_varnames, *code.co_freevars, *code.co_cellvars}
    found = [i.argval for i in dis.get_instructions(code)
             if i.opname.startswith("LOAD_") and any(a <= i.offset < b for a, b in parts)]
    return tuple([name for name in dict.fromkeys(map(str, found)) if name in names])


def module_outputs(order: Iterable[Node]) -> list[tuple[Scope, Node]]:
    """For each call of a module the one node that leaves it; outer modules first."""
    order = list(order)
    leaving: dict[Scope, list[Node]] = defaultdict(list)
    chains = {node: set(_modules(node.scope)) for node in order if not is_source(node)}
    used: dict[Node, list[Node]] = defaultdict(list)
    for node in chains:
        for x in inputs_of(node):
            used[x].append(node)
    for node, scopes in chains.items():
        for scope in scopes:
            if not used[node] or any(scope not in chains[user] for user in used[node]):
                leaving[scope].append(node)
    found = [(scope, nodes[0]) for scope, nodes in leaving.items() if len(nodes) == 1]
    return sorted(found, key=lambda pair: pair[0].path.count("."))


def _modules(scope: Scope | None) -> Iterator[Scope]:
    while scope is not None:
        if scope.kind == "module":
            yield scope
        scope = scope.parent
