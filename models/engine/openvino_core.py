"""The one OpenVINO core of a process, for all code that reads, compiles or runs a graph."""

from __future__ import annotations

from functools import cache

import openvino as ov

__all__ = ["shared_core"]


@cache
def shared_core() -> ov.Core:
    """The core of this process. It lives as long as the process does.

    On CPUs with AMX a core sets its thread's alternate signal stack when it first compiles, and restores the previous
    one when it is destroyed (2026.4.1). If several cores are destroyed in the order of their creation, the last one
    restores a stack that has been freed, and the next signal kills the process.
    """
    return ov.Core()
