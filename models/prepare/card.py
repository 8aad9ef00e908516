"""The model card: what a person wants to know before using a prepared model."""

from __future__ import annotations

from models.catalog import CatalogEntry
from models.manifest import Manifest

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
    measured = manifest.accuracy
    if measured is None:
        return "Not measured."
    drop = (measured.fp32 - measured.int8) * 100
    return (
        f"| {measured.metric} on {measured.data}, {measured.rows} rows | |\n| --- | --- |\n"
        f"| FP32 | {measured.fp32:.4f} |\n| INT8 | {measured.int8:.4f} ({drop:.2f} points lost) |\n\n"
        f"Both with f32 arithmetic for what is not quantized. Measured again by "
        f"`python -m models evaluate {manifest.name} --data FILE`."
    )
