"""Function transforms: grad, vjp, jvp, jacobians, hessians, vmap - thin layers over autodiff.

A transform runs the function on handles of its own, so it nests, and leaves `.grad` alone.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import autodiff
from .autodiff import backpropagate
from .errors import ArgumentError, GradError, ShapeError
from .grad_mode import enable_grad
from .graph import Node, leaf, record
from .methods.create import zeros_like
from .methods.joining import stack
from .ops import elementwise as ew
from .ops.movement import permute
from .ops.op import Op, nondifferentiable
from .rewrite import batch
from .shapes import spec
from .tensor import Tensor, from_array

__all__ = [
    "functional_call", "grad", "grad_and_value", "hessian", "jacfwd", "jacrev", "jvp", "vjp",
    "vmap", "stack_module_state",
]


# --------------------------------------------------------------------------- nested containers
def flatten(tree: Any) -> tuple[list[Any], Callable[[Sequence[Any]], Any]]:
    """The leaves of nested lists, tuples and dicts, and what puts them together again."""
    if isinstance(tree, dict):
        keys = list(tree)
        parts = [flatten(tree[k]) for k in keys]
        return _joined(parts, lambda values: type(tree)(zip(keys, values)))
    if isinstance(tree, (list, tuple)):
        kind = type(tree)
        named = hasattr(tree, "_fields")
        return _joined(
            [flatten(x) for x in tree], lambda values: kind(*values) if named else kind(values)
        )
    return [tree], lambda values: values[0]


def _joined(parts, build):
    leaves = [x for found, _ in parts for x in found]

    def unflatten(values: Sequence[Any]) -> Any:
        values, results = list(values), []
        for found, make in parts:
            results.append(make(values[: len(found)]))
            values = values[len(found) :]
        return build(results)

    return leaves, unflatten


def _fresh(x: Any) -> Any:
    """A handle of our own on x: a gate in the graph whose gradient is asked for."""
    if not isinstance(x, Tensor) or not x.dtype.is_floating_point:
        return x
    node = ew.clone(x.node)
    node.requires_grad = True
    return Tensor._from_node(node)


def _fresh_tree(tree: Any) -> tuple[Any, list[Tensor]]:
    leaves, build = flatten(tree)
    fresh = [_fresh(x) for x in leaves]
    return build(fresh), fresh


def _gradients(outputs, cotangents, wrt: Sequence[Tensor]) -> list[Tensor]:
    """The cotangents of `wrt`; zeros where no path leads."""
    nodes = [(o.node, c.node) for o, c in zip(outputs, cotangents) if o.requires_grad]
    found: dict[Node, Node] = {}
    if nodes:
        found = backpropagate([o for o, _ in nodes], [c for _, c in nodes],
                              [x.node for x in wrt])
    return [
        Tensor._from_node(found[x.node]) if x.node in found else zeros_like(x) for x in wrt
    ]


def _tensors(fresh: Sequence[Any]) -> list[Tensor]:
    return [x for x in fresh if isinstance(x, Tensor)]


def _picked(argnums: int | tuple[int, ...], args: tuple) -> tuple[int, ...]:
    chosen = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    for i in chosen:
        if not -len(args) <= i < len(args):
            raise ArgumentError(f"argnums requires positions of arguments, got {i} of {len(args)}")
    return tuple(i % len(args) for i in chosen)


# --------------------------------------------------------------------------- reverse mode
def grad(func: Callable, argnums: int | tuple[int, ...] = 0, has_aux: bool = False) -> Callable:
    """The function that gives d func / d args[argnums] for a scalar func.

    >>> import chainrule as torch
    >>> torch.func.grad(torch.func.grad(torch.sin))(torch.tensor(0.0))
    tensor(-0.)
    """
    both = grad_and_value(func, argnums, has_aux)

    @functools.wraps(func)
    def gradient(*args, **kwargs):
        g, value = both(*args, **kwargs)
        return (g, value[1]) if has_aux else g

    return gradient


def grad_and_value(
    func: Callable, argnums: int | tuple[int, ...] = 0, has_aux: bool = False
) -> Callable:
    """The function that gives (gradient, value)."""

    @functools.wraps(func)
    def both(*args, **kwargs):
        chosen = _picked(argnums, args)
        with enable_grad():
            own = [_fresh_tree(args[i]) for i in chosen]
            replaced = list(args)
            for i, (tree, _) in zip(chosen, own):
                replaced[i] = tree
            result = func(*replaced, **kwargs)
            output, aux = result if has_aux else (result, None)
            if not isinstance(output, Tensor) or output.numel() != 1:
                raise GradError(
                    "grad requires a function with a scalar result, got "
                    f"{tuple(output.shape) if isinstance(output, Tensor) else type(output)}"
                )
            wrt = [x for _, fresh in own for x in _tensors(fresh)]
            seed = Tensor._from_node(autodiff.seed(output.node))
            found = iter(_gradients([output], [seed], wrt))
        trees = tuple(
            flatten(args[i])[1]([next(found) if isinstance(x, Tensor) else None for x in fresh])
            for i, (_, fresh) in zip(chosen, own)
        )
        gradients = trees[0] if isinstance(argnums, int) else trees
        return gradients, (output.detach(), aux) if has_aux else output

    return both


def vjp(func: Callable, *primals, has_aux: bool = False):
    """(func(*primals), the function ct -> J^T ct)."""
    with enable_grad():
        trees, fresh = _fresh_tree(primals)
        result = func(*trees)
        output, aux = result if has_aux else (result, None)
    outputs, _ = flatten(output)

    def pull(*cotangents):
        given = cotangents[0] if len(cotangents) == 1 else cotangents
        with enable_grad():
            found = iter(_gradients(outputs, flatten(given)[0], _tensors(fresh)))
        built = flatten(primals)[1](
            [next(found) if isinstance(x, Tensor) else None for x in fresh]
        )
        return built

    return (output, pull, aux) if has_aux else (output, pull)


# --------------------------------------------------------------------------- forward mode
def jvp(func: Callable, primals: tuple, tangents: tuple, *, has_aux: bool = False):
    """(func(*primals), J t): the vjp is linear in its cotangent u, and its own vjp along t is
    J t."""
    with enable_grad():
        trees, fresh = _fresh_tree(tuple(primals))
        result = func(*trees)
        output, aux = result if has_aux else (result, None)
        outputs, build = flatten(output)
        given, _ = flatten(tuple(tangents))
        wrt, ts = _tensors(fresh), [t for t in given if isinstance(t, Tensor)]
        for x, t in zip(wrt, ts):
            if x.shape != t.shape:
                raise ShapeError(f"jvp requires tangents of the primals' shapes, got "
                                 f"{tuple(t.shape)} for {tuple(x.shape)}")
        dummies = [_fresh(zeros_like(o)) for o in outputs]
        backward = _gradients(outputs, dummies, wrt)
        forward = _gradients(backward, ts, dummies)
    pushed = build(forward)
    return (output, pushed, aux) if has_aux else (output, pushed)


# --------------------------------------------------------------------------- jacobians
def _basis(x: Tensor) -> Tensor:
    """One cotangent per element of x, along a leading axis."""
    n = x.numel()
    return from_array(np.eye(n, dtype=x.dtype.np).reshape((n, *x.shape)))


def jacrev(func: Callable, argnums: int | tuple[int, ...] = 0, *, has_aux: bool = False
           ) -> Callable:
    """The function that gives the Jacobian d func / d args[argnums], one vjp per output element
    - all of them at once, by batching."""

    def jacobian(*args, **kwargs):
        chosen = _picked(argnums, args)

        def of_chosen(*values):
            replaced = list(args)
            for i, v in zip(chosen, values):
                replaced[i] = v
            return func(*replaced, **kwargs)

        result = vjp(of_chosen, *[args[i] for i in chosen], has_aux=has_aux)
        output, pull = result[:2]
        outputs, build = flatten(output)
        rows = [_rows(outputs, k, pull) for k in range(len(outputs))]
        jacobians = build([r[0] if isinstance(argnums, int) else r for r in rows])
        return (jacobians, result[2]) if has_aux else jacobians

    return jacobian


def _rows(outputs: Sequence[Tensor], k: int, pull: Callable):
    """The Jacobian of output k with respect to each argument."""
    out = outputs[k]

    def one(ct: Tensor):
        cts = [ct if i == k else zeros_like(o) for i, o in enumerate(outputs)]
        found = pull(*cts) if len(cts) > 1 else pull(cts[0])
        return found

    stacked = vmap(one)(_basis(out))
    return _map(lambda j: j.reshape((*out.shape, *j.shape[1:])), stacked)


def _map(function: Callable, tree: Any) -> Any:
    leaves, build = flatten(tree)
    return build([function(x) for x in leaves])


def jacfwd(func: Callable, argnums: int | tuple[int, ...] = 0, *, has_aux: bool = False
           ) -> Callable:
    """The same Jacobian column by column: one jvp per input element."""

    def jacobian(*args, **kwargs):
        chosen = _picked(argnums, args)
        results = []
        for i in chosen:
            x = args[i]

            def of_one(value, i=i):
                replaced = list(args)
                replaced[i] = value
                result = func(*replaced, **kwargs)
                return result[0] if has_aux else result

            columns = vmap(lambda t, x=x, f=of_one: jvp(f, (x,), (t,))[1])(_basis(x))
            results.append(_map(lambda j, x=x: _columns_last(j, x), columns))
        found = results[0] if isinstance(argnums, int) else tuple(results)
        return (found, func(*args, **kwargs)[1]) if has_aux else found

    return jacobian


def _columns_last(j: Tensor, x: Tensor) -> Tensor:
    moved = permute(j.node, axes=(*range(1, j.ndim), 0))
    return Tensor._from_node(moved).reshape((*j.shape[1:], *x.shape))


def hessian(func: Callable, argnums: int | tuple[int, ...] = 0) -> Callable:
    """The matrix of second derivatives: forward over reverse."""
    return jacfwd(jacrev(func, argnums), argnums)


# --------------------------------------------------------------------------- vmap
def vmap(func: Callable, in_dims: Any = 0, out_dims: Any = 0, randomness: str = "error",
         *, chunk_size: int | None = None) -> Callable:
    """The function that applies `func` to each example along an axis, as one graph.

    `func` is recorded once, on a stand-in for one example, and that graph is batched node by
    node.  So it cannot look at values (.item(), `if x > 0`): there is no single one.
    """

    @functools.wraps(func)
    def mapped(*args, **kwargs):
        leaves, build = flatten(args)
        dims = _dims(in_dims, args)
        sizes = {x.shape[d] for x, d in zip(leaves, dims) if d is not None}
        if len(sizes) != 1:
            raise ShapeError(
                f"vmap requires mapped axes of one length, got {sorted(sizes)} (Expected all "
                "tensors to have the same size in the mapped dimension)"
            )
        n = sizes.pop()
        stand_ins, batched = [], {}
        for x, d in zip(leaves, dims):
            if d is None:
                stand_ins.append(x)
                continue
            one, whole = _example(x, d)
            batched[one.node] = whole
            stand_ins.append(one)
        result = func(*build(stand_ins), **kwargs)
        outputs, rebuild = flatten(result)
        nodes = batch([o.node for o in outputs], batched, n)
        outs = _out_dims(out_dims, len(nodes))
        return rebuild([_moved(Tensor._from_node(x), d) for x, d in zip(nodes, outs)])

    return mapped


def _no_value(*values):
    raise GradError(
        "vmap requires a function that does not look at values, got one that does",
        hint="use torch.where instead of if, and keep .item() outside of vmap",
    )


# The value of one example under vmap: there is none to look at.
_unknown = Op(
    "example", "library", lambda x: x.spec, _no_value, nondifferentiable, None, None, None,
    saves=lambda node: [],
)


def _example(x: Tensor, dim: int) -> tuple[Tensor, Node]:
    """A stand-in for one example of x, and x with the mapped axis in front."""
    dim %= x.ndim
    front = x.node
    if dim:
        front = permute(front, axes=(dim, *[a for a in range(x.ndim) if a != dim]))
    nothing = leaf(np.zeros((), x.dtype.np))
    one = record(_unknown, (nothing,), {}, spec(front.shape[1:], x.dtype))
    one.requires_grad = x.requires_grad
    return Tensor._from_node(one), front


def _dims(in_dims: Any, args: tuple) -> list[int | None]:
    """One axis per leaf of the arguments."""
    if isinstance(in_dims, int) or in_dims is None:
        return [in_dims if isinstance(x, Tensor) else None for x in flatten(args)[0]]
    found: list[int | None] = []
    for d, arg in zip(in_dims, args):
        leaves = flatten(arg)[0]
        if isinstance(d, int) or d is None:
            found += [d if isinstance(x, Tensor) else None for x in leaves]
        else:
            found += flatten(d)[0]
    return found


def _out_dims(out_dims: Any, count: int) -> list[int]:
    return [out_dims] * count if isinstance(out_dims, int) else list(flatten(out_dims)[0])


def _moved(x: Tensor, dim: int) -> Tensor:
    return x if dim == 0 else x.movedim(0, dim)


# --------------------------------------------------------------------------- modules
def functional_call(module, parameter_and_buffer_dicts, args=(), kwargs=None, *,
                    tie_weights: bool = True, strict: bool = False):
    """module(*args) with other tensors in place of its parameters and buffers, by name."""
    if not isinstance(parameter_and_buffer_dicts, dict):
        merged: dict = {}
        for d in parameter_and_buffer_dicts:
            merged.update(d)
        parameter_and_buffer_dicts = merged
    args = args if isinstance(args, tuple) else (args,)
    places = [_place(module, name) for name in parameter_and_buffer_dicts]
    originals = [table[key] for table, key in places]
    try:
        for (table, key), value in zip(places, parameter_and_buffer_dicts.values()):
            table[key] = value
        return module(*args, **(kwargs or {}))
    finally:
        for (table, key), value in zip(places, originals):
            table[key] = value


def _place(module, name: str) -> tuple[dict, str]:
    """The table of the submodule that holds the parameter or buffer `name`."""
    path, _, key = name.rpartition(".")
    owner = module.get_submodule(path) if path else module
    for table in (owner._parameters, owner._buffers):
        if key in table:
            return table, key
    raise ArgumentError(
        f"functional_call requires names of parameters or buffers, got {name!r}"
    )


def stack_module_state(models: Sequence) -> tuple[dict, dict]:
    """The parameters and buffers of equal models, stacked along a leading axis, for vmap."""
    def stacked(tables):
        return {k: stack([t[k].detach() for t in tables]) for k in tables[0]}

    params = stacked([dict(m.named_parameters()) for m in models])
    for p in params.values():
        p.requires_grad_()
    return params, stacked([dict(m.named_buffers()) for m in models])
