"""Reads the memory and CPU time of processes from ``/proc``, where there is one."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ProcessResources", "resources_of"]

_BYTES_PER_KIB = 1024
#: Positions after the name in ``/proc/<pid>/stat``: ticks in user mode and in system mode.
_UTIME, _STIME = 11, 12


@dataclass(frozen=True)
class ProcessResources:
    """The resources that a process uses.

    Attributes:
        rss_bytes: resident memory.
        anonymous_bytes: the part of it that is not backed by a file.
        cpu_seconds: CPU time in user and in system mode.
    """

    rss_bytes: int
    anonymous_bytes: int
    cpu_seconds: float


def resources_of(pid: int) -> ProcessResources | None:
    """The resources of a process; None if it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = dict(line.split(":", 1) for line in status.splitlines())
    if "VmRSS" not in fields:
        # A zombie: its parent has not yet waited for it.
        return None
    times = stat.rpartition(")")[2].split()
    ticks = int(times[_UTIME]) + int(times[_STIME])
    return ProcessResources(
        _bytes(fields["VmRSS"]),
        _bytes(fields.get("RssAnon", "0 kB")),
        ticks / os.sysconf("SC_CLK_TCK"),
    )


def _bytes(value: str) -> int:
    return int(value.split(maxsplit=1)[0]) * _BYTES_PER_KIB
