"""Arguments and results: tensors in nested containers, taken apart and put together again."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, NamedTuple

from ..managed import Managed
from ..shapes import Spec
from ..tensor import Tensor

PLAIN = (int, float, str, bool, bytes, complex, type(None))


class Like(NamedTuple):
    """In the place of a tensor: what another one must be like."""

    spec: Spec
    requires_grad: bool


_likes: dict[tuple[Spec, bool], Like] = {}


class Number(NamedTuple):
    """In the place of a number that comes out of a tensor."""


class Branch(NamedTuple):
    """A container: its class, its names, what is in it."""

    kind: type
    names: tuple
    parts: tuple


class Same:
    """An object that stands for itself only."""

    __slots__ = ("value",)

    def __init__(self, value: Any):
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and other.value is self.value

    __hash__ = None  # type: ignore[assignment]


def flatten(tree: Any, leaves: list) -> Any:
    """The structure of `tree`, which compares with another's; its tensors go into `leaves`."""
    if isinstance(tree, Tensor):
        leaves.append(tree)
        node = tree._node if tree._base is None else tree.node
        key = node.spec, node.requires_grad
        return _likes.get(key) or _likes.setdefault(key, Like(*key))
    kind = type(tree)
    if kind is Managed:
        leaves.append(tree)
        return Number()
    if kind in PLAIN:
        return (kind, repr(tree) if kind is float else tree)
    if kind is dict or kind is OrderedDict:
        names, values = tuple(tree), tree.values()
    elif kind is list or (isinstance(tree, tuple) and (kind is tuple or hasattr(kind, "_fields"))):
        names, values = (), tree
    elif dataclasses.is_dataclass(kind):
        names = tuple(f.name for f in dataclasses.fields(kind) if hasattr(tree, f.name))
        values = [getattr(tree, name) for name in names]
    else:
        return Same(tree)
    return Branch(kind, names, tuple([flatten(x, leaves) for x in values]))


def build(structure: Any, leaves: Iterator) -> Any:
    """A tree of this structure, with the tensors and numbers that `leaves` gives."""
    if isinstance(structure, (Like, Number)):
        return next(leaves)
    if isinstance(structure, Same):
        return structure.value
    if not isinstance(structure, Branch):
        kind, value = structure
        return kind(value) if kind is float else value
    kind, names, parts = structure
    values = [build(part, leaves) for part in parts]
    if kind is dict or kind is OrderedDict:
        return kind(zip(names, values))
    if kind is list or kind is tuple:
        return kind(values)
    if not names:
        return kind(*values)
    made: Any = object.__new__(kind)
    for name, value in zip(names, values):
        object.__setattr__(made, name, value)
    return made


def constants(tree: Any) -> Iterator[Any]:
    """The numbers and texts in a tree, as the objects that they are."""
    if type(tree) is float or type(tree) is str:
        yield tree
    elif isinstance(tree, dict):
        for value in tree.values():
            yield from constants(value)
    elif isinstance(tree, (list, tuple)):
        for value in tree:
            yield from constants(value)


def containers(tree: Any) -> Iterator[Any]:
    """The lists and dicts in a tree, which can be changed."""
    if isinstance(tree, (dict, list)):
        yield tree
    if isinstance(tree, (dict, list, tuple)):
        for value in tree.values() if isinstance(tree, dict) else tree:
            yield from containers(value)


def opaque(structure: Any) -> Iterator[Any]:
    """The objects in a structure that stand for themselves."""
    if isinstance(structure, Same):
        yield structure.value
    elif isinstance(structure, tuple):
        for part in structure.parts if isinstance(structure, Branch) else structure:
            yield from opaque(part)


def plain(tree: Any) -> Any:
    """The tree with ordinary numbers in the place of those that are watched."""
    leaves: list[Any] = []
    structure = flatten(tree, leaves)
    if not any(type(x) is Managed for x in leaves):
        return tree
    return build(structure, iter([x.plain() if type(x) is Managed else x for x in leaves]))
