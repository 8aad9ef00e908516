"""The front of distance and speed: ``python -m benchmarks.recipe_front [MODEL …]``.

Reads the trials of recipes that the manifests of bundled and prepared models have, and writes them as a table and a
plot: ``recipe_front.md`` and ``recipe_front.png``. Nothing is measured.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from config import load_settings
from models.errors import ModelError
from models.store import StoredModel, find, list_entries
from models.store.manifest import Manifest, RecipeTrial, TrialConditions
from producer.contract import TaskName

__all__ = ["main"]

_RESULTS = Path(__file__).parent / "results"
_COLUMNS = ("model", "recipe", "mean distance", "99.9th percentile", "largest", "equal spans", "speed (FP32 = 1)")
_CHOSEN_SIZE = 11


def main(arguments: list[str] | None = None) -> int:
    """Read, write, print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.recipe_front",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", nargs="*", help="name or path of a model (default: all that have trials)")
    parser.add_argument("--models-dir", type=Path, help="directory of prepared models (default: CELERIAC_MODEL_DIR)")
    parser.add_argument("--output", type=Path, default=_RESULTS, help="directory of results (default: %(default)s)")
    options = parser.parse_args(arguments)
    models_dir = options.models_dir or load_settings().model_dir
    try:
        manifests = [model.manifest for model in _models(options.model, models_dir)]
    except ModelError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    without = [manifest.name for manifest in manifests if not manifest.trials]
    if without and options.model:
        print(f"error: no recipes were compared for {', '.join(without)}; prepare it again", file=sys.stderr)
        return 1
    manifests = [manifest for manifest in manifests if manifest.trials]
    if not manifests:
        print("error: no model has trials of recipes; prepare one again", file=sys.stderr)
        return 1
    options.output.mkdir(parents=True, exist_ok=True)
    table = front_table(manifests)
    (options.output / "recipe_front.md").write_text(f"# Recipes by distance and speed\n\n{table}\n", encoding="utf-8")
    try:
        _draw(manifests, options.output)
    except ImportError as error:
        print(f"no plot: {error}", file=sys.stderr)
    print(table)
    return 0


def _models(names: Sequence[str], models_dir: Path) -> list[StoredModel]:
    if names:
        return [find(name, models_dir) for name in names]
    entries = list_entries(models_dir)
    return [entry.model for entry in entries if isinstance(entry.model, StoredModel) and not entry.is_hidden]


def front_table(manifests: Sequence[Manifest]) -> str:
    """All trials as a Markdown table, and below it what each model's were measured on.

    Args:
        manifests: of models with trials.
    """
    rows = [_row(manifest, trial) for manifest in manifests for trial in manifest.trials]
    lines = [_COLUMNS, ("---", "---", *["---:"] * (len(_COLUMNS) - 2)), *rows]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    conditions = [
        _describe(manifest.name, manifest.trial_conditions) for manifest in manifests if manifest.trial_conditions
    ]
    return "\n".join([table, "", *conditions])


def _row(manifest: Manifest, trial: RecipeTrial) -> tuple[str, ...]:
    distance = trial.distance
    return (
        manifest.name,
        f"**{trial.recipe}**" if trial.is_chosen else trial.recipe,
        f"{distance.mean:.4f}",
        f"{distance.p999:.4f}",
        f"{distance.largest:.4f}",
        "" if distance.equal_spans is None else f"{distance.equal_spans:.4f}",
        f"{trial.speed:.2f}",
    )


def _describe(name: str, conditions: TrialConditions) -> str:
    return (
        f"- {name}: {conditions.held_back_rows} held-back rows of {conditions.data}, {conditions.arithmetic} on "
        f"{conditions.cpu}, limit {conditions.max_distance:g}"
    )


def _draw(manifests: Sequence[Manifest], directory: Path) -> None:
    """One plot a model, the chosen recipe larger, the limit dashed."""
    from benchmarks import plots

    figure, axes = plots.make_row(len(manifests))
    for axis, manifest in zip(axes, manifests, strict=True):
        _draw_front(axis, manifest)
    plots.save(directory, "recipe_front.png", figure)


def _draw_front(axis: Any, manifest: Manifest) -> None:
    finds_spans = manifest.task is TaskName.QUESTION_ANSWERING
    points = [(trial.speed, _value(trial)) for trial in manifest.trials]
    axis.plot(*zip(*points, strict=True), marker=".", color="#9aa0a6")
    for (speed, value), trial in zip(points, manifest.trials, strict=True):
        if trial.is_chosen:
            axis.plot([speed], [value], marker="o", markersize=_CHOSEN_SIZE, color="#2e7d32")
        axis.annotate(trial.recipe, (speed, value), fontsize=7, xytext=(7, 5), textcoords="offset points")
    if manifest.trial_conditions:
        axis.axhline(manifest.trial_conditions.max_distance, linestyle="--", color="#c62828")
    axis.set_title(manifest.name)
    axis.margins(x=0.25, y=0.12)
    axis.set_ylim(bottom=0)
    axis.set_xlabel("speed, FP32 = 1")
    axis.set_ylabel("share of other spans" if finds_spans else "mean distance of a score")


def _value(trial: RecipeTrial) -> float:
    """What the limit is for."""
    spans = trial.distance.equal_spans
    return trial.distance.mean if spans is None else 1 - spans


if __name__ == "__main__":
    sys.exit(main())
