"""Dropout and its relatives."""

from __future__ import annotations

from .. import functional as F
from ..errors import ArgumentError
from ..tensor import Tensor
from .module import Module


class _Dropout(Module):
    """Active while `training`; the identity in evaluation."""

    def __init__(self, p: float = 0.5, inplace: bool = False):
        super().__init__()
        if not 0 <= p <= 1:
            raise ArgumentError(f"{self._get_name()} requires p in [0, 1], got {p}")
        self.p = p
        self.inplace = inplace

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    """y = x m / (1 - p), where every m is 0 with probability p, else 1.

    Srivastava et al., 2014.

    >>> import chainrule as torch
    >>> torch.nn.Dropout(0.5).eval()(torch.ones(3))
    tensor([1., 1., 1.])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout(input, self.p, self.training, self.inplace)


class Dropout1d(_Dropout):
    """Dropout of whole channels: input (N, C, L) or (C, L).

    >>> import chainrule as torch
    >>> y = torch.nn.Dropout1d()(torch.ones(2, 3, 4))
    >>> (y == y[..., :1]).all()
    tensor(True)
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout1d(input, self.p, self.training, self.inplace)


class Dropout2d(_Dropout):
    """Dropout of whole channels: input (N, C, H, W) or (C, H, W).

    >>> import chainrule as torch
    >>> y = torch.nn.Dropout2d()(torch.ones(2, 3, 4, 4))
    >>> (y == y[..., :1, :1]).all()
    tensor(True)
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout2d(input, self.p, self.training, self.inplace)


class Dropout3d(_Dropout):
    """Dropout of whole channels: input (N, C, D, H, W) or (C, D, H, W).

    >>> import chainrule as torch
    >>> y = torch.nn.Dropout3d()(torch.ones(2, 3, 4, 4, 4))
    >>> (y == y[..., :1, :1, :1]).all()
    tensor(True)
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout3d(input, self.p, self.training, self.inplace)


class AlphaDropout(_Dropout):
    """Dropout that keeps zero mean and unit variance, for SELU networks.

    Klambauer et al., 2017.

    >>> import chainrule as torch
    >>> torch.nn.AlphaDropout().eval()(torch.ones(3))
    tensor([1., 1., 1.])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.alpha_dropout(input, self.p, self.training, self.inplace)


class FeatureAlphaDropout(_Dropout):
    """AlphaDropout of whole channels.

    >>> import chainrule as torch
    >>> y = torch.nn.FeatureAlphaDropout()(torch.ones(2, 3, 4))
    >>> (y == y[..., :1]).all()
    tensor(True)
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.feature_alpha_dropout(input, self.p, self.training, self.inplace)
