"""Statistics of samples: quantiles, covariance, correlation."""

from __future__ import annotations

import numpy as np

from ..errors import ArgumentError, DTypeError, ShapeError
from ..scope import composite
from ..shapes import axis_index
from ..tensor import Tensor
from .create import as_tensor
from .gathering import gather
from .logic import where
from .products import matmul
from .register import method

__all__ = ["corrcoef", "cov", "nanquantile", "quantile"]

INTERPOLATIONS = ("linear", "lower", "higher", "midpoint", "nearest")


@method()
@composite("SqueezeBackward4")
def quantile(input: Tensor, q, dim: int | None = None, keepdim: bool = False, *,
             interpolation: str = "linear") -> Tensor:
    """The value that a share q of the elements along `dim` (or of all) does not exceed.

    It lies at the place q (n - 1) of the sorted elements, between two of them by `interpolation`:
    linear, lower, higher, midpoint or nearest.  A vector q gives a new first axis.  NaN among the
    elements gives NaN.

    >>> import chainrule as torch
    >>> torch.quantile(torch.tensor([0.0, 1.0, 2.0, 3.0]), 0.4)
    tensor(1.2000)
    """
    return _quantile("quantile", input, q, dim, keepdim, interpolation)


@method()
@composite("SqueezeBackward4")
def nanquantile(input: Tensor, q, dim: int | None = None, keepdim: bool = False, *,
                interpolation: str = "linear") -> Tensor:
    """`quantile` of the elements that are not NaN; NaN if there are none.

    >>> import chainrule as torch
    >>> torch.nanquantile(torch.tensor([1.0, float("nan"), 2.0]), 0.5)
    tensor(1.5000)
    """
    return _quantile("nanquantile", input, q, dim, keepdim, interpolation)


def _quantile(name: str, input: Tensor, q, dim, keepdim: bool, interpolation: str) -> Tensor:
    share = as_tensor(q, dtype=None if isinstance(q, Tensor) else input.dtype)
    _check(name, input, share, interpolation)
    axis = axis_index(name, dim, input.ndim) if dim is not None and input.ndim else 0
    x = input.reshape(-1) if dim is None or not input.ndim else input.movedim(axis, -1)
    ordered, missing = x.sort(-1).values, x.isnan()
    last = x.shape[-1] - 1
    if name == "nanquantile":
        present = (last - missing.sum(-1, keepdim=True)).clamp(min=0)
        ranks = share.reshape(-1) * present.to(x.dtype)
    else:  # NaN is sorted behind everything else
        ranks = where(missing.any(-1, keepdim=True), float(last), share.reshape(-1) * last)
    found = _between(ordered, ranks, interpolation)  # (..., q)
    if keepdim and input.ndim:
        found = found.unsqueeze(axis) if dim is not None else found.reshape(
            [1] * input.ndim + [-1])
    return found.movedim(-1, 0) if share.ndim else found.squeeze(-1)


def _between(ordered: Tensor, ranks: Tensor, interpolation: str) -> Tensor:
    """The elements at fractional places of the last axis."""
    if interpolation == "nearest":
        return gather(ordered, -1, ranks.round().long())
    if interpolation == "higher":
        return gather(ordered, -1, ranks.ceil().long())
    low = gather(ordered, -1, ranks.floor().long())
    if interpolation == "lower":
        return low
    high = gather(ordered, -1, ranks.ceil().long())
    weight = ranks - ranks.floor() if interpolation == "linear" else ranks * 0 + 0.5
    return low.lerp(high, weight)


def _check(name: str, input: Tensor, q: Tensor, interpolation: str) -> None:
    if interpolation not in INTERPOLATIONS:
        raise ArgumentError(f"{name} requires interpolation in {INTERPOLATIONS}, got "
                            f"{interpolation!r}")
    if input.dtype.itemsize < 4 or not input.dtype.is_floating_point:
        raise DTypeError(f"{name} requires float32 or float64, got {input.dtype} (input tensor "
                         "must be either float or double dtype)")
    if q.dtype is not input.dtype:
        raise DTypeError(f"{name} requires q of the input's dtype, got {q.dtype} and "
                         f"{input.dtype} (q tensor must be same dtype as the input tensor)")
    if q.ndim > 1 or not input.numel():
        raise ShapeError(f"{name} requires a q of at most one axis and an input with elements, "
                         f"got shapes {tuple(q.shape)} and {tuple(input.shape)}")
    known = q._value()
    if not np.all((known >= 0) & (known <= 1)):
        raise ArgumentError(f"{name} requires q between 0 and 1, got {q.tolist()} (q values must "
                            "be in the range [0, 1])")


@method()
@composite()
def cov(input: Tensor, *, correction: int = 1, fweights: Tensor | None = None,
        aweights: Tensor | None = None) -> Tensor:
    """C_ij = sum_k w_k (x_ik - m_i) (x_jk - m_j) / (n - correction) of observations x (i, k).

    `fweights` say how often each observation was made, `aweights` how much it counts; m are the
    weighted means.  A vector gives its variance.

    >>> import chainrule as torch
    >>> torch.cov(torch.tensor([[0.0, 1.0, 2.0], [2.0, 1.0, 0.0]]))
    tensor([[ 1., -1.],
            [-1.,  1.]])
    """
    if input.ndim > 2:
        raise ShapeError(f"cov requires at most two axes, got shape {tuple(input.shape)}")
    x = input if input.dtype.is_floating_point else input.float()
    x = x.reshape(1, -1) if x.ndim < 2 else x
    given = [_weights(n, w, x) for n, w in (("fweights", fweights), ("aweights", aweights))]
    known = [w for w in given if w is not None]
    if not known:
        centred = x - x.mean(1, keepdim=True)
        found = matmul(centred, centred.mT) / max(x.shape[1] - correction, 0)
    else:
        w = known[0] * known[-1] if len(known) == 2 else known[0]
        total = w.sum()
        centred = x - (x * w).sum(1, keepdim=True) / total
        lost = correction if aweights is None else correction * (w * known[-1]).sum() / total
        found = matmul(centred * w, centred.mT) / (total - lost).clamp(min=0)
    return found.squeeze()


def _weights(name: str, w: Tensor | None, x: Tensor) -> Tensor | None:
    if w is None:
        return None
    if w.ndim > 1 or w.numel() != x.shape[1]:
        raise ShapeError(f"cov requires one of {name} for each observation, got shape "
                         f"{tuple(w.shape)} for {x.shape[1]} observations")
    return w.to(x.dtype)


@method()
@composite()
def corrcoef(input: Tensor) -> Tensor:
    """R_ij = C_ij / sqrt(C_ii C_jj) with the covariances C, kept within [-1, 1].

    >>> import chainrule as torch
    >>> torch.corrcoef(torch.tensor([[0.0, 1.0, 2.0], [2.0, 1.0, 0.0]]))
    tensor([[ 1., -1.],
            [-1.,  1.]])
    """
    found = cov(input)
    if not found.ndim:
        return found / found
    scale = found.diagonal().sqrt()
    return (found / scale.unsqueeze(-1) / scale).clamp(-1, 1)
