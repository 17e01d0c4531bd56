"""Function transforms: grad, vjp, jvp, jacobians, hessians, vmap - thin layers over autodiff.

A transform runs the function on handles of its own, so it nests, and leaves `.grad` alone.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from .autodiff import backpropagate, is_leaf, seed
from .errors import ArgumentError, ArgumentTypeError, GradError, ShapeError, StateError
from .grad_mode import enable_grad, is_grad_enabled
from .graph import Node, is_tracked, leaf, record, toposort
from .managed import watching
from .methods.create import zeros_like
from .methods.joining import stack
from .ops import elementwise as ew
from .ops.movement import permute
from .ops.op import Op, nondifferentiable
from .random import stream
from .rewrite import batch, with_axis
from .shapes import spec
from .tensor import Tensor, from_array

__all__ = [
    "functional_call", "grad", "grad_and_value", "hessian", "jacfwd", "jacrev", "jvp", "vjp",
    "vmap", "stack_module_state",
]

Positions = int | tuple[int, ...]


# --------------------------------------------------------------------------- nested containers
def flatten(tree: Any) -> tuple[list[Any], Callable[[Sequence[Any]], Any]]:
    """The leaves of nested lists, tuples and dicts, and what puts them together again.

    >>> leaves, build = flatten({"a": 1, "b": (2, [3])})
    >>> leaves, build([x * x for x in leaves])
    ([1, 2, 3], {'a': 1, 'b': (4, [9])})
    """
    if isinstance(tree, dict):
        keys = list(tree)
        return _joined(tree.values(), lambda values: type(tree)(zip(keys, values)))
    if isinstance(tree, (list, tuple)):
        kind = type(tree)
        named = hasattr(tree, "_fields")
        return _joined(tree, lambda values: kind(*values) if named else kind(values))
    return [tree], lambda values: values[0]


def _joined(trees: Iterable[Any], build: Callable):
    parts = [flatten(x) for x in trees]
    leaves = [x for found, _ in parts for x in found]

    def unflatten(values: Sequence[Any]) -> Any:
        results, start = [], 0
        for found, make in parts:
            results.append(make(values[start : start + len(found)]))
            start += len(found)
        return build(results)

    return leaves, unflatten


def map_tensors(function: Callable[[Tensor], Any], tree: Any) -> Any:
    """The tree with function(x) in the place of every Tensor x."""
    leaves, build = flatten(tree)
    return build([function(x) if isinstance(x, Tensor) else x for x in leaves])


def _tensors(tree: Any) -> list[Tensor]:
    return [x for x in flatten(tree)[0] if isinstance(x, Tensor)]


def _filled(tree: Any, values: Iterable[Tensor]) -> Any:
    """The tree with `values` in the place of its Tensors, and None in that of other leaves."""
    leaves, build = flatten(tree)
    found = iter(values)
    return build([next(found) if isinstance(x, Tensor) else None for x in leaves])


# --------------------------------------------------------------------------- levels
def _fresh(x: Tensor) -> Tensor:
    """A handle of our own on x: a gate in the graph whose gradient is asked for."""
    if not x.dtype.is_floating_point:
        return x
    node = ew.clone(x.node)
    node.requires_grad = True
    return Tensor._from_node(node)


def _leave(tree: Any, own: Sequence[Tensor], outside: bool) -> Any:
    """The results of a transform whose own handles nobody will differentiate by any more.

    What nothing else tracks stops requiring grad; `outside` is the grad mode there.
    """
    results = [x.node for x in _tensors(tree) if x.requires_grad]
    tracked = _tracked(results, {x.node for x in own}) if outside else set()

    def left(x: Tensor) -> Tensor:
        if not x.requires_grad or x.node in tracked:
            return x
        node = ew.detach(x.node)
        node.lost = None  # nothing was cut: there was no history
        return Tensor._from_node(node)

    return map_tensors(left, tree)


def _tracked(outputs: list[Node], own: set[Node]) -> set[Node]:
    """The nodes that still require grad when those of `own` are but copies of their inputs."""
    tracked: set[Node] = set()
    for node in toposort(outputs, enter=is_tracked):
        source = is_leaf(node) or not any(x.requires_grad for x in node.inputs)
        if (source and node not in own) or any(x in tracked for x in node.inputs):
            tracked.add(node)
    return tracked


def _gradients(outputs, cotangents, wrt: Sequence[Tensor]) -> list[Tensor]:
    """The cotangents of `wrt`; zeros where no path leads."""
    pairs = [(o.node, c.node) for o, c in zip(outputs, cotangents) if o.requires_grad]
    found = backpropagate([o for o, _ in pairs], [c for _, c in pairs], [x.node for x in wrt])
    return [
        Tensor._from_node(found[x.node]) if x.node in found else zeros_like(x) for x in wrt
    ]


# --------------------------------------------------------------------------- arguments
def _picked(argnums: Positions, args: tuple) -> tuple[int, ...]:
    chosen = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    for i in chosen:
        if not -len(args) <= i < len(args):
            raise ArgumentError(f"argnums requires positions of arguments, got {i} of {len(args)}")
    return tuple(i % len(args) for i in chosen)


def _of_chosen(func: Callable, args: tuple, chosen: tuple[int, ...], kwargs: dict) -> Callable:
    """func as a function of the chosen arguments alone."""

    def function(*values):
        replaced = list(args)
        for i, v in zip(chosen, values):
            replaced[i] = v
        return func(*replaced, **kwargs)

    return function


def _split(result: Any, has_aux: bool) -> tuple[Any, Any]:
    """(output, aux) of a function's result; aux is None without has_aux."""
    if not has_aux:
        return result, None
    if not isinstance(result, tuple) or len(result) != 2:
        raise ArgumentTypeError(
            f"has_aux requires a function that returns (output, aux), got {type(result).__name__}"
        )
    return result


# --------------------------------------------------------------------------- reverse mode
def grad(func: Callable, argnums: Positions = 0, has_aux: bool = False) -> Callable:
    """The function that gives d func / d args[argnums] for a scalar func.

    >>> import chainrule as torch
    >>> torch.func.grad(torch.func.grad(torch.sin))(torch.tensor(0.0))
    tensor(-0.)
    """
    both = grad_and_value(func, argnums, has_aux)

    @functools.wraps(func)
    def gradient(*args, **kwargs):
        found, value = both(*args, **kwargs)
        return (found, value[1]) if has_aux else found

    return gradient


def grad_and_value(func: Callable, argnums: Positions = 0, has_aux: bool = False) -> Callable:
    """The function that gives (gradient, value), or (gradient, (value, aux)).

    >>> import chainrule as torch
    >>> torch.func.grad_and_value(lambda x: x**3)(torch.tensor(2.0))
    (tensor(12.), tensor(8.))
    """

    @functools.wraps(func)
    def both(*args, **kwargs):
        chosen = _picked(argnums, args)
        primals = tuple(args[i] for i in chosen)
        outside = is_grad_enabled()
        with enable_grad():
            own = map_tensors(_fresh, primals)
            result = _of_chosen(func, args, chosen, kwargs)(*own)
            output, aux = _split(result, has_aux)
            if not isinstance(output, Tensor) or output.numel() != 1:
                got = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
                raise GradError(f"grad requires a function with a scalar result, got {got}")
            start = Tensor._from_node(seed(output.node))
            found = _filled(primals, _gradients([output], [start], _tensors(own)))
        found, output, aux = _leave((found, output, aux), _tensors(own), outside)
        return found[0] if isinstance(argnums, int) else found, (output, aux) if has_aux else output

    return both


def vjp(func: Callable, *primals, has_aux: bool = False):
    """(func(*primals), the function ct -> J^T ct), and aux behind them with has_aux.

    >>> import chainrule as torch
    >>> value, pull = torch.func.vjp(lambda x: x**2, torch.tensor([1.0, 3.0]))
    >>> pull(torch.tensor([1.0, 10.0]))
    (tensor([ 2., 60.]),)
    """
    outside = is_grad_enabled()
    with enable_grad():
        own = map_tensors(_fresh, primals)
        output, aux = _split(func(*own), has_aux)
    outputs, wrt = _tensors(output), _tensors(own)

    def pull(*cotangents):
        given = _tensors(cotangents)
        if [c.shape for c in given] != [o.shape for o in outputs]:
            raise ShapeError(
                "vjp requires cotangents of the outputs' shapes, got "
                f"{[tuple(c.shape) for c in given]} for {[tuple(o.shape) for o in outputs]}"
            )
        outside = is_grad_enabled()
        with enable_grad():
            found = _gradients(outputs, given, wrt)
        return _leave(_filled(primals, found), wrt, outside)

    left, aux = _leave((output, aux), wrt, outside)
    return (left, pull, aux) if has_aux else (left, pull)


# --------------------------------------------------------------------------- forward mode
def jvp(func: Callable, primals: tuple, tangents: tuple, *, has_aux: bool = False):
    """(func(*primals), J t): the vjp is linear in its cotangent u, and its own vjp along t is
    J t.

    >>> import chainrule as torch
    >>> torch.func.jvp(lambda x: x**2, (torch.tensor(3.0),), (torch.tensor(0.5),))
    (tensor(9.), tensor(3.))
    """
    outside = is_grad_enabled()
    with enable_grad():
        own = map_tensors(_fresh, tuple(primals))
        output, aux = _split(func(*own), has_aux)
        outputs, wrt, directions = _tensors(output), _tensors(own), _tensors(tuple(tangents))
        if [t.shape for t in directions] != [x.shape for x in wrt]:
            raise ShapeError(
                "jvp requires tangents of the primals' shapes, got "
                f"{[tuple(t.shape) for t in directions]} for {[tuple(x.shape) for x in wrt]}"
            )
        u = [_fresh(zeros_like(o)) for o in outputs]
        pulled = _gradients(outputs, u, wrt)
        pushed = _filled(output, _gradients(pulled, directions, u))
    output, pushed, aux = _leave((output, pushed, aux), [*wrt, *u], outside)
    return (output, pushed, aux) if has_aux else (output, pushed)


# --------------------------------------------------------------------------- jacobians
def _basis(x: Tensor) -> Tensor:
    """One tensor like x per element of x, along a leading axis: 1 there, 0 elsewhere."""
    n = x.numel()
    return from_array(np.eye(n, dtype=x.dtype.np).reshape((n, *x.shape)))


def jacrev(
    func: Callable, argnums: Positions = 0, *, has_aux: bool = False, chunk_size=None
) -> Callable:
    """The function that gives the Jacobian d func / d args[argnums], one vjp per output element
    - all of them at once, by batching.

    Its shape is (*output.shape, *arg.shape); nested containers of either nest in this order.

    >>> import chainrule as torch
    >>> torch.func.jacrev(lambda x: x.cumsum(0))(torch.tensor([3.0, 4.0]))
    tensor([[1., 0.],
            [1., 1.]])
    """

    @functools.wraps(func)
    def jacobian(*args, **kwargs):
        chosen = _picked(argnums, args)
        of_chosen = _of_chosen(func, args, chosen, kwargs)
        result = vjp(of_chosen, *[args[i] for i in chosen], has_aux=has_aux)
        output, pull = result[:2]
        rows = [_rows(k, _tensors(output), pull) for k in range(len(_tensors(output)))]
        found = _filled(output, [r[0] if isinstance(argnums, int) else r for r in rows])
        return (found, result[2]) if has_aux else found

    return jacobian


def _rows(k: int, outputs: list[Tensor], pull: Callable) -> tuple:
    """The Jacobian of output k with respect to each argument."""
    shape = outputs[k].shape

    def one_row(ct: Tensor):
        return pull(*[ct if i == k else zeros_like(o) for i, o in enumerate(outputs)])

    found = vmap(one_row)(_basis(outputs[k]))
    return map_tensors(lambda j: j.reshape((*shape, *j.shape[1:])), found)


def jacfwd(
    func: Callable, argnums: Positions = 0, has_aux: bool = False, *, randomness: str = "error"
) -> Callable:
    """The same Jacobian as `jacrev` gives, column by column: one jvp per input element.

    >>> import chainrule as torch
    >>> torch.func.jacfwd(lambda x: x.sum() * x)(torch.tensor([1.0, 2.0]))
    tensor([[4., 1.],
            [2., 5.]])
    """

    @functools.wraps(func)
    def jacobian(*args, **kwargs):
        chosen = _picked(argnums, args)
        primals = tuple(args[i] for i in chosen)
        of_chosen = _of_chosen(func, args, chosen, kwargs)
        columns, output, aux = [], None, None
        for k in range(len(_tensors(primals))):
            output, aux, found = _columns(k, of_chosen, primals, has_aux)
            columns.append(found)
        # columns: per input tensor, all outputs; the result: per output, all input tensors.
        per_output = [_filled(primals, js) for js in zip(*columns)]
        found = _filled(output, [j[0] if isinstance(argnums, int) else j for j in per_output])
        return (found, aux) if has_aux else found

    return jacobian


def _columns(k: int, func: Callable, primals: tuple, has_aux: bool):
    """(output, aux, the Jacobian of each output tensor with respect to input tensor k)."""
    inputs = _tensors(primals)
    seen: list = []

    def one_column(t: Tensor):
        tangents = [t if i == k else zeros_like(x) for i, x in enumerate(inputs)]
        result = jvp(func, primals, tuple(_filled(primals, tangents)), has_aux=has_aux)
        seen[:] = result[0], result[2] if has_aux else None
        return tuple(_tensors(result[1]))

    columns = vmap(one_column)(_basis(inputs[k]))
    return *seen, [_columns_last(j, inputs[k]) for j in columns]


def _columns_last(j: Tensor, x: Tensor) -> Tensor:
    moved = permute(j.node, axes=(*range(1, j.ndim), 0))
    return Tensor._from_node(moved).reshape((*j.shape[1:], *x.shape))


def hessian(func: Callable, argnums: Positions = 0) -> Callable:
    """The second derivatives, d^2 func / d x_i d x_j: forward over reverse.

    >>> import chainrule as torch
    >>> torch.func.hessian(lambda x: x[0] ** 2 * x[1])(torch.tensor([1.0, 3.0]))
    tensor([[6., 2.],
            [2., 0.]])
    """
    return jacfwd(jacrev(func, argnums), argnums)


# --------------------------------------------------------------------------- vmap
def vmap(
    func: Callable, in_dims: Any = 0, out_dims: Any = 0, randomness: str = "error", *,
    chunk_size: int | None = None,
) -> Callable:
    """The function that applies `func` to each example along an axis, as one graph.

    `func` is recorded once, on a stand-in for one example, and that graph is batched node by
    node.  So it cannot look at values (.item(), `if x > 0`): there is no single one.  What it
    draws at random is the same for every example, which randomness="same" must allow.
    `chunk_size` bounds the memory in PyTorch; here it has no effect.

    >>> import chainrule as torch
    >>> torch.func.vmap(torch.dot)(torch.eye(2), torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor([1., 4.])
    """

    @functools.wraps(func)
    def mapped(*args, **kwargs):
        leaves, build = flatten(args)
        dims = [_axis(x, d) for x, d in zip(leaves, _dims("in_dims", in_dims, args))]
        n = _length([(x, d) for x, d in zip(leaves, dims) if d is not None])
        batched: dict[Node, Node] = {}
        examples = [x if d is None else _example(x, d, batched) for x, d in zip(leaves, dims)]
        before = stream().get_state()
        watching.mapped += 1
        try:
            result = func(*build(examples), **kwargs)
        finally:
            watching.mapped -= 1
        if randomness != "same" and not np.array_equal(before, stream().get_state()):
            raise GradError(
                f"vmap requires randomness='same' for random numbers, got {randomness!r}: one draw "
                "serves all examples",
                hint="draw the numbers of all examples before, and map over them",
            )
        return _collected(result, out_dims, batched, n)

    return mapped


def _axis(x: Tensor, dim: int | None) -> int | None:
    """The mapped axis of x, counted from the front."""
    if dim is not None and not -x.ndim <= dim < x.ndim:
        raise ArgumentError(
            f"vmap requires in_dims in [{-x.ndim}, {x.ndim}) for shape {tuple(x.shape)}, got {dim}"
        )
    return None if dim is None else dim % x.ndim


def _length(mapped: list[tuple[Tensor, int]]) -> int:
    """The length of the mapped axes."""
    sizes = {x.shape[d] for x, d in mapped}
    if len(sizes) != 1:
        raise ArgumentError(
            f"vmap requires mapped axes of one length, got {sorted(sizes) or 'no mapped axis'} "
            "(Expected all tensors to have the same size in the mapped dimension)"
        )
    return sizes.pop()


def _collected(result: Any, out_dims: Any, batched: dict[Node, Node], n: int) -> Any:
    """The results for all examples, each with its new axis where out_dims wants it."""
    outputs, build = flatten(result)
    for o in outputs:
        if not isinstance(o, Tensor):
            raise ArgumentError(
                f"vmap requires a function that returns Tensors, got {type(o).__name__}"
            )
    found = batch([o.node for o in outputs], batched)
    dims = _dims("out_dims", out_dims, result)
    return build([_whole(*f, d, n) for f, d in zip(found, dims)])


def _whole(node: Node, has_axis: bool, dim: int | None, n: int) -> Tensor:
    """One result for all n examples, with its new axis at `dim`."""
    if dim is None:
        if has_axis:
            raise ArgumentError(
                "vmap requires an axis in out_dims for what differs between examples, got None"
            )
        return Tensor._from_node(node)
    return Tensor._from_node(node if has_axis else with_axis(node, n)).movedim(0, dim)


def _no_value(*values):
    raise GradError(
        "vmap requires a function that does not look at values, got one that does (.item(), "
        "bool(), print)",
        hint="use torch.where instead of if, and keep .item() outside of vmap",
    )


# One example under vmap: it has no value to look at.
_unknown = Op(
    "example", "library", lambda x: x.spec, _no_value, nondifferentiable, None, None, None,
    saves=lambda node: [],
)


def _example(x: Tensor, dim: int, batched: dict[Node, Node]) -> Tensor:
    """A stand-in for one example of x; `batched` gets x with the mapped axis in front."""
    whole = x.node
    if dim:
        whole = permute(whole, axes=(dim, *[a for a in range(x.ndim) if a != dim]))
    nothing = leaf(np.zeros((), x.dtype.np))
    one = record(_unknown, (nothing,), {}, spec(whole.shape[1:], x.dtype))
    one.requires_grad = x.requires_grad
    batched[one] = whole
    return Tensor._from_node(one)


def _dims(name: str, dims: Any, tree: Any) -> list[int | None]:
    """One axis per leaf of the tree; an axis, or None, holds for everything below it."""
    if isinstance(dims, int) or dims is None:
        return [dims if isinstance(x, Tensor) else None for x in flatten(tree)[0]]
    parts = tree.values() if isinstance(tree, dict) else tree
    below = [dims[k] for k in tree] if isinstance(dims, dict) else dims
    if not isinstance(tree, (dict, list, tuple)) or len(below) != len(parts):
        raise ArgumentError(f"vmap requires {name} of the structure of the values, got {dims!r}")
    return [d for part, found in zip(parts, below) for d in _dims(name, found, part)]


# --------------------------------------------------------------------------- modules
def functional_call(
    module, parameter_and_buffer_dicts, args=(), kwargs=None, *, tie_weights: bool = True,
    strict: bool = False,
):
    """module(*args) with other tensors in place of its parameters and buffers, by name.

    With `tie_weights` a tensor that the module holds under several names is replaced under all of
    them; with `strict` none may be missing.  Different from PyTorch: an unknown name is refused.

    >>> import chainrule as torch
    >>> double = {"weight": 2 * torch.eye(2), "bias": torch.zeros(2)}
    >>> torch.func.functional_call(torch.nn.Linear(2, 2), double, torch.tensor([1.0, 3.0]))
    tensor([2., 6.])
    """
    given, places = _named(parameter_and_buffer_dicts), _places(module)
    tensors = {name: table[key] for name, (table, key) in places.items()}
    for name in given:
        if name not in tensors:
            raise ArgumentError(
                f"functional_call requires names of parameters or buffers, got {name!r}"
            )
    if tie_weights:
        given = _tied(given, tensors)
    missing = [name for name in tensors if name not in given]
    if strict and missing:
        raise StateError(
            f"functional_call requires all parameters and buffers where it is strict, got none "
            f"for {missing} (Missing key(s))"
        )
    _exchange(places, given)
    try:
        return module(*(args if isinstance(args, tuple) else (args,)), **(kwargs or {}))
    finally:
        _exchange(places, {name: tensors[name] for name in given})


def _named(dicts: dict | Sequence[dict]) -> dict[str, Tensor]:
    given: dict[str, Tensor] = {}
    for d in [dicts] if isinstance(dicts, dict) else dicts:
        for name in d:
            if name in given:
                raise ArgumentError(
                    f"functional_call requires each name once, got {name!r} in several dicts"
                )
        given |= d
    return given


def _places(module) -> dict[str, tuple[dict, str]]:
    """Where the module holds the parameter or buffer of each name: a table and a key."""
    return {
        f"{path}.{key}" if path else key: (table, key)
        for path, sub in module.named_modules(remove_duplicate=False)
        for table in (sub._parameters, sub._buffers)
        for key, tensor in table.items()
        if tensor is not None
    }


def _tied(given: dict[str, Tensor], tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """`given`, with each tensor's replacement under all of its names."""
    new: dict[int, Tensor] = {}
    for name, value in given.items():
        if new.setdefault(id(tensors[name]), value) is not value:
            raise ArgumentError(
                f"functional_call requires one value for names that are tied, got two for {name!r}",
                hint="give one of the names, or tie_weights=False",
            )
    return {name: new[id(x)] for name, x in tensors.items() if id(x) in new}


def _exchange(places: dict[str, tuple[dict, str]], new: dict[str, Tensor]) -> None:
    for name, value in new.items():
        table, key = places[name]
        table[key] = value


def stack_module_state(models: Sequence) -> tuple[dict, dict]:
    """The parameters and buffers of equal models, stacked along a leading axis, for vmap.

    >>> import chainrule as torch
    >>> parameters, _ = torch.func.stack_module_state([torch.nn.Linear(3, 2) for _ in range(5)])
    >>> parameters["weight"].shape
    torch.Size([5, 2, 3])
    """

    def stacked(tables: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        return {k: stack([t[k].detach() for t in tables]) for k in tables[0]}

    params = stacked([dict(m.named_parameters()) for m in models])
    for p in params.values():
        p.requires_grad_()
    return params, stacked([dict(m.named_buffers()) for m in models])
