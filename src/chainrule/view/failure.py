"""When recording fails - shapes that do not fit - the graph up to there, ended by the failure.

What the failing operation was given is found where it failed: in the frames of the traceback,
whose variables still hold the tensors.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace, TracebackType
from typing import Any

import numpy as np

from ..graph import COMPUTED, NO_ATTRS, Node
from ..scope import Site, is_own
from ..shapes import spec
from ..tensor import Tensor

#: The op of the node that a failure ends in.
FAILED = SimpleNamespace(name="error", kind="error")


def failed_node(error: BaseException) -> Node | None:
    """A node that stands for the operation which could not be recorded, with its inputs; None if
    the traceback knows of no tensor.

    >>> import chainrule as torch
    >>> try:
    ...     torch.ones(2, 3) @ torch.ones(4, 5)
    ... except RuntimeError as error:
    ...     [x.shape for x in failed_node(error).inputs]
    [(2, 3), (4, 5)]
    """
    users = [f for f in _frames(error.__traceback__) if not is_own(f.tb_frame.f_code.co_filename)]
    while error.__cause__ is not None:  # what was refused first
        error = error.__cause__
    frames = list(_frames(error.__traceback__))
    inner = [f for f in reversed(frames) if is_own(f.tb_frame.f_code.co_filename)]
    given = [list(dict.fromkeys(_nodes(f.tb_frame.f_locals.values()))) for f in inner]
    inputs = next((n for n in given if len(n) > 1), None) or next((n for n in given if n), None)
    if not inputs:
        return None
    last = (users or frames)[-1]
    site = Site(last.tb_frame.f_code, last.tb_lasti)
    node = Node(FAILED, tuple(inputs), NO_ATTRS, spec((), inputs[0].dtype), False, site,
                None, COMPUTED)
    node.value = np.array(np.nan)  # it has none, and none is to be computed
    return node


def _frames(trace: TracebackType | None) -> Iterator[TracebackType]:
    while trace is not None:
        yield trace
        trace = trace.tb_next


def _nodes(found: Any) -> Iterator[Node]:
    """The nodes among some variables, in lists and tuples included."""
    for x in found:
        if isinstance(x, Node):
            yield x
        elif isinstance(x, Tensor):
            yield x.node
        elif isinstance(x, (list, tuple)):
            yield from _nodes(x)
