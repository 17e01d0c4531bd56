"""Filling tensors with starting values, drawn from PyTorch's random stream."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ..errors import ArgumentError
from ..grad_mode import no_grad
from ..methods.create import empty_like
from ..methods.create import eye as identity
from ..methods.logic import where
from ..methods.sample import randperm
from ..random import Generator
from ..tensor import Tensor, from_array
from ..warning import old_name, warn

_LINEAR = ["linear", *(f"conv{t}{n}d" for t in ("", "_transpose") for n in (1, 2, 3)), "sigmoid"]
_GAINS = dict.fromkeys(_LINEAR, 1.0) | {"tanh": 5 / 3, "relu": math.sqrt(2), "selu": 3 / 4}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor for the standard deviation of weights before this nonlinearity.

    1 for linear and sigmoid, 5/3 for tanh, sqrt(2) for relu, sqrt(2 / (1 + param^2)) for
    leaky_relu of slope `param` (default 0.01), 3/4 for selu.  Raises ValueError for another name.
    He et al. 2015.

    >>> import chainrule as torch
    >>> torch.nn.init.calculate_gain("leaky_relu", 1.0)
    1.0
    """
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        if isinstance(slope, bool) or not isinstance(slope, int | float):
            raise ArgumentError(f"calculate_gain requires a number as the slope, got {param!r}")
        return math.sqrt(2 / (1 + slope**2))
    if nonlinearity not in _GAINS:
        raise ArgumentError(
            f"calculate_gain requires one of {sorted([*_GAINS, 'leaky_relu'])}, "
            f"got {nonlinearity!r}"
        )
    return _GAINS[nonlinearity]


def _calculate_fan_in_and_fan_out(tensor: Tensor, name: str = "fan_in") -> tuple[int, int]:
    """Inputs of one output element and outputs of one input element, of a weight (out, in, *)."""
    if tensor.dim() < 2:
        raise ArgumentError(
            f"{name} requires a weight of at least 2 dimensions, got shape {tuple(tensor.shape)}"
        )
    field = math.prod(tensor.shape[2:])
    return tensor.shape[1] * field, tensor.shape[0] * field


def _calculate_correct_fan(tensor: Tensor, mode: str, name: str = "fan_in") -> int:
    if mode.lower() not in ("fan_in", "fan_out"):
        raise ArgumentError(f"{name} requires mode 'fan_in' or 'fan_out', got {mode!r}")
    fan_in, fan_out = _calculate_fan_in_and_fan_out(tensor, name)
    return fan_in if mode.lower() == "fan_in" else fan_out


@no_grad()
def uniform_(
    tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Each element from U(a, b).

    >>> import chainrule as torch
    >>> bool((torch.nn.init.uniform_(torch.empty(9), 2.0, 3.0) >= 2).all())
    True
    """
    return tensor.uniform_(a, b, generator=generator)


@no_grad()
def normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Each element from N(mean, std^2).

    >>> import chainrule as torch
    >>> torch.nn.init.normal_(torch.empty(2, 3), std=0.0).sum().item()
    0.0
    """
    return tensor.normal_(mean, std, generator=generator)


@no_grad()
def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:
    """Each element from N(mean, std^2) given that it is in [a, b].

    What falls outside is drawn again; if that would be most of it, candidates come from U(a, b) and
    are kept with a probability proportional to the density.  The bounds are values, not numbers of
    standard deviations.

    >>> import chainrule as torch
    >>> bool((torch.nn.init.trunc_normal_(torch.empty(99), std=9.0).abs() <= 2).all())
    True
    """
    if mean < a - 2 * std or mean > b + 2 * std:
        warn(
            f"trunc_normal_: mean {mean} is more than 2 std = {2 * std} away from [{a}, {b}]; "
            "the distribution of values may be wrong",
        )

    def below(x: float) -> float:
        return (1 + math.erf((x - mean) / std / math.sqrt(2))) / 2

    def draw() -> tuple[Tensor, Tensor]:
        """Values, and which of them are rejected."""
        if below(b) - below(a) > 0.3:
            x = empty_like(tensor).normal_(mean, std, generator=generator)
            return x, (x < a) | (x > b)
        x = empty_like(tensor).uniform_(a, b, generator=generator)
        mode = max(a, min(mean, b))
        log_density = -0.5 * ((x - mean) / std) ** 2 + 0.5 * ((mode - mean) / std) ** 2
        return x, empty_like(tensor).uniform_(generator=generator).log() > log_density

    result, pending = draw()
    while pending.any():
        x, rejected = draw()
        result = where(pending, x, result)
        pending = pending & rejected
    return tensor.copy_(result)


@no_grad()
def constant_(tensor: Tensor, val: float) -> Tensor:
    """Each element = val.

    >>> import chainrule as torch
    >>> torch.nn.init.constant_(torch.empty(2), 0.5)
    tensor([0.5000, 0.5000])
    """
    return tensor.fill_(val)


def ones_(tensor: Tensor) -> Tensor:
    """Each element = 1.

    >>> import chainrule as torch
    >>> torch.nn.init.ones_(torch.empty(2))
    tensor([1., 1.])
    """
    return constant_(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    """Each element = 0.

    >>> import chainrule as torch
    >>> torch.nn.init.zeros_(torch.empty(2))
    tensor([0., 0.])
    """
    return constant_(tensor, 0.0)


@no_grad()
def eye_(tensor: Tensor) -> Tensor:
    """The identity matrix (n, m): as much of the input as fits is passed on.  Else ValueError.

    >>> import chainrule as torch
    >>> torch.nn.init.eye_(torch.empty(2, 3))
    tensor([[1., 0., 0.],
            [0., 1., 0.]])
    """
    _require_matrix(tensor, "eye_")
    return tensor.copy_(identity(*tensor.shape))


@no_grad()
def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """A convolution (out, in, *window) that passes on its input channels: 1 at the centre of the
    window from input channel c to output channel c of each group, else 0.

    Raises ValueError unless it has 3, 4 or 5 dimensions and `groups` divides out.

    >>> import chainrule as torch
    >>> torch.nn.init.dirac_(torch.empty(1, 1, 3))
    tensor([[[0., 1., 0.]]])
    """
    if tensor.dim() not in (3, 4, 5):
        raise ArgumentError(
            f"dirac_ requires 3, 4 or 5 dimensions, got shape {tuple(tensor.shape)}"
        )
    out, channels, *window = tensor.shape
    if out % groups:
        raise ArgumentError(f"dirac_ requires groups to divide {out}, got {groups}")
    centre = tuple(size // 2 for size in window)
    tensor.zero_()
    for group in range(groups):
        for c in range(min(out // groups, channels)):
            tensor[(group * (out // groups) + c, c, *centre)] = 1
    return tensor


def _xavier_std(tensor: Tensor, gain: float, name: str) -> float:
    return gain * math.sqrt(2 / sum(_calculate_fan_in_and_fan_out(tensor, name)))


def xavier_uniform_(
    tensor: Tensor, gain: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """U(-a, a) with a = gain sqrt(6 / (fan_in + fan_out)).  Glorot and Bengio 2010.

    The variance of values and of gradients stays the same through linear layers.  Raises
    ValueError for fewer than 2 dimensions.

    >>> import chainrule as torch
    >>> bool((torch.nn.init.xavier_uniform_(torch.empty(3, 3)).abs() <= 1).all())
    True
    """
    bound = math.sqrt(3) * _xavier_std(tensor, gain, "xavier_uniform_")
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """N(0, s^2) with s = gain sqrt(2 / (fan_in + fan_out)).  Glorot and Bengio 2010.

    >>> import chainrule as torch
    >>> torch.nn.init.xavier_normal_(torch.empty(3, 3), gain=0.0).sum().item()
    0.0
    """
    return normal_(tensor, 0.0, _xavier_std(tensor, gain, "xavier_normal_"), generator)


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str, name: str) -> float:
    fan = _calculate_correct_fan(tensor, mode, name)
    return calculate_gain(nonlinearity, a) / math.sqrt(fan)


def _is_empty(tensor: Tensor, name: str) -> bool:
    if tensor.numel() == 0:
        warn(f"{name}: a tensor without elements has nothing to fill")
    return tensor.numel() == 0


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """U(-b, b) with b = gain sqrt(3 / fan), gain of the nonlinearity with slope `a`.  He 2015.

    mode "fan_in" keeps the variance of the values, "fan_out" that of the gradients.  Raises
    ValueError for fewer than 2 dimensions or another mode.

    >>> import chainrule as torch
    >>> w = torch.nn.init.kaiming_uniform_(torch.empty(4, 6), nonlinearity="relu")
    >>> bool((w.abs() <= 1).all())
    True
    """
    if _is_empty(tensor, "kaiming_uniform_"):
        return tensor
    bound = math.sqrt(3) * _kaiming_std(tensor, a, mode, nonlinearity, "kaiming_uniform_")
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """N(0, s^2) with s = gain / sqrt(fan); see kaiming_uniform_.

    >>> import chainrule as torch
    >>> torch.nn.init.kaiming_normal_(torch.empty(4, 2)).shape
    torch.Size([4, 2])
    """
    if _is_empty(tensor, "kaiming_normal_"):
        return tensor
    std = _kaiming_std(tensor, a, mode, nonlinearity, "kaiming_normal_")
    return normal_(tensor, 0.0, std, generator)


@no_grad()
def orthogonal_(tensor: Tensor, gain: float = 1, generator: Generator | None = None) -> Tensor:
    """gain Q, where Q (out, rest) has orthonormal rows or columns, whichever are fewer.

    Q R = a normal matrix, with the signs of Q such that diag R > 0, which makes Q uniform.  Raises
    ValueError for fewer than 2 dimensions.  Saxe et al. 2014.

    >>> import chainrule as torch
    >>> w = torch.nn.init.orthogonal_(torch.empty(2, 5))
    >>> torch.allclose(w @ w.T, torch.eye(2), atol=1e-6)
    True
    """
    if tensor.dim() < 2:
        raise ArgumentError(
            f"orthogonal_ requires at least 2 dimensions, got shape {tuple(tensor.shape)}"
        )
    if tensor.numel() == 0:
        return tensor
    rows = tensor.shape[0]
    flat = empty_like(tensor.reshape(rows, -1)).normal_(0, 1, generator=generator)
    flat = flat.double().numpy()
    wide = rows < flat.shape[1]
    q, r = np.linalg.qr(flat.T if wide else flat)
    q = q * np.sign(np.diagonal(r))
    return tensor.copy_(from_array(q.T if wide else q).reshape(tensor.shape)).mul_(gain)


@no_grad()
def sparse_(
    tensor: Tensor, sparsity: float, std: float = 0.01, generator: Generator | None = None
) -> Tensor:
    """N(0, std^2) with the fraction `sparsity` of each column 0.  Matrices only (ValueError).

    Martens 2010.

    >>> import chainrule as torch
    >>> (torch.nn.init.sparse_(torch.empty(4, 3), sparsity=0.5) == 0).sum().item()
    6
    """
    _require_matrix(tensor, "sparse_")
    rows, columns = tensor.shape
    tensor.normal_(0, std, generator=generator)
    for column in range(columns):
        # As in PyTorch, the places come from the default generator.
        tensor[randperm(rows)[: math.ceil(sparsity * rows)], column] = 0
    return tensor


def _require_matrix(tensor: Tensor, name: str) -> None:
    if tensor.dim() != 2:
        raise ArgumentError(f"{name} requires 2 dimensions, got shape {tuple(tensor.shape)}")


def _old(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return old_name(function, f"nn.init.{function.__name__.removesuffix('_')}")


uniform, normal, constant = map(_old, (uniform_, normal_, constant_))
eye, dirac, orthogonal, sparse = map(_old, (eye_, dirac_, orthogonal_, sparse_))
xavier_uniform, xavier_normal = map(_old, (xavier_uniform_, xavier_normal_))
kaiming_uniform, kaiming_normal = map(_old, (kaiming_uniform_, kaiming_normal_))
