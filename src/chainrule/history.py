"""What a tensor can say about how it came about: its backward function, its hooks, `why()`."""

from __future__ import annotations

from collections.abc import Callable

from .autodiff import is_leaf
from .graph import Node
from .managed import changes
from .scope import Site


def why(node: Node, has_gradient: bool) -> str:
    """One sentence: why a tensor on this node has, or has not, a gradient."""
    if node.requires_grad and is_leaf(node):
        state = "has a gradient" if has_gradient else "gets a gradient when backward() passes"
        return f"This leaf requires grad since {node.where} and {state}."
    if node.requires_grad:
        kept = "retain_grad() kept its own gradient" if has_gradient else (
            "its own gradient is kept only after retain_grad()")
        return (
            f"This tensor requires grad: {node.name}, recorded at {node.where}, depends on a "
            f"leaf that requires grad; {kept}."
        )
    if node.lost is not None:
        reason, site = node.lost
        return f"This tensor has no gradient: its history was cut at {Site(*site)} ({reason})."
    if not node.dtype.is_floating_point:
        return f"This tensor has no gradient: {node.dtype} values have none ({node.where})."
    return f"This tensor has no gradient: nothing it was made from at {node.where} requires grad."


class RemovableHandle:
    """What registering a hook returns: `remove()` takes the hook away again."""

    def __init__(self, hooks: list, hook: Callable):
        self._hooks = hooks
        self._hook: Callable | None = hook
        changes.count += 1
        hooks.append(hook)

    def remove(self) -> None:
        if self._hook is not None:
            changes.count += 1
            self._hooks.remove(self._hook)
            self._hook = None

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.remove()


class GradFn:
    """The node behind a tensor, under the name that PyTorch gives its backward function."""

    def __init__(self, node: Node):
        self.node = node

    def name(self) -> str:
        if is_leaf(self.node):
            return "torch::autograd::AccumulateGrad"
        scope = self.node.scope
        if scope is not None and scope.history:
            return scope.history
        if "name" in self.node.attrs:
            return f"{self.node.attrs['name']}Backward"
        words = self.node.name.strip("_").split("_")
        return _GRAD_FN.get(self.node.name) or "".join(map(str.capitalize, words)) + "Backward0"

    @property
    def next_functions(self) -> tuple:
        return tuple(
            (GradFn(x) if x.requires_grad else None, 0) for x in self.node.inputs
        )

    def __eq__(self, other) -> bool:
        return isinstance(other, GradFn) and other.node is self.node

    def __hash__(self) -> int:
        return hash(self.node)

    def __repr__(self) -> str:
        return f"<{'AccumulateGrad' if is_leaf(self.node) else self.name()}>"


_GRAD_FN = {
    "power": "PowBackward0",
    "contract": "BmmBackward0",
    "cast": "ToCopyBackward0",
    "setslice": "CopySlices",
    "put": "IndexPutBackward0",
    "take": "IndexBackward0",
}
