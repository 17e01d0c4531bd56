"""Recurrent layers: RNN, LSTM and GRU over sequences, and their cells for one step."""

from __future__ import annotations

import math
from typing import Any

from ..errors import ArgumentError, ArgumentTypeError, ShapeError
from ..functional import rnn as steps
from ..methods.create import empty, zeros
from ..tensor import Tensor
from ..warning import warn
from . import init
from .module import Module
from .parameter import Parameter
from .text import unusual
from .utils.rnn import PackedSequence

_CHUNKS = {"RNN": 1, "LSTM": 4, "GRU": 3}


class _Recurrent(Module):
    """What networks and cells share: the start of their weights, and the width of their input."""

    input_size: int
    hidden_size: int

    def reset_parameters(self) -> None:
        """Draw all weights anew: uniform in +-1/sqrt(hidden_size)."""
        bound = 1 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def _check_width(self, input: Tensor) -> None:
        if input.shape[-1] != self.input_size:
            raise ShapeError(
                f"{self._get_name()} requires input.shape[-1] == input_size, got "
                f"{tuple(input.shape)} and {self.input_size}"
            )

    def _broken_rule(self, input: Tensor, *args: Any) -> tuple[str, str | None] | None:
        if tuple(input.shape)[-1:] == (self.input_size,):
            return None
        return "input.shape[-1] == input_size", None


class RNNBase(_Recurrent):
    """What RNN, LSTM and GRU share: layers and directions, the forms of input and state.

    `mode` is "RNN_TANH", "RNN_RELU", "LSTM" or "GRU".
    """

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__()
        self.mode = mode
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        self._check()
        self._all_weights: list[list[str]] = []
        for layer in range(num_layers):
            for suffix in ("", "_reverse")[: 1 + bidirectional]:
                self._add_weights(layer, suffix, device, dtype)
        self.reset_parameters()

    def _check(self) -> None:
        name = self._get_name()
        for what in ("hidden_size", "num_layers"):
            size = getattr(self, what)
            if not isinstance(size, int):
                raise ArgumentTypeError(
                    f"{name} requires {what} to be an int, got {type(size).__name__}"
                )
            if size <= 0:
                raise ArgumentError(f"{name} requires {what} > 0, got {size}")
        if isinstance(self.dropout, bool) or not 0 <= self.dropout <= 1:
            raise ArgumentError(f"{name} requires dropout in [0, 1], got {self.dropout}")
        if self.dropout and self.num_layers == 1:
            warn(
                f"{name} drops between layers only, so dropout={self.dropout} does nothing with "
                "num_layers=1",
            )
        if self.proj_size and self.mode != "LSTM":
            raise ArgumentError(f"{name} requires proj_size 0, got {self.proj_size}")
        if not 0 <= self.proj_size < self.hidden_size:
            raise ArgumentError(
                f"{name} requires proj_size in [0, hidden_size), got {self.proj_size}"
            )

    def _add_weights(self, layer: int, suffix: str, device: Any, dtype: Any) -> None:
        rows = _CHUNKS[self.mode.partition("_")[0]] * self.hidden_size
        width = self._out_size * (1 + self.bidirectional) if layer else self.input_size
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih": (rows, width),
            "weight_hh": (rows, self._out_size),
        }
        if self.bias:
            shapes.update(bias_ih=(rows,), bias_hh=(rows,))
        if self.proj_size:
            shapes["weight_hr"] = (self.proj_size, self.hidden_size)
        names = []
        for kind, shape in shapes.items():
            names.append(f"{kind}_l{layer}{suffix}")
            self.register_parameter(names[-1], Parameter(empty(shape, device=device, dtype=dtype)))
        self._all_weights.append(names)

    @property
    def _out_size(self) -> int:
        return self.proj_size or self.hidden_size

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The weights of every layer and direction."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    def flatten_parameters(self) -> None:
        """Nothing: the weights need no common buffer here."""

    def _state_sizes(self) -> tuple[int, ...]:
        """The width of each tensor of the state."""
        return (self._out_size,)

    def _run(self, input: Any, hx: Any) -> tuple[Any, tuple[Tensor, ...]]:
        """The outputs in the form of the input, and the final state."""
        if isinstance(input, PackedSequence):
            return self._run_packed(input, hx)
        if input.dim() not in (2, 3):
            raise ArgumentError(
                f"{self._get_name()} requires 2D or 3D input, got {tuple(input.shape)}"
            )
        batch_axis = 0 if self.batch_first else 1
        if input.dim() == 3:
            state = self._start(input, hx, input.shape[batch_axis])
            return self._steps(input, state, batch_first=self.batch_first)
        if hx is not None:
            hx = tuple(h.unsqueeze(1) for h in hx)
        x = input.unsqueeze(batch_axis)
        output, final = self._steps(x, self._start(x, hx, 1), batch_first=self.batch_first)
        return output.squeeze(batch_axis), tuple(h.squeeze(1) for h in final)

    def _run_packed(self, input: PackedSequence, hx: Any) -> tuple[PackedSequence, Any]:
        sizes = input.batch_sizes.tolist()
        if hx is not None and input.sorted_indices is not None:
            hx = tuple(h.index_select(1, input.sorted_indices) for h in hx)
        state = self._start(input.data, hx, sizes[0])
        rows, final = self._steps(input.data, state, batch_sizes=sizes)
        if input.unsorted_indices is not None:
            final = tuple(h.index_select(1, input.unsorted_indices) for h in final)
        packed = PackedSequence(
            rows, input.batch_sizes, input.sorted_indices, input.unsorted_indices
        )
        return packed, final

    def _start(self, input: Tensor, hx: Any, batch: int) -> tuple[Tensor, ...]:
        """The initial state, zeros by default, checked against the batch."""
        self._check_width(input)
        count = self.num_layers * (1 + self.bidirectional)
        shapes = [(count, batch, size) for size in self._state_sizes()]
        if hx is None:
            return tuple(zeros(s, dtype=input.dtype, device=input.device) for s in shapes)
        found = [tuple(h.shape) for h in hx]
        if found != shapes:
            raise ShapeError(
                f"{self._get_name()} requires a state of {' and '.join(map(str, shapes))}, got "
                f"{' and '.join(map(str, found))}",
                hint="(layers * directions, batch, hidden), also with batch_first",
            )
        return tuple(hx)

    def _steps(self, input: Tensor, state: tuple[Tensor, ...], **form: Any) -> tuple[Any, Any]:
        network = getattr(steps, self.mode.lower())
        weights = [weight for layer in self.all_weights for weight in layer]
        output, *final = network(
            input, state, weights, self.bias, self.num_layers, self.dropout, self.training,
            self.bidirectional, **form,
        )  # fmt: skip
        return output, tuple(final)

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:
        output, (final,) = self._run(input, None if hx is None else (hx,))
        return output, final

    def extra_repr(self) -> str:
        defaults = {
            "proj_size": 0,
            "num_layers": 1,
            "bias": True,
            "batch_first": False,
            "dropout": 0,
            "bidirectional": False,
        }
        sizes = f"{self.input_size}, {self.hidden_size}"
        return ", ".join([sizes, *unusual(self, defaults)])


class RNN(RNNBase):
    """h_t = tanh(W_ih x_t + b_ih + W_hh h_(t-1) + b_hh), or with relu in place of tanh.

    input (T, N, in), (N, T, in) with batch_first, (T, in), or a packed sequence.  Returns the
    outputs of the last layer (T, N, directions * hidden) and the final state
    (layers * directions, N, hidden).

    >>> import chainrule as torch
    >>> output, h = torch.nn.RNN(10, 20, 2)(torch.ones(5, 3, 10))
    >>> output.shape, h.shape
    (torch.Size([5, 3, 20]), torch.Size([2, 3, 20]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        *args: Any,
        **kwargs: Any,
    ):
        if nonlinearity not in ("tanh", "relu"):
            raise ArgumentError(f"RNN requires nonlinearity tanh or relu, got {nonlinearity!r}")
        super().__init__(
            f"RNN_{nonlinearity.upper()}", input_size, hidden_size, num_layers, *args, **kwargs
        )
        self.nonlinearity = nonlinearity


class LSTM(RNNBase):
    """`lstm_cell` over time: c_t = f c_(t-1) + i g and h_t = o tanh(c_t).

    Input and output as for RNN; the state is the pair (h, c).  With `proj_size`, h is multiplied
    by a learned matrix (proj_size, hidden).  Hochreiter and Schmidhuber, 1997.

    >>> import chainrule as torch
    >>> output, (h, c) = torch.nn.LSTM(10, 20, batch_first=True)(torch.ones(3, 5, 10))
    >>> output.shape, c.shape
    (torch.Size([3, 5, 20]), torch.Size([1, 3, 20]))
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__("LSTM", *args, **kwargs)

    def _state_sizes(self) -> tuple[int, ...]:
        return (self._out_size, self.hidden_size)

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:
        output, (h, c) = self._run(input, hx)
        return output, (h, c)


class GRU(RNNBase):
    """`gru_cell` over time: h_t = (1 - z) n + z h_(t-1).  Input, output and state as for RNN.

    Cho et al., 2014.

    >>> import chainrule as torch
    >>> output, h = torch.nn.GRU(10, 20, bidirectional=True)(torch.ones(5, 3, 10))
    >>> output.shape, h.shape
    (torch.Size([5, 3, 40]), torch.Size([2, 3, 20]))
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__("GRU", *args, **kwargs)


class RNNCellBase(_Recurrent):
    """What the cells share: four tensors, and the forms of input and state."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool,
        num_chunks: int,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        rows = num_chunks * hidden_size
        for name, width in (("weight_ih", input_size), ("weight_hh", hidden_size)):
            setattr(self, name, Parameter(empty(rows, width, device=device, dtype=dtype)))
        for name in ("bias_ih", "bias_hh"):
            value = Parameter(empty(rows, device=device, dtype=dtype)) if bias else None
            self.register_parameter(name, value)
        self.reset_parameters()

    def _step(self, function: Any, input: Tensor, hx: Any, count: int) -> tuple[Tensor, ...]:
        """`function` on a batch; one sample goes in and comes out without a batch axis."""
        if input.dim() not in (1, 2):
            raise ArgumentError(
                f"{self._get_name()} requires 1D or 2D input, got {tuple(input.shape)}"
            )
        x = input if input.dim() == 2 else input.unsqueeze(0)
        if hx is None:
            start = zeros(x.shape[0], self.hidden_size, dtype=x.dtype, device=x.device)
            hx = (start,) * count
        elif input.dim() == 1:
            hx = tuple(h.unsqueeze(0) for h in hx)
        self._check(x, hx)
        state = hx if count > 1 else hx[0]
        result = function(
            x, state, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh
        )
        result = result if count > 1 else (result,)
        return result if input.dim() == 2 else tuple(h.squeeze(0) for h in result)

    def _check(self, x: Tensor, hx: tuple[Tensor, ...]) -> None:
        self._check_width(x)
        wanted = (x.shape[0], self.hidden_size)
        for h in hx:
            if tuple(h.shape) != wanted:
                raise ShapeError(
                    f"{self._get_name()} requires a state {wanted}, got {tuple(h.shape)}"
                )

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias else ", bias=False")


class RNNCell(RNNCellBase):
    """h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or with relu in place of tanh.

    input (N, in) or (in,), hx (N, hidden), zeros by default.

    >>> import chainrule as torch
    >>> torch.nn.RNNCell(10, 20)(torch.ones(3, 10)).shape
    torch.Size([3, 20])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        if self.nonlinearity not in ("tanh", "relu"):
            raise ArgumentError(
                f"RNNCell requires nonlinearity tanh or relu, got {self.nonlinearity!r}"
            )
        function = getattr(steps, f"rnn_{self.nonlinearity}_cell")
        return self._step(function, input, None if hx is None else (hx,), 1)[0]

    def extra_repr(self) -> str:
        is_default = self.nonlinearity == "tanh"
        return super().extra_repr() + (
            "" if is_default else f", nonlinearity={self.nonlinearity}"
        )


class LSTMCell(RNNCellBase):
    """(h', c') with c' = f c + i g and h' = o tanh(c'); see `lstm_cell`.

    input (N, in) or (in,), hx the pair (h, c), zeros by default.

    >>> import chainrule as torch
    >>> h, c = torch.nn.LSTMCell(10, 20)(torch.ones(3, 10))
    >>> h.shape
    torch.Size([3, 20])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(self, input: Tensor, hx: Any = None) -> tuple[Tensor, Tensor]:
        h, c = self._step(steps.lstm_cell, input, hx, 2)
        return h, c


class GRUCell(RNNCellBase):
    """h' = (1 - z) n + z h; see `gru_cell`.  input (N, in) or (in,), hx (N, hidden).

    >>> import chainrule as torch
    >>> torch.nn.GRUCell(10, 20)(torch.ones(3, 10)).shape
    torch.Size([3, 20])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        return self._step(steps.gru_cell, input, None if hx is None else (hx,), 1)[0]
