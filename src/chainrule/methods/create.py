"""Making tensors: from data, filled, ranges, and in the likeness of others."""

from __future__ import annotations

import functools
import math
import reprlib
from collections.abc import Callable
from numbers import Number
from typing import Any

import numpy as np

from .. import dtypes
from ..devices import require_cpu
from ..dtypes import dtype as DType
from ..errors import ArgumentError, ArgumentTypeError, ShapeError
from ..graph import leaf
from ..ops import elementwise as ew
from ..shapes import Size
from ..tensor import Tensor, from_array
from .register import into, method, named, spread

__all__ = [
    "BoolTensor", "DoubleTensor", "FloatTensor", "HalfTensor", "IntTensor", "LongTensor",
    "ShortTensor", "ByteTensor", "CharTensor", "BFloat16Tensor",
    "arange", "as_tensor", "asarray", "empty", "empty_like", "eye", "from_dlpack", "from_numpy",
    "full", "full_like", "linspace", "logspace", "ones", "ones_like", "scalar_tensor", "tensor",
    "zeros", "zeros_like", "empty_strided",
]


def tensor(data: Any, *, dtype: DType | None = None, device=None, requires_grad=False,
           pin_memory=False) -> Tensor:
    """A leaf that holds a copy of `data`: a number, nested sequences, an array or a tensor.

    >>> import chainrule as torch
    >>> torch.tensor([[1, 2], [3, 4]])
    tensor([[1, 2],
            [3, 4]])
    """
    require_cpu(device)
    if isinstance(data, Tensor):
        data = data._value()
    return from_array(_array(data, dtype).copy(), requires_grad)


def as_tensor(data: Any, dtype: DType | None = None, device=None) -> Tensor:
    """`data` itself when it is a tensor of this dtype, else a new leaf with a copy.

    PyTorch's shares the memory of an array; this one never does.

    >>> import chainrule as torch
    >>> x = torch.ones(2)
    >>> torch.as_tensor(x) is x
    True
    """
    require_cpu(device)
    if isinstance(data, Tensor):
        return data if dtype is None or data.dtype is dtype else data.to(dtype)
    return from_array(_array(data, dtype).copy())


asarray = as_tensor


def from_numpy(array: np.ndarray) -> Tensor:
    """A tensor with a copy of the array's values: PyTorch's would share the memory.

    Raises TypeError for anything but an array of numbers.
    """
    if not isinstance(array, np.ndarray):
        raise ArgumentTypeError(
            f"from_numpy requires a NumPy array, got {type(array).__name__} (expected np.ndarray)"
        )
    if array.dtype.kind not in "biuf" and array.dtype.name != "bfloat16":
        raise ArgumentTypeError(
            f"from_numpy requires numbers, got an array of {array.dtype} (can't convert "
            "np.ndarray of that type)"
        )
    return from_array(_array(array, None).copy())


def from_dlpack(source: Any) -> Tensor:
    """A tensor with a copy of what another library holds."""
    return from_array(np.from_dlpack(source).copy())


def _array(data: Any, dtype: DType | None) -> np.ndarray:
    """`data` as an array of one of our dtypes.  Arrays are cast as NumPy casts; Python's numbers
    must fit."""
    if isinstance(data, (np.ndarray, np.generic)) or hasattr(data, "__array__"):
        array = np.asarray(data)
        found = dtype or dtypes.from_numpy(array.dtype)
    else:
        data = _plain(data)
        array = _of_numbers(data)
        found = dtype or _implied_dtype(array, data)
        _check_fits(array, found)
    return array.astype(found.np, copy=False)


def _of_numbers(data: Any) -> np.ndarray:
    """Nested sequences of numbers as an array of whatever dtype holds them."""
    if not isinstance(data, Number) and not hasattr(data, "__len__"):
        raise ArgumentError(
            f"tensor requires numbers, sequences of them, or arrays, got {type(data).__name__} "
            f"(Could not infer dtype of {type(data).__name__})"
        )
    try:
        array = np.array(data)
    except ValueError:
        raise ArgumentError(
            "tensor requires sequences of equal length at every depth, got a ragged one",
            hint="pad the shorter rows first",
        ) from None
    if array.dtype.kind in "OUSc":
        odd = [x for x in array.flat if not isinstance(x, Number) or isinstance(x, complex)]
        if odd:
            raise ArgumentError(
                f"tensor requires numbers, got {reprlib.repr(odd[0])} (too many dimensions or "
                "wrong type)"
            )
    return array


def _implied_dtype(array: np.ndarray, data: Any) -> DType:
    """NumPy's numbers and tensors keep their dtype; Python's take the default one."""
    if not array.size or array.dtype.kind == "f" and not _all_numpy(data):
        return dtypes.default_dtype()
    # An object or an unsigned array holds integers that int64 cannot hold.
    too_large = array.dtype.kind == "O" or array.dtype == np.uint64
    return dtypes.int64 if too_large else dtypes.from_numpy(array.dtype)


def _check_fits(array: np.ndarray, dtype: DType) -> None:
    if dtype.is_floating_point or dtype is dtypes.bool_ or array.dtype in (dtype.np, np.bool_):
        return
    info = np.iinfo(dtype.np)
    # PyTorch's rule: a negative number may stand for an unsigned one.
    fits = (array >= (info.min or -info.max)) & (array < info.max + 1)
    if not fits.all():
        raise ArgumentError(
            f"{dtype} requires a number in [{info.min}, {info.max}], got "
            f"{reprlib.repr(array[~fits].tolist()[0])} (value cannot be converted without "
            "overflow)"
        )


def _plain(data: Any) -> Any:
    """Nested sequences with tensors turned into arrays."""
    if isinstance(data, Tensor):
        return data._value()
    if isinstance(data, (list, tuple)):
        # Sequences of plain numbers are the common case: leave them to NumPy.
        if data and type(data[0]) in (int, float, bool):
            return data
        return [_plain(x) for x in data]
    if hasattr(data, "__len__") and not isinstance(data, (str, bytes, np.ndarray, dict)):
        return [_plain(x) for x in data]
    return data


def _all_numpy(data: Any) -> bool:
    """Whether the first number found is NumPy's own, whose precision is kept."""
    while isinstance(data, (list, tuple)) and len(data):
        data = data[0]
    return isinstance(data, (np.generic, np.ndarray))


# --------------------------------------------------------------------------- PyTorch's old types
def legacy(cls, data: tuple, dtype: DType | None, device) -> Tensor:
    """`Tensor(2, 3)` uninitialised, `Tensor([1., 2.])` with the data, in the default dtype."""
    require_cpu(device)
    dtype = dtype or dtypes.default_dtype()
    if len(data) == 1 and not isinstance(data[0], (int, Size)):
        source = data[0]
        if isinstance(source, Tensor):
            return cls._make_subclass(cls, source)
        made = leaf(_array(source, dtype).copy(), dtype)
    else:
        made = leaf(np.zeros(spread(data) or (0,), dtype.np), dtype)
    return cls._from_node(made)


Tensor._legacy = staticmethod(legacy)


class _TypedTensor(type):
    held: DType

    def __instancecheck__(cls, instance) -> bool:
        return isinstance(instance, Tensor) and instance.dtype is cls.held


def _typed(name: str, held: DType):
    def construct(cls, *data, device=None):
        return legacy(Tensor, data, held, device)

    return _TypedTensor(name, (), {"__new__": construct, "held": held, "__module__": "torch"})


FloatTensor = _typed("FloatTensor", dtypes.float32)
DoubleTensor = _typed("DoubleTensor", dtypes.float64)
HalfTensor = _typed("HalfTensor", dtypes.float16)
BFloat16Tensor = _typed("BFloat16Tensor", dtypes.bfloat16)
LongTensor = _typed("LongTensor", dtypes.int64)
IntTensor = _typed("IntTensor", dtypes.int32)
ShortTensor = _typed("ShortTensor", dtypes.int16)
CharTensor = _typed("CharTensor", dtypes.int8)
ByteTensor = _typed("ByteTensor", dtypes.uint8)
BoolTensor = _typed("BoolTensor", dtypes.bool_)


# --------------------------------------------------------------------------- filled
def shape_of(name: str, size: tuple) -> tuple[int, ...]:
    """The shape given as f(2, 3), f((2, 3)) or f(torch.Size([2, 3]))."""
    size = spread(size)
    try:
        shape = tuple([s if type(s) is int else s.__index__() for s in size])
    except AttributeError:
        raise ArgumentTypeError(f"{name} requires integer lengths, got {size}") from None
    if any(n < 0 for n in shape):
        raise ShapeError(f"{name} requires lengths >= 0, got {shape} (negative dimension)")
    return shape


def keyword_size(function: Callable) -> Callable:
    """Accept PyTorch's `size=` keyword beside positional lengths."""

    @functools.wraps(function)
    def accepting(*size, **kwargs):
        if "size" in kwargs:
            size = (kwargs.pop("size"),)
        return function(*size, **kwargs)

    return accepting


def _array_of(value: int, shape: tuple[int, ...], dtype: DType) -> np.ndarray:
    # np.zeros gets cleared pages from the system and writes none of them.
    return np.full(shape, value, dtype.np) if value else np.zeros(shape, dtype.np)


def _of_one_value(value: int, name: str, doc: str) -> Callable[..., Tensor]:
    @keyword_size
    def make(*size, dtype=None, device=None, requires_grad=False, out=None, layout=None,
             pin_memory=False, memory_format=None) -> Tensor:
        require_cpu(device)
        array = _array_of(value, shape_of(name, size), dtype or dtypes.default_dtype())
        return into(out, from_array(array, requires_grad))

    return named(make, name, doc)


zeros = _of_one_value(0, "zeros", """A tensor of zeros, in the default dtype unless one is given.

    Lengths are given as zeros(2, 3) or zeros((2, 3)); raises RuntimeError for negative ones.

    >>> import chainrule as torch
    >>> torch.zeros(2)
    tensor([0., 0.])
    """)
ones = _of_one_value(1, "ones", """A tensor of ones, in the default dtype unless one is given.

    >>> import chainrule as torch
    >>> torch.ones(2, 2, dtype=torch.int64)
    tensor([[1, 1],
            [1, 1]])
    """)
empty = _of_one_value(
    0, "empty", "A tensor whose values do not matter: zeros here, so that runs repeat."
)


def empty_strided(size, stride, **kwargs) -> Tensor:
    """`empty(size)`: the order of the elements in memory is chainrule's own affair."""
    return empty(size, **kwargs)


def full(size, fill_value, *, dtype=None, device=None, requires_grad=False, out=None,
         layout=None) -> Tensor:
    """A tensor filled with one number; its dtype is the number's unless given.

    Raises ValueError where an integer does not fit into the dtype.

    >>> import chainrule as torch
    >>> torch.full((2,), 7)
    tensor([7, 7])
    """
    require_cpu(device)
    if isinstance(fill_value, Tensor):
        fill_value = fill_value.item()
    dtype = dtype or dtypes.of_scalar(fill_value)
    shape = shape_of("full", (size,) if isinstance(size, int) else tuple(size))
    value = np.full(shape, _array(fill_value, dtype), dtype.np)
    return into(out, from_array(value, requires_grad))


def scalar_tensor(value, *, dtype=None, device=None, requires_grad=False) -> Tensor:
    """A 0-d tensor."""
    return full((), value, dtype=dtype or dtypes.default_dtype(), requires_grad=requires_grad)


def eye(n: int, m: int | None = None, *, dtype=None, device=None, requires_grad=False) -> Tensor:
    """The identity matrix, n x m.

    >>> import chainrule as torch
    >>> torch.eye(2)
    tensor([[1., 0.],
            [0., 1.]])
    """
    require_cpu(device)
    return from_array(np.eye(n, m, dtype=(dtype or dtypes.default_dtype()).np), requires_grad)


def _numbers(*values):
    return [v.item() if isinstance(v, Tensor) else v for v in values]


def arange(start, end=None, step=1, *, dtype=None, device=None, requires_grad=False, out=None,
           layout=None) -> Tensor:
    """start, start + step, ... below end: int64 for integers, else the default dtype.

    Raises RuntimeError when the step is 0 or leads away from `end`.

    >>> import chainrule as torch
    >>> torch.arange(3), torch.arange(0, 1, 0.25)
    (tensor([0, 1, 2]), tensor([0.0000, 0.2500, 0.5000, 0.7500]))
    """
    require_cpu(device)
    start, end, step = _numbers(*((0, start, step) if end is None else (start, end, step)))
    if step == 0 or (end - start) * step < 0:
        raise ShapeError(
            f"arange requires a step that leads from start to end, got {start}, {end}, {step} "
            "(upper bound and lower bound inconsistent with step sign)"
        )
    integral = all(isinstance(v, (int, np.integer)) for v in (start, end, step))
    dtype = dtype or (dtypes.int64 if integral else dtypes.default_dtype())
    count = max(0, math.ceil((end - start) / step))
    if integral:
        values = np.arange(start, end, step)
    else:
        values = start + step * np.arange(count, dtype=np.float64)
    return into(out, from_array(values.astype(dtype.np, copy=False), requires_grad))


def linspace(start, end, steps: int, *, dtype=None, device=None, requires_grad=False) -> Tensor:
    """`steps` numbers from start to end, both included.

    >>> import chainrule as torch
    >>> torch.linspace(0, 1, 3)
    tensor([0.0000, 0.5000, 1.0000])
    """
    require_cpu(device)
    start, end, steps = _numbers(start, end, steps)
    dtype = dtype or dtypes.default_dtype()
    wide = dtype.np if dtype.itemsize >= 4 and dtype.is_floating_point else np.float64
    if steps == 1:
        return from_array(np.full(1, start, dtype.np), requires_grad)
    # From both ends toward the middle, as PyTorch does, so that the last bit agrees.
    step = (wide.type if isinstance(wide, np.dtype) else wide)((end - start) / max(steps - 1, 1))
    i = np.arange(steps, dtype=wide)
    low, high = np.asarray(start, wide) + step * i, np.asarray(end, wide) - step * i[::-1]
    values = np.where(i < steps // 2, low, high)
    return from_array(values.astype(dtype.np), requires_grad)


def logspace(start, end, steps: int, base=10.0, *, dtype=None, device=None,
             requires_grad=False) -> Tensor:
    """base^x for x in linspace(start, end, steps)."""
    exponents = linspace(start, end, steps, dtype=dtypes.float64, device=device)
    values = np.power(base, exponents._value())
    return from_array(values.astype((dtype or dtypes.default_dtype()).np), requires_grad)


# --------------------------------------------------------------------------- in the likeness
def _like(value: int, name: str, doc: str) -> Callable[..., Tensor]:
    def make(input: Tensor, *, dtype=None, device=None, requires_grad=False, memory_format=None,
             layout=None, pin_memory=False) -> Tensor:
        require_cpu(device)
        array = _array_of(value, input._node.spec.shape, dtype or input.dtype)
        return from_array(array, requires_grad)

    return named(make, name, doc)


zeros_like = _like(0, "zeros_like", "Zeros in the shape and dtype of `input`.")
ones_like = _like(1, "ones_like", "Ones in the shape and dtype of `input`.")
empty_like = _like(
    0, "empty_like", "A tensor of the shape and dtype of `input` whose values do not matter."
)


def full_like(input: Tensor, fill_value, *, dtype=None, device=None, requires_grad=False,
              memory_format=None) -> Tensor:
    """A tensor of input's shape and dtype filled with one number."""
    return full(input.shape, fill_value, dtype=dtype or input.dtype, device=device,
                requires_grad=requires_grad)


def _new(function):
    def make(self, *args, dtype=None, device=None, requires_grad=False, **kwargs):
        require_cpu(device)
        return function(*args, dtype=dtype or self.dtype, requires_grad=requires_grad, **kwargs)

    return make


@method()
def new_tensor(self, data, *, dtype=None, device=None, requires_grad=False) -> Tensor:
    """A leaf with a copy of `data` in this tensor's dtype."""
    return tensor(data, dtype=dtype or self.dtype, device=device, requires_grad=requires_grad)


@method()
def new(self, *data) -> Tensor:
    """PyTorch's old constructor, in this tensor's dtype."""
    return legacy(Tensor, data, self.dtype, None)


for _name, _function in {"new_zeros": zeros, "new_ones": ones, "new_empty": empty,
                         "new_full": full}.items():
    setattr(Tensor, _name, _new(_function))


# --------------------------------------------------------------------------- filling in place
@method()
def fill_(self, value) -> Tensor:
    """Write one number to every element."""
    if isinstance(value, Tensor):
        return self.copy_(value)
    self._check_writable()
    return self._inplace(full(self.shape, value, dtype=self.dtype))


@method()
def zero_(self) -> Tensor:
    """Write zeros."""
    self._check_writable()
    node = self.node
    self._write(ew.fill(node, 0.0 if node.spec.dtype.is_floating_point else 0))
    return self


@method()
def copy_(self, src: Any, non_blocking: bool = False) -> Tensor:
    """Write the values of `src`, broadcast to this tensor's shape and cast to its dtype.

    Raises RuntimeError where the shape does not broadcast, and for a leaf that requires grad.
    """
    self._check_writable()
    source = as_tensor(src)
    node = source.node
    if node.dtype is not self.dtype:
        node = ew.cast(node, dtype=self.dtype)
    return self._inplace(Tensor._from_node(ew.clone(node)))


# --------------------------------------------------------------------------- where it lives
@method()
def cpu(self, memory_format=None) -> Tensor:
    """This tensor: it is on the CPU."""
    return self


@method()
def cuda(self, device=None, non_blocking=False, memory_format=None) -> Tensor:
    """Raises DeviceError: there is no GPU."""
    require_cpu(device if device is not None else "cuda")
    return self


@method()
def pin_memory(self, device=None) -> Tensor:
    """This tensor: there is no device to copy to."""
    return self


@method()
def is_pinned(self) -> bool:
    """False."""
    return False


@method()
def get_device(self) -> int:
    """-1: PyTorch's number for the CPU."""
    return -1


@method()
def data_ptr(self) -> int:
    """A number that tells storages apart, and that views share; no memory address."""
    return id(self._storage())


@method()
def share_memory_(self) -> Tensor:
    """This tensor: a program is one process."""
    return self


@method()
def __dlpack__(self, **kwargs):  # noqa: N807
    """A copy of the values for another library."""
    return self.numpy().__dlpack__(**kwargs)


@method()
def __dlpack_device__(self) -> tuple[int, int]:  # noqa: N807
    """The CPU."""
    return (1, 0)


for _flag in ("is_cuda", "is_sparse", "is_quantized", "is_meta", "is_mps", "is_xpu", "is_nested"):
    setattr(Tensor, _flag, False)
for _flag, _fact in {"layout": "torch.strided", "names": None, "is_cpu": True}.items():
    setattr(Tensor, _flag, _fact)
