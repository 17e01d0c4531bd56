"""Parameters that no loss reaches: what cuts them off, or that nothing uses them."""

from __future__ import annotations

import linecache
import re
from collections.abc import Iterable, Iterator
from typing import Any

from ...graph import Node
from ...scope import Site
from ...tensor import Tensor
from .finding import Finding, finding, listed
from .reading import Reading
from .steps import Followed

# A tensor made on such a line may hold what was computed, but has no history.
_FROM_NUMBERS = re.compile(r"\.(tolist|item|numpy)\(")

Cut = tuple[str, Any]  # what stops gradients, and where


def cuts_of(reading: Reading) -> tuple[dict[int, Cut], list[Cut]]:
    """Where gradients are stopped: by id of the tensors below, and where nothing below is known.

    Only what no path without a cut leads to counts as cut off.
    """
    reached = {id(p) for p in owners(reading.leaves())}
    below: dict[int, Cut] = {}
    open_ends: list[Cut] = []
    for node in reading.order:
        if node.op is None and node.owner is None and _FROM_NUMBERS.search(line_at(node.where)):
            open_ends.append(("made anew from numbers", node.site))
        if node.lost is None or node.op is None:
            continue
        reason, site = node.lost
        if site != node.site:  # it only passes on what another has lost
            continue
        if not node.inputs:
            open_ends.append(node.lost)
        for p in owners(_beneath(node)):
            if id(p) not in reached:
                below.setdefault(id(p), (reason, site))
    return below, open_ends


def line_at(site: Site) -> str:
    """The text of a line of the user's program, or nothing."""
    return linecache.getline(site.filename, site.line)


def _beneath(node: Node) -> Iterator[Node]:
    seen = {node}
    stack = [node]
    while stack:
        node = stack.pop()
        yield node
        for x in node.inputs:
            if x not in seen:
                seen.add(x)
                stack.append(x)


def owners(nodes: Iterable[Node]) -> list[Tensor]:
    """The tensors that gather the gradients of the leaves among these nodes."""
    found = [n.owner() for n in nodes if n.owner is not None]
    return [p for p in found if p is not None]


def unreached(
    params: list[Followed], open_ends: list[Cut], holder: str, site: Any
) -> Iterator[Finding]:
    """One finding for each cut that keeps gradients from some of these, one for all the others."""
    by_cut: dict[Cut | None, list[Followed]] = {}
    for known in params:
        by_cut.setdefault(known.cut, []).append(known)
    for cut, some in by_cut.items():
        called = listed([known.name for known in some])
        count = f"{len(some)} parameter{'s' * (len(some) > 1)} of {holder}"
        nodes = [known.stand_in for known in some]
        if cut is not None:
            reason, where = cut
            yield finding(
                "gradient cut off", where,
                f"No gradient reaches {count}: {called}. Their way to the loss is cut at "
                f"{Site(*where)} ({reason}).", _STAYS,
                "take away what cuts there (detach, .data, no_grad, argmax, a cast to integers, a "
                "tensor made anew from numbers), or take the parameters out of the optimizer.",
                nodes)
        else:
            ends = "".join(f" What lies before {Site(*w)} is cut off ({r})."
                           for r, w in dict.fromkeys(open_ends))
            yield finding(
                "unused parameters", site,
                f"No gradient reaches {count}: {called}. No loss was made from them.{ends}", _STAYS,
                "use them in forward(); or, if they were replaced after the optimizer was made, "
                "make the optimizer afterwards; or take them out.", nodes)


_STAYS = "An optimizer skips a parameter without a gradient: it stays as it was made."


def left_out(root: list[Followed], site: Any) -> Iterator[Finding]:
    """Parameters of a network with a gradient that no optimizer has, while one has others."""
    some = [k for k in root if k.has_arrived and k.is_parameter and not k.has_optimizer
            and not k.has_moved]
    if some and any(k.has_optimizer and k.has_moved for k in root):
        yield finding(
            "parameters without an optimizer", site,
            f"{len(some)} parameter{'s get' if len(some) > 1 else ' gets a'} "
            f"gradient{'s' * (len(some) > 1)}, and no optimizer has them: "
            f"{listed([k.name for k in some])}; others of the same network are updated.",
            "They stay as they were made, and their gradients pile up in .grad.",
            "give them to the optimizer, or requires_grad_(False) if they are to stay.",
            [k.stand_in for k in some])
