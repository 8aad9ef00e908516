"""What Linux says about this CPU, and what OpenVINO can do on it beyond what its own report says."""

from __future__ import annotations

from pathlib import Path

__all__ = ["SPARSE_SHARE", "cpu_facts", "cpu_name", "runs_sparse_weights"]

#: A model counts as sparse from this share of zero weights on.
SPARSE_SHARE = 0.5
_CPUINFO = Path("/proc/cpuinfo")
#: OpenVINO's CPU plugin has kernels for sparse INT8 weights only for AMX.
_FLAG_FOR_SPARSE_KERNELS = "amx_int8"


def cpu_facts() -> dict[str, str]:
    """The first entry of ``/proc/cpuinfo``, by name; empty if there is no such file."""
    try:
        first, *_ = _CPUINFO.read_text(encoding="utf-8").split("\n\n")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def cpu_name() -> str:
    """The model name that Linux reports; ``unknown`` elsewhere."""
    return cpu_facts().get("model name") or "unknown"


def runs_sparse_weights() -> bool:
    """Whether OpenVINO can keep the weights of sparse INT8 models compressed on this CPU, which makes them faster."""
    return _FLAG_FOR_SPARSE_KERNELS in cpu_facts().get("flags", "").split()
