"""Back-propagation: the chain rule, applied from the output backward, recorded as more graph.

Nothing is computed here.  The result is an ordinary graph: differentiate it again, print it, or
run it together with the forward pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from .errors import GradError
from .graph import Node, is_tracked, leaf, toposort
from .ops.elementwise import add, fill
from .scope import Frame, Scope, context


def grad(
    output: Node, wrt: Sequence[Node], cotangent: Node | None = None
) -> list[Node | None]:
    """Record the nodes d(output)/d(w) for every w in wrt; None where no path leads to w.

    `cotangent` has output's shape; by default ones, so that a vector's elements are summed.

    >>> from chainrule.graph import leaf
    >>> from chainrule.interpreter import run
    >>> x = leaf(3.0, requires_grad=True)
    >>> (dy,) = grad(x * x, [x]); (ddy,) = grad(dy, [x])
    >>> [float(v) for v in run(dy, ddy)]
    [6.0, 2.0]
    """
    cotangents = backpropagate([output], [cotangent], wrt)
    return [cotangents.get(w) for w in wrt]


def seed(output: Node) -> Node:
    """The cotangent that a backward pass starts from: d(output)/d(output) = 1."""
    return fill(output, value=1.0)


def backpropagate(
    outputs: Sequence[Node], cotangents: Sequence[Node | None], wrt: Iterable[Node] | None = None,
    *, hooks: bool = True, free: bool = False,
) -> dict[Node, Node]:
    """Record the cotangent of every node between `outputs` and `wrt` (default: all leaves).

    The chain rule: the cotangent of x is the sum, over the users of x, of what each user's vjp
    makes of its own cotangent.  An output that is given None starts from ones.  `hooks` False
    leaves the users' hooks alone; `free` gives up the right to differentiate these nodes again, so
    that their saved values can go.
    """
    order = toposort(outputs, enter=is_tracked)
    wanted = None if wrt is None else set(wrt)
    inside = set(order) if wanted is None else _leading_to(wanted, order)
    cts: dict[Node, Node] = {}
    for output, given in zip(outputs, cotangents):
        _accumulate(cts, output, given or seed(output))
    passed = []
    # Reverse topological order, not recursion: a vjp may run only after the cotangents of all
    # users are summed (b = a + a; c = b + b), and graphs are deep.
    for node in reversed(order):
        ct = cts.get(node)
        if ct is None or node not in inside:
            continue
        if node.hooks and hooks:
            ct = cts[node] = _hooked(node, ct)
        if is_leaf(node) or (wanted is not None and not _leads_to(node, inside)):
            continue
        for x, g in zip(node.inputs, vjp(node, ct)):
            if g is not None and x in inside:
                _accumulate(cts, x, g)
        passed.append(node)
    if wanted is not None and not wanted <= cts.keys():
        _check_not_freed(order)
    if free:
        _free(passed)
    return cts


def is_leaf(node: Node) -> bool:
    """Back-propagation ends here: a value given by the user, or a parameter."""
    return node.owner is not None or node.op is None


def vjp(node: Node, ct: Node) -> tuple[Node | None, ...]:
    """The cotangents of the node's inputs, recorded under the node's own line and scope."""
    _check_not_freed((node,))
    saved = context.now
    scope = Scope(node.scope, f"{node.op.name}_backward", "gradient")
    context.now = Frame(saved.grad_enabled, scope, node.site)
    try:
        return node.op.vjp(ct, node, *node.inputs, **node.attrs)
    finally:
        context.now = saved


def _check_not_freed(nodes: Iterable[Node]) -> None:
    for node in nodes:
        if node.freed:
            raise GradError(
                f"backward requires the values saved for {node.name}, got a graph that an earlier "
                "backward has freed",
                site=node.where,
                hint="call the first backward with retain_graph=True, or recompute the forward "
                "pass (Trying to backward through the graph a second time)",
            )


def _leading_to(wanted: set[Node], order: list[Node]) -> set[Node]:
    """`wanted` and the nodes of `order` that depend on them: only these are worth a vjp."""
    found = set(wanted)
    for node in order:
        if _leads_to(node, found):
            found.add(node)
    return found


def _leads_to(node: Node, nodes: set[Node]) -> bool:
    """Whether a gradient flows from the node straight into one of `nodes`."""
    return not is_leaf(node) and not nodes.isdisjoint(node.inputs)


def _accumulate(cts: dict[Node, Node], node: Node, ct: Node) -> None:
    before = cts.get(node)
    cts[node] = ct if before is None else add(before, ct)


def _hooked(node: Node, ct: Node) -> Node:
    for hook in list(node.hooks):
        ct = hook(ct) or ct
    return ct


def _free(passed: list[Node]) -> None:
    """Free the nodes that a backward pass has passed, which are listed output first.

    Nodes whose vjp needs no value stay differentiable, down to the first that is freed.
    """
    for node in reversed(passed):
        if saved_by(node) or spent(node):
            node.freed = True
            release(node)


def spent(node: Node) -> bool:
    """Whether every path from the node to a leaf has been freed."""
    below = [x.freed for x in node.inputs if x.requires_grad]
    return bool(below) and all(below)


def release(node: Node) -> None:
    """Drop the inputs of a node once its value is known and no backward pass can need them."""
    if node.value is not None and (not node.requires_grad or node.freed or node.owner):
        node.inputs = ()


_saves: dict[tuple, tuple[int | str, ...]] = {}


def saved_by(node: Node) -> Sequence[Node]:
    """The nodes whose values the vjp of this node refers to: inputs, and perhaps the node itself.

    Found by recording the vjp once and looking at what it refers to; nothing is declared twice.
    """
    op, attrs = node.op, node.attrs
    if op.saves is not None:
        return op.saves(node)
    # What matters: whose gradient is wanted, and where a rule takes another path (x^1, an empty
    # axis) - but not each shape.
    key = (op, *[x.requires_grad for x in node.inputs])
    if attrs:
        key += (attrs.get("exponent"), 0 in node.inputs[0].spec.shape)
    places = _saves.get(key)
    if places is None:
        places = _saves[key] = _find_saved(node)
    return [node if place == "out" else node.inputs[place] for place in places]


def _find_saved(like: Node) -> tuple[int | str, ...]:
    # Stand-ins, so that the walk below cannot reach the user's graph.
    inputs = [_stand_in(x) for x in like.inputs]
    out = _stand_in(like)
    results = like.op.vjp(_stand_in(like), out, *inputs, **like.attrs)
    wanted = [g for g, x in zip(results, like.inputs) if g is not None and x.requires_grad]
    reached = set(toposort(wanted))
    saves: list[int | str] = [i for i, x in enumerate(inputs) if x in reached]
    return tuple(saves + (["out"] if out in reached else []))


def _stand_in(node: Node) -> Node:
    fake = leaf(np.zeros((), node.dtype.np), node.dtype)
    fake.spec = node.spec
    return fake
