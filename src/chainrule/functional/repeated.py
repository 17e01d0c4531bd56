"""Functions of tensors that are recorded once for each kind of arguments, and then promised."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any

from .. import config, dtypes
from ..graph import Node
from ..managed import watching
from ..ops.op import ALL_OPS
from ..scope import context
from ..template import Template
from ..tensor import Tensor

_PLAIN = (int, float, bool, str, type(None), FunctionType)
_MOST_KINDS = 256


def repeated(function: Callable) -> Callable:
    """Decorate a function whose nodes follow from the shapes, dtypes and tracking of its tensors
    and from its other arguments: no look at a value, no random number, nothing written.

    Tensors may stand in tuples and lists, also in what it returns.
    """
    known: dict[tuple, tuple[Template, Any] | None] = {}

    @functools.wraps(function)
    def call(*args, **kwargs):
        nodes: list[Node] = []
        key: list[Any] = [context.now.grad_enabled, dtypes.default_dtype(), *kwargs]
        watched = config.anomaly or watching.watcher or watching.mapped
        if watched or not _describe((*args, *kwargs.values()), nodes, key):
            return function(*args, **kwargs)
        unique = list(dict.fromkeys(nodes))
        if len(unique) < len(nodes):
            key += [unique.index(n) for n in nodes]
        kind = tuple(key)
        if kind not in known:
            result = function(*args, **kwargs)
            if len(known) >= _MOST_KINDS:
                known.pop(next(iter(known)))
            known[kind] = _template(unique, result)
            return result
        found = known[kind]
        if found is None:
            return function(*args, **kwargs)
        template, structure = found
        return _built(structure, iter(template.call(unique, together=True)))

    return call


def _describe(args: Any, nodes: list[Node], key: list[Any]) -> bool:
    """What the recording depends on, and the nodes of the tensors; False if it cannot be told."""
    key.append(len(args))
    for x in args:
        if isinstance(x, Tensor):
            node = x.node
            nodes.append(node)
            key += (node.spec, node.requires_grad)
        elif x.__class__ in _PLAIN:
            key += (x.__class__, x)
        elif not isinstance(x, (tuple, list)) or not _describe(x, nodes, key):
            return False
    return True


def _template(inputs: list[Node], result: Any) -> tuple[Template, Any] | None:
    results: list[Node] = []
    structure = _structure(result, results)
    if not set(inputs).isdisjoint(results):  # a tensor that was given must come back as itself
        return None
    template = Template(inputs, results)
    known = set(ALL_OPS)
    if any(s.op is not None and (s.op not in known or s.value is not None)
           for s in template.steps):
        return None
    return template, structure


def _structure(result: Any, nodes: list[Node]) -> Any:
    if isinstance(result, Tensor):
        nodes.append(result.node)
        return None
    return [_structure(x, nodes) for x in result]


def _built(structure: Any, nodes: Iterator[Node]) -> Any:
    if structure is None:
        return Tensor._from_node(next(nodes))
    return tuple([_built(x, nodes) for x in structure])
