"""The chart of a run: for every workload, how fast each backend is next to the best peer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import common
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

if TYPE_CHECKING:
    from run import Report

INK, QUIET, RULE, BAND, RED = "#1d2733", "#7a8594", "#d7dce2", "#f4f6f8", "#d1495b"
STYLE = {  # marker, face, edge, size: peers are grey, chainrule is the colour
    "torch": ("o", "#a3acb8", "#a3acb8", 52),
    "torch-compile": ("s", "#c3cad3", "#c3cad3", 46),
    "jax": ("D", "#5f6b7a", "#5f6b7a", 42),
    "chainrule": ("o", "white", RED, 46),
    "chainrule-compile": ("o", RED, RED, 92),
}
MEAN = "geometric mean"


def draw(report: Report, path: Path) -> None:
    """Write a PNG: a row per workload, further right is faster, 1 is the best peer."""
    rows = [*report.workloads, MEAN]
    plt.rcParams.update({"font.family": "DejaVu Sans", "font.size": 10, "text.color": INK})
    figure, axes = plt.subplots(figsize=(10, 1.9 + 0.44 * len(rows)), dpi=160)
    for y, name in enumerate(rows):
        _row(axes, report, y, name)
    _frame(axes, report, rows)
    _words(figure, axes, report)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, facecolor="white")
    plt.close(figure)


def _speeds(report: Report, name: str) -> dict[str, float]:
    if name == MEAN:
        found = {b: report.mean_speed(b)[0] for b in report.ours}
    else:
        found = {b: report.speed(name, b) for b in report.backends}
    return {b: s for b, s in found.items() if s}


def _row(axes, report: Report, y: int, name: str) -> None:
    speeds = _speeds(report, name)
    if y % 2:
        axes.axhspan(y - 0.5, y + 0.5, -0.212, 1.22, color=BAND, lw=0, zorder=0, clip_on=False)
    if name == MEAN:
        axes.axhline(y - 0.5, -0.212, 1.22, color=INK, lw=1, clip_on=False)
    ours = [speeds[b] for b in report.ours if b in speeds]
    if ours:
        axes.plot([1, ours[-1]], [y, y], color=RED, alpha=0.35, lw=2.5, zorder=2)
    for backend, speed in speeds.items():
        marker, face, edge, size = STYLE[backend]
        axes.scatter(speed, y, size, face, marker=marker, edgecolors=edge, linewidths=1.8,
                     zorder=4 if face == "white" else 3)
    peer, floor = report.best_peer(name), report.floor(name)
    if peer and floor:
        axes.plot([peer / floor] * 2, [y - 0.28, y + 0.28], color=INK, lw=1.6, zorder=2)
    _label(axes, report, y, name, speeds)


def _label(axes, report: Report, y: int, name: str, speeds: dict[str, float]) -> None:
    """At the right edge: the time of our fastest backend, and its speed."""
    right = axes.get_yaxis_transform()
    own = [b for b in report.ours if b in speeds]
    if not own:
        return
    us = report.get(name, own[-1], "min_us")
    weight = "bold" if name == MEAN else "normal"
    axes.text(1.115, y, _time(us) if us else "", transform=right, ha="right", va="center")
    axes.text(1.205, y, common.short(speeds[own[-1]], " x"), transform=right, ha="right",
              va="center", weight=weight)


def _time(us: float) -> str:
    return common.short(us / 1000, " ms") if us >= 1000 else common.short(us, " us")


def _frame(axes, report: Report, rows: list[str]) -> None:
    axes.set_xscale("log")
    low, high = _limits(report, rows)
    axes.set_xlim(low, high)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.axvline(1, color=QUIET, lw=1.2, zorder=1)
    ticks = [x for e in range(-4, 5) for x in (10.0**e, 2 * 10.0**e, 5 * 10.0**e)]
    if high / low > 1000:
        ticks = [10.0**e for e in range(-4, 5)]
    ticks = [x for x in ticks if low <= x <= high]
    axes.set_xticks(ticks, [f"{x:g}x" for x in ticks], color=QUIET)
    axes.set_xticks([], minor=True)
    axes.set_yticks(range(len(rows)), rows)
    axes.get_yticklabels()[-1].set_weight("bold")
    axes.tick_params(length=0)
    axes.grid(axis="x", color=RULE, lw=0.8, zorder=0)
    for side in axes.spines.values():
        side.set_visible(False)


def _limits(report: Report, rows: list[str]) -> tuple[float, float]:
    """From the slowest to the fastest, with floors as far as ten times beyond that."""
    shown = [s for name in rows for s in _speeds(report, name).values()] or [1.0]
    floors = [peer / floor for name in report.workloads
              if (peer := report.best_peer(name)) and (floor := report.floor(name))]
    high = max([*shown, *(f for f in floors if f < 10 * max(shown))])
    return min(shown) / 1.4, high * 1.4


def _words(figure, axes, report: Report) -> None:
    machine, settings = report.result["machine"], report.result["settings"]
    for backend in report.backends:
        marker, face, edge, size = STYLE[backend]
        axes.scatter([], [], size, face, marker=marker, edgecolors=edge, linewidths=1.8,
                     label=common.TITLE[backend])
    axes.scatter([], [], 110, INK, marker="|", linewidths=1.6, label="floor")
    if report.ours:
        axes.text(1.205, 1.02, common.TITLE[report.ours[-1]].removeprefix("chainrule, "),
                  transform=axes.transAxes, ha="right", color=QUIET)
    height = figure.get_figheight()
    figure.subplots_adjust(left=0.15, right=0.815, top=1 - 0.95 / height, bottom=0.62 / height)
    axes.legend(loc="lower left", bbox_to_anchor=(-0.228, 1.0), ncols=6, frameon=False,
                handletextpad=0.1, columnspacing=1.4, borderaxespad=0.2)
    figure.text(0.015, 1 - 0.33 / height, "Speed of a training step", size=14, weight="bold")
    figure.text(0.962, 1 - 0.33 / height, "best peer = 1, further right is faster", ha="right",
                color=QUIET)
    versions = machine["versions"]
    named = " · ".join(f"{title} {versions[p]}" for p, title in (
        ("torch", "PyTorch"), ("jax", "JAX"), ("chainrule", "chainrule")) if p in versions)
    figure.text(0.015, 0.2 / height, f"{machine['cpu']}, {machine['threads']} threads · {named} · "
                f"minimum over {settings['rounds']} rounds, fresh processes", size=8, color=QUIET)
