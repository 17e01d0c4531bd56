"""Modules and parameters held in lists and dicts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ..errors import ArgumentError, ArgumentTypeError, OutOfRange
from ..tensor import Tensor
from .module import Module
from .parameter import Parameter
from .text import block
from .through import one_by_one, through


class _Numbered(Module):
    """Children named 0, 1, 2 ...: what Sequential and ModuleList share."""

    def __init__(self, modules: Iterable[Module | None] | None = None):
        super().__init__()
        self.extend(() if modules is None else modules)

    def _key(self, index: int) -> str:
        size = len(self._modules)
        if not -size <= index < size:
            raise OutOfRange(
                f"{self._get_name()} requires an index in [{-size}, {size}), got {index}"
            )
        return list(self._modules)[index]

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return self._of(list(self._modules.items())[index])
        return self._modules[self._key(index.__index__())]

    def _of(self, items: list[tuple[str, Module | None]]) -> _Numbered:
        return type(self)([module for _, module in items])

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, self._key(index), module)

    def __delitem__(self, index: Any) -> None:
        keys = list(self._modules)[index] if isinstance(index, slice) else [self._key(index)]
        for key in keys:
            delattr(self, key)
        self._renumber(list(self._modules.values()))

    def _renumber(self, modules: list[Module | None]) -> None:
        self._modules.clear()
        self.extend(modules)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._modules.values())

    def append(self, module: Module | None) -> Any:
        """Add one module at the end."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module | None]) -> Any:
        """Add several modules at the end."""
        for module in modules:
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> Any:
        """Put a module in front of the one at `index`."""
        modules = list(self._modules.values())
        modules.insert(index, module)
        self._renumber(modules)
        return self

    def pop(self, index: int = -1) -> Any:
        """Take the module at `index` out and return it."""
        module = self[index]
        del self[index]
        return module

    def __add__(self, other: Iterable[Module]) -> Any:
        return self[:].extend(other)

    def __iadd__(self, other: Iterable[Module]) -> Any:
        return self.extend(other)


class Sequential(_Numbered):
    """y = f_n(... f_2(f_1(x))).  From modules, or from one dict of names and modules.

    >>> import chainrule as torch
    >>> torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU())
    Sequential(
      (0): Linear(in_features=2, out_features=3, bias=True)
      (1): ReLU()
    )
    """

    def __init__(self, *args: Any):
        super().__init__()
        if len(args) == 1 and isinstance(args[0], Mapping):
            for name, module in args[0].items():
                self.add_module(name, module)
        else:
            self.extend(args)

    def _of(self, items: list[tuple[str, Module | None]]) -> Sequential:
        return type(self)(dict(items))

    def forward(self, input: Any) -> Any:
        return through(self, input) if type(self) is Sequential else one_by_one(self, input)

    def __mul__(self, times: int) -> Sequential:
        if not isinstance(times, int):
            raise ArgumentTypeError(
                f"Sequential * n requires an int n, got {type(times).__name__}"
            )
        if times < 1:
            raise ArgumentError(f"Sequential * n requires n >= 1, got {times}")
        return type(self)(*list(self) * times)

    __rmul__ = __mul__


class ModuleList(_Numbered):
    """A list of modules; it registers them and has no forward of its own.

    >>> import chainrule as torch
    >>> torch.nn.ModuleList(torch.nn.Linear(1, 1) for _ in range(3))
    ModuleList(
      (0-2): 3 x Linear(in_features=1, out_features=1, bias=True)
    )
    """

    def __repr__(self) -> str:
        runs: list[list[Any]] = []  # [first, last, text]: equal neighbours share a line
        for i, module in enumerate(self):
            text = repr(module)
            if runs and runs[-1][2] == text:
                runs[-1][1] = i
            else:
                runs.append([i, i, text])
        lines = [
            (f"({a}): {text}" if a == b else f"({a}-{b}): {b - a + 1} x {text}")
            for a, b, text in runs
        ]
        return block(self._get_name(), lines)


class ModuleDict(Module):
    """A dict of modules; it registers them and has no forward of its own.

    >>> import chainrule as torch
    >>> list(torch.nn.ModuleDict({"act": torch.nn.ReLU()}).keys())
    ['act']
    """

    def __init__(self, modules: Any = None):
        super().__init__()
        if modules is not None:
            self.update(modules)

    def __getitem__(self, key: str) -> Any:
        return self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        del self._modules[key]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: object) -> bool:
        return key in self._modules

    def clear(self) -> None:
        """Remove all modules."""
        self._modules.clear()

    def pop(self, key: str) -> Any:
        """Take the module under `key` out and return it."""
        return self._modules.pop(key)

    def keys(self) -> Any:
        return self._modules.keys()

    def values(self) -> Any:
        return self._modules.values()

    def items(self) -> Any:
        return self._modules.items()

    def update(self, modules: Any) -> None:
        """Add the modules of a dict, or of pairs (name, module)."""
        for name, module in _pairs(self, modules):
            self[name] = module


class ParameterList(Module):
    """A list whose tensors are Parameters; other values are kept as they are.

    >>> import chainrule as torch
    >>> weights = torch.nn.ParameterList([torch.zeros(2), torch.ones(3)])
    >>> len(list(weights.parameters()))
    2
    """

    def __init__(self, values: Iterable[Any] | None = None):
        super().__init__()
        self._size = 0
        self.extend(() if values is None else values)

    def _key(self, index: int) -> str:
        if not -self._size <= index < self._size:
            raise OutOfRange(
                f"ParameterList requires an index in [{-self._size}, {self._size}), got {index}"
            )
        return str(index % self._size)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return type(self)(self[i] for i in range(self._size)[index])
        return getattr(self, self._key(index.__index__()))

    def __setitem__(self, index: int, value: Any) -> None:
        setattr(self, self._key(index), _as_parameter(value))

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(self._size))

    def __iadd__(self, values: Iterable[Any]) -> ParameterList:
        return self.extend(values)

    def append(self, value: Any) -> ParameterList:
        """Add one value at the end; a tensor becomes a Parameter."""
        self._size += 1
        self[-1] = value
        return self

    def extend(self, values: Iterable[Any]) -> ParameterList:
        """Add several values at the end."""
        for value in values:
            self.append(value)
        return self

    def extra_repr(self) -> str:
        lines = [f"  ({i}): {_described(v, lambda t: t.dtype)}" for i, v in enumerate(self)]
        return "\n".join(lines)


class ParameterDict(Module):
    """A dict whose tensors are Parameters; other values are kept as they are.

    >>> import chainrule as torch
    >>> table = torch.nn.ParameterDict({"a": torch.ones(2)})
    >>> table["a"].requires_grad
    True
    """

    def __init__(self, parameters: Any = None):
        super().__init__()
        self._keys: dict[str, None] = {}
        if parameters is not None:
            self.update(parameters)

    def __getitem__(self, key: Any) -> Any:
        return getattr(self, str(key))

    def __setitem__(self, key: Any, value: Any) -> None:
        self._keys[str(key)] = None
        setattr(self, str(key), _as_parameter(value))

    def __delitem__(self, key: Any) -> None:
        del self._keys[str(key)]
        delattr(self, str(key))

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def keys(self) -> Any:
        return self._keys.keys()

    def values(self) -> Any:
        return [self[key] for key in self._keys]

    def items(self) -> Any:
        return [(key, self[key]) for key in self._keys]

    def get(self, key: str, default: Any = None) -> Any:
        """The value under `key`, or `default`."""
        return self[key] if key in self else default

    def pop(self, key: str) -> Any:
        """Take the value under `key` out and return it."""
        value = self[key]
        del self[key]
        return value

    def clear(self) -> None:
        """Remove all values."""
        for key in list(self._keys):
            del self[key]

    def update(self, parameters: Any) -> None:
        """Add the values of a dict, or of pairs (name, value)."""
        for name, value in _pairs(self, parameters):
            self[name] = value

    def extra_repr(self) -> str:
        lines = [f"  ({k}): {_described(v, lambda t: t.type())}" for k, v in self.items()]
        return "\n".join(lines)


def _as_parameter(value: Any) -> Any:
    is_plain_tensor = isinstance(value, Tensor) and not isinstance(value, Parameter)
    return Parameter(value) if is_plain_tensor else value


def _described(value: Any, kind_of: Callable[[Tensor], Any]) -> str:
    if not isinstance(value, Tensor):
        return f"Object of type: {type(value).__name__}"
    size = "x".join(str(n) for n in value.shape)
    kind = "Parameter" if isinstance(value, Parameter) else "Tensor"
    return f"{kind} containing: [{kind_of(value)} of size {size}]"


def _pairs(module: Module, given: Any) -> Iterable[tuple[str, Any]]:
    if hasattr(given, "items"):
        return given.items()
    pairs = list(given) if isinstance(given, Iterable) else [given]
    for pair in pairs:
        if not (isinstance(pair, tuple | list) and len(pair) == 2):
            raise ArgumentTypeError(
                f"{module._get_name()}.update requires a dict or pairs (name, value), "
                f"got {type(pair).__name__}"
            )
    return pairs
