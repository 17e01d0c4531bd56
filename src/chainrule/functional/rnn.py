"""Recurrent networks: one step of each cell, and their scan over time, layers and directions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ..methods.joining import cat, stack
from ..scope import composite
from ..tensor import Tensor
from .dropout import dropout as drop
from .linear import linear
from .repeated import repeated

State = tuple[Tensor, ...]  # (h,) or, for an LSTM, (h, c); each (N, hidden)


class _Weights(NamedTuple):
    """The tensors of one layer and direction, in the order in which the module holds them."""

    ih: Tensor
    hh: Tensor
    bias_ih: Tensor | None = None
    bias_hh: Tensor | None = None
    hr: Tensor | None = None  # the projection of an LSTM's output


def _merged_bias(w: _Weights) -> Tensor | None:
    return None if w.bias_ih is None or w.bias_hh is None else w.bias_ih + w.bias_hh


class _Cell(NamedTuple):
    """A kind of recurrent network.

    `bias` is what can be added to x W_ih^T for all times at once; `step` maps one time's
    projected input and the state to the next state.
    """

    bias: Callable[[_Weights], Tensor | None]
    step: Callable[[Tensor, State, _Weights], State]


def _relu_step(x: Tensor, state: State, w: _Weights) -> State:
    return ((x + state[0] @ w.hh.t()).relu(),)


def _tanh_step(x: Tensor, state: State, w: _Weights) -> State:
    return ((x + state[0] @ w.hh.t()).tanh(),)


def _lstm_step(x: Tensor, state: State, w: _Weights) -> State:
    h, c = state
    i, f, g, o = (x + h @ w.hh.t()).chunk(4, -1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    h = o.sigmoid() * c.tanh()
    return (h if w.hr is None else h @ w.hr.t(), c)


def _gru_step(x: Tensor, state: State, w: _Weights) -> State:
    (h,) = state
    xr, xz, xn = x.chunk(3, -1)
    # The bias of n stays inside the reset gate, so it cannot join x.
    hr, hz, hn = linear(h, w.hh, w.bias_hh).chunk(3, -1)
    z = (xz + hz).sigmoid()
    n = (xn + (xr + hr).sigmoid() * hn).tanh()
    return (n + z * (h - n),)


_RELU = _Cell(_merged_bias, _relu_step)
_TANH = _Cell(_merged_bias, _tanh_step)
_LSTM = _Cell(_merged_bias, _lstm_step)
_GRU = _Cell(lambda w: w.bias_ih, _gru_step)


# --------------------------------------------------------------------------- one step
def _one_step(cell: _Cell, input: Tensor, state: State, weights: _Weights) -> State:
    return cell.step(linear(input, weights.ih, cell.bias(weights)), state, weights)


@composite("TanhBackward0")
def rnn_tanh_cell(
    input: Tensor,
    hx: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> Tensor:
    """h' = tanh(W_ih x + b_ih + W_hh h + b_hh).  input (N, in), hx (N, hidden).

    >>> import chainrule as torch
    >>> from chainrule.functional.rnn import rnn_tanh_cell
    >>> rnn_tanh_cell(torch.ones(1, 1), torch.ones(1, 1), torch.eye(1), torch.eye(1))
    tensor([[0.9640]])
    """
    return _one_step(_TANH, input, (hx,), _Weights(w_ih, w_hh, b_ih, b_hh))[0]


@composite("ReluBackward0")
def rnn_relu_cell(
    input: Tensor,
    hx: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> Tensor:
    """h' = max(0, W_ih x + b_ih + W_hh h + b_hh).  input (N, in), hx (N, hidden).

    >>> import chainrule as torch
    >>> from chainrule.functional.rnn import rnn_relu_cell
    >>> rnn_relu_cell(torch.ones(1, 1), torch.ones(1, 1), torch.eye(1), torch.eye(1))
    tensor([[2.]])
    """
    return _one_step(_RELU, input, (hx,), _Weights(w_ih, w_hh, b_ih, b_hh))[0]


@composite()
def lstm_cell(
    input: Tensor,
    hx: Sequence[Tensor],
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """(h', c') with c' = f c + i g and h' = o tanh(c').

    i, f, o = sigmoid and g = tanh of the four quarters of W_ih x + b_ih + W_hh h + b_hh, in the
    order i, f, g, o.  input (N, in), hx = (h, c), each (N, hidden).
    Hochreiter and Schmidhuber, 1997.

    >>> import chainrule as torch
    >>> from chainrule.functional.rnn import lstm_cell
    >>> zero = torch.zeros(1, 1)
    >>> lstm_cell(zero, (zero, torch.ones(1, 1)), torch.zeros(4, 1), torch.zeros(4, 1))[1]
    tensor([[0.5000]])
    """
    h, c = _one_step(_LSTM, input, tuple(hx), _Weights(w_ih, w_hh, b_ih, b_hh))
    return h, c


@composite()
def gru_cell(
    input: Tensor,
    hx: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> Tensor:
    """h' = (1 - z) n + z h, with n = tanh(x_n + r h_n).

    r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z); x_r, x_z, x_n are the thirds of W_ih x + b_ih,
    h_r, h_z, h_n those of W_hh h + b_hh.  input (N, in), hx (N, hidden).  Cho et al., 2014.

    >>> import chainrule as torch
    >>> from chainrule.functional.rnn import gru_cell
    >>> x, h = torch.zeros(1, 1), torch.ones(1, 1)
    >>> gru_cell(x, h, torch.zeros(3, 1), torch.zeros(3, 1))
    tensor([[0.5000]])
    """
    return _one_step(_GRU, input, (hx,), _Weights(w_ih, w_hh, b_ih, b_hh))[0]


# --------------------------------------------------------------------------- all times
def _forward(cell: _Cell, rows: Sequence[Tensor], state: State, w: _Weights):
    """Step through `rows`, whose batches may shrink: what has ended leaves the state."""
    outputs, ended = [], []
    for row in rows:
        n = row.shape[0]
        if n < state[0].shape[0]:
            ended.append(tuple(s[n:] for s in state))
            state = tuple(s[:n] for s in state)
        state = cell.step(row, state, w)
        outputs.append(state[0])
    for rest in reversed(ended):
        state = tuple(cat(pair) for pair in zip(state, rest))
    return outputs, state


def _backward(cell: _Cell, rows: Sequence[Tensor], start: State, w: _Weights):
    """Step through `rows` from the end: what is longer joins the state as it is reached."""
    state = tuple(s[: rows[-1].shape[0]] for s in start)
    outputs = []
    for row in reversed(rows):
        n, m = state[0].shape[0], row.shape[0]
        if n < m:
            state = tuple(cat((s, more[n:m])) for s, more in zip(state, start))
        state = cell.step(row, state, w)
        outputs.append(state[0])
    return outputs[::-1], state


def _layer(cell: _Cell, input: Tensor, sizes, start: State, w: _Weights, backward: bool):
    """One layer in one direction; `sizes` are the batches of a packed input (None: equal)."""
    projected = linear(input, w.ih, cell.bias(w))  # all times in one product
    rows = projected.unbind(0) if sizes is None else projected.split(sizes)
    outputs, state = (_backward if backward else _forward)(cell, rows, start, w)
    return stack(outputs) if sizes is None else cat(outputs), state


def _network(
    cell: _Cell,
    input: Tensor,
    sizes: list[int] | None,
    hx: State,
    params: Sequence[Tensor],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
) -> tuple[Tensor, State]:
    """All layers: each reads the outputs, of both directions, of the one below."""
    count = len(params) // (num_layers * (1 + bidirectional))
    layers = [
        _Weights(*p) if has_biases else _Weights(p[0], p[1], None, None, *p[2:])
        for p in (params[i : i + count] for i in range(0, len(params), count))
    ]
    finals = []
    for i in range(num_layers):
        outputs = []
        for d in range(1 + bidirectional):
            k = i * (1 + bidirectional) + d
            start = tuple(s[k] for s in hx)
            output, final = _layer(cell, input, sizes, start, layers[k], backward=d == 1)
            outputs.append(output)
            finals.append(final)
        input = cat(outputs, -1) if bidirectional else outputs[0]
        if dropout and train and i < num_layers - 1:
            input = drop(input, dropout)
    return input, tuple(stack(states) for states in zip(*finals))


_repeated_network = repeated(_network)


def _over_time(cell: _Cell, name: str) -> Callable:
    def network(
        input: Tensor,
        hx: Tensor | State,
        params: Sequence[Tensor],
        has_biases: bool,
        num_layers: int,
        dropout: float,
        train: bool,
        bidirectional: bool,
        batch_first: bool = False,
        batch_sizes: list[int] | None = None,
    ) -> tuple[Tensor, ...]:
        """The cell of the same name over all times, layers and directions.

        input (T, N, in), or (N, T, in) with `batch_first`, or the rows of a packed sequence with
        its `batch_sizes`; hx (layers * directions, N, hidden), for an LSTM the pair (h, c);
        `params` layer by layer and direction by direction, as the module registers them.
        Returns the outputs of the last layer at all times, then the final state of every layer.
        `dropout` acts between layers while `train`.
        """
        state = (hx,) if isinstance(hx, Tensor) else tuple(hx)
        x = input.transpose(0, 1) if batch_first else input
        draws = dropout and train and num_layers > 1
        output, final = (_network if draws else _repeated_network)(
            cell, x, batch_sizes, state, params, has_biases, num_layers, dropout, train,
            bidirectional,
        )  # fmt: skip
        return (output.transpose(0, 1) if batch_first else output, *final)

    network.__name__ = name
    return composite()(network)


lstm = _over_time(_LSTM, "lstm")
gru = _over_time(_GRU, "gru")
rnn_tanh = _over_time(_TANH, "rnn_tanh")
rnn_relu = _over_time(_RELU, "rnn_relu")
