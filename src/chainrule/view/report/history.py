"""All that a report shows of a run, in bounded memory."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from .curves import Curve
from .naming import Parameter
from .row import Norms, Row

MOST_TOGETHER = 150_000  # points of all curves of layers
FEWEST_POINTS = 100
MOST_SAID = 1000
ZEROS = 5  # once may be chance


@dataclass
class LayerCurves:
    """The norms of one layer over the steps that were sampled."""

    gradient: Curve
    ratio: Curve
    weight: Curve


@dataclass
class Entry:
    """One parameter: its norms when it was first and last measured."""

    first: Norms
    last: Norms
    gradients: Curve = field(default_factory=lambda: Curve(most=64))


class History:
    """Curves by name, in the order in which they appeared."""

    def __init__(self) -> None:
        self.losses: dict[str, Curve] = {}
        self.metrics: dict[str, Curve] = {}
        self.lrs: dict[str, Curve] = {}
        self.seconds = Curve()
        self.gradient_norm = Curve()
        self.layers: dict[str, LayerCurves] = {}
        self.titles: dict[str, str] = {}  # of layers
        self.parameters: dict[Parameter, Entry] = {}
        self.events: dict[tuple[int, str], list[str]] = {}  # what first happened when, and where
        self.steps = 0
        self.time = 0.0
        self._zeros: dict[str, int] = {}
        self._said: set[tuple[str, str]] = set()

    def add(self, row: Row) -> None:
        self.steps, self.time = row.step, row.time
        for name, value in row.losses.items():
            self.losses.setdefault(name, Curve()).add(row.step, value)
            if not math.isfinite(value):
                self._say(row.step, f"the loss is {value}", name)
        for name, value in row.lrs.items():
            self.lrs.setdefault(name, Curve()).add(row.step, value)
        self.seconds.add(row.step, row.seconds)
        if row.norms:
            self._add_norms(row)

    def _add_norms(self, row: Row) -> None:
        total = row.total()
        if total is not None and total.gradient_norm is not None:
            self.gradient_norm.add(row.step, total.gradient_norm)
        for layer, norms in row.layers().items():
            curves = self.layers.get(layer) or self._new_layer(layer)
            for curve, value in (
                (curves.gradient, norms.gradient_norm), (curves.ratio, norms.update_ratio),
                (curves.weight, norms.weight_norm),
            ):
                if value is not None:
                    curve.add(row.step, value)
            self._look_at(layer, norms, row.step)
        for parameter, norms in (row.norms or {}).items():
            self.titles[parameter.layer] = parameter.title
            entry = self.parameters.setdefault(parameter, Entry(norms, norms))
            entry.last = norms
            if norms.gradient_norm is not None:
                entry.gradients.add(row.step, norms.gradient_norm)

    def _new_layer(self, layer: str) -> LayerCurves:
        most = min(2000, max(FEWEST_POINTS, MOST_TOGETHER // (3 * len(self.layers) + 3)))
        found = self.layers[layer] = LayerCurves(Curve(most), Curve(most), Curve(most))
        for curves in self.layers.values():
            for curve in (curves.gradient, curves.ratio, curves.weight):
                curve.most = most
        return found

    def _look_at(self, layer: str, norms: Norms, step: int) -> None:
        gradient = norms.gradient_norm
        if not norms.reached:
            self._say(step, "no gradient reaches", layer)
        elif gradient is not None and not math.isfinite(gradient):
            self._say(step, "the gradient is not finite", layer)
        self._zeros[layer] = self._zeros.get(layer, 0) + 1 if gradient == 0 else 0
        if self._zeros[layer] == ZEROS:
            self._say(step, f"the gradient is zero, {ZEROS} times in a row", layer)

    def log(self, name: str, value: float, step: int) -> None:
        """A number of the user's own; one that comes too late is left out."""
        curve = self.metrics.setdefault(name, Curve())
        curve.add(step, value)
        if not math.isfinite(value):
            self._say(step, f"the metric is {value}", name)

    def _say(self, step: int, what: str, where: str) -> None:
        """What happens somewhere is said once, of the first step."""
        if (what, where) not in self._said and len(self._said) < MOST_SAID:
            self._said.add((what, where))
            self.events.setdefault((step, what), []).append(where)
