"""How many processes fit into memory, an upper bound in addition to the number of cores.

Without it, a worker on a host with many cores and little memory starts a process on every core, and the kernel kills
them as they grow.
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
#: Each model, whatever its size: buffers, and the kernels compiled for each shape once their number has levelled off.
_MODEL_BYTES = 230 * _MIB
#: Kernels reorder weights into copies of their own: this many times the size of the INT8 directory.
_WEIGHT_COPIES = 2.0
#: Size of a compiled model relative to the INT8 directory, which stores the vocabulary's embeddings in 8 bits instead
#: of 32.
_COMPILED_RATIO = 4.0


@dataclass(frozen=True)
class MemoryNeeds:
    """The memory that a worker is expected to use.

    Attributes:
        shared_bytes: the parent, and everything that all processes share.
        process_bytes: each process, once it has seen most shapes.
    """

    shared_bytes: int
    process_bytes: int


def needs_of(models: Sequence[StoredModel], *, is_shared: bool) -> MemoryNeeds:
    """Estimate the memory of a worker; ``docs/performance.md`` compares the estimates with measurements.

    Args:
        models: the models that each process loads.
        is_shared: True if processes map compiled models from disk, False if each has its own copy in memory.
    """
    size_bytes = sum(model.manifest.size_bytes for model in models)
    compiled_bytes = int(_COMPILED_RATIO * size_bytes)
    process_bytes = _PROCESS_BYTES + len(models) * _MODEL_BYTES + int(_WEIGHT_COPIES * size_bytes)
    if is_shared:
        return MemoryNeeds(_PARENT_BYTES + compiled_bytes, process_bytes)
    return MemoryNeeds(_PARENT_BYTES, process_bytes + compiled_bytes)


@dataclass(frozen=True)
class MemoryBound:
    """The number of processes that fit into memory.

    Attributes:
        needs: the memory that the worker is expected to use.
        usable_bytes: the memory that it may use; None if that is unknown, in which case there is no bound.
    """

    needs: MemoryNeeds
    usable_bytes: int | None

    @property
    def capacity(self) -> int | None:
        """How many processes fit; 0 if not even one does, None if that is unknown."""
        if self.usable_bytes is None:
            return None
        return max(0, self.usable_bytes - self.needs.shared_bytes) // self.needs.process_bytes

    def share_bytes(self, processes: int) -> int | None:
        """The memory that each of some processes may have for itself; None if that is unknown."""
        if self.usable_bytes is None:
            return None
        return max(0, self.usable_bytes - self.needs.shared_bytes) // processes

    def bound(self, wanted: int) -> int:
        """As many of ``wanted`` processes as fit, but at least one: the estimate may be too high."""
        return wanted if self.capacity is None else max(1, min(wanted, self.capacity))

    def warning(self, wanted: int, *, is_explicit: bool) -> str | None:
        """The warning for the operator if fewer than ``wanted`` processes fit; None if all of them do.

        Args:
            wanted: the number that is configured, or for which there are cores.
            is_explicit: whether the number is configured; then the worker starts that many anyway.
        """
        capacity, usable = self.capacity, self.usable_bytes
        if capacity is None or usable is None or capacity >= wanted:
            return None
        why = (
            f"{usable // _MIB} MiB are usable, all processes share {self.needs.shared_bytes // _MIB} MiB, and each "
            f"process is expected to grow to {self.needs.process_bytes // _MIB} MiB"
        )
        if is_explicit:
            return (
                f"there is memory for {_processes(capacity)}, but {wanted} are configured: {why}. The kernel may kill "
                "some of them. Lower CELERIAC_PROCESSES_MAX or --concurrency, or serve fewer models (CELERIAC_MODELS)"
            )
        if capacity:
            effect = f"memory limits this worker to {_processes(capacity)} instead of {wanted}"
        else:
            effect = "there is not enough memory for one process, which is started anyway"
        return (
            f"{effect}: {why}. Set CELERIAC_PROCESSES_MAX or --concurrency to start another number, or serve fewer "
            "models (CELERIAC_MODELS)"
        )


def usable_bytes(proc: Path = OWN_PROC, meminfo: Path = _MEMINFO) -> int | None:
    """The memory of this machine or the limit of the control group, whichever is less; None if both are unknown.

    Args:
        proc: this process's directory in ``/proc``.
        meminfo: the kernel's memory statistics of the machine.
    """
    limits = [limit for limit in (memory_limit_bytes(proc), _machine_bytes(meminfo)) if limit is not None]
    return min(limits, default=None)


def _processes(count: int) -> str:
    return f"{count} process{'' if count == 1 else 'es'}"


def _machine_bytes(meminfo: Path) -> int | None:
    try:
        lines = meminfo.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    total = next((line for line in lines if line.startswith("MemTotal:")), None)
    return None if total is None else int(total.split()[1]) * _BYTES_PER_KIB
