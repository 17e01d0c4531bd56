"""The compiled tier: a graph seen before is run as a program."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .. import config
from ..graph import Node
from ..warning import warn
from .program import Fault, Program

#: Programs, and how often a structure without one was seen.  The oldest are dropped.
_programs: dict[tuple, Program | int | None] = {}
MOST_PROGRAMS = 4096


def compute(key: tuple, order: Sequence[Node], wanted: Sequence[Node]) -> list[np.ndarray] | None:
    """The values of `wanted`, nodes of the graph `order` with the structural key `key`; None if
    the interpreter shall compute them."""
    number = {n: i for i, n in enumerate(order)}
    full = (key, tuple([number[n] for n in wanted]))
    found = _programs.get(full, 0)
    if found is None:
        return None
    if not isinstance(found, Program):
        if found == 0 and config.jit != "1":
            _remember(full, 1)
            return None
        found = _compiled(full, order, wanted)
        if found is None:
            return None
    try:
        return found.run([n.value for n in order if n.value is not None])
    except Fault:
        return None  # the interpreter finds the same error, and tells it with the user's line


def _remember(key: tuple, what: Program | int | None) -> None:
    if len(_programs) >= MOST_PROGRAMS:
        _programs.pop(next(iter(_programs)))
    _programs[key] = what


def _compiled(key, order: Sequence[Node], wanted: Sequence[Node]) -> Program | None:
    try:
        program = Program(wanted, [n for n in order if n.value is not None])
    except Exception as error:
        if config.jit == "1":
            raise
        warn(f"a graph of {len(order)} nodes is interpreted, since it could not be compiled: "
             f"{type(error).__name__}: {error}")
        _remember(key, None)
        return None
    _remember(key, program)
    return program
