"""How many threads a check computes with."""

from __future__ import annotations

import os

__all__ = ["free_cores"]


def free_cores() -> int:
    """The cores of this process that other work leaves free, one at least.

    Threads that share a core wait for each other while they compute: on two busy cores two threads take three times the
    CPU time of one.
    """
    idle = (os.cpu_count() or 1) - round(os.getloadavg()[0])
    return max(1, min(len(os.sched_getaffinity(0)), idle))
