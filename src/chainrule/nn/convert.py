"""What `Module.to` does to each of a module's tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..dtypes import dtype
from ..errors import ArgumentTypeError
from ..tensor import Tensor


def conversion(args: tuple, kwargs: dict[str, Any]) -> Callable[[Tensor], Tensor]:
    """The function that `to(*args, **kwargs)` applies: only floating-point dtypes change."""
    wanted = [a.dtype for a in args if isinstance(a, Tensor)]
    wanted += [a for a in (*args, kwargs.get("dtype")) if isinstance(a, dtype)]
    if wanted and not wanted[0].is_floating_point:
        raise ArgumentTypeError(f"Module.to requires a floating-point dtype, got {wanted[0]}")
    rest = tuple(a for a in args if not isinstance(a, dtype | Tensor))
    others = {name: value for name, value in kwargs.items() if name != "dtype"}

    def convert(t: Tensor) -> Tensor:
        kind = wanted[0] if wanted and t.is_floating_point() else t.dtype
        return t.to(*rest, **others).to(kind)

    return convert
