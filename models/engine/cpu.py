"""What this CPU is and can do beyond what OpenVINO's own report says."""

from __future__ import annotations

from functools import cache
from pathlib import Path

__all__ = ["SPARSE_SHARE", "cpu_name", "runs_sparse_weights"]

#: From this share of zeros on a model counts as sparse.
SPARSE_SHARE = 0.5
_CPUINFO = Path("/proc/cpuinfo")
#: OpenVINO's CPU plugin has its kernels for sparse INT8 weights for AMX alone.
_SPARSE_KERNELS_NEED = "amx_int8"


def cpu_name() -> str:
    """The model's name as Linux gives it; ``unknown`` elsewhere."""
    return _facts().get("model name") or "unknown"


def runs_sparse_weights() -> bool:
    """Whether OpenVINO can keep the weights of sparse INT8 models compressed on this CPU, and be faster for it."""
    return _SPARSE_KERNELS_NEED in _facts().get("flags", "").split()


@cache
def _facts() -> dict[str, str]:
    try:
        first, *_ = _CPUINFO.read_text(encoding="utf-8").split("\n\n")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}
