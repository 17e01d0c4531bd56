"""Dtypes: which one arithmetic gives, and a tensor in another one."""

from __future__ import annotations

from typing import Any

from .. import dtypes
from ..devices import device as Device
from ..devices import require_cpu
from ..errors import ArgumentError
from ..ops import elementwise as ew
from ..tensor import Tensor, apply
from .pointwise import clone
from .register import method, named

__all__ = [
    "can_cast", "is_complex", "is_floating_point", "is_tensor", "promote_types", "result_type",
]

def _dtype_of(x):
    return (bool(x.ndim), x.dtype) if isinstance(x, Tensor) else None


def result_type(tensor1, tensor2) -> dtypes.dtype:
    """The dtype that arithmetic between the two gives.

    >>> import chainrule as torch
    >>> torch.result_type(torch.ones(2, dtype=torch.int64), 1.5)
    torch.float32
    """
    pairs = [p for p in map(_dtype_of, (tensor1, tensor2)) if p]
    if len(pairs) == 2:
        return dtypes.result_type(pairs)
    number = tensor2 if isinstance(tensor1, Tensor) else tensor1
    if not pairs:
        return dtypes.promote(dtypes.of_scalar(tensor1), dtypes.of_scalar(tensor2))
    return dtypes.with_scalar(pairs[0][1], number)


promote_types = dtypes.promote


def can_cast(from_: dtypes.dtype, to: dtypes.dtype) -> bool:
    """Whether promotion may turn one into the other."""
    return dtypes.category(from_) <= dtypes.category(to)


@method()
def is_floating_point(input: Tensor) -> bool:
    """Whether the dtype is a floating-point one."""
    return input.dtype.is_floating_point


@method()
def is_complex(input: Tensor) -> bool:
    """False: chainrule has no complex numbers."""
    return False


def is_tensor(obj: Any) -> bool:
    """Whether obj is a Tensor."""
    return isinstance(obj, Tensor)


def _cast(self: Tensor, dtype: dtypes.dtype) -> Tensor:
    return self if self.dtype is dtype else apply(ew.cast, self, dtype=dtype)


@method()
def to(self: Tensor, *args, dtype=None, device=None, non_blocking=False, copy=False,
       memory_format=None) -> Tensor:
    """This tensor in another dtype; itself where nothing changes, unless `copy`.

    The dtype is given as such or as a tensor's.  Raises RuntimeError for a device other than the
    CPU.

    >>> import chainrule as torch
    >>> torch.tensor([1.7, -1.7]).to(torch.int64)
    tensor([ 1, -1])
    """
    for arg in args:
        if isinstance(arg, dtypes.dtype):
            dtype = arg
        elif isinstance(arg, Tensor):
            dtype = arg.dtype
        elif isinstance(arg, (str, int, Device)) and not isinstance(arg, bool):
            device = arg
    require_cpu(device)
    result = self if dtype is None else _cast(self, dtype)
    return clone(result) if copy and result is self else result


def _casts(name: str, dtype: dtypes.dtype) -> None:
    def convert(self: Tensor, memory_format=None) -> Tensor:
        return _cast(self, dtype)

    setattr(Tensor, name, named(convert, name, f"This tensor as {dtype}."))


for _name, _dtype in {
    "float": dtypes.float32, "double": dtypes.float64, "half": dtypes.float16,
    "bfloat16": dtypes.bfloat16, "long": dtypes.int64, "int": dtypes.int32,
    "short": dtypes.int16, "char": dtypes.int8, "byte": dtypes.uint8, "bool": dtypes.bool_,
}.items():
    _casts(_name, _dtype)


@method()
def type_as(self: Tensor, other: Tensor) -> Tensor:
    """This tensor in the dtype of `other`."""
    return _cast(self, other.dtype)


_TYPE_NAMES = {
    "float32": "Float", "float64": "Double", "float16": "Half", "bfloat16": "BFloat16",
    "int64": "Long", "int32": "Int", "int16": "Short", "int8": "Char", "uint8": "Byte",
    "bool": "Bool",
}


@method()
def type(self: Tensor, dtype=None, non_blocking=False):
    """The name of the tensor's type, or this tensor in another dtype.

    Raises ValueError for a name that is none of PyTorch's.
    """
    if dtype is None:
        return f"torch.{_TYPE_NAMES[self.dtype.name]}Tensor"
    if isinstance(dtype, str):
        short = dtype.rpartition(".")[2].removesuffix("Tensor")
        named = [n for n, t in _TYPE_NAMES.items() if t == short]
        if not named:
            raise ArgumentError(f"type requires the name of a tensor type, got {dtype!r}")
        dtype = dtypes.by_name(named[0])
    return _cast(self, getattr(dtype, "held", dtype))
