"""The model card: what a person wants to know before using a prepared model."""

from __future__ import annotations

from models.prepare.graph.operations import int8_share
from models.store.catalog import CatalogEntry
from models.store.manifest import Manifest, Measurement

__all__ = ["model_card"]

_MEBIBYTE = 1024 * 1024


def model_card(manifest: Manifest, entry: CatalogEntry | None) -> str:
    """The text of ``README.md`` in a prepared directory; ``entry`` is what the catalog knows of it, if anything."""
    summary = entry.summary if entry else f"Prepared from {manifest.source}."
    note = f"\n{entry.note}\n" if entry and entry.note else ""
    size_mib = manifest.size_bytes / _MEBIBYTE
    recipe = "\n".join(f"| {name} | {value} |" for name, value in manifest.recipe.items())
    versions = ", ".join(f"{name} {version}" for name, version in sorted(manifest.versions.items()))
    return f"""# {manifest.name}

{summary}

| | |
| --- | --- |
| task | `{manifest.task.value}` |
| source | {_source(manifest)} |
| sha256 of the source's weights | `{manifest.source_sha256}` |
| licence | {manifest.licence} |
| longest input | {manifest.max_length_tokens} tokens; longer texts are cut |
| size | {size_mib:.1f} MiB, all files |
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
        f"| operation | how many |\n| --- | --- |\n{rows}"
    )


def _accuracy(manifest: Manifest) -> str:
    if not manifest.measurements:
        return "Not measured."
    rows = "\n".join(
        f"| {m.metric} on {m.data}, {m.rows} rows | {_share(m.fp32)} | {m.int8:.4f} | {m.int8_bf16:.4f} "
        f"| {_lost(m)} | {_ratio(m, 'int8')} | {_ratio(m, 'int8_bf16')} |"
        for m in manifest.measurements
    )
    return (
        "| | FP32 | INT8 | INT8, bf16 | points lost | speed of INT8 | INT8, bf16 |\n"
        f"| --- | --- | --- | --- | --- | --- | --- |\n{rows}\n\n"
        "The arithmetic of what is not quantized is f32, or bf16 where the column says so and the CPU has it. Speed is "
        "in rows per second on one core, as a multiple of FP32's in the same run. Measured again by "
        f"`python -m models evaluate {manifest.name} --data FILE`."
    )


def _share(value: float | None) -> str:
    return "not published" if value is None else f"{value:.4f}"


def _lost(measurement: Measurement) -> str:
    return "" if measurement.fp32 is None else f"{(measurement.fp32 - measurement.int8) * 100:.2f}"


def _ratio(measurement: Measurement, name: str) -> str:
    rates = measurement.rows_per_second
    return f"{rates[name] / rates['fp32']:.2f}" if "fp32" in rates else f"{rates[name]:.1f} rows/s"
