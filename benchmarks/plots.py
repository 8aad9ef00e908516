"""The pictures of reports, in one style."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt

__all__ = ["draw", "make_grid", "make_row", "save"]

_COLOURS = {
    "bound": "#9aa0a6",
    "celeriac_single": "#2e7d32",
    "celeriac_bulk": "#7cb342",
    "celery_transformers": "#c62828",
    "celery_optimum": "#ef6c00",
    "http_peer": "#1565c0",
}
_DOTS_PER_INCH = 110
_STYLES = {"p50_ms": "-", "p95_ms": "--", "p99_ms": ":"}


def draw(directory: Path, results: Mapping[str, Any]) -> list[str]:
    """Draw what there is.

    Returns:
        The names of the files.
    """
    made = []
    if results["workloads"]:
        made.append(save(directory, "throughput.png", _throughput(results["workloads"])))
    if results.get("latency", {}).get("under_load"):
        made.append(save(directory, "latency.png", _latency(results["latency"])))
    if "scaling" in results:
        made.append(save(directory, "scaling.png", _scaling(results["scaling"])))
    return made


def make_row(count: int) -> tuple[Any, list[Any]]:
    """A figure with plots side by side.

    Returns:
        The figure, and its plots.
    """
    figure, axes = plt.subplots(1, count, figsize=(4.6 * count, 4), squeeze=False)
    return figure, list(axes[0])


def make_grid(rows: int, columns: int) -> tuple[Any, list[Any]]:
    """A figure with small plots in rows.

    Returns:
        The figure, and its plots, row after row.
    """
    figure, axes = plt.subplots(rows, columns, figsize=(3.6 * columns, 2.6 * rows), squeeze=False)
    return figure, [axis for row in axes for axis in row]


def save(directory: Path, name: str, figure: Any) -> str:
    """Write a figure.

    Returns:
        The name of the file.
    """
    figure.tight_layout()
    figure.savefig(directory / name, dpi=_DOTS_PER_INCH)
    plt.close(figure)
    return name


def _throughput(workloads: Mapping[str, Any]) -> Any:
    figure, axes = plt.subplots(1, len(workloads), figsize=(3.4 * len(workloads) + 1, 4), squeeze=False)
    for axis, (name, figures) in zip(axes[0], workloads.items(), strict=True):
        seen = {key: one for key, one in figures["contestants"].items() if "unavailable" not in one}
        speeds = [one["texts_per_second"] for one in seen.values()]
        below = [speed - min(one["rounds"]) for speed, one in zip(speeds, seen.values(), strict=True)]
        above = [max(one["rounds"]) - speed for speed, one in zip(speeds, seen.values(), strict=True)]
        colours = [_COLOURS[key] for key in seen]
        bars = axis.bar(list(seen), speeds, color=colours, yerr=[below, above], capsize=3)
        axis.bar_label(bars, fmt="%.0f", fontsize=8)
        axis.set_title(name)
        axis.margins(y=0.12)
        axis.tick_params(axis="x", rotation=60, labelsize=8)
    axes[0][0].set_ylabel("texts per second: median and range")
    return figure


def _latency(figures: Mapping[str, Any]) -> Any:
    figure, axis = plt.subplots(figsize=(7, 4.2))
    for name, points in figures["under_load"].items():
        good = [point for point in points if "failed" not in point]
        for key, style in _STYLES.items():
            rates, values = [p["offered_per_second"] for p in good], [p[key] for p in good]
            axis.plot(rates, values, style, marker=".", color=_COLOURS[name], label=f"{name} {key[:3]}")
    bare = figures["lone_requests"].get("bound")
    if bare and "failed" not in bare:
        axis.axhline(bare["median_ms"], color=_COLOURS["bound"], label="bare model, lone text")
    axis.set_yscale("log")
    axis.set_xlabel("offered texts per second (Poisson)")
    axis.set_ylabel("latency, ms")
    axis.grid(visible=True, which="both", alpha=0.25)
    axis.legend(fontsize=8)
    return figure


def _scaling(figures: Mapping[str, Any]) -> Any:
    figure, axis = plt.subplots(figsize=(5, 4))
    counts = list(figures["cores"])
    for name in next(iter(figures["cores"].values())):
        speeds = [figures["cores"][count][name].get("texts_per_second", 0.0) for count in counts]
        axis.plot([int(count) for count in counts], speeds, marker="o", color=_COLOURS[name], label=name)
    axis.set_xticks([int(count) for count in counts])
    axis.set_ylim(bottom=0)
    axis.set_xlabel("cores for everything")
    axis.set_ylabel("texts per second")
    axis.legend(fontsize=8)
    return figure
