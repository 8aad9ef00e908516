"""OpenVINO's one core of this process, for whatever reads, compiles or runs a graph."""

from __future__ import annotations

from functools import cache

import openvino as ov

__all__ = ["shared_core"]


@cache
def shared_core() -> ov.Core:
    """The one of this process, for as long as that lives.

    Each gives its thread a stack for signals when it first compiles (for CPUs with AMX, 2026.4.1), and puts the former
    one back when it goes: of several that go in the order in which they came, the last leaves a stack that is no more,
    and the next signal ends the process.
    """
    return ov.Core()
