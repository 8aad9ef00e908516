"""How many processes fit into the memory: a bound beside that of the cores.

Without it a host with many cores and little memory starts a process on each, and the kernel kills them as they grow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models.store import StoredModel
from worker.cores.cgroup import OWN_PROC, memory_limit_bytes

__all__ = ["MemoryBound", "MemoryNeeds", "needs_of", "usable_bytes"]

_MEMINFO = Path("/proc/meminfo")
_BYTES_PER_KIB = 1024
_MIB = 1024 * 1024
#: The parent, and the pages of programs and libraries that all processes share.
_PARENT_BYTES = 250 * _MIB
#: Python, its libraries and OpenVINO in each process, without a model.
_PROCESS_BYTES = 80 * _MIB
#: Of each model, whatever its size: buffers, and kernels that are compiled for each shape, once they have levelled off.
_MODEL_BYTES = 230 * _MIB
#: Kernels hold weights in an order of their own: these times the INT8 directory.
_WEIGHT_COPIES = 2.0
#: A compiled model beside the INT8 directory: the vocabulary's embedding is 8 bits wide in there, and 32 here.
_COMPILED_RATIO = 4.0


@dataclass(frozen=True)
class MemoryNeeds:
    """What a worker is expected to take, in bytes.

    Attributes:
        shared_bytes: the parent, and what all processes have in common.
        process_bytes: each process, after it has met most shapes.
    """

    shared_bytes: int
    process_bytes: int


def needs_of(models: Sequence[StoredModel], *, is_shared: bool) -> MemoryNeeds:
    """Estimate what a worker takes; docs/performance.md has what was measured beside it.

    Args:
        models: that each process loads.
        is_shared: whether processes map compiled models that are kept on disk, or each has a copy of its own.
    """
    size_bytes = sum(model.manifest.size_bytes for model in models)
    compiled_bytes = int(_COMPILED_RATIO * size_bytes)
    process_bytes = _PROCESS_BYTES + len(models) * _MODEL_BYTES + int(_WEIGHT_COPIES * size_bytes)
    if is_shared:
        return MemoryNeeds(_PARENT_BYTES + compiled_bytes, process_bytes)
    return MemoryNeeds(_PARENT_BYTES, process_bytes + compiled_bytes)


@dataclass(frozen=True)
class MemoryBound:
    """What fits into the memory, and what to tell the operator of it.

    Attributes:
        needs: what the worker is expected to take.
        usable_bytes: what there is; None where that is not known, and nothing is bounded.
    """

    needs: MemoryNeeds
    usable_bytes: int | None

    @property
    def fits(self) -> int | None:
        """How many processes fit, 0 where not even one does; None where nothing is known."""
        if self.usable_bytes is None:
            return None
        return max(0, self.usable_bytes - self.needs.shared_bytes) // self.needs.process_bytes

    def bound(self, wanted: int) -> int:
        """As many of ``wanted`` processes as fit; at least one, which may find that it does."""
        return wanted if self.fits is None else max(1, min(wanted, self.fits))

    def remark(self, wanted: int, *, is_explicit: bool) -> str | None:
        """What an operator should know where fewer than ``wanted`` processes fit; None where all do.

        Args:
            wanted: what the settings ask for, or what there are cores for.
            is_explicit: whether somebody has set that number, which wins.
        """
        fits, usable = self.fits, self.usable_bytes
        if fits is None or usable is None or fits >= wanted:
            return None
        why = (
            f"{usable // _MIB} MiB may be used, and a process is expected to take "
            f"{self.needs.process_bytes // _MIB} MiB in time, beside {self.needs.shared_bytes // _MIB} MiB for all"
        )
        if is_explicit:
            return (
                f"there is memory for {fits} processes, and {wanted} are set: {why}. The kernel may kill some; lower "
                "CELERIAC_PROCESSES_MAX or --concurrency, or serve fewer models (CELERIAC_MODELS)"
            )
        bound = self.bound(wanted)
        count = f"{bound} process{'es' if bound > 1 else ''} instead of {wanted}"
        if not fits:
            count = "there is not enough for one, which is started all the same"
        return (
            f"memory bounds the processes, and not the cores: {count}. {why}. CELERIAC_PROCESSES_MAX or --concurrency "
            "sets another number, CELERIAC_MODELS fewer models"
        )


def usable_bytes(proc: Path = OWN_PROC, meminfo: Path = _MEMINFO) -> int | None:
    """The memory of this machine, or of the control group where that is less; None where neither is known.

    Args:
        proc: this process's directory in ``/proc``.
        meminfo: the kernel's account of the machine's memory.
    """
    known = [found for found in (memory_limit_bytes(proc), _machine_bytes(meminfo)) if found is not None]
    return min(known, default=None)


def _machine_bytes(meminfo: Path) -> int | None:
    try:
        lines = meminfo.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    total = next((line for line in lines if line.startswith("MemTotal:")), None)
    return None if total is None else int(total.split()[1]) * _BYTES_PER_KIB
