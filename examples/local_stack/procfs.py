"""What the kernel says of a process: the cores of its threads, its memory, the libraries it has mapped."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["Memory", "memory_of", "open_libraries", "process_state", "thread_cores"]

_BYTES_PER_KIB = 1024


@dataclass(frozen=True)
class Memory:
    """Resident memory, in bytes: of this process alone, and what other processes share with it."""

    private_bytes: int
    shared_bytes: int


def thread_cores(pid: int) -> dict[int, str]:
    """``Cpus_allowed_list`` of every thread of a process, by thread id."""
    cores: dict[int, str] = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        status = (task / "status").read_text(encoding="ascii")
        line = next(line for line in status.splitlines() if line.startswith("Cpus_allowed_list:"))
        cores[int(task.name)] = line.split()[1]
    return cores


def memory_of(pid: int) -> Memory:
    """Resident memory of a process, from ``smaps_rollup``."""
    fields: dict[str, int] = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]:
        name, kib = line.split()[:2]
        fields[name] = int(kib) * _BYTES_PER_KIB
    return Memory(
        private_bytes=fields["Private_Clean:"] + fields["Private_Dirty:"],
        shared_bytes=fields["Shared_Clean:"] + fields["Shared_Dirty:"],
    )


def open_libraries(pid: int, name: str) -> list[str]:
    """Files that a process has mapped whose path contains ``name``."""
    lines = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8").splitlines()
    paths = {line.split(maxsplit=5)[5] for line in lines if line.count(" ") and "/" in line}
    return sorted(path for path in paths if name in path)


def process_state(pid: int) -> str:
    """The kernel's letter for what a process does: ``R`` runs, ``S`` waits, ``T`` is stopped by a signal."""
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    return stat.rpartition(")")[2].split()[0]
