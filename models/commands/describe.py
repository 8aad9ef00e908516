"""Facts of a manifest in a person's words; several commands print them."""

from __future__ import annotations

from models.store.manifest import Manifest

__all__ = ["describe_measurements", "in_mebibytes"]

_MEBIBYTE = 1024 * 1024


def describe_measurements(manifest: Manifest) -> str:
    """One line for each set of rows that was measured at preparation."""
    lines = []
    for measured in manifest.measurements:
        before = "not published" if measured.fp32 is None else f"{measured.fp32:.4f}"
        lost = "" if measured.fp32 is None else f", {(measured.fp32 - measured.int8) * 100:.2f} points lost"
        lines.append(f"at preparation, on {measured.data}: FP32 {before}, INT8 {measured.int8:.4f}{lost}")
    return "\n".join(lines) or "accuracy was not measured at preparation (--evaluate FILE does)"


def in_mebibytes(size_bytes: int) -> str:
    """Such as ``23.4 MiB``."""
    return f"{size_bytes / _MEBIBYTE:.1f} MiB"
