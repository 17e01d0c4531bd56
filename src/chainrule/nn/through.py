"""What a chain of modules records is promised while nobody changes one of them."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ..functional.repeated import repeated
from ..managed import changes
from ..tensor import Tensor
from .activation import (
    ELU,
    GELU,
    LeakyReLU,
    LogSigmoid,
    LogSoftmax,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from .conv import Conv1d, Conv2d
from .linear import Identity, Linear
from .module import Module
from .norm import LayerNorm
from .shape import Flatten

# Modules that only compute: from the input, their parameters and attributes, and nothing else.
_COMPUTING = {
    Conv1d, Conv2d, ELU, Flatten, GELU, Identity, LayerNorm, LeakyReLU, Linear, LogSigmoid,
    LogSoftmax, ReLU, ReLU6, Sigmoid, SiLU, Softmax, Softplus, Tanh,
}
_VIEWING = {Flatten, Identity}  # these give what they are given, or a view of it


class _Chain:
    """What was found out about a chain when so many changes had been counted."""

    def __init__(self, count: int):
        self.count = count
        self.is_known = False
        self.parameters: list[Tensor] = []
        self.call: Callable | None = None

    def look(self, chain: Module, modules: list[Module]) -> None:
        """Find out whether the chain only computes."""
        self.is_known = True
        if modules and type(modules[-1]) not in _VIEWING and all(map(_only_computes, modules)):
            self.parameters = list(_parameters(modules))
            known = weakref.ref(chain)
            self.call = repeated(lambda input, parameters: one_by_one(known(), input))


_chains: weakref.WeakKeyDictionary[Module, _Chain] = weakref.WeakKeyDictionary()


def through(chain: Module, input: Any) -> Any:
    """The input, taken through the modules of a chain one after the other."""
    found = _chains.get(chain)
    if found is None or found.count != changes.count:
        _chains[chain] = _Chain(changes.count)
        return one_by_one(chain, input)
    if not found.is_known:
        found.look(chain, list(_modules(chain)))
    if found.call is None or not isinstance(input, Tensor):
        return one_by_one(chain, input)
    return found.call(input, found.parameters)


def one_by_one(chain: Any, input: Any) -> Any:
    for module in chain:
        input = module(input)
    return input


def _modules(chain: Any) -> Iterator[Module]:
    """The modules of a chain, and those of the chains among them."""
    for module in chain:
        if type(module) is type(chain) and not module._hooked:
            yield from _modules(module)
        else:
            yield module


def _only_computes(module: Module) -> bool:
    own = module.__dict__
    return type(module) in _COMPUTING and not (
        module._hooked or own.get("inplace") or "forward" in own)


def _parameters(modules: Iterable[Module]) -> Iterator[Tensor]:
    for module in modules:
        for parameter in module._parameters.values():
            if parameter is not None:
                yield parameter
