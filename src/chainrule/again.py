"""backward() of a loss whose graph is like one before: the shortest way to the gradients.

What `tensor.backward` does in general - seeds, hooks, observers, other graphs - it does for plain
calls in one go: the pass is found (repeat.py), its gradients are promised (template.py) and added
to `.grad`, all under one frame.  Whatever is not plain is left to the general way, untouched.
"""

from __future__ import annotations

from typing import Any

from . import config
from .graph import Node
from .handle import Handle
from .interpreter import run_later
from .managed import watching
from .observers import observers
from .ops import elementwise as ew
from .repeat import promise_again, recognise
from .scope import Frame, context, locate
from .shapes import size


def backward_again(tensor: Handle, free: bool) -> bool:
    """Do what `tensor.backward(retain_graph=not free)` does, if that was done before for a graph
    of this structure; False, and nothing is done, if it was not."""
    node = tensor.node
    if (observers or config.anomaly or watching.watcher is not None
            or not node.requires_grad or size(node.spec.shape) != 1):
        return False
    found = recognise([node], free)
    if found is None:
        return False
    known, order, _ = found
    owners = [order[i].owner() for i in known.leaves]
    if not _plain(owners):
        return False
    saved = context.now
    context.now = Frame(False, saved.scope, saved.site or locate())
    try:
        for owner, ct in zip(owners, promise_again(found)):
            if owner is not None:
                _accumulate(owner, ct)
    finally:
        context.now = saved
    if free:
        run_later(node)
    return True


def _plain(owners: list[Any]) -> bool:
    """Whether each leaf gathers one gradient, and nobody is to be told."""
    for owner in owners:
        if owner is not None and "_after_grad" in owner.__dict__:
            return False
    return len(owners) == 1 or len(set(owners)) == len(owners)


def _accumulate(owner: Any, ct: Node) -> None:
    gathered = owner._grad
    if gathered is None:
        owner._grad = owner.view_class._from_node(ct)
    else:
        gathered._write(ew.add.binary(gathered.node, ct))
