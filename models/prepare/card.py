"""The model card: what people want to know before they use a prepared model."""

from __future__ import annotations

from models.prepare.catalog import CatalogEntry
from models.prepare.graph.operations import int8_share
from models.store.describe import format_mebibytes
from models.store.manifest import AnswerDistance, Manifest, Measurement, TrialConditions
from producer.contract import TaskName

__all__ = ["model_card"]


def model_card(manifest: Manifest, entry: CatalogEntry | None) -> str:
    """The text of ``README.md`` in a prepared directory.

    Args:
        manifest: the model's finished manifest.
        entry: what the catalog says about the model; None if it is not in the catalog.
    """
    summary = entry.summary if entry else f"Prepared from {manifest.source}."
    recipe = "\n".join(f"| {name} | {value} |" for name, value in manifest.recipe.items())
    versions = ", ".join(f"{name} {version}" for name, version in sorted(manifest.versions.items()))
    return f"""# {manifest.name}

{summary}

| | |
| --- | --- |
| task | `{manifest.task.value}` |
| source | {_source(manifest)} |
| SHA-256 of the published weights | `{manifest.source_sha256}` |
| licence | {manifest.licence} |
| longest input | {manifest.max_length_tokens} tokens; longer texts are truncated |
| size | {format_mebibytes(manifest.size_bytes)}, all files |
| revision | `{manifest.revision}` |

## Recipe

With {versions}.

| | |
| --- | --- |
{recipe}

## Distance from FP32

{_distance(manifest)}

## Precision

{_precision(manifest)}

## Accuracy

{_accuracy(manifest)}
"""


def _source(manifest: Manifest) -> str:
    commit = f" at {manifest.source_revision}" if manifest.source_revision else ""
    return f"{manifest.source}{commit}, {manifest.source_layout}"


def _precision(manifest: Manifest) -> str:
    rows = "\n".join(
        f"| {kind} | {', '.join(f'{count} in {name}' for name, count in counts.items())} |"
        for kind, counts in manifest.operations.items()
    )
    zeros = f" {manifest.zero_weights:.1%} of their weights are zero." if manifest.zero_weights else ""
    share = int8_share(manifest.operations)
    return (
        f"{share:.1%} of the matrix products run in INT8 ({manifest.operations_cpu}).{zeros}\n\n"
        f"| operation | count |\n| --- | --- |\n{rows}"
    )


def _distance(manifest: Manifest) -> str:
    conditions = manifest.trial_conditions
    if conditions is None:
        return "Not measured: FP32 is not published."
    finds_spans = manifest.task is TaskName.QUESTION_ANSWERING
    columns = ["", "mean", "99.9th percentile", "largest", *(["equal spans"] if finds_spans else []), "speed"]
    rows = [
        [f"{trial.recipe}{', **chosen**' if trial.is_chosen else ''}", *_cells(trial.distance), f"{trial.speed:.2f}"]
        for trial in manifest.trials
    ]
    if manifest.distance_in_f32:
        rows.append(["the chosen one, computed in f32", *_cells(manifest.distance_in_f32), ""])
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *rows]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{table}\n\n{_how_distance_was_measured(manifest.task, conditions)}"


def _cells(distance: AnswerDistance) -> list[str]:
    spans = [] if distance.equal_spans is None else [f"{distance.equal_spans:.4f}"]
    return [f"{distance.mean:.4f}", f"{distance.p999:.4f}", f"{distance.largest:.4f}", *spans]


def _how_distance_was_measured(task: TaskName, conditions: TrialConditions) -> str:
    if task is TaskName.QUESTION_ANSWERING:
        scores = "probability of a token as the start or as the end of the answer"
        limit = f"in which at most {conditions.max_distance:.1%} of the rows get another span"
    else:
        scores = "label's probability (for regression, of a value in multiples of the values' range)"
        limit = f"whose mean distance is at most {conditions.max_distance:g}"
    return (
        f"The distance of a row is the largest change of a {scores}. It was measured on "
        f"{conditions.held_back_rows} rows of {conditions.data} that no recipe was calibrated on, without labels, in "
        f"{conditions.arithmetic} on {conditions.cpu}. Of the recipes, the fastest was chosen {limit}. The last row is "
        "what a CPU without instructions for INT8 answers. Speed is that of single inferences on one core (1x16, "
        "1x64 and 4x32 tokens, geometric mean), relative to FP32 in the same trial."
    )


def _accuracy(manifest: Manifest) -> str:
    if not manifest.measurements:
        return "Not measured."
    rows = "\n".join(
        f"| {m.metric} on {m.data}, {m.rows} rows | {_value(m.fp32)} | {m.int8:.4f} | {m.int8_bf16:.4f} "
        f"| {_lost(m)} | {_ratio(m, 'int8')} | {_ratio(m, 'int8_bf16')} |"
        for m in manifest.measurements
    )
    return (
        "| | FP32 | INT8 | INT8, bf16 | points lost | speed of INT8 | INT8, bf16 |\n"
        f"| --- | --- | --- | --- | --- | --- | --- |\n{rows}\n\n"
        "Operations that are not quantized run in f32, or in bf16 where the column says so and the CPU supports it. "
        "Speed is in rows per second on one core, relative to FP32 in the same run. To measure again: "
        f"`python -m models evaluate {manifest.name} --data FILE`."
    )


def _value(value: float | None) -> str:
    return "not published" if value is None else f"{value:.4f}"


def _lost(measurement: Measurement) -> str:
    return "" if measurement.points_lost is None else f"{measurement.points_lost:.2f}"


def _ratio(measurement: Measurement, name: str) -> str:
    rates = measurement.rows_per_second
    return f"{rates[name] / rates['fp32']:.2f}" if "fp32" in rates else f"{rates[name]:.1f} rows/s"
