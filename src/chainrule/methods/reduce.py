"""Reductions along axes: sums, means, extremes, norms, scans."""

from __future__ import annotations

import math
from typing import NamedTuple

from .. import dtypes
from ..errors import ArgumentError, DTypeError, OutOfRange, ShapeError
from ..graph import Node
from ..ops import elementwise as ew
from ..ops import reduction as rd
from ..ops.movement import reshape as _reshape
from ..ops.op import keep_axes, scalar
from ..scope import composite
from ..shapes import axis_index, axis_indices, size
from ..tensor import Tensor
from .pointwise import maximum, minimum, pow
from .register import into, method, named

__all__ = [
    "all", "amax", "amin", "aminmax", "any", "argmax", "argmin", "count_nonzero", "cummax",
    "cummin", "cumprod", "cumsum", "log_softmax", "logcumsumexp", "logsumexp", "max", "mean",
    "median", "min", "nanmean", "nansum", "norm", "prod", "softmax", "std", "std_mean", "sum",
    "var", "var_mean", "dist",
]


class values_indices(NamedTuple):
    """What max, min, sort ... along an axis return."""

    values: Tensor
    indices: Tensor

    @classmethod
    def along(cls, dim: int, keepdim: bool, values: Tensor, indices: Tensor) -> values_indices:
        """Values and indices of length 1 along `dim`, which vanishes unless `keepdim`."""
        if keepdim:
            return cls(values, indices)
        return cls(values.squeeze(dim), indices.squeeze(dim))

    def __repr__(self) -> str:
        name = f"torch.return_types.{type(self).__name__}"
        return f"{name}(\nvalues={self.values!r},\nindices={self.indices!r})"


def returned_by(name: str) -> type[values_indices]:
    """The tuple that the function `name` returns: its own class, as in PyTorch."""
    return type(name, (values_indices,), {"__slots__": ()})


def _reduce(op, x: Node, axes: tuple[int, ...], keepdim: bool) -> Node:
    if not axes and x.ndim:
        return x
    out = op(x, axis=axes) if axes else op(x, axis=())
    return keep_axes(out, x.shape, axes) if keepdim else out


def _as(input: Tensor, dtype) -> Node:
    node = input.node
    return node if dtype is None or dtype is node.dtype else ew.cast(node, dtype=dtype)


@method()
def sum(input: Tensor, dim=None, keepdim=False, *, dtype=None, axis=None, keepdims=None,
        out=None) -> Tensor:
    """The sum along `dim` (an axis, several, or all); integers are summed as int64.

    >>> import chainrule as torch
    >>> torch.ones(2, 3).sum(1)
    tensor([3., 3.])
    """
    x = _as(input, dtype)
    axes = axis_indices("sum", dim if axis is None else axis, x.ndim)
    return into(out, Tensor._from_node(_reduce(rd.sum_, x, axes, keepdim or bool(keepdims))))


@method()
@composite("MeanBackward0")
def mean(input: Tensor, dim=None, keepdim=False, *, dtype=None, axis=None, keepdims=None,
         out=None) -> Tensor:
    """sum x / n along `dim`; NaN over no elements.

    Raises RuntimeError for integers.

    >>> import chainrule as torch
    >>> torch.tensor([[1.0, 2.0], [3.0, 6.0]]).mean(0)
    tensor([2., 4.])
    """
    x = _as(input, dtype)
    if not x.dtype.is_floating_point:
        raise DTypeError(
            f"mean requires a floating point dtype, got {x.dtype} (could not infer output dtype)",
            hint="convert first: x.float().mean()",
        )
    shape = x.spec.shape
    axes = axis_indices("mean", dim if axis is None else axis, len(shape))
    count = size(tuple([shape[a] for a in axes]))
    total = _reduce(rd.sum_, x, axes, keepdim or bool(keepdims))
    return into(out, Tensor._from_node(ew.div.binary(total, scalar(float(count), total))))


@method()
def nansum(input: Tensor, dim=None, keepdim=False, *, dtype=None) -> Tensor:
    """The sum of the elements that are not NaN."""
    return sum(input.masked_fill(input.isnan(), 0), dim, keepdim, dtype=dtype)


@method()
@composite()
def nanmean(input: Tensor, dim=None, keepdim=False, *, dtype=None) -> Tensor:
    """The mean of the elements that are not NaN."""
    count = sum(input.isnan().logical_not(), dim, keepdim)
    return nansum(input, dim, keepdim, dtype=dtype) / count


@method()
@composite("ProdBackward0")
def prod(input: Tensor, dim: int | None = None, keepdim=False, *, dtype=None) -> Tensor:
    """The product along `dim`, or of all elements; integers are multiplied as int64.

    >>> import chainrule as torch
    >>> torch.tensor([[1, 2], [3, 4]]).prod(1)
    tensor([ 2, 12])
    """
    x = _as(input, dtype)
    if dim is None:
        return Tensor._from_node(rd.prod(_reshape(x, shape=(size(x.shape),)), axis=0))
    axis = axis_index("prod", dim, x.ndim)
    if not x.ndim:
        return prod(input, dtype=dtype)
    out = rd.prod(x, axis=axis)
    return Tensor._from_node(keep_axes(out, x.shape, axis) if keepdim else out)


def _unbiased(correction, unbiased):
    if unbiased is not None:
        return 1 if unbiased else 0
    return 1 if correction is None else correction


@method()
@composite("VarBackward0")
def var(input: Tensor, dim=None, unbiased=None, keepdim=False, *, correction=None,
        axis=None) -> Tensor:
    """sum (x - mean)^2 / (n - correction); correction 1 by default (Bessel).

    NaN where n <= correction.

    >>> import chainrule as torch
    >>> x = torch.tensor([1.0, 2.0, 3.0, 4.0])
    >>> x.var(), x.var(correction=0)
    (tensor(1.6667), tensor(1.2500))
    """
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    dim = dim if axis is None else axis
    axes = axis_indices("var", dim, input.ndim)
    count = size(tuple(input.shape[a] for a in axes))
    centred = input - mean(input, axes or None, keepdim=True)
    freedom = count - _unbiased(correction, unbiased)
    total = sum(centred * centred, axes or None, keepdim)
    return total / (float(freedom) if freedom > 0 else 0.0)


@method()
@composite("StdBackward0")
def std(input: Tensor, dim=None, unbiased=None, keepdim=False, *, correction=None,
        axis=None) -> Tensor:
    """The square root of `var`."""
    return var(input, dim, unbiased, keepdim, correction=correction, axis=axis).sqrt()


def var_mean(input: Tensor, dim=None, unbiased=None, keepdim=False, *, correction=None):
    """(var, mean)."""
    found = var(input, dim, unbiased, keepdim, correction=correction)
    return found, mean(input, None if isinstance(dim, bool) else dim, keepdim)


def std_mean(input: Tensor, dim=None, unbiased=None, keepdim=False, *, correction=None):
    """(std, mean)."""
    found, centre = var_mean(input, dim, unbiased, keepdim, correction=correction)
    return found.sqrt(), centre


# --------------------------------------------------------------------------- extremes
def _filled(input: Tensor, name: str, axes: tuple[int, ...]) -> None:
    if 0 in [input.shape[a] for a in axes]:
        raise OutOfRange(
            f"{name} requires at least one element along the axis, got shape "
            f"{tuple(input.shape)} (expected reduction dim to have non-zero size)"
        )


def _amax(op, name):
    def extreme(input: Tensor, dim=(), keepdim=False) -> Tensor:
        axes = axis_indices(name, dim, input.ndim)
        _filled(input, name, axes)
        return Tensor._from_node(_reduce(op, input.node, axes, keepdim))

    what = "largest" if name == "amax" else "smallest"
    doc = f"The {what} element along `dim`; ties share the gradient."
    return method()(named(extreme, name, doc))


amax, amin = _amax(rd.amax, "amax"), _amax(rd.amin, "amin")


@method()
def aminmax(input: Tensor, *, dim=None, keepdim=False) -> min_max:
    """(amin, amax)."""
    dims = () if dim is None else dim
    return min_max(amin(input, dims, keepdim), amax(input, dims, keepdim))


class min_max(NamedTuple):
    """What aminmax returns."""

    min: Tensor
    max: Tensor

    def __repr__(self) -> str:
        return f"torch.return_types.aminmax(\nmin={self.min!r},\nmax={self.max!r})"


def _arg(op, name):
    def position(input: Tensor, dim: int | None = None, keepdim=False) -> Tensor:
        x = input.node
        if dim is None:
            _filled(input, name, tuple(range(input.ndim)))
            flat = op(_reshape(x, shape=(size(x.shape),)), axis=0)
            return Tensor._from_node(
                _reshape(flat, shape=(1,) * x.ndim) if keepdim else flat
            )
        axis = axis_index(name, dim, x.ndim)
        if not x.ndim:
            return Tensor._from_node(op(_reshape(x, shape=(1,)), axis=0))
        _filled(input, name, (axis,))
        out = op(x, axis=axis)
        return Tensor._from_node(keep_axes(out, x.shape, axis) if keepdim else out)

    doc = f"Where the first {name[3:]}imum is: along `dim`, or in the flattened tensor."
    return method()(named(position, name, doc))


argmax, argmin = _arg(rd.argmax, "argmax"), _arg(rd.argmin, "argmin")


def _extreme(name: str, whole, pair, position):
    def extreme(input: Tensor, dim=None, keepdim=False, *, other=None, out=None):
        if isinstance(dim, Tensor) or other is not None:
            return pair(input, dim if other is None else other, out=out)
        return into(out, everything(input) if dim is None else along(input, dim, keepdim))

    @composite(f"{name.capitalize()}Backward1")
    def everything(input):
        if not input.numel():
            raise ShapeError(f"{name} requires at least one element, got shape "
                             f"{tuple(input.shape)}", hint="give a dim that is not empty")
        return whole(input)

    @composite(f"{name.capitalize()}Backward0")
    def along(input, dim, keepdim):
        if not input.ndim:
            return both(input.clone(), position(input, 0))
        indices = position(input, dim, keepdim=True)
        return both.along(dim, keepdim, input.gather(dim, indices), indices)

    both = returned_by(name)
    doc = f"The {name}imum of all elements; along `dim` also where it is; or of two tensors."
    return method()(named(extreme, name, doc))


max = _extreme("max", amax, maximum, argmax)
min = _extreme("min", amin, minimum, argmin)


@method()
def median(input: Tensor, dim: int | None = None, keepdim=False):
    """The lower median, NaN where any element is; along `dim` also where it is.

    >>> import chainrule as torch
    >>> torch.tensor([3.0, 1.0, 4.0, 2.0]).median()
    tensor(2.)
    """
    if dim is None:
        flat = input.reshape(-1)
        if not flat.numel():
            return input.new_full((), math.nan)
        return median(flat, 0).values
    if not input.ndim:
        return _Median(input.clone(), input.new_zeros((), dtype=dtypes.int64))
    order = input.argsort(dim, stable=True)
    middle = order.narrow(dim, (input.shape[dim] - 1) // 2, 1)
    missing = (input != input).to(dtypes.uint8)
    indices = missing.argmax(dim, True).where(missing.amax(dim, True).bool(), middle)
    return _Median.along(dim, keepdim, input.gather(dim, indices), indices)


_Median = returned_by("median")


# --------------------------------------------------------------------------- logic
def _logical(op, name):
    def function(input: Tensor, dim=None, keepdim=False) -> Tensor:
        axes = axis_indices(name, dim, input.ndim)
        return Tensor._from_node(_reduce(op, input.node, axes, keepdim) if axes or not input.ndim
                                 else input.bool().node)

    return method()(named(function, name, f"Whether {name} element along `dim` is true."))


any, all = _logical(rd.any_, "any"), _logical(rd.all_, "all")


@method()
def count_nonzero(input: Tensor, dim=None) -> Tensor:
    """How many elements along `dim` are not zero, as int64."""
    return sum(input != 0, dim)


# --------------------------------------------------------------------------- scans
def _scan(op, name):
    def function(input: Tensor, dim: int, *, dtype=None, out=None) -> Tensor:
        x = _as(input, dtype)
        axis = axis_index(name, dim, x.ndim)
        if not x.ndim:
            return into(out, sum(input, dtype=dtype))
        return into(out, Tensor._from_node(op(x, axis=axis)))

    what = "sum" if name == "cumsum" else "product"
    return method(inplace=True)(named(function, name, f"The running {what} along `dim`."))


cumsum, cumprod = _scan(rd.cumsum, "cumsum"), _scan(rd.cumprod, "cumprod")


def _records(op, name):
    pair = returned_by(name)

    @composite(f"{name.capitalize()}Backward0")
    def function(input: Tensor, dim: int) -> values_indices:
        axis = axis_index(name, dim, input.ndim)
        if not input.ndim:
            return pair(input.clone(), input.new_zeros((), dtype=dtypes.int64))
        indices = Tensor._from_node(op(input.node, axis=axis))
        return pair(input.gather(axis, indices), indices)

    what = "largest" if name == "cummax" else "smallest"
    return method()(named(
        function, name, f"The {what} element so far along `dim`, and where it was met last."))


cummax, cummin = _records(rd.cummax_index, "cummax"), _records(rd.cummin_index, "cummin")


# --------------------------------------------------------------------------- exponentials
@method()
@composite("LogsumexpBackward0")
def logsumexp(input: Tensor, dim, keepdim=False) -> Tensor:
    """ln sum e^x along `dim`, shifted by the maximum so that nothing overflows.

    >>> import chainrule as torch
    >>> torch.tensor([1000.0, 1000.0]).logsumexp(0)
    tensor(1000.6932)
    """
    axes = axis_indices("logsumexp", dim, input.ndim)
    x = input if input.dtype.is_floating_point else input.to(dtypes.default_dtype())
    if 0 in x.shape:
        return x.exp().sum(axes, keepdim).log()
    top = amax(x.detach(), axes, keepdim=True)
    top = top.masked_fill(top.abs() == math.inf, 0.0)
    total = (x - top).exp().sum(axes, keepdim=True).log() + top
    if keepdim or not axes:
        return total
    kept = tuple(n for i, n in enumerate(x.shape) if i not in axes)
    return Tensor._from_node(_reshape(total.node, shape=kept))


@method()
@composite("LogcumsumexpBackward0")
def logcumsumexp(input: Tensor, dim: int) -> Tensor:
    """ln of the running sum of e^x along `dim`."""
    top = amax(input.detach(), dim, keepdim=True)
    return (input - top).exp().cumsum(dim).log() + top


def _shifted(name: str, input: Tensor, dim: int, dtype) -> tuple[Tensor, dtypes.dtype]:
    """x - max x along `dim`, in float32 for half precision, and the dtype to return to."""
    x = input if dtype is None else input.to(dtype)
    if not x.dtype.is_floating_point:
        raise DTypeError(f"{name} requires a floating point dtype, got {x.dtype}")
    wide = x if x.dtype.itemsize >= 4 else x.float()
    if 0 in x.shape:
        return wide, x.dtype
    return wide - amax(wide.detach(), dim, keepdim=True), x.dtype


@method()
@composite("SoftmaxBackward0")
def softmax(input: Tensor, dim: int, dtype=None, **_) -> Tensor:
    """e^x / sum e^x along `dim`, shifted by the maximum so that nothing overflows.

    Computed in float32 for half precision.  Raises RuntimeError for integers.

    >>> import chainrule as torch
    >>> torch.tensor([0.0, 0.0, 1000.0]).softmax(0)
    tensor([0., 0., 1.])
    """
    x, dtype = _shifted("softmax", input, dim, dtype)
    e = x.exp()
    return (e / e.sum(dim, keepdim=True)).to(dtype)


@method()
@composite("LogSoftmaxBackward0")
def log_softmax(input: Tensor, dim: int, dtype=None, **_) -> Tensor:
    """x - ln sum e^x along `dim`, shifted by the maximum so that nothing overflows.

    Computed in float32 for half precision.  Raises RuntimeError for integers.

    >>> import chainrule as torch
    >>> torch.log_softmax(torch.zeros(2), 0)
    tensor([-0.6931, -0.6931])
    """
    x, dtype = _shifted("log_softmax", input, dim, dtype)
    return (x - x.exp().sum(dim, keepdim=True).log()).to(dtype)


# --------------------------------------------------------------------------- norms
@method()
@composite("LinalgVectorNormBackward0")
def norm(input: Tensor, p="fro", dim=None, keepdim=False, dtype=None, out=None) -> Tensor:
    """(sum |x|^p)^(1/p) along `dim`; p = inf the largest, 0 the number of non-zeros.

    The gradient at a zero vector is zero.  Raises ValueError for a p of another kind.

    >>> import chainrule as torch
    >>> torch.tensor([3.0, 4.0]).norm()
    tensor(5.)
    """
    x = input if dtype is None else input.to(dtype)
    if p in ("fro", 2, 2.0, None):
        total = sum(x * x, dim, keepdim)
        zero = total == 0
        return total.masked_fill(zero, 1.0).sqrt().masked_fill(zero, 0.0)
    if isinstance(p, str):
        raise ArgumentError(f"norm requires a number or 'fro', got {p!r}")
    if p == math.inf:
        return amax(x.abs(), () if dim is None else dim, keepdim)
    if p == -math.inf:
        return amin(x.abs(), () if dim is None else dim, keepdim)
    if p == 0:
        return sum((x != 0).to(x.dtype), dim, keepdim)
    if p == 1:
        return sum(x.abs(), dim, keepdim)
    return pow(sum(pow(x.abs(), p), dim, keepdim), 1.0 / p)


@method()
def dist(input: Tensor, other: Tensor, p=2) -> Tensor:
    """The p-norm of a - b."""
    return norm(input - other, p)
