"""`torch.testing`: comparing tensors in tests."""

from __future__ import annotations

import numpy as np

from .methods.create import as_tensor
from .tensor import Tensor

# PyTorch's default tolerances by dtype: (rtol, atol).
_TOLERANCE = {
    "float16": (1e-3, 1e-5), "bfloat16": (1.6e-2, 1e-5), "float32": (1.3e-6, 1e-5),
    "float64": (1e-7, 1e-7),
}


def assert_close(actual, expected, *, rtol: float | None = None, atol: float | None = None,
                 equal_nan: bool = False, check_dtype: bool = True, msg=None, **_) -> None:
    """Raise AssertionError unless |actual - expected| <= atol + rtol |expected| everywhere."""
    if isinstance(actual, (list, tuple)) and isinstance(expected, (list, tuple)):
        assert len(actual) == len(expected), f"lengths differ: {len(actual)}, {len(expected)}"
        for a, b in zip(actual, expected):
            assert_close(a, b, rtol=rtol, atol=atol, equal_nan=equal_nan, check_dtype=check_dtype)
        return
    a, b = as_tensor(actual), as_tensor(expected)
    if check_dtype and isinstance(actual, Tensor) and isinstance(expected, Tensor):
        assert a.dtype is b.dtype, f"dtypes differ: {a.dtype} and {b.dtype}"
    assert a.shape == b.shape, f"shapes differ: {tuple(a.shape)} and {tuple(b.shape)}"
    default = _TOLERANCE.get(a.dtype.name, (0.0, 0.0))
    np.testing.assert_allclose(
        a._value().astype(np.float64), b._value().astype(np.float64),
        rtol=default[0] if rtol is None else rtol, atol=default[1] if atol is None else atol,
        equal_nan=equal_nan, err_msg=str(msg or ""),
    )
