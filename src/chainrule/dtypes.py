"""Data types: PyTorch's names, NumPy's representation, PyTorch's promotion."""

from __future__ import annotations

from functools import cache

import numpy as np

from .errors import DTypeError


class dtype:
    """A data type.  One object per type: compare with `is` or `==`.

    >>> import chainrule as torch
    >>> torch.float32, torch.float32.itemsize, torch.int64.is_floating_point
    (torch.float32, 4, False)
    """

    __slots__ = ("name", "_np", "itemsize", "is_floating_point", "rank")

    def __init__(self, name: str, itemsize: int, rank: int, is_floating_point: bool):
        self.name, self.itemsize, self.rank = name, itemsize, rank
        self.is_floating_point = is_floating_point
        self._np: np.dtype | None = None

    @property
    def np(self) -> np.dtype:
        """NumPy's dtype; bfloat16 comes from ml_dtypes, loaded when it is first needed."""
        if self._np is None:
            if self.name == "bfloat16":
                import ml_dtypes

                self._np = np.dtype(ml_dtypes.bfloat16)
            else:
                self._np = np.dtype(self.name)
            _BY_NUMPY[self._np] = self
        return self._np

    is_complex = property(lambda self: False)
    is_signed = property(lambda self: self.name not in ("uint8", "bool"))

    def to_complex(self):
        raise DTypeError(f"to_complex requires complex numbers, got {self}: chainrule has none")

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self):
        return (by_name, (self.name,))


_BY_NUMPY: dict[np.dtype, dtype] = {}

bool_ = dtype("bool", 1, 0, False)
uint8 = dtype("uint8", 1, 1, False)
int8 = dtype("int8", 1, 2, False)
int16 = dtype("int16", 2, 3, False)
int32 = dtype("int32", 4, 4, False)
int64 = dtype("int64", 8, 5, False)
float16 = dtype("float16", 2, 6, True)
bfloat16 = dtype("bfloat16", 2, 7, True)
float32 = dtype("float32", 4, 8, True)
float64 = dtype("float64", 8, 9, True)

ALL = (bool_, uint8, int8, int16, int32, int64, float16, bfloat16, float32, float64)
for _d in ALL:
    if _d is not bfloat16:
        _ = _d.np

_default = [float32]


def default_dtype() -> dtype:
    """The dtype of floating-point tensors made from Python numbers."""
    return _default[0]


def set_default(value: dtype) -> None:
    if not isinstance(value, dtype) or not value.is_floating_point:
        raise DTypeError(f"set_default_dtype requires a floating-point dtype, got {value}")
    _default[0] = value


def by_name(name: str) -> dtype:
    """The dtype called `name`; raises DTypeError for a name that does not exist."""
    for d in ALL:
        if d.name == name:
            return d
    raise DTypeError(f"dtype requires one of {[d.name for d in ALL]}, got {name!r}")


def from_numpy(np_dtype) -> dtype:
    """chainrule's dtype for NumPy's; raises DTypeError for those without one."""
    np_dtype = np.dtype(np_dtype)
    found = _BY_NUMPY.get(np_dtype)
    if found is None and np_dtype.name == "bfloat16":
        _ = bfloat16.np
        found = bfloat16
    if found is None and np_dtype.newbyteorder("=") in _BY_NUMPY:
        found = _BY_NUMPY[np_dtype.newbyteorder("=")]
    if found is None:
        raise DTypeError(
            f"tensor requires one of {[d.name for d in ALL]}, got NumPy dtype {np_dtype}",
            hint="convert first, e.g. array.astype('float32')",
        )
    return found


@cache
def promote(a: dtype, b: dtype) -> dtype:
    """The smallest dtype that holds both (PyTorch's `promote_types`).

    >>> promote(uint8, int8), promote(float16, bfloat16), promote(int64, float16)
    (torch.int16, torch.float32, torch.float16)
    """
    if a is b:
        return a
    low, high = (a, b) if a.rank < b.rank else (b, a)
    if high is bfloat16 and low is float16:
        return float32
    if low is uint8 and high is int8:
        return int16
    return high


def of_scalar(value: bool | int | float) -> dtype:
    """The dtype of a Python number on its own."""
    if isinstance(value, (bool, np.bool_)):
        return bool_
    return int64 if isinstance(value, (int, np.integer)) else default_dtype()


def with_scalar(tensor: dtype, value) -> dtype:
    """The dtype of `tensor op number`: a number promotes only across bool < int < float."""
    if isinstance(value, (bool, np.bool_)):
        return tensor
    if isinstance(value, (int, np.integer)):
        return int64 if tensor is bool_ else tensor
    return tensor if tensor.is_floating_point else default_dtype()


def category(d: dtype) -> int:
    """0 bool, 1 integer, 2 floating point: promotion by 0-d tensors happens only across these."""
    return 2 if d.is_floating_point else 1 if d is not bool_ else 0


def result_type(operands: list[tuple[bool, dtype]]) -> dtype:
    """The common dtype of (has_dimensions, dtype) operands.

    0-d operands count only when their category is higher than that of all others.
    """
    full: dtype | None = None
    zero: dtype | None = None
    for has_dims, d in operands:
        if has_dims:
            full = d if full is None else promote(full, d)
        else:
            zero = d if zero is None else promote(zero, d)
    if full is None or zero is None:
        return full or zero  # type: ignore[return-value]
    return full if category(full) >= category(zero) else promote(full, zero)
