"""What is known of one training step."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from .naming import Parameter
from .norms import ratio, root


@dataclass
class Norms:
    """The squares of the norms of one parameter, or of several; None is not known."""

    weight: float | None = None  # before the update
    gradient: float | None = None
    update: float | None = None
    reached: bool = True  # whether it has a gradient at all

    def __add__(self, other: Norms) -> Norms:
        return Norms(
            _sum(self.weight, other.weight), _sum(self.gradient, other.gradient),
            _sum(self.update, other.update), self.reached or other.reached,
        )

    @property
    def gradient_norm(self) -> float | None:
        return None if self.gradient is None else root(self.gradient)

    @property
    def weight_norm(self) -> float | None:
        return None if self.weight is None else root(self.weight)

    @property
    def update_norm(self) -> float | None:
        return None if self.update is None else root(self.update)

    @property
    def update_ratio(self) -> float | None:
        """|update| / |weight|."""
        if self.update is None or self.weight is None:
            return None
        return ratio(root(self.update), root(self.weight))


def _sum(a: float | None, b: float | None) -> float | None:
    return b if a is None else a if b is None else a + b


@dataclass
class Row:
    """One step."""

    step: int
    time: float = 0.0  # seconds since the beginning, when its last update was over
    seconds: float = 0.0  # since the step before, without what the report itself took
    losses: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)  # backward passes of each loss
    lrs: dict[str, float] = field(default_factory=dict)
    norms: dict[Parameter, Norms] | None = None  # of sampled steps

    def layers(self) -> dict[str, Norms]:
        """The norms of each layer: all its parameters as one vector."""
        found: dict[str, Norms] = {}
        for parameter, norms in (self.norms or {}).items():
            known = found.get(parameter.layer)
            found[parameter.layer] = norms if known is None else known + norms
        return found

    def total(self) -> Norms | None:
        """The norms of all parameters as one vector."""
        return total((self.norms or {}).values())


def total(norms: Iterable[Norms]) -> Norms | None:
    """Several vectors as one.

    >>> total([Norms(weight=9.0, update=1.0), Norms(weight=16.0)]).update_ratio
    0.2
    """
    found: Norms | None = None
    for one in norms:
        found = one if found is None else found + one
    return found
