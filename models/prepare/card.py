"""The model card: what people want to know before they use a prepared model."""

from __future__ import annotations

from models.prepare.catalog import CatalogEntry
from models.prepare.graph.operations import int8_share
from models.store.describe import format_mebibytes
from models.store.manifest import Manifest, Measurement

__all__ = ["model_card"]


def model_card(manifest: Manifest, entry: CatalogEntry | None) -> str:
    """The text of ``README.md`` in a prepared directory.

    Args:
        manifest: the model's finished manifest.
        entry: what the catalog says about the model; None if it is not in the catalog.
    """
    summary = entry.summary if entry else f"Prepared from {manifest.source}."
    note = f"\n{entry.note}\n" if entry and entry.note else ""
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
{note}
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
