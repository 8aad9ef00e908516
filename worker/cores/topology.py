"""The CPU cores that this process may use, best first.

The kernel's affinity mask (which includes the cgroup's cpuset) says which, and the CPU quota of the cgroup and its
parents says how many. Unused physical cores come before the second hardware threads of used ones, and one NUMA node is
filled before the next.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from worker.cores.cgroup import OWN_PROC, cpu_quota

__all__ = ["Core", "core_sets", "usable_cores"]

_CPU_ROOT = Path("/sys/devices/system/cpu")


@dataclass(frozen=True)
class Core:
    """One logical CPU.

    Attributes:
        number: the number that the kernel gives it.
        node: its NUMA node.
        sibling_rank: 0 for the first hardware thread of a physical core, 1 for the second.
    """

    number: int
    node: int
    sibling_rank: int


def usable_cores(cpu_root: Path = _CPU_ROOT, proc: Path = OWN_PROC) -> list[Core]:
    """The cores on which to place processes, best first; at least one.

    Args:
        cpu_root: the kernel's directory that describes the CPUs.
        proc: this process's directory in ``/proc``.
    """
    cores = sorted(
        (_describe(number, cpu_root) for number in os.sched_getaffinity(0)),
        key=lambda core: (core.sibling_rank, core.node, core.number),
    )
    quota = cpu_quota(proc)
    return cores if quota is None else cores[: max(1, math.floor(quota))]


def core_sets(cores: Sequence[Core], size: int) -> list[tuple[Core, ...]]:
    """Divide cores into sets of ``size`` that do not span NUMA nodes; leftover cores of a node are not used.

    If no full set is possible, the node with the most cores forms one smaller set: a process on fewer cores is better
    than none.
    """
    by_node: dict[int, list[Core]] = {}
    for core in cores:
        by_node.setdefault(core.node, []).append(core)
    sets = [
        tuple(members[start : start + size])
        for members in by_node.values()
        for start in range(0, len(members) - size + 1, size)
    ]
    sets.sort(key=lambda members: max(core.sibling_rank for core in members))
    if not sets and by_node:
        return [max(map(tuple, by_node.values()), key=len)]
    return sets


def _describe(number: int, cpu_root: Path) -> Core:
    directory = cpu_root / f"cpu{number}"
    siblings = _read_list(directory / "topology" / "thread_siblings_list") or [number]
    node = next((int(entry.name[4:]) for entry in directory.glob("node[0-9]*")), 0)
    return Core(number, node, siblings.index(number) if number in siblings else 0)


def _read_list(path: Path) -> list[int]:
    """Read the kernel's list format: ``0-3,8`` is 0, 1, 2, 3 and 8. Empty if there is no such file."""
    try:
        text = path.read_text(encoding="ascii").strip()
    except OSError:
        return []
    numbers: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        numbers.extend(range(int(first), int(last or first) + 1))
    return numbers
