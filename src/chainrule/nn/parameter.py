"""Parameter and Buffer: the tensors that a Module owns."""

from __future__ import annotations

from typing import Any

from ..methods.create import empty
from ..tensor import Tensor


class Parameter(Tensor):
    """A leaf that requires grad and that a Module finds by itself when it is assigned to it.

    `data` may be any tensor; the parameter starts from its value, without its history.

    >>> import chainrule as torch
    >>> layer = torch.nn.Module()
    >>> layer.w = torch.nn.Parameter(torch.ones(2))
    >>> [name for name, _ in layer.named_parameters()]
    ['w']
    """

    def __new__(cls, data: Any = None, requires_grad: bool = True) -> Parameter:
        return Tensor._make_subclass(cls, empty(0) if data is None else data, requires_grad)

    def __deepcopy__(self, memo: dict) -> Parameter:
        # The gradient belongs to the training of the original.
        memo[id(self)] = type(self)(self.detach(), self.requires_grad)
        return memo[id(self)]

    def __repr__(self) -> str:  # type: ignore[override]
        return "Parameter containing:\n" + super().__repr__()


class Buffer(Tensor):
    """A tensor that belongs to a Module's state without being trained.

    `persistent=False` keeps it out of `state_dict()`.

    >>> import chainrule as torch
    >>> layer = torch.nn.Module()
    >>> layer.count = torch.nn.Buffer(torch.zeros(1))
    >>> list(layer.state_dict())
    ['count']
    """

    persistent: bool

    def __new__(cls, data: Any = None, *, persistent: bool = True) -> Buffer:
        buffer = Tensor._make_subclass(cls, empty(0) if data is None else data, False)
        buffer.persistent = persistent
        return buffer
