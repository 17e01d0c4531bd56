"""What things are called in a picture: numbers, ops, and the user's own variables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import numpy as np

from ..autodiff import is_leaf
from ..errors import ArgumentTypeError
from ..graph import Node
from ..nn.module import Module
from ..scope import Scope
from ..tensor import Tensor
from .frames import users_frames, variables_in

# Signs for the few ops that mathematics writes as signs; every other op goes by its name.
_SIGNS = {
    "add": "+", "sub": "−", "mul": "×", "div": "÷", "pow": "^", "matmul": "@",
    "eq": "=", "ne": "≠", "lt": "<", "le": "≤", "gt": ">", "ge": "≥",
}  # fmt: skip
_CONSTANT_FIRST = {"sub": "{c}−x", "div": "{c}/x", "pow": "{c}^x"}
_ALONE = {"neg": "×-1", "reciprocal": "1/x", "t": "T"}
_PRODUCTS = {"ij,jk->ik": "@", "ij,j->i": "@", "i,ij->j": "@", "i,i->": "@", "ij,kj->ik": "x yᵀ"}


_PLAIN = (int, float, Module)


def node_of(function: str, tensor: Any) -> Node:
    if not isinstance(tensor, Tensor):
        raise ArgumentTypeError(f"{function} requires a Tensor, got {type(tensor).__name__}")
    return tensor.node


def short(value: float | int | bool) -> str:
    """A number in at most about seven characters.

    >>> [short(v) for v in (0.731058, -2.0, 12, 1.5e-7, float("nan"))]
    ['0.73', '-2.00', '12', '1.5e-7', 'nan']
    """
    if isinstance(value, (bool, int, np.integer, np.bool_)):
        return str(int(value))
    value = float(value)
    if value == 0 or 0.005 <= abs(value) < 9999.5 or value != value or abs(value) == np.inf:
        return f"{value:.2f}" if abs(value) < 999.95 or abs(value) == np.inf else f"{value:.0f}"
    mantissa, _, exponent = f"{value:.1e}".partition("e")
    return f"{mantissa}e{int(exponent)}"


def shape_text(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) if shape else "scalar"


def is_number(node: Node) -> bool:
    """Whether this is a number that the program text holds next to a tensor."""
    return node.op is None and not node.shape and not node.requires_grad and node.owner is None


def is_constant(node: Node, names: Names) -> bool:
    """A number without a name: the label of its user shows it."""
    return is_number(node) and node not in names.nodes


def op_label(node: Node, folded: Mapping[Node, str], name: str) -> str:
    """`+`, `exp`, `^2`, and with a constant folded in `+1`, `1/x`, `where(·,·,0)`.

    `name` is the op's, or that of the function it is all of.
    """
    if node.op.name == "power":
        return f"^{node.attrs['exponent']:g}"
    if node.op.name == "contract":
        equation = einsum_text(node.attrs["labels"])
        return _PRODUCTS.get(equation, equation)
    constants = [folded.get(x) for x in node.inputs]
    if not any(constants):
        return _ALONE.get(name) or _SIGNS.get(name) or name.rstrip("_")
    if name not in _SIGNS:
        return f"{name.rstrip('_')}({','.join(c or '·' for c in constants)})"
    first, second = constants
    if second is None and name in _CONSTANT_FIRST:
        return _CONSTANT_FIRST[name].format(c=first)
    return _SIGNS[name] + (second or first or "")


def einsum_text(labels: tuple[tuple[int, ...], ...]) -> str:
    """The labels of a contraction as letters, in their order of appearance.

    >>> einsum_text(((7, 2), (2, 9), (7, 9)))
    'ij,jk->ik'
    """
    letters = dict(zip(dict.fromkeys(sum(labels, ())), "ijklmnopqrstuvwxyzabcdefgh"))
    x, y, out = ("".join(letters[label] for label in part) for part in labels)
    return f"{x},{y}->{out}"


@dataclass
class Names:
    """What the caller calls nodes, by variable or parameter; and its numbers and modules."""

    nodes: dict[Node, str] = field(default_factory=dict)
    variables: dict[str, Any] = field(default_factory=dict)

    def over(self, others: Names) -> Names:
        """These names, and where they have none the others."""
        return Names({**others.nodes, **self.nodes}, {**others.variables, **self.variables})

    def on(self, other: Mapping[Node, Node]) -> Names:
        """The same names for the nodes that others are mapped to."""
        found = {other[node]: name for node, name in self.nodes.items() if node in other}
        return Names(found, self.variables)


def scope_label(scope: Scope) -> str:
    """`fc1: Linear` for a module, `cross_entropy` for a function."""
    kind = scope.cls.__name__ if scope.cls is not None else None
    return scope.label if kind in (None, scope.label) else f"{scope.label}: {kind}"


def names_of(frame: FrameType | None, given: Mapping[str, Any] | None) -> Names:
    """What is known in a frame: given names first, then variables, then parameters."""
    names = Names()
    variables = variables_in(frame) if frame else {}
    for name, value in (given or {}).items():
        variables.pop(name, None)  # so that what is given comes last
        variables[name] = value
    # The last variable first: a loop's `loss` rather than an older name for the same tensor.
    for name, value in reversed(variables.items()):
        if isinstance(value, Tensor) and not name.startswith("_"):
            names.nodes.setdefault(value.node, name)
    for node, name in _parameter_names(variables).items():
        names.nodes.setdefault(node, name)
    names.variables = {name: x for name, x in variables.items() if isinstance(x, _PLAIN)}
    return names


def _parameter_names(variables: Mapping[str, Any]) -> dict[Node, str]:
    """`fc1.weight` where one network has it, else with its variable: `net.0.weight`, `fc.weight`.

    The largest network first: what is also a variable of its own is called by its place in it.
    """
    nets = [(name, x) for name, x in variables.items() if isinstance(x, Module)]
    found: dict[Node, tuple[str, str]] = {}
    for variable, net in sorted(nets, key=lambda pair: -sum(1 for _ in pair[1].modules())):
        for path, parameter in net.named_parameters():
            found.setdefault(parameter.node, (variable, path))
    times = Counter(path for _, path in found.values())
    return {
        node: path if "." in path and not path[0].isdigit() and times[path] == 1
        else f"{variable}.{path}"
        for node, (variable, path) in found.items()}


def users_names() -> Names:
    """What is known in all of the user's frames, the innermost first."""
    names = Names()
    for frame in users_frames():
        names = names.over(names_of(frame, None))
    return names


def describe(node: Node, value: np.ndarray | None, gradient: np.ndarray | None) -> str:
    """All that is known of a node, in a few lines, for the box that shows on hovering."""
    what = "leaf" if is_leaf(node) else node.name
    lines = [f"{what}  {shape_text(node.shape)} {node.dtype}"]
    for name, array in (("value", value), ("gradient", gradient)):
        if array is not None:
            lines.append(f"{name}: {statistics(array)}")
    lines.append(f"recorded at {node.where}" + (f", in {node.scope.path}" if node.scope else ""))
    return "\n".join(lines)


def statistics(array: np.ndarray) -> str:
    if array.size <= 12:
        return np.array2string(np.asarray(array), precision=6, separator=", ")
    wide = array.astype(np.float64)
    return (
        f"norm {norm(array):.4g}, mean {wide.mean():.4g}, from {wide.min():.4g} to {wide.max():.4g}"
    )


def summary(array: np.ndarray) -> str:
    """An array in one number: its norm; of integers the range, of truth values how many hold."""
    if not array.size:
        return "empty"
    if array.size == 1:
        return short(array.item())
    if array.dtype == np.bool_:
        return f"{int(array.sum())} of {array.size}"
    if array.dtype.kind in "iu":
        return f"{array.min()} to {array.max()}"
    return short(norm(array))


def norm(array: np.ndarray) -> float:
    """The Euclidean length of all elements."""
    return float(np.sqrt(np.square(array.astype(np.float64)).sum()))
