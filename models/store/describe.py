"""Facts of a manifest in words, as the commands and the model card print them."""

from __future__ import annotations

from models.store.manifest import Manifest

__all__ = ["describe_measurements", "format_mebibytes"]

_MEBIBYTE = 1024 * 1024


def describe_measurements(manifest: Manifest) -> str:
    """One line per labelled file on which the model was measured when it was prepared."""
    lines = []
    for measured in manifest.measurements:
        before = "not published" if measured.fp32 is None else f"{measured.fp32:.4f}"
        lost = "" if measured.points_lost is None else f", {measured.points_lost:.2f} points lost"
        lines.append(f"at preparation, on {measured.data}: FP32 {before}, INT8 {measured.int8:.4f}{lost}")
    return "\n".join(lines) or "accuracy was not measured at preparation (--evaluate FILE does)"


def format_mebibytes(size_bytes: int) -> str:
    """Format a size, such as ``23.4 MiB``."""
    return f"{size_bytes / _MEBIBYTE:.1f} MiB"
