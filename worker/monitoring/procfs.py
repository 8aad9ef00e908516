"""What the kernel says of a process: memory and CPU time. Nothing where there is no ``/proc``."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ProcessUse", "use_of"]

_BYTES_PER_KIB = 1024
#: In ``/proc/<pid>/stat`` after the name: the ticks in user and in system mode.
_UTIME, _STIME = 11, 12


@dataclass(frozen=True)
class ProcessUse:
    """What a process uses.

    Attributes:
        rss_bytes: resident memory.
        anonymous_bytes: the part of it that is no file's.
        cpu_seconds: user and system time.
    """

    rss_bytes: int
    anonymous_bytes: int
    cpu_seconds: float


def use_of(pid: int) -> ProcessUse | None:
    """What a process uses; None if it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = dict(line.split(":", 1) for line in status.splitlines())
    if "VmRSS" not in fields:
        # It has ended, and its parent has not waited for it.
        return None
    times = stat.rpartition(")")[2].split()
    ticks = int(times[_UTIME]) + int(times[_STIME])
    return ProcessUse(
        _bytes(fields["VmRSS"]),
        _bytes(fields.get("RssAnon", "0 kB")),
        ticks / os.sysconf("SC_CLK_TCK"),
    )


def _bytes(value: str) -> int:
    return int(value.split(maxsplit=1)[0]) * _BYTES_PER_KIB
