"""Handle: what a Tensor is bound to, its views, and what writing does.

A handle can be bound to another node: that is what an in-place operation does.  Nodes never
change, so every value that was recorded stays what it was.  A view holds its base and the
movement op that leads to it; writing through it rewrites the base's node, and whoever reads the
base or another view of it afterwards sees the write - autograd included.
"""

from __future__ import annotations

import weakref
from typing import Any

from .dtypes import category, dtype
from .errors import DTypeError, GradError, ShapeError
from .grad_mode import set_grad_enabled
from .graph import NO_ATTRS, Node, backlog, leaf
from .interpreter import run
from .ops import elementwise as ew
from .ops import movement as mv
from .ops.op import Op, expand_to
from .scope import context
from .shapes import contiguous_strides, view_strides


class Handle:
    """A name for a node that can be bound to another one; the class below Tensor."""

    view_class: type[Handle]  # what a view is: Tensor, also for a view of a Parameter

    _node: Node
    _base: Handle | None = None  # the tensor this is a view of
    _step: tuple[Op, dict]  # the movement op from the base to this view
    _seen = 0  # the version of the storage that _node was derived from
    _version = 0  # how often this storage was written
    _hooks: list | None = None
    _keep: Any = None  # the hook of retain_grad()

    @property
    def node(self) -> Node:
        """The node this handle is bound to now."""
        base = self._base
        if base is not None:
            root = base if base._base is None else self._storage()
            if self._seen != root._version:
                self._follow(base, root._version)
        return self._node

    def _follow(self, base: Handle, version: int) -> None:
        """Show what the base is now."""
        op, attrs = self._step
        with set_grad_enabled(True):
            if op is ew.detach:
                new = without_history(base.node)
                if self._node.requires_grad:
                    new = ew.reattach(self._node, new)
            else:
                new = op(base.node, **attrs)
        self._node, self._seen = new, version

    def _storage(self) -> Any:
        """The tensor at the root of the views: the one that owns the values."""
        tensor = self
        while tensor._base is not None:
            tensor = tensor._base
        return tensor

    @classmethod
    def _from_node(cls, node: Node) -> Any:
        tensor = object.__new__(cls)
        tensor._node = node
        if node.depth > backlog.limit:
            run(node)
        return tensor

    @staticmethod
    def _make_subclass(cls, data: Handle, requires_grad: bool = False):
        """A handle of class `cls` on the values of `data`, without its history."""
        tensor = object.__new__(cls)
        tensor._node = without_history(data.node)
        if requires_grad:
            require_floating(tensor._node)
            tensor._become_leaf(tensor._node)
        return tensor

    def _view(self, op: Op, **attrs) -> Any:
        """A view of this tensor: writing to either changes both."""
        view = object.__new__(self.view_class)
        view._node = op(self.node, **attrs)
        view._base = self
        view._step = (op, attrs)
        view._seen = self._storage()._version
        return view

    def _detached(self) -> Any:
        """A view of the same values, through which no gradient passes."""
        view, node = object.__new__(self.view_class), self.node
        view._node = ew.detach.unary(node) if node.requires_grad else node
        view._base = self
        view._step = _DETACHED
        view._seen = (self if self._base is None else self._storage())._version
        return view

    # ------------------------------------------------------------------ writing
    def _write(self, new: Node, value_only: bool = False) -> None:
        """Bind this storage, or the part of it that this view shows, to a new value.

        `value_only` leaves the history alone: what `.data` and writes under no_grad do.
        """
        base = self._base
        if base is None:
            if self._node.requires_grad and self._node.owner is not None:
                self._become_leaf(new)
            else:
                old = self._node
                self._node = _overwritten(old, new, value_only) if old.requires_grad else new
                if self._keep is not None:
                    self._move_keep(old)
            self._version += 1
            written[id(self)] = weakref.ref(self)
            return
        op, attrs = self._step
        if op is ew.detach:
            # A detached view shares the values of its base, but has a history of its own.
            mine = self.node
            mine = _overwritten(mine, new, value_only) if mine.requires_grad else new
            base._write(ew.detach.unary(new) if new.requires_grad else new, value_only=True)
            self._node = mine
            self._seen = (base if base._base is None else self._storage())._version
        else:
            base._write(_write_back(op, attrs, base.node, new), value_only)

    def _move_keep(self, old: Node) -> None:
        """Let retain_grad() keep the gradient of what this tensor is now."""
        if old.hooks and self._node.requires_grad:
            old.hooks.remove(self._keep)
            self._node.hooks = [*(self._node.hooks or ()), self._keep]

    def _inplace(self, result: Handle) -> Any:
        """Make `result` the value of this tensor: the second half of every in-place method.

        The first half is `_check_writable`, which comes before anything is recorded.
        """
        node, spec = result.node, self._node.spec
        if node.spec is not spec:
            if node.dtype is not spec.dtype:
                node = self._cast_result(node)
            if node.shape != spec.shape:
                node = _stretched(node, spec.shape)
        self._write(node)
        return self

    def _check_writable(self) -> None:
        storage = self if self._base is None else self._storage()
        root = storage._node
        if root.owner is not None and root.requires_grad and context.now.grad_enabled:
            if not self._through_detach():
                raise GradError(
                    "in-place operations require a tensor whose history can change, got "
                    f"{'a view of ' if storage is not self else ''}a leaf Variable that requires "
                    "grad",
                    hint="write under torch.no_grad(), or to .data",
                )
        tensor: Handle | None = self
        while tensor is not None and tensor._base is not None:
            if tensor._step[0] is mv.expand:
                raise ShapeError(
                    "in-place operations require elements of their own, got an expanded tensor "
                    f"of shape {self._node.spec.shape} (unsupported operation: more than one "
                    "element of the written-to tensor refers to a single memory location)",
                    hint="call .clone() before writing",
                )
            tensor = tensor._base

    def _through_detach(self) -> bool:
        tensor = self
        while tensor._base is not None:
            if tensor._step[0] is ew.detach:
                return True
            tensor = tensor._base
        return False

    def _cast_result(self, node: Node) -> Node:
        from_, to = node.dtype, self._node.spec.dtype
        if category(from_) > category(to):
            raise DTypeError(
                f"in-place operations require a result that fits, got {from_} into {to} "
                f"(result type {_pretty(from_)} can't be cast to the desired output type "
                f"{_pretty(to)})",
                hint="write x = x + ... instead of x += ..., or convert the tensor first",
            )
        return ew.cast(node, dtype=to)

    def _become_leaf(self, node: Node) -> None:
        """Bind to a leaf that requires grad and has the value of `node`, now or later."""
        if node.value is not None:
            new = leaf(node.value, node.dtype)
        else:
            new = ew.detach.unary(node)
            new.lost = None
        new.requires_grad = True
        new.owner = weakref.ref(self)
        new.hooks = self._hooks
        self._base = None
        self._node = new


_DETACHED: tuple[Op, dict] = (ew.detach, NO_ATTRS)


def without_history(node: Node) -> Node:
    """The same value, through which no gradient passes: the node itself, if none did."""
    return ew.detach.unary(node) if node.requires_grad else node


# Storages written since the last run_tensors, by id.
written: dict[int, weakref.ref[Handle]] = {}


def require_floating(node: Node) -> None:
    if not node.dtype.is_floating_point:
        raise GradError(
            f"requires_grad requires a floating point dtype, got {node.dtype} "
            "(only Tensors of floating point dtype can require gradients)",
            hint="convert first: x.float()",
        )


def _stretched(node: Node, shape) -> Node:
    if len(node.shape) > len(shape) or any(
        n not in (1, m) for n, m in zip(reversed(node.shape), reversed(shape))
    ):
        raise ShapeError(
            f"in-place operations require a result of the tensor's shape {tuple(shape)}, got "
            f"{node.shape} (output with shape {list(shape)} doesn't match the broadcast shape "
            f"{list(node.shape)})"
        )
    return expand_to(node, tuple(shape))


def _overwritten(old: Node, new: Node, value_only: bool) -> Node:
    """The node of a handle on `old`, which is tracked, once its value is `new`."""
    if value_only or not context.now.grad_enabled:
        with set_grad_enabled(True):
            return ew.reattach(old, new)
    return new if new.requires_grad else ew.overwrite(old, new)


def _write_back(op: Op, attrs: dict, base: Node, new: Node) -> Node:
    """The value of the base once the view op(base, **attrs) has the value `new`."""
    if op is mv.reshape:
        return mv.reshape(new, shape=base.shape)
    if op is mv.permute:
        return mv.permute(new, axes=mv.inverse(attrs["axes"]))
    return mv.setslice(base, new, **attrs)


def strides_of(tensor: Handle) -> tuple[int, ...]:
    if tensor._base is None:
        return contiguous_strides(tensor._node.spec.shape)
    op, attrs = tensor._step
    strides = strides_of(tensor._base)
    if op is mv.permute:
        return tuple(strides[a] for a in attrs["axes"])
    if op is mv.slice_:
        return tuple(s * b[2] for s, b in zip(strides, attrs["bounds"]))
    if op is mv.expand:
        pairs = zip(strides, tensor._base._node.spec.shape, tensor._node.spec.shape)
        return tuple(s if n == m else 0 for s, n, m in pairs)
    if op is mv.reshape:
        found = view_strides(tensor._base._node.spec.shape, strides, attrs["shape"])
        return contiguous_strides(attrs["shape"]) if found is None else found
    return strides


def _pretty(d: dtype) -> str:
    return {"float32": "Float", "float64": "Double", "int64": "Long", "int32": "Int",
            "bool": "Bool", "float16": "Half"}.get(d.name, d.name)
