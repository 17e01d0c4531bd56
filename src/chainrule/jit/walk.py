"""The native half of recognise.py: what a graph looks like, found where CPython keeps its nodes.

In Python a graph is walked at a quarter of a microsecond for each node and each edge, which for
small graphs is longer than it takes to compute them.  runtime_walk.ll takes the same way through
the same objects in nanoseconds: it reads the slots of nodes, and of what they refer to, in memory.
Where they lie is found by trying; if a sample is not read as it was written, nothing is walked.

The key it gives names ops, specs and the structures of templates by their addresses.  They live as
long as the process, but for the ops of users: recognise.py remembers no graph with one of those.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ..graph import Node, leaf, record, survey
from ..ops.elementwise import add
from ..template import Call, Promise, Template
from .arrays import address, are_read
from .runtime import builtin, compile_functions

#: Nodes and calls of a graph that is walked here; half the places in the table of their numbers.
MOST = 4096
#: Words of a key: as many for edges, and for all nodes what is said of each.
ROOM = 1 << 16
_EACH = 10

Walk = Callable[[list, list, list, list, bool], bytes]


@cache
def native_walk() -> Walk | None:
    """walk(outputs, order, calls, attrs, mode) fills in three lists and gives the key, or b"".

    None where Python's objects do not lie as they are looked for.
    """
    has_gil = getattr(sys, "_is_gil_enabled", lambda: True)()
    if sys.implementation.name != "cpython" or not has_gil:
        return None
    if (object.__basicsize__, list.__basicsize__, tuple.__basicsize__) != (16, 40, 24):
        return None
    places = _places() if are_read() else None
    if places is None:
        return None
    text = Path(__file__).with_name("runtime_walk.ll").read_text()
    (found,) = compile_functions(text, "walk", inline=True)
    _states.append(_State(places))
    walk = builtin(found, "walk", _states[0].words)
    return walk if _agrees(walk) else None


_states: list[_State] = []  # lives as long as the function


class _State:
    """The words that runtime_walk.ll begins with, and the memory that they point to."""

    def __init__(self, places: list[int]):
        shift = 64 - (2 * MOST - 1).bit_length()
        self.table = np.zeros(4 * MOST, np.int64)
        self.key = np.empty(ROOM + 2 * _EACH * MOST, np.int64)
        python = ctypes.pythonapi
        functions = [ctypes.cast(f, ctypes.c_void_p).value or 0
                     for f in (python.PyList_Append, python.PyBytes_FromStringAndSize)]
        words = [address(self.table), 2 * MOST - 1, shift, 0, address(self.key), ROOM,
                 id(Node), id(Promise), id(None), id(True), *functions, *places, id(False)]
        self.words = np.array(words, np.int64)


_NODE = ("value", "op", "inputs", "attrs", "spec", "requires_grad", "freed", "owner", "hooks")
_PROMISE = ("call", "place")
_CALL = ("template", "inputs", "together", "promises")


def _places() -> list[int] | None:
    """Where the slots lie in their objects."""
    slots = [(Node, _NODE), (Promise, _PROMISE), (Call, _CALL), (Template, ("structure",))]
    found = [_offset(cls, name) for cls, names in slots for name in names]
    # A promise is a node and more.
    same = [_offset(Promise, name) for name in _NODE]
    known = [offset for offset in found if offset is not None]
    return known if len(known) == len(found) and same == known[: len(_NODE)] else None


def _offset(cls: type, name: str) -> int | None:
    """How many bytes behind its start an object of this class keeps this slot."""
    thing: Any = object.__new__(cls)
    mark = object()
    setattr(thing, name, mark)
    words = (ctypes.c_size_t * (cls.__basicsize__ // 8)).from_address(id(thing))
    at = [i for i, word in enumerate(words) if word == id(mark)]
    return 8 * at[0] if len(at) == 1 else None


def _agrees(walk: Walk) -> bool:
    """Whether samples are read as they were written."""
    x, y = leaf(1.0), leaf(2.0)
    both = record(add, (x, y), {"a": 1}, x.spec)
    twice = record(add, (both, x), {}, x.spec)
    both.requires_grad = True
    return _reads(walk, [twice, both], [{"a": 1}]) and _reads_calls(walk, x, [both, twice])


def _reads_calls(walk: Walk, x: Node, results: list[Node]) -> bool:
    """The same for promises, of which one is dropped and two are held."""
    template = Template([x], [*results, record(add, (x, results[1]), {}, x.spec)])
    first, second, third = template.call([leaf(3.0)], together=True)
    place = third.place  # type: ignore[attr-defined]
    del second
    key = walk([third], [], [], [], False)
    # Behind the number of outputs and theirs: flags, spec, place.
    return _reads(walk, [third], []) and int(np.frombuffer(key, np.int64)[4]) == place


def _reads(walk: Walk, outputs: list[Node], attrs: list[dict]) -> bool:
    order: list[Node] = []
    calls: list[Call] = []
    found: list[dict] = []
    key = walk(outputs, order, calls, found, False)
    known = survey(outputs)
    return bool(key) and (order, calls, found) == (known.order, known.calls, attrs)
