"""Activations: functions of each element, and the normalised exponentials along an axis."""

from __future__ import annotations

import math
from collections.abc import Callable

from ..dtypes import dtype as DType
from ..errors import ArgumentError, ShapeError
from ..methods.create import empty_like, zeros_like
from ..methods.logic import where
from ..scope import composite
from ..tensor import Tensor
from ..warning import warn
from .common import floating, stored

# The fixed point of zero mean and unit variance (Klambauer et al., 2017).
_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946


@composite("ReluBackward0")
def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(x, 0), with derivative 0 at 0.

    >>> import chainrule as torch
    >>> torch.nn.functional.relu(torch.tensor([-1.0, 0.0, 2.0]))
    tensor([0., 0., 2.])
    """
    return stored(input, input.relu(), inplace)


@composite("SigmoidBackward0")
def sigmoid(input: Tensor) -> Tensor:
    """1 / (1 + exp(-x)).

    >>> import chainrule as torch
    >>> torch.nn.functional.sigmoid(torch.tensor([0.0, -1000.0]))
    tensor([0.5000, 0.0000])
    """
    return input.sigmoid()


@composite("TanhBackward0")
def tanh(input: Tensor) -> Tensor:
    """(exp(x) - exp(-x)) / (exp(x) + exp(-x)).

    >>> import chainrule as torch
    >>> torch.nn.functional.tanh(torch.tensor([0.0, 1.0]))
    tensor([0.0000, 0.7616])
    """
    return input.tanh()


def tanhshrink(input: Tensor) -> Tensor:
    """x - tanh(x).

    >>> import chainrule as torch
    >>> torch.nn.functional.tanhshrink(torch.tensor([0.0, 1.0]))
    tensor([0.0000, 0.2384])
    """
    return input - input.tanh()


@composite("ThresholdBackward0")
def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """x where x > threshold, else `value`.

    >>> import chainrule as torch
    >>> torch.nn.functional.threshold(torch.tensor([0.5, 2.0]), 1.0, -1.0)
    tensor([-1.,  2.])
    """
    return stored(input, where(input <= threshold, value, input), inplace)


@composite("LeakyReluBackward0")
@floating
def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x where x > 0, else negative_slope * x.

    >>> import chainrule as torch
    >>> torch.nn.functional.leaky_relu(torch.tensor([-1.0, 2.0]), 0.1)
    tensor([-0.1000,  2.0000])
    """
    return stored(input, where(input > 0, input, input * negative_slope), inplace)


@composite("PreluKernelBackward0")
@floating
def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """x where x > 0, else a * x, with one `a` for all or one for each channel.

    input (N, C, *), weight (1,) or (C,).

    >>> import chainrule as torch
    >>> torch.nn.functional.prelu(torch.tensor([-1.0, 2.0]), torch.tensor([0.25]))
    tensor([-0.2500,  2.0000])
    """
    channels = input.shape[1] if input.dim() > 1 else 1
    if weight.dim() > 1 or weight.numel() not in (1, channels):
        raise ShapeError(
            f"prelu requires one weight or one for each of {channels} channels, got weight "
            f"{tuple(weight.shape)} for input {tuple(input.shape)}"
        )
    if weight.numel() > 1:
        weight = weight.reshape(-1, *[1] * (input.dim() - 2))
    return where(input > 0, input, input * weight)


def _negative(x: Tensor) -> Tensor:
    # exp never sees a positive x: its overflow would reach the gradient as 0 * inf.
    return x.clamp(max=0)


@composite("EluBackward0")
@floating
def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where x > 0, else alpha (exp(x) - 1).

    >>> import chainrule as torch
    >>> torch.nn.functional.elu(torch.tensor([-1.0, 2.0]))
    tensor([-0.6321,  2.0000])
    """
    return stored(input, where(input > 0, input, _negative(input).expm1() * alpha), inplace)


@composite("EluBackward0")
@floating
def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """scale * (x where x > 0, else alpha (exp(x) - 1)): keeps zero mean and unit variance.

    Klambauer et al., Self-Normalizing Neural Networks, 2017.

    >>> import chainrule as torch
    >>> torch.nn.functional.selu(torch.tensor([-1.0, 2.0]))
    tensor([-1.1113,  2.1014])
    """
    below = _negative(input).expm1() * (_SELU_ALPHA * _SELU_SCALE)
    return stored(input, where(input > 0, input * _SELU_SCALE, below), inplace)


@composite("CeluBackward0")
@floating
def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where x > 0, else alpha (exp(x / alpha) - 1): its derivative is continuous for every alpha.

    Raises ArgumentError for alpha = 0.

    >>> import chainrule as torch
    >>> torch.nn.functional.celu(torch.tensor([-1.0, 2.0]), alpha=2.0)
    tensor([-0.7869,  2.0000])
    """
    if alpha == 0:
        raise ArgumentError("celu requires alpha != 0, got 0")
    below = (_negative(input) / alpha).expm1() * alpha
    return stored(input, where(input > 0, input, below), inplace)


@composite("GeluBackward0")
@floating
def gelu(input: Tensor, *, approximate: str = "none") -> Tensor:
    """x Phi(x), with Phi the normal distribution's cumulative function.

    `approximate='tanh'`: x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))).
    Hendrycks and Gimpel, Gaussian Error Linear Units, 2016.

    >>> import chainrule as torch
    >>> torch.nn.functional.gelu(torch.tensor([-1.0, 2.0]))
    tensor([-0.1587,  1.9545])
    """
    if approximate == "tanh":
        inner = (input + 0.044715 * (input * input * input)) * math.sqrt(2 / math.pi)
        return 0.5 * input * (1 + inner.tanh())
    if approximate != "none":
        raise ArgumentError(f"gelu requires approximate 'none' or 'tanh', got {approximate!r}")
    return 0.5 * input * (1 + (input * math.sqrt(0.5)).erf())


@composite("SiluBackward0")
@floating
def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """x sigmoid(x).

    >>> import chainrule as torch
    >>> torch.nn.functional.silu(torch.tensor([-1.0, 2.0]))
    tensor([-0.2689,  1.7616])
    """
    return stored(input, input * input.sigmoid(), inplace)


@composite("MishBackward0")
@floating
def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """x tanh(softplus(x)).  Misra, 2019.

    >>> import chainrule as torch
    >>> torch.nn.functional.mish(torch.tensor([-1.0, 2.0]))
    tensor([-0.3034,  1.9440])
    """
    return stored(input, input * log1p_exp(input).tanh(), inplace)


def log1p_exp(x: Tensor) -> Tensor:
    """log(1 + exp(x)) without overflow, right to every order of derivative and also at x = 0."""
    # log(exp(x - m) + exp(-m)) + m holds for every constant m.  m = max(x, 0) keeps both
    # exponentials below 1; as a constant it leaves no kink at 0, which |x| would.
    shift = x.detach().relu()
    return shift + ((x - shift).exp() + (-shift).expm1()).log1p()


@composite("SoftplusBackward0")
@floating
def softplus(input: Tensor, beta: float = 1, threshold: float = 20) -> Tensor:
    """log(1 + exp(beta x)) / beta, and x itself where beta x > threshold.

    >>> import chainrule as torch
    >>> torch.nn.functional.softplus(torch.tensor([-1.0, 0.0, 1000.0]))
    tensor([3.1326e-01, 6.9315e-01, 1.0000e+03])
    """
    scaled = input * beta
    return where(scaled > threshold, input, log1p_exp(scaled) / beta)


@composite("LogSigmoidBackward0")
@floating
def logsigmoid(input: Tensor) -> Tensor:
    """log(1 / (1 + exp(-x))), finite for every finite x.

    >>> import chainrule as torch
    >>> torch.nn.functional.logsigmoid(torch.tensor([0.0, -1000.0]))
    tensor([-6.9315e-01, -1.0000e+03])
    """
    return -log1p_exp(-input)


def softsign(input: Tensor) -> Tensor:
    """x / (1 + |x|).

    >>> import chainrule as torch
    >>> torch.nn.functional.softsign(torch.tensor([-1.0, 3.0]))
    tensor([-0.5000,  0.7500])
    """
    return input / (input.abs() + 1)


def _clipped(x: Tensor, low: float, high: float) -> Tensor:
    # Not clamp: the derivative is 0 on both bounds themselves.
    return where(x <= low, low, where(x >= high, high, x))


@composite("HardtanhBackward0")
def hardtanh(
    input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Tensor:
    """x cut to [min_val, max_val], with derivative 0 on the bounds.

    >>> import chainrule as torch
    >>> torch.nn.functional.hardtanh(torch.tensor([-3.0, 0.5, 3.0]))
    tensor([-1.0000,  0.5000,  1.0000])
    """
    if min_val > max_val:
        raise ArgumentError(f"hardtanh requires min_val <= max_val, got {min_val} and {max_val}")
    return stored(input, _clipped(input, min_val, max_val), inplace)


@composite("HardtanhBackward0")
def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """x cut to [0, 6].

    >>> import chainrule as torch
    >>> torch.nn.functional.relu6(torch.tensor([-1.0, 3.0, 9.0]))
    tensor([0., 3., 6.])
    """
    return stored(input, _clipped(input, 0, 6), inplace)


@composite("HardsigmoidBackward0")
@floating
def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """x/6 + 1/2 cut to [0, 1].

    >>> import chainrule as torch
    >>> torch.nn.functional.hardsigmoid(torch.tensor([-4.0, 0.0, 1.5]))
    tensor([0.0000, 0.5000, 0.7500])
    """
    return stored(input, _clipped(input + 3, 0, 6) / 6, inplace)


@composite("HardswishBackward0")
@floating
def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """x hardsigmoid(x).  Howard et al., Searching for MobileNetV3, 2019.

    >>> import chainrule as torch
    >>> torch.nn.functional.hardswish(torch.tensor([-4.0, 1.0, 4.0]))
    tensor([-0.0000, 0.6667, 4.0000])
    """
    return stored(input, input * _clipped(input + 3, 0, 6) / 6, inplace)


@composite("HardshrinkBackward0")
@floating
def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x where |x| > lambd, else 0.

    >>> import chainrule as torch
    >>> torch.nn.functional.hardshrink(torch.tensor([-1.0, 0.3]))
    tensor([-1.,  0.])
    """
    return where(input.abs() <= lambd, 0.0, input)


@composite("SoftshrinkBackward0")
@floating
def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x moved towards 0 by lambd, and 0 where |x| <= lambd.

    >>> import chainrule as torch
    >>> torch.nn.functional.softshrink(torch.tensor([-1.0, 0.3]))
    tensor([-0.5000,  0.0000])
    """
    if lambd < 0:
        raise ArgumentError(f"softshrink requires lambd >= 0, got {lambd}")
    return where(input.abs() <= lambd, 0.0, input - lambd * input.detach().sign())


@composite("RreluWithNoiseBackward0")
@floating
def rrelu(
    input: Tensor,
    lower: float = 1 / 8,
    upper: float = 1 / 3,
    training: bool = False,
    inplace: bool = False,
) -> Tensor:
    """x where x > 0, else a * x with `a` drawn from [lower, upper), or their mean in evaluation.

    In training, PyTorch draws only for the elements that are not positive; here one number is
    drawn for every element, so the stream differs.

    >>> import chainrule as torch
    >>> torch.nn.functional.rrelu(torch.tensor([-1.0, 3.0]), 0.1, 0.3)
    tensor([-0.2000,  3.0000])
    """
    if lower > upper:
        raise ArgumentError(f"rrelu requires lower <= upper, got {lower} and {upper}")
    slope = empty_like(input).uniform_(lower, upper) if training else (lower + upper) / 2
    return stored(input, where(input > 0, input, input * slope), inplace)


@composite("GluBackward0")
@floating
def glu(input: Tensor, dim: int = -1) -> Tensor:
    """a sigmoid(b), with a and b the halves of the input along `dim`.

    Dauphin et al., Language Modeling with Gated Convolutional Networks, 2016.

    >>> import chainrule as torch
    >>> torch.nn.functional.glu(torch.tensor([1.0, 2.0, 0.0, 0.0]))
    tensor([0.5000, 1.0000])
    """
    if input.dim() == 0 or input.shape[dim] % 2:
        raise ShapeError(f"glu requires an even size in dim {dim}, got {tuple(input.shape)}")
    value, gate = input.chunk(2, dim)
    return value * gate.sigmoid()


# --------------------------------------------------------------------------- along an axis
def _default_dim(name: str, input: Tensor) -> int:
    dim = 0 if input.dim() in (0, 1, 3) else 1
    warn(f"{name} without dim is deprecated; write dim={dim}")
    return dim


@composite("SoftmaxBackward0")
def softmax(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: DType | None = None
) -> Tensor:
    """p_i = exp(x_i) / sum_j exp(x_j) along `dim`, finite for every finite x.

    >>> import chainrule as torch
    >>> torch.nn.functional.softmax(torch.tensor([1e4, 1e4, 0.0]), dim=0)
    tensor([0.5000, 0.5000, 0.0000])
    """
    dim = _default_dim("softmax", input) if dim is None else dim
    return _softmax(input if dtype is None else input.to(dtype), dim)


@composite("SoftmaxBackward0")
def softmin(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: DType | None = None
) -> Tensor:
    """softmax(-x).

    >>> import chainrule as torch
    >>> torch.nn.functional.softmin(torch.tensor([0.0, 1.0]), dim=0)
    tensor([0.7311, 0.2689])
    """
    dim = _default_dim("softmin", input) if dim is None else dim
    return _softmax(-(input if dtype is None else input.to(dtype)), dim)


@composite("LogSoftmaxBackward0")
def log_softmax(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: DType | None = None
) -> Tensor:
    """x_i - log(sum_j exp(x_j)) along `dim`, finite for every finite x.

    >>> import chainrule as torch
    >>> torch.nn.functional.log_softmax(torch.tensor([1e4, 0.0]), dim=0)
    tensor([     0., -10000.])
    """
    dim = _default_dim("log_softmax", input) if dim is None else dim
    return _log_softmax(input if dtype is None else input.to(dtype), dim)


@floating
def _softmax(x: Tensor, dim: int) -> Tensor:
    return x.softmax(dim)


@floating
def _log_softmax(x: Tensor, dim: int) -> Tensor:
    return x.log_softmax(dim)


@composite()
@floating
def gumbel_softmax(
    logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1
) -> Tensor:
    """softmax((logits + g) / tau), g from Gumbel(0, 1): a differentiable draw of one class.

    `hard=True` gives the one-hot of the largest, with the gradient of the soft draw.
    `eps` has no effect (as in PyTorch).  Jang et al., Categorical Reparameterization, 2016.

    >>> import chainrule as torch
    >>> torch.nn.functional.gumbel_softmax(torch.zeros(2, 3), hard=True).sum(-1)
    tensor([1., 1.])
    """
    noise = -empty_like(logits).exponential_().log()
    soft = softmax((logits + noise) / tau, dim)
    if not hard:
        return soft
    winner = soft.detach().argmax(dim, keepdim=True)
    return zeros_like(soft).scatter(dim, winner, 1.0) - soft.detach() + soft


def _in_place(function: Callable) -> Callable:
    """The form with an underscore: the same function with inplace=True."""

    def written(input: Tensor, *args, **kwargs) -> Tensor:
        return function(input, *args, inplace=True, **kwargs)

    written.__name__ = written.__qualname__ = function.__name__ + "_"
    written.__doc__ = f"`{function.__name__}`, written into `input`."
    return written


relu_, elu_, selu_, celu_ = map(_in_place, (relu, elu, selu, celu))
leaky_relu_, hardtanh_ = _in_place(leaky_relu), _in_place(hardtanh)
threshold_, rrelu_ = _in_place(threshold), _in_place(rrelu)
