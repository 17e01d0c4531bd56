"""Tensor: a handle on a node, with PyTorch's names.

What it is bound to, its views and its writes are handle.py's; the functions that PyTorch offers on
tensors are defined in methods/ and become methods there.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from . import config, dtypes, printing
from .again import backward_again
from .autodiff import backpropagate, is_leaf
from .devices import CPU, device
from .dtypes import dtype
from .errors import ArgumentError, ArgumentTypeError, GradError, ShapeError, missing_name
from .graph import Node, is_tracked, leaf, toposort
from .handle import Handle, require_floating, strides_of, without_history, written
from .history import GradFn, RemovableHandle, why
from .interpreter import run, run_later
from .observers import observers, tell
from .ops import elementwise as ew
from .ops import movement as mv
from .ops.op import Op
from .repeat import gradients_of
from .scope import context, set_grad_mode
from .shapes import Size, contiguous_strides

if TYPE_CHECKING:

    class _Operator:
        def __call__(self, other: Any) -> Tensor: ...


class Tensor(Handle):
    """An n-dimensional array, recorded now and computed when somebody looks.

    >>> import chainrule as torch
    >>> x = torch.tensor([1.0, 2.0], requires_grad=True)
    >>> y = (x * x).sum()
    >>> y.backward(); x.grad
    tensor([2., 4.])
    """

    _grad: Tensor | None = None
    __array_priority__ = 1000  # numpy_array * tensor is a Tensor

    def __new__(cls, *data, dtype: dtype | None = None, device=None):
        return cls._legacy(cls, data, dtype, device)

    def __init__(self, *args, **kwargs):
        pass

    if TYPE_CHECKING:
        _base: Tensor | None

        # What methods/ installs.
        _legacy: ClassVar[Callable[..., Any]]

        def __getattr__(self, name: str) -> Any: ...
        def __getitem__(self, index: Any) -> Tensor: ...
        def __setitem__(self, index: Any, value: Any) -> None: ...
        def __iter__(self) -> Iterator[Tensor]: ...
        def __eq__(self, other: Any) -> Tensor: ...  # type: ignore[override]
        def __ne__(self, other: Any) -> Tensor: ...  # type: ignore[override]

        __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _Operator()
        __truediv__ = __rtruediv__ = __floordiv__ = __mod__ = __pow__ = __rpow__ = _Operator()
        __matmul__ = __rmatmul__ = __and__ = __or__ = __xor__ = __rand__ = __ror__ = _Operator()
        __lt__ = __le__ = __gt__ = __ge__ = __lshift__ = __rshift__ = _Operator()
        __iadd__ = __isub__ = __imul__ = __itruediv__ = __rfloordiv__ = __rmod__ = _Operator()

        def __neg__(self) -> Tensor: ...
        def __invert__(self) -> Tensor: ...
        def __abs__(self) -> Tensor: ...

    # ------------------------------------------------------------------ facts
    @property
    def shape(self) -> Size:
        return Size(self._node.spec.shape)

    @property
    def dtype(self) -> dtype:
        return self._node.spec.dtype

    @property
    def device(self) -> device:
        return CPU

    @property
    def ndim(self) -> int:
        return len(self._node.spec.shape)

    @property
    def is_leaf(self) -> bool:
        node = self.node
        return not node.requires_grad or is_leaf(node)

    @property
    def requires_grad(self) -> bool:
        return self.node.requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Let operations on this tensor be recorded for back-propagation from now on."""
        node = self.node
        if requires_grad == node.requires_grad:
            return self
        if not requires_grad:
            if not is_leaf(node):
                raise GradError(
                    "requires_grad_(False) requires a leaf, got the result of "
                    f"{node.name} (you can only change requires_grad flags of leaf variables)",
                    hint="use .detach()",
                )
            self._node = ew.detach(node)
            self._version += 1
            return self
        require_floating(node)
        self._become_leaf(node)
        return self

    @property
    def grad_fn(self) -> GradFn | None:
        """The node of this tensor as PyTorch shows it; None for leaves."""
        node = self.node
        return GradFn(node) if node.requires_grad and not is_leaf(node) else None

    def stride(self, dim: int | None = None):
        """The steps between neighbours along each axis, in elements of the storage.

        Results that are no views are row-major, also where PyTorch would keep the order of a
        transposed input.
        """
        strides = strides_of(self)
        return strides if dim is None else strides[dim]

    def storage_offset(self) -> int:
        """Where the first element lies in the storage."""
        if self._base is None:
            return 0
        op, attrs = self._step
        offset = self._base.storage_offset()
        if op is mv.slice_:
            strides = strides_of(self._base)
            offset += sum(b[0] * s for b, s in zip(attrs["bounds"], strides))
        return offset

    def is_contiguous(self, memory_format=None) -> bool:
        if self._base is None:
            return True
        needed = contiguous_strides(self.shape)
        return all(
            a == b or n == 1 for a, b, n in zip(strides_of(self), needed, self.shape)
        ) or 0 in self.shape

    # ------------------------------------------------------------------ values
    def _value(self) -> np.ndarray:
        """The value, computed now if it is not known yet.  Read only: never write to it."""
        node = self.node
        if node.value is None:
            run(node)
        return node.value

    def item(self):
        """The only element, as a Python number.

        Raises RuntimeError (ShapeError) unless there is exactly one element.
        """
        value = self._value()
        if value.size != 1:
            raise ShapeError(
                f"item requires a tensor with one element, got shape {tuple(self.shape)} "
                f"(a Tensor with {value.size} elements cannot be converted to Scalar)"
            )
        found = value.item()
        return found if isinstance(found, (int, float)) else float(found)

    def tolist(self):
        """The values as nested lists of Python numbers."""
        value = self._value()
        if value.dtype.kind == "V" or value.dtype.name == "bfloat16":
            value = value.astype(np.float32)
        return value.tolist()

    def numpy(self, *, force: bool = False) -> np.ndarray:
        """A NumPy array with the values: a copy, unlike PyTorch's, which shares memory."""
        if self.requires_grad and not force:
            raise GradError(
                "numpy requires a tensor that does not require grad, got one that does "
                "(Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() "
                "instead.)",
                hint="use x.detach().numpy()",
            )
        return self._value().copy()

    def __array__(self, dtype=None, copy=None):
        array = self.numpy()
        return array if dtype is None else array.astype(dtype, copy=False)

    # ------------------------------------------------------------------ gradients
    @property
    def grad(self) -> Tensor | None:
        """The gradient that backward() has accumulated, or None (`why()` says why)."""
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            if not isinstance(value, Tensor):
                raise ArgumentTypeError(f"grad requires a Tensor or None, got {type(value)}")
            if value.shape != self.shape or value.dtype is not self.dtype:
                raise ShapeError(
                    f"grad requires the tensor's shape and dtype, {tuple(self.shape)} and "
                    f"{self.dtype}, got {tuple(value.shape)} and {value.dtype}"
                )
        self._grad = value

    @grad.deleter
    def grad(self) -> None:
        self._grad = None

    @property
    def data(self) -> Tensor:
        """This tensor without its history; writing to it writes to this tensor."""
        return self._detached()

    @data.setter
    def data(self, value: Tensor) -> None:
        new, node = without_history(value.node), self._node
        if new.spec is node.spec:
            self._write(new, value_only=True)
        elif self._base is None and (is_leaf(node) or not node.requires_grad):
            self._version += 1
            self._become_leaf(new) if node.requires_grad else setattr(self, "_node", new)
        else:
            raise ShapeError(
                f"data requires a tensor like {node.spec!r}, got {new.spec!r}",
                hint="a tensor with a history cannot be given data of another shape or dtype",
            )

    def detach(self) -> Tensor:
        """The same values, through which no gradient passes."""
        return self._detached()

    def detach_(self) -> Tensor:
        """Forget the history of this tensor."""
        self._node = ew.detach(self.node)
        self._base = None
        return self

    def backward(
        self, gradient=None, retain_graph=None, create_graph=False, inputs=None
    ) -> None:
        """Accumulate d(self)/d(leaf) into `.grad` of every leaf that requires grad.

        `gradient` is the cotangent of this tensor; a scalar needs none.  The graph is freed
        unless `retain_graph` (default: `create_graph`).  Nothing is computed: the gradients are
        recorded, and run when they are looked at or the optimizer steps.
        """
        plain = gradient is None and inputs is None and not create_graph
        if not (plain and backward_again(self, not retain_graph)):
            backward([self], [gradient], retain_graph, create_graph, inputs)

    def retain_grad(self) -> None:
        """Keep the gradient of this intermediate in `.grad` when backward passes."""
        node = self.node
        if not node.requires_grad:
            raise GradError(
                "retain_grad requires a tensor that requires grad, got one that does not "
                "(can't retain_grad on Tensor that has requires_grad=False)"
            )
        if is_leaf(node) or self._keep is not None:
            return
        handle = weakref.ref(self)

        def keep(ct: Node) -> None:
            tensor = handle()
            if tensor is not None:
                _accumulate_grad(tensor, ct, create_graph=ct.requires_grad)

        self._keep = keep
        _hook_list(self).append(keep)

    @property
    def retains_grad(self) -> bool:
        return self._keep is not None

    def register_hook(self, hook: Callable) -> RemovableHandle:
        """Call `hook(grad)` with the gradient of this tensor; what it returns replaces it."""
        self._check_hookable("register_hook")

        def call(ct: Node) -> Node | None:
            result = hook(Tensor._from_node(ct))
            return None if result is None else _replacement(result, ct)

        hooks = _hook_list(self)
        handle = RemovableHandle(hooks, call)
        if self._keep in hooks:  # what retain_grad keeps is what the hooks have made of it
            hooks.remove(self._keep)
            hooks.append(self._keep)
        return handle

    def register_post_accumulate_grad_hook(self, hook: Callable) -> RemovableHandle:
        """Call `hook(tensor)` after backward has accumulated into `.grad` of this leaf."""
        self._check_hookable("register_post_accumulate_grad_hook")
        if not self.is_leaf:
            raise GradError(
                "register_post_accumulate_grad_hook requires a leaf, got the result of "
                f"{self.node.name} (post accumulate grad hooks cannot be registered on non-leaf "
                "tensors)",
                hint="use register_hook",
            )
        if self.__dict__.get("_after_grad") is None:
            self._after_grad: list = []
        return RemovableHandle(self._after_grad, hook)

    def _check_hookable(self, name: str) -> None:
        if not self.requires_grad:
            raise GradError(
                f"{name} requires a tensor that requires grad, got one that does not "
                "(cannot register a hook on a tensor that doesn't require gradient)",
                hint=self.why(),
            )

    def why(self) -> str:
        """Why this tensor has, or has not, a gradient: one sentence with a line number."""
        return why(self.node, self._grad is not None)

    # ------------------------------------------------------------------ Python's protocols
    if not TYPE_CHECKING:

        def __getattr__(self, name: str):
            known = () if name.startswith("_") else dir(type(self))
            raise missing_name(f"{type(self).__name__!r} object", name, known)

    def __repr__(self, *, tensor_contents=None) -> str:
        return _text(self)

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if self.ndim == 0 else object.__format__(self, spec)

    def __bool__(self) -> bool:
        if self.numel() != 1:
            raise ShapeError(
                f"bool() requires a tensor with one element, got shape {tuple(self.shape)} "
                "(Boolean value of Tensor with more than one value is ambiguous)",
                hint="use .any() or .all()",
            )
        return bool(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __complex__(self) -> complex:
        return complex(self.item())

    def __index__(self) -> int:
        if self.dtype.is_floating_point or self.numel() != 1:
            raise ArgumentTypeError(
                "an index requires an integer tensor with one element, got "
                f"{self.dtype} of shape {tuple(self.shape)} (only integer tensors of a single "
                "element can be converted to an index)"
            )
        return int(self.item())

    def __len__(self) -> int:
        if not self.ndim:
            raise ArgumentTypeError("len() requires at least one axis, got a 0-d tensor")
        return self._node.spec.shape[0]

    __hash__ = object.__hash__

    def __deepcopy__(self, memo):
        if not self.is_leaf:
            raise GradError(
                "deepcopy requires a leaf, got a tensor with history (Only Tensors created "
                "explicitly by the user support the deepcopy protocol at the moment)",
                hint="use x.detach().clone()",
            )
        copy = type(self)._make_subclass(type(self), self.detach(), self.requires_grad)
        memo[id(self)] = copy
        if self._grad is not None:
            copy._grad = self._grad.__deepcopy__(memo)
        return copy

    def __reduce_ex__(self, protocol):
        raise ArgumentTypeError(
            "pickling requires a format that runs no code when it is read, got pickle: chainrule "
            "never pickles or unpickles",
            hint="use torch.save(obj, path) and torch.load(path)",
        )


Tensor.view_class = Tensor


# ---------------------------------------------------------------------- recording
def apply(op: Op, *inputs: Tensor, **attrs) -> Tensor:
    """Record op on tensors (Python numbers become scalar leaves)."""
    return Tensor._from_node(
        op(*[x.node if isinstance(x, Tensor) else x for x in inputs], **attrs)
    )


def from_array(array: np.ndarray, requires_grad: bool = False) -> Tensor:
    """A leaf on an array that nobody will write to any more."""
    tensor = Tensor._from_node(leaf(array))
    if requires_grad:
        tensor.requires_grad_()
    return tensor


def run_tensors(tensors: Iterable[Tensor]) -> None:
    """Compute the values of all these tensors as one program - and of those written in place
    since the last time (running averages, totals): nobody may ever ask for them one by one."""
    pending = [t._node if t._base is None else t.node for t in tensors]
    while written:  # one by one: another thread may be writing
        handle = written.popitem()[1]()
        if handle is not None:
            pending.append(handle.node)
    run(*[n for n in pending if n.value is None])


# ---------------------------------------------------------------------- backward
def backward(
    tensors: Sequence[Tensor], cotangents: Sequence, retain_graph=None, create_graph=False,
    inputs: Tensor | Iterable[Tensor] | None = None,
) -> None:
    """Accumulate the gradients of all leaves, or of `inputs`, into `.grad`."""
    if observers:
        tell("backward", tensors)
    wrt = [inputs] if isinstance(inputs, Tensor) else None if inputs is None else list(inputs)
    if wrt == []:
        raise ArgumentError("backward requires inputs, got an empty list (cannot be empty)")
    named = {x.node: x for x in wrt or ()}
    found = gradients(tensors, cotangents, retain_graph, create_graph, wrt)
    saved = set_grad_mode(create_graph)
    try:
        for node, ct in found.items():
            tensor = named[node] if node in named else _owner(node)
            # At an intermediate that retains its gradient it has arrived already.
            if tensor is not None and (is_leaf(node) or tensor._keep is None):
                _accumulate_grad(tensor, ct, create_graph)
    finally:
        context.now = saved  # no call: an interrupt may come as one begins
    if observers:
        tell("passed", tensors)


def gradients(
    tensors: Sequence[Tensor], cotangents: Sequence, retain_graph=None, create_graph=False,
    inputs: Sequence[Tensor] | None = None,
) -> dict[Node, Node]:
    """Record the gradients of all leaves, or of `inputs`: by the node each is bound to now.

    A leaf that was written to since has stood in the graph as other nodes: they are added up.
    """
    outputs = [t.node for t in tensors]
    seeds = [_cotangent(t, ct) for t, ct in zip(tensors, cotangents)]
    wrt = None if inputs is None else _places(outputs, inputs)
    freeing = not (create_graph if retain_graph is None else retain_graph)
    saved = set_grad_mode(create_graph)
    try:
        if wrt is None and not create_graph:
            cts = gradients_of(outputs, seeds, freeing)
        else:
            cts = backpropagate(outputs, seeds, wrt, free=freeing)
        if config.anomaly:
            run(*cts.values())
        found: dict[Node, Node] = {}
        for node, ct in cts.items():
            if node in wrt if wrt is not None else node.owner is not None:
                now = _bound_now(node)
                found[now] = ew.add(found[now], ct) if now in found else ct
    finally:
        context.now = saved  # no call: an interrupt may come as one begins
    if freeing:
        run_later(*outputs)  # an output without a value would keep its whole graph alive
    return found


def _owner(node: Node) -> Tensor | None:
    """The leaf tensor that gathers the gradient of this node."""
    return None if node.owner is None else node.owner()


def _bound_now(node: Node) -> Node:
    owner = _owner(node)
    return node if owner is None else owner.node


def _places(outputs: Sequence[Node], inputs: Sequence[Tensor]) -> set[Node]:
    """All nodes of the graph that stand, or have stood, for one of `inputs`."""
    for x in inputs:
        if not x.requires_grad:
            raise GradError(
                "a gradient requires a tensor that requires grad, got one that does not (One of "
                "the differentiated Tensors does not require grad)",
                hint=x.why(),
            )
    now = {x.node for x in inputs}
    order = toposort(outputs, enter=is_tracked)
    return now.union(n for n in order if n.owner is not None and _bound_now(n) in now)


def _cotangent(tensor: Tensor, gradient) -> Node | None:
    """The cotangent that backward starts from, checked; None for d(self)/d(self) = 1."""
    node = tensor.node
    if not node.requires_grad:
        raise GradError(
            "backward requires a tensor that requires grad, got one that does not (element 0 of "
            "tensors does not require grad and does not have a grad_fn)",
            hint=why(node, tensor._grad is not None),
        )
    if gradient is None:
        if tensor.numel() != 1:
            raise GradError(
                f"backward requires a scalar or a given gradient, got shape {node.shape} "
                "(grad can be implicitly created only for scalar outputs)",
                hint="call .sum() or .mean() first, or pass gradient=torch.ones_like(y)",
            )
        return None
    if not isinstance(gradient, Tensor):
        raise ArgumentTypeError(
            f"backward requires gradients that are Tensors or None, got {type(gradient).__name__} "
            "(gradients can be either Tensors or None)"
        )
    if gradient.shape != node.shape:
        raise ShapeError(
            f"backward requires a gradient of the tensor's shape {node.shape}, got "
            f"{tuple(gradient.shape)} (Mismatch in shape)"
        )
    found = gradient.node
    return found if found.dtype is node.dtype else ew.cast(found, dtype=node.dtype)


def _replacement(result: Any, ct: Node) -> Node:
    """What a hook gave in the place of a gradient, checked."""
    if not isinstance(result, Tensor):
        raise ArgumentTypeError(
            f"a hook requires a Tensor or None as its result, got {type(result).__name__}"
        )
    if result.node.spec is not ct.spec:
        raise ShapeError(
            f"a hook requires a result like the gradient, {ct.spec!r}, got {result.node.spec!r} "
            "(hook has changed the size of value)"
        )
    return result.node


def _accumulate_grad(tensor: Tensor, ct: Node, create_graph: bool) -> None:
    old = tensor._grad
    if old is None:
        tensor._grad = Tensor._from_node(ct)
    elif create_graph:
        tensor._grad = Tensor._from_node(ew.add(old.node, ct))
    else:
        old._write(ew.add(old.node, ct))
    for hook in list(tensor.__dict__.get("_after_grad", ())):
        hook(tensor)


def _hook_list(tensor: Tensor) -> list:
    """The hooks of the node this tensor is bound to; a leaf takes them along when it is
    written."""
    node = tensor.node
    if node.hooks is None:
        node.hooks = []
    if is_leaf(node):
        tensor._hooks = node.hooks
    return node.hooks


def _text(tensor: Tensor) -> str:
    node = tensor.node
    implied = (dtypes.default_dtype(),) if 0 in node.shape else (
        dtypes.bool_, dtypes.int64, dtypes.default_dtype())
    fn = tensor.grad_fn
    return printing.format_tensor(
        tensor._value(),
        dtype_suffix=None if node.dtype in implied else repr(node.dtype),
        requires_grad=node.requires_grad,
        grad_fn=None if fn is None else fn.name(),
    )
