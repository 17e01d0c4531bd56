"""A finding: one silent mistake, as a short paragraph, and the nodes of the graph it is about."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ...graph import COMPUTED, Node
from ...scope import Site

WIDTH = 88
MOST_NAMES = 4  # of parameters that a sentence lists


@dataclass(frozen=True)
class Finding:
    """What is wrong, where, why it matters, and what to write instead.

    `nodes` are nodes of the forward graph, or stand-ins for them once that graph is gone.
    """

    rule: str
    where: str  # train.py:31
    what: str
    why: str
    fix: str
    nodes: tuple[Node, ...] = field(default=(), compare=False, repr=False)

    def among(self, order: Iterable[Node]) -> list[int]:
        """The places in `order` of the nodes that this is about, also in another copy of the
        graph: there it is the same op on the same line in the same scope."""
        own = set(self.nodes)
        places = {_place(n) for n in self.nodes}
        order = list(order)
        found = [i for i, n in enumerate(order) if n in own]
        return found or [i for i, n in enumerate(order) if _place(n) in places]

    def data(self, order: Iterable[Node]) -> dict[str, Any]:
        """This as plain data, with numbers for nodes: a finding of a snapshot's page."""
        texts = {name: getattr(self, name) for name in ("rule", "where", "what", "why", "fix")}
        return {**texts, "nodes": self.among(order)}

    def __str__(self) -> str:
        rows = [f"{self.where}: {self.rule}"]
        rows += [textwrap.fill(text, WIDTH, initial_indent="  ", subsequent_indent="  ",
                               break_on_hyphens=False) for text in (self.what, self.why)]
        rows.append(textwrap.fill(f"Write: {self.fix}", WIDTH, initial_indent="  ",
                                  subsequent_indent="  ", break_on_hyphens=False))
        return "\n".join(rows)


class Findings:
    """Findings, each once, in the order in which they were met; falsy when there is none."""

    def __init__(self, found: Iterable[Finding] = ()):
        self._times: dict[Finding, int] = {}
        self.troubles: list[str] = []  # where the linter itself has failed
        for finding in found:
            self.add(finding)

    def add(self, finding: Finding) -> None:
        """Count a finding; one of the same rule at the same place is the same finding."""
        for known in self._times:
            if (known.rule, known.where) == (finding.rule, finding.where):
                self._times[known] += 1
                return
        self._times[finding] = 1

    def times(self, finding: Finding) -> int:
        """How often it was seen."""
        return self._times[finding]

    def __iter__(self) -> Iterator[Finding]:
        return iter(self._times)

    def __len__(self) -> int:
        return len(self._times)

    def __getitem__(self, i: int) -> Finding:
        return list(self._times)[i]

    def __str__(self) -> str:
        count = len(self)
        head = f"lint: {count or 'no'} finding{'s' * (count != 1)}"
        texts = [head, *[_counted(f, n) for f, n in self._times.items()]]
        texts += [f"lint: could not look everywhere: {text}" for text in self.troubles]
        return "\n\n".join(texts)

    __repr__ = __str__


def _counted(finding: Finding, times: int) -> str:
    text = str(finding)
    return text if times == 1 else text.replace("\n", f"  (seen {times} times)\n", 1)


def finding(
    rule: str, site: Any, what: str, why: str, fix: str, nodes: Iterable[Node] = ()
) -> Finding:
    """A finding at a site; texts hold names of the user's, of which only what can be printed."""
    where, what, why, fix = map(printable, (str(Site(*site)), what, why, fix))
    return Finding(rule, where, what, why, fix, tuple(nodes))


def printable(text: str) -> str:
    """The text without control characters: names and paths are the user's."""
    return "".join(c if c.isprintable() else "?" for c in text)


def listed(names: list[str]) -> str:
    """A few names, and how many more there are.

    >>> listed(["a", "b", "c", "d", "e"])
    'a, b, c, d and 1 more'
    """
    more = len(names) - MOST_NAMES
    text = ", ".join(names[:MOST_NAMES])
    return f"{text} and {more} more" if more > 0 else text


def stand_in(node: Node) -> Node:
    """A node at the same place that holds nothing of its graph."""
    return Node(node.op, (), {}, node.spec, node.requires_grad, node.site, node.scope, COMPUTED)


def _place(node: Node) -> tuple:
    return node.name, node.site, node.scope.path if node.scope else ""
