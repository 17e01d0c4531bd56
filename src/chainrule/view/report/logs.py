"""The numbers of a report as they come: JSON lines, and TensorBoard's event files."""

from __future__ import annotations

import importlib
import json
import math
import os
from pathlib import Path
from typing import Any, TextIO

from .row import Row

MOST_WAITING = 500  # rows of each kind for the event files, between two writings


def finite(x: float | None) -> float | str | None:
    """A number as JSON has it; what JSON lacks is the text "nan", "inf" or "-inf".

    >>> finite(0.5), finite(float("-inf"))
    (0.5, '-inf')
    """
    return x if x is None or math.isfinite(x) else str(float(x))


def line(row: Row) -> dict[str, Any]:
    """One step as plain data; what is not known is left out."""
    found: dict[str, Any] = {
        "step": row.step, "time": round(row.time, 6), "seconds": round(row.seconds, 6)
    }
    found |= _one_or_all("loss", "losses", row.losses)
    found |= _one_or_all("lr", "lrs", row.lrs)
    total = row.total()
    if total is not None:
        found["grad_norm"] = finite(total.gradient_norm)
        found["weight_norm"] = finite(total.weight_norm)
        found["update_ratio"] = finite(total.update_ratio)
        found["layers"] = {
            name: _without_none(
                grad_norm=finite(n.gradient_norm), weight_norm=finite(n.weight_norm),
                update_ratio=finite(n.update_ratio),
            )
            for name, n in row.layers().items()
        }
    return _without_none(**found)


def _one_or_all(one: str, many: str, values: dict[str, float]) -> dict[str, Any]:
    if len(values) == 1:
        return {one: finite(next(iter(values.values())))}
    return {many: {name: finite(value) for name, value in values.items()}} if values else {}


def _without_none(**found: Any) -> dict[str, Any]:
    return {key: value for key, value in found.items() if value is not None}


class JsonLines:
    """One line for each step, and one for each number that the user logs; written as it goes."""

    def __init__(self, path: str | os.PathLike):
        self.path = os.fspath(path)
        self._file: TextIO | None = None

    def add(self, row: Row) -> None:
        self._write(line(row))

    def log(self, name: str, value: float, step: int) -> None:
        self._write({"step": step, "metrics": {name: finite(value)}})

    def _write(self, data: dict[str, Any]) -> None:
        if self._file is None:
            Path(self.path).parent.mkdir(parents=True, exist_ok=True)
            self._file = open(self.path, "w", encoding="utf-8")  # noqa: SIM115
        self._file.write(json.dumps(data) + "\n")
        self._file.flush()  # a run that is killed keeps its lines

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


class Events:
    """The same numbers for TensorBoard: written now and then, at most some hundred rows at once.

    Raises ImportError when it first writes, where the package tensorboard is missing.
    """

    def __init__(self, folder: str | os.PathLike):
        self.folder = os.fspath(folder)
        self._writer: Any = None
        self._plain: list[Row] = []
        self._measured: list[Row] = []
        self._logged: list[tuple[str, float, int]] = []

    def add(self, row: Row) -> None:
        waiting = self._measured if row.norms else self._plain
        waiting.append(row)
        if len(waiting) > 2 * MOST_WAITING:
            del waiting[::2]

    def log(self, name: str, value: float, step: int) -> None:
        self._logged.append((name, value, step))

    def flush(self, start: float) -> None:
        """Write what waits; `start` is when the run began, in seconds since 1970."""
        if self._writer is None:
            module = importlib.import_module("chainrule.utils.tensorboard")
            self._writer = module.SummaryWriter(self.folder)
        rows = sorted([*self._plain, *self._measured], key=lambda row: row.step)
        logged, self._plain, self._measured, self._logged = self._logged, [], [], []
        for row in rows:
            for tag, value in scalars(row):
                self._writer.add_scalar(tag, value, row.step, start + row.time)
        for name, value, step in logged:
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


def scalars(row: Row) -> list[tuple[str, float]]:
    """The tags and values of one step."""
    found = [(f"loss/{name}", value) for name, value in row.losses.items()]
    found += [(f"lr/{name}", value) for name, value in row.lrs.items()]
    found.append(("time/seconds per step", row.seconds))
    total = row.total()
    if total is not None:
        known = [("gradient/all", total.gradient_norm), ("update ratio/all", total.update_ratio)]
        for name, norms in row.layers().items():
            known += [(f"gradient/{name}", norms.gradient_norm),
                      (f"update ratio/{name}", norms.update_ratio),
                      (f"weight/{name}", norms.weight_norm)]
        found += [(tag, value) for tag, value in known if value is not None]
    return found
