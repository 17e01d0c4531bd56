"""Numbers and the limits of the dtypes, under PyTorch's names."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import dtypes
from .dtypes import dtype
from .errors import ArgumentTypeError

inf = float("inf")
nan = float("nan")
pi = 3.141592653589793
e = 2.718281828459045


class finfo:
    """The limits of a floating-point dtype.

    >>> import chainrule as torch
    >>> torch.finfo(torch.float32).eps
    1.1920928955078125e-07
    """

    def __init__(self, dtype: dtype | None = None):
        dtype = dtype or dtypes.default_dtype()
        if not dtype.is_floating_point:
            raise ArgumentTypeError(f"finfo requires a floating point dtype, got {dtype}")
        self.dtype = dtype.name
        self.bits = dtype.itemsize * 8
        if dtype is dtypes.bfloat16:
            import ml_dtypes

            info: Any = ml_dtypes.finfo(dtype.np)
        else:
            info = np.finfo(dtype.np)
        self.eps, self.max, self.min = float(info.eps), float(info.max), float(info.min)
        self.tiny = self.smallest_normal = float(info.tiny)
        self.resolution = float(info.resolution)

    def __repr__(self) -> str:
        return (
            f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, "
            f"eps={self.eps:g}, smallest_normal={self.tiny:g}, tiny={self.tiny:g}, "
            f"dtype={self.dtype})"
        )


class iinfo:
    """The limits of an integer dtype."""

    def __init__(self, dtype: dtype):
        if dtype.is_floating_point or dtype is dtypes.bool_:
            raise ArgumentTypeError(f"iinfo requires an integer dtype, got {dtype}")
        info = np.iinfo(dtype.np)
        self.dtype, self.bits = dtype.name, dtype.itemsize * 8
        self.min, self.max = int(info.min), int(info.max)

    def __repr__(self) -> str:
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype})"
