"""The normal distribution of vectors."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

from .. import linalg
from ..errors import ArgumentError, ShapeError
from ..grad_mode import enable_grad
from ..methods import eye, matmul
from ..shapes import broadcast
from ..tensor import Tensor
from .constraints import lower_cholesky, positive_definite, real_vector
from .distribution import Distribution


class MultivariateNormal(Distribution):
    """p(x) = exp(-(x - m)^T C^-1 (x - m) / 2) / sqrt((2 pi)^d det C), for vectors x (*, d).

    Given are the mean `loc` m (*, d) and one of `covariance_matrix` C, `precision_matrix` C^-1
    and `scale_tril`, the lower triangular L with C = L L^T, each (*, d, d).

    >>> import chainrule as torch
    >>> d = torch.distributions.MultivariateNormal(torch.zeros(2), torch.eye(2))
    >>> d.log_prob(torch.zeros(2))
    tensor(-1.8379)
    """

    arg_constraints = {
        "loc": real_vector,
        "covariance_matrix": positive_definite,
        "precision_matrix": positive_definite,
        "scale_tril": lower_cholesky,
    }
    support = real_vector
    has_rsample = True

    def __init__(
        self,
        loc: Tensor,
        covariance_matrix: Tensor | None = None,
        precision_matrix: Tensor | None = None,
        scale_tril: Tensor | None = None,
        validate_args: bool | None = None,
    ):
        matrices = {"covariance_matrix": covariance_matrix, "precision_matrix": precision_matrix,
                    "scale_tril": scale_tril}
        given = {name: m for name, m in matrices.items() if m is not None}
        if len(given) != 1:
            raise ArgumentError(
                "MultivariateNormal requires one of covariance_matrix, precision_matrix and "
                f"scale_tril, got {' and '.join(given) or 'none of them'}"
            )
        ((name, matrix),) = given.items()
        _check_shapes(name, loc, matrix)
        batch = broadcast("MultivariateNormal", tuple(loc.shape[:-1]), tuple(matrix.shape[:-2]))
        event = tuple(loc.shape[-1:])
        self.loc = loc.expand(batch + event)
        setattr(self, name, matrix.expand(batch + event * 2))
        super().__init__(batch, event, validate_args)
        self._factor = _FACTORS[name](matrix).expand(batch + event * 2)

    def expand(self, batch_shape, _instance=None) -> MultivariateNormal:
        new: Any = super().expand(batch_shape)
        new._factor = self._factor.expand(tuple(batch_shape) + tuple(self.event_shape) * 2)
        return new

    @cached_property
    @enable_grad()
    def scale_tril(self) -> Tensor:
        """L, lower triangular, with C = L L^T."""
        return self._factor

    @cached_property
    @enable_grad()
    def covariance_matrix(self) -> Tensor:
        """C = L L^T."""
        return matmul(self._factor, self._factor.mT)

    @cached_property
    @enable_grad()
    def precision_matrix(self) -> Tensor:
        """C^-1."""
        inverse = self._whiten(eye(self.event_shape[0], dtype=self.loc.dtype))
        return matmul(inverse.mT, inverse)

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return self._factor.square().sum(-1)

    def rsample(self, sample_shape=()) -> Tensor:
        """loc + L z with z standard normal."""
        z = self.loc.new_empty(self._extended_shape(sample_shape)).normal_()
        return self.loc + matmul(self._factor, z.unsqueeze(-1)).squeeze(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        z = self._whiten((self._checked(value) - self.loc).unsqueeze(-1)).squeeze(-1)
        constant = 0.5 * self.event_shape[0] * math.log(2 * math.pi)
        return -0.5 * z.square().sum(-1) - self._log_volume() - constant

    def entropy(self) -> Tensor:
        return 0.5 * self.event_shape[0] * (1 + math.log(2 * math.pi)) + self._log_volume()

    def _whiten(self, x: Tensor) -> Tensor:
        """L^-1 x."""
        return linalg.solve_triangular(self._factor, x, upper=False)

    def _log_volume(self) -> Tensor:
        """ln det L."""
        return self._factor.diagonal(0, -2, -1).log().sum(-1)


def _check_shapes(name: str, loc: Tensor, matrix: Tensor) -> None:
    d = tuple(loc.shape[-1:])
    if not d or tuple(matrix.shape[-2:]) != d * 2:
        raise ShapeError(f"MultivariateNormal requires loc (*, d) and {name} (*, d, d), got "
                         f"{tuple(loc.shape)} and {tuple(matrix.shape)}")


def _of_precision(precision: Tensor) -> Tensor:
    # C^-1 = U U^T with U upper triangular, so that L = U^-T is lower triangular.
    upper = linalg.cholesky(precision.flip((-2, -1))).flip((-2, -1))
    one = eye(precision.shape[-1], dtype=precision.dtype)
    return linalg.solve_triangular(upper.mT, one, upper=False)


_FACTORS = {
    "covariance_matrix": linalg.cholesky,
    "precision_matrix": _of_precision,
    "scale_tril": lambda matrix: matrix,
}
