"""Facts of a manifest in a person's words; several commands print them."""

from __future__ import annotations

from models.manifest import Manifest

__all__ = ["describe_measurements", "in_mebibytes"]

_MEBIBYTE = 1024 * 1024


def describe_measurements(manifest: Manifest) -> str:
    """What was measured at preparation, a line for each set of rows."""
    return (
        "\n".join(
            f"at preparation, on {measured.data}: FP32 {measured.fp32:.4f}, INT8 {measured.int8:.4f}, "
            f"{(measured.fp32 - measured.int8) * 100:.2f} points lost"
            for measured in manifest.measurements
        )
        or "accuracy was not measured at preparation (--evaluate FILE does)"
    )


def in_mebibytes(size_bytes: int) -> str:
    """Such as ``23.4 MiB``."""
    return f"{size_bytes / _MEBIBYTE:.1f} MiB"
