"""Linear and bilinear layers, and the identity."""

from __future__ import annotations

import math
from typing import Any

from .. import functional as F
from ..errors import ArgumentError
from ..methods.create import empty
from ..tensor import Tensor
from . import init
from .module import Module
from .parameter import Parameter


def init_uniform(weight: Tensor, bias: Tensor | None) -> None:
    """PyTorch's default start: both uniform in +-1/sqrt(fan_in), the weight drawn first."""
    init.kaiming_uniform_(weight, a=math.sqrt(5))
    if bias is not None:
        fan_in = math.prod(weight.shape[1:])
        if fan_in > 0:
            bound = 1 / math.sqrt(fan_in)
            init.uniform_(bias, -bound, bound)


class Identity(Module):
    """y = x, whatever it is constructed with.

    >>> import chainrule as torch
    >>> torch.nn.Identity(54, unused=True)(torch.ones(2))
    tensor([1., 1.])
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        return input


class Linear(Module):
    """y = x W^T + b.

    input (*, in_features), weight (out_features, in_features) -> (*, out_features).
    Starts uniform in +-1/sqrt(in_features).

    >>> import chainrule as torch
    >>> torch.nn.Linear(20, 30)(torch.ones(128, 20)).shape
    torch.Size([128, 30])
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        self.weight = Parameter(empty(out_features, in_features, device=device, dtype=dtype))
        self.register_parameter(
            "bias", Parameter(empty(out_features, device=device, dtype=dtype)) if bias else None
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights anew."""
        init_uniform(self.weight, self.bias)

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, self.weight, self.bias)

    def _broken_rule(self, input: Tensor) -> tuple[str, str | None] | None:
        wanted, shape = self.weight.shape[-1], tuple(input.shape)
        if shape[-1:] == (wanted,):
            return None
        if math.prod(shape[1:]) == wanted:
            hint = "flatten the input first: x.flatten(1)"
        else:
            hint = f"this input fits Linear(in_features={shape[-1] if shape else 1}, ...)"
        return "input.shape[-1] == in_features", hint

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}"
        )


class LazyLinear(Linear):
    """y = x W^T + b, whose in_features are those of the first input it is called with.

    From that call on it is a Linear, drawn as a Linear is; until then its parameters have no
    elements, and an optimizer may hold them already.  `load_state_dict` gives it a shape, too.
    Difference from PyTorch: the shape of such a parameter can be read, and is (0,).

    >>> import chainrule as torch
    >>> layer = torch.nn.LazyLinear(30)
    >>> layer(torch.ones(128, 20)).shape
    torch.Size([128, 30])
    >>> layer
    Linear(in_features=20, out_features=30, bias=True)
    """

    def __init__(
        self, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None
    ):
        Module.__init__(self)
        self.in_features = 0
        self.out_features = out_features
        self.weight = Parameter(empty(0, device=device, dtype=dtype))
        self.register_parameter(
            "bias", Parameter(empty(0, device=device, dtype=dtype)) if bias else None
        )

    def has_uninitialized_params(self) -> bool:
        """Whether the parameters wait for a first input."""
        return self.weight.dim() == 1

    def reset_parameters(self) -> None:
        """Draw the weights anew, once there are some."""
        if not self.has_uninitialized_params():
            super().reset_parameters()

    def _materialize(self, in_features: int) -> None:
        self.weight.data = self.weight.new_empty(self.out_features, in_features)
        if self.bias is not None:
            self.bias.data = self.bias.new_empty(self.out_features)

    def forward(self, input: Tensor) -> Tensor:
        if self.has_uninitialized_params():
            self._materialize(input.shape[-1])
            self.reset_parameters()
        self.in_features = self.weight.shape[-1]
        self.__class__ = Linear  # type: ignore[assignment]
        return self.forward(input)

    def _load_from_state_dict(self, state_dict, prefix, *args):
        given = state_dict.get(prefix + "weight")
        if isinstance(given, Tensor) and given.dim() == 2 and self.has_uninitialized_params():
            self._materialize(given.shape[-1])
        super()._load_from_state_dict(state_dict, prefix, *args)


class Bilinear(Module):
    """y_k = x1^T W_k x2 + b_k.

    input1 (*, in1), input2 (*, in2) -> (*, out).  Starts uniform in +-1/sqrt(in1).

    >>> import chainrule as torch
    >>> torch.nn.Bilinear(2, 3, 4)(torch.ones(5, 2), torch.ones(5, 3)).shape
    torch.Size([5, 4])
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__()
        if in1_features <= 0:
            raise ArgumentError(f"Bilinear requires in1_features > 0, got {in1_features}")
        self.in1_features = in1_features
        self.in2_features = in2_features
        self.out_features = out_features
        shape = (out_features, in1_features, in2_features)
        self.weight = Parameter(empty(shape, device=device, dtype=dtype))
        self.register_parameter(
            "bias", Parameter(empty(out_features, device=device, dtype=dtype)) if bias else None
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights anew."""
        bound = 1 / math.sqrt(self.in1_features)
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input1: Tensor, input2: Tensor) -> Tensor:
        return F.bilinear(input1, input2, self.weight, self.bias)

    def _broken_rule(self, input1: Tensor, input2: Tensor) -> tuple[str, str | None] | None:
        sizes = tuple(self.weight.shape[1:])
        if (*input1.shape[-1:], *input2.shape[-1:]) == sizes:
            return None
        return f"inputs with last axes {sizes}", f"the second input is {tuple(input2.shape)}"

    def extra_repr(self) -> str:
        return (
            f"in1_features={self.in1_features}, in2_features={self.in2_features}, "
            f"out_features={self.out_features}, bias={self.bias is not None}"
        )
