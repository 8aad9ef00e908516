"""The model card: what a person wants to know before using a prepared model."""

from __future__ import annotations

from models.catalog import CatalogEntry
from models.manifest import Manifest, Measurement

__all__ = ["model_card"]

_MEBIBYTE = 1024 * 1024


def model_card(manifest: Manifest, entry: CatalogEntry | None) -> str:
    """The text of ``README.md`` in a prepared directory; ``entry`` is what the catalog knows of it, if anything."""
    summary = entry.summary if entry else f"Prepared from {manifest.source}."
    note = f"\n{entry.note}\n" if entry and entry.note else ""
    size_mib = sum(record.size_bytes for record in manifest.files.values()) / _MEBIBYTE
    recipe = "\n".join(f"| {name} | {value} |" for name, value in manifest.recipe.items())
    versions = ", ".join(f"{name} {version}" for name, version in sorted(manifest.versions.items()))
    return f"""# {manifest.name}

{summary}

| | |
| --- | --- |
| task | `{manifest.task.value}` |
| source | {manifest.source} |
| sha256 of the source's weights | `{manifest.source_sha256}` |
| licence | {manifest.licence} |
| longest input | {manifest.max_length_tokens} tokens; longer texts are cut |
| size | {size_mib:.1f} MiB, all files |
| revision | `{manifest.revision}` |

## Recipe

Exported by optimum-intel, quantized to INT8 by nncf ({versions}).

| | |
| --- | --- |
{recipe}
{note}
## Accuracy

{_accuracy(manifest)}
"""


def _accuracy(manifest: Manifest) -> str:
    if not manifest.measurements:
        return "Not measured."
    rows = "\n".join(
        f"| {m.metric} on {m.data}, {m.rows} rows | {m.fp32:.4f} | {m.int8:.4f} | {m.int8_bf16:.4f} "
        f"| {(m.fp32 - m.int8) * 100:.2f} | {_ratio(m, 'int8')} | {_ratio(m, 'int8_bf16')} |"
        for m in manifest.measurements
    )
    return (
        "| | FP32 | INT8 | INT8, bf16 | points lost | speed of INT8 | INT8, bf16 |\n"
        f"| --- | --- | --- | --- | --- | --- | --- |\n{rows}\n\n"
        "The arithmetic of what is not quantized is f32, or bf16 where the column says so and the CPU has it. Speed is "
        "in rows per second on one core, as a multiple of FP32's in the same run. Measured again by "
        f"`python -m models evaluate {manifest.name} --data FILE`."
    )


def _ratio(measurement: Measurement, name: str) -> str:
    rates = measurement.rows_per_second
    return f"{rates[name] / rates['fp32']:.2f}"
