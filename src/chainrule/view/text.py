"""`show`: a graph as a small program, one node a line."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any, TextIO

import numpy as np

from ..autodiff import is_leaf
from ..errors import ArgumentTypeError
from ..graph import Node
from ..tensor import Tensor
from .facts import Facts, facts_of
from .kernels import kernels_text
from .labels import einsum_text, names_of, node_of, norm
from .picture import forward_order, inputs_of
from .snapshot import Snapshot
from .table import table

MOST_NUMBERS = 4


def show(
    tensor: Any,
    *inputs: Any,
    backward: bool = False,
    values: bool = False,
    kernels: bool | str = False,
    names: Mapping[str, Tensor] | None = None,
    file: TextIO | None = None,
) -> None:
    """Print the graph that `tensor` was made from: inputs before users, one node a line.

    `show(loss, "out.html")` writes it as a page instead, in one file: every value and gradient,
    folded by modules, forward and backward gate by gate.  The ending says what is written: .html,
    .svg, .json, .dot, .mmd (Mermaid) or .txt; see `snapshot`.

    A line holds number, name, op with its inputs and attrs, dtype and shape, the value, the line
    of your program, and the module and function it was recorded in; `leaf*` requires grad.  Only
    values that are known already are shown, unless `values` asks for all.  `backward` adds the way
    back: the same ops in exactly the reverse order, each with the gradient it receives and what
    it hands to each input.

    `kernels` prints instead what the graph is compiled to: for each kernel which nodes became it,
    what it reads and writes, bytes, operations, and the time it takes.  With it, `tensor` may also
    be a module (`inputs` are its inputs), a function such as one step of your training, or what
    `torch.compile` has made of one: a function is called once, and what it does is undone.
    kernels="full" adds the memory plan and every kernel's loops, "assembly" its machine code.

    Whatever is computed for this is computed aside and changes no later bit of the program.

    >>> import chainrule as torch
    >>> x = torch.tensor(3.0, requires_grad=True)
    >>> y = x * x
    >>> torch.show(y, values=True)  # doctest: +ELLIPSIS
    %0 x = leaf*        float32[]  3  ...
    %1 y = mul(%0, %0)  float32[]  9  ...
    >>> torch.show(y, kernels=True)  # doctest: +ELLIPSIS
    program of 1 kernel in 1 level, for 1 worker
      nodes   1 recorded, 1 after rewriting: 1 computed, 0 inlined
      ...
           reads x float32[]
           writes y float32[]
    """
    frame = sys._getframe(1)
    if kernels:
        variables = {**frame.f_globals, **frame.f_locals, **(names or {})}
        print(kernels_text(tensor, inputs, variables, kernels), file=file)
        return
    if len(inputs) == 1 and isinstance(inputs[0], (str, os.PathLike)):
        Snapshot(node_of("show", tensor), names_of(frame, names)).save(inputs[0])
        return
    if inputs:
        raise ArgumentTypeError(f"show requires one Tensor, got {1 + len(inputs)} arguments",
                                hint="a second one may be a file to write, as out.html; "
                                "kernels=True takes a module and its inputs")
    order = forward_order(node_of("show", tensor))
    known = names_of(frame, names).nodes
    facts = Facts({n: n.value for n in order if n.value is not None})
    if values or backward:
        facts = facts_of(tensor, order, backward)
    number = {node: f"%{i}" for i, node in enumerate(order)}
    text = table([_line(node, number, known, facts) for node in order])
    if backward:
        steps = [_step(n, number, facts) for n in reversed(order) if inputs_of(n)]
        text += "\n\nbackward\n" + table([step for step in steps if step])
    print(text, file=file)


def _line(
    node: Node, number: dict[Node, str], names: Mapping[Node, str], facts: Facts
) -> list[str]:
    return [
        f"{number[node]} {names.get(node, '')}".rstrip(),
        f"= {_call(node, number)}",
        repr(node.spec),
        _number(facts.values.get(node)),
        str(node.where),
        f"in {node.scope.path}" if node.scope else "",
    ]


def _call(node: Node, number: dict[Node, str]) -> str:
    if not inputs_of(node):
        # A node whose inputs were let go still says by which op it came about.
        return ("leaf*" if node.requires_grad else "leaf") if is_leaf(node) else f"{node.name}(...)"
    inputs = [number[x] for x in node.inputs]
    attrs = [f"{key}={value}" for key, value in node.attrs.items()]
    if node.name == "contract":
        attrs = [einsum_text(node.attrs["labels"])]
    return f"{node.name}({', '.join(inputs + attrs)})"


def _step(node: Node, number: dict[Node, str], facts: Facts) -> list[str] | None:
    """One op on the way back: what it receives, and what it hands to each of its inputs."""
    if node not in facts.gradients:
        return None
    handed = [
        f"{number[x]} += {_number(facts.shares[node, i])}"
        for i, x in enumerate(node.inputs)
        if (node, i) in facts.shares
    ]
    return [number[node], node.name, _number(facts.gradients[node]), "-> " + ", ".join(handed)]


def _number(array: np.ndarray | None) -> str:
    """A short text of a value: the numbers themselves if there are few, else their norm."""
    if array is None:
        return "?"
    if array.size == 1:
        return f"{array.item():.6g}"
    if array.ndim == 1 and 0 < array.size <= MOST_NUMBERS:
        return "[" + " ".join(f"{v:.4g}" for v in array.tolist()) + "]"
    return f"norm {norm(array):.4g}"
