"""What Linux says about this CPU, and what OpenVINO can do on it beyond what its own report says."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from pathlib import Path

__all__ = ["SPARSE_SHARE", "cpu_digest", "cpu_facts", "cpu_flags", "cpu_name", "max_isa", "runs_sparse_weights"]

#: A model counts as sparse from this share of zero weights on.
SPARSE_SHARE = 0.5
_CPUINFO = Path("/proc/cpuinfo")
#: OpenVINO's CPU plugin has kernels for sparse INT8 weights only for AMX.
_FLAG_FOR_SPARSE_KERNELS = "amx_int8"
#: What tells types of CPU apart; the number of a core or its clock do not.
_X86_FACTS = ("vendor_id", "cpu family", "model", "model name", "stepping", "flags")
_ARM_FACTS = ("Features", "CPU implementer", "CPU architecture", "CPU variant", "CPU part", "CPU revision")


def cpu_facts() -> dict[str, str]:
    """The first entry of ``/proc/cpuinfo``, by name; empty if there is no such file."""
    try:
        first, *_ = _CPUINFO.read_text(encoding="utf-8").split("\n\n")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def cpu_digest() -> str:
    """Tells this type of CPU from others, by its model, its instruction sets, and which of these oneDNN may use."""
    known = cpu_facts()
    facts = {name: known[name] for name in (*_X86_FACTS, *_ARM_FACTS) if name in known}
    facts = {**(facts or {"processor": platform.processor()}), "machine": platform.machine(), "max_isa": max_isa()}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def cpu_flags() -> frozenset[str]:
    """The instruction sets that Linux lists; empty if it lists none."""
    facts = cpu_facts()
    return frozenset((facts.get("flags") or facts.get("Features") or "").split())


def max_isa() -> str:
    """The limit on instruction sets that oneDNN reads from the environment; empty if there is none."""
    return (os.environ.get("ONEDNN_MAX_CPU_ISA") or os.environ.get("DNNL_MAX_CPU_ISA") or "").upper()


def cpu_name() -> str:
    """The model name that Linux reports; ``unknown`` elsewhere."""
    return cpu_facts().get("model name") or "unknown"


def runs_sparse_weights() -> bool:
    """Whether OpenVINO can keep the weights of sparse INT8 models compressed on this CPU, which makes them faster."""
    return _FLAG_FOR_SPARSE_KERNELS in cpu_flags()
