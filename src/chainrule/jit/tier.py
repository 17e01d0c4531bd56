"""The compiled tier: a graph seen before is run as a program."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from .. import config
from ..graph import Node, is_pending, toposort
from ..memo import Memo
from ..warning import warn

#: Programs (None where there is none), and graphs that were seen once.  The oldest are dropped.
_programs = Memo(4096, 1_000_000)
_seen = Memo(4096, 1_000_000)


def make(key: tuple, order: Sequence[Node], wanted: Sequence[int]) -> Callable | None:
    """A function that gives the values of the nodes at the places `wanted` of an `order` with the
    structural key `key`; None if the interpreter shall compute them this time.

    The function gives None where the interpreter shall find an error.
    """
    full = (key, tuple(wanted))
    if full not in _programs:
        if config.jit != "1" and full not in _seen:
            _seen.remember(full, key, None)
            return None
        _programs.remember(full, key, _compiled(order, wanted))
    return _programs[full]


def _compiled(order: Sequence[Node], wanted: Sequence[int]) -> Callable | None:
    from .program import Program  # LLVM, which a graph that is seen once does without

    outputs = [order[i] for i in wanted]
    below = dict.fromkeys(x for n in toposort(outputs, enter=is_pending) for x in n.inputs)
    known = [x for x in below if x.value is not None]
    place = {n: i for i, n in enumerate(order)}
    leaves, constants = [x for x in known if x in place], [x for x in known if x not in place]
    try:
        program = Program(outputs, [*leaves, *constants])
    except Exception as error:
        if config.jit == "1":
            raise
        warn(f"a graph of {len(order)} nodes is interpreted, since it could not be compiled: "
             f"{type(error).__name__}: {error}")
        return None
    return _on_orders(program, [place[n] for n in leaves], [n.value for n in constants])


def _on_orders(program, places: list[int], constants: list[np.ndarray]) -> Callable:
    from .program import Fault

    def run(order: Sequence[Node]) -> list[np.ndarray] | None:
        values = [order[i].value for i in places]
        try:
            return program.run(values + constants if constants else values)
        except Fault:
            return None  # the interpreter finds the same error, and tells it with the user's line

    return run
