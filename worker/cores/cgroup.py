"""The limits on CPU time and memory that the control groups of this process impose.

A limit may be set anywhere between the group and the root of its tree (systemd's ``CPUQuota=``, a container that sees
the host's tree), so all parents are read and the smallest limit counts. Both versions of the interface are supported
(https://docs.kernel.org/admin-guide/cgroup-v2.html, https://docs.kernel.org/admin-guide/cgroup-v1/index.html).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath

__all__ = ["OWN_PROC", "cpu_quota", "memory_limit_bytes"]

#: The kernel's directory for this process.
OWN_PROC = Path("/proc/self")
_ESCAPE = re.compile(r"\\([0-7]{3})")
_UNIFIED = ""


class _Controller(StrEnum):
    CPU = "cpu"
    MEMORY = "memory"


@dataclass(frozen=True)
class _Mount:
    """A mounted tree of control groups.

    Attributes:
        point: the mount point.
        root: the group of the tree that is visible at the mount point.
        controllers: the controllers of version 1; only :data:`_UNIFIED` for version 2.
    """

    point: Path
    root: PurePosixPath
    controllers: frozenset[str]


def cpu_quota(proc: Path = OWN_PROC) -> float | None:
    """How many CPUs this process's groups may use at once; None if there is no limit.

    Args:
        proc: the process's directory in ``/proc``.
    """
    return _smallest(proc, _Controller.CPU, _cpus_v1, _cpus_v2)


def memory_limit_bytes(proc: Path = OWN_PROC) -> int | None:
    """How much memory this process's groups may use; None if there is no limit.

    Above ``memory.high`` the kernel slows processes down; above the other limits it kills them. Version 1 expresses "no
    limit" as a number larger than any machine's memory.

    Args:
        proc: the process's directory in ``/proc``.
    """
    limit = _smallest(proc, _Controller.MEMORY, _memory_v1, _memory_v2)
    return None if limit is None else int(limit)


def _smallest(
    proc: Path,
    controller: _Controller,
    read_v1: Callable[[Path], float | None],
    read_v2: Callable[[Path], float | None],
) -> float | None:
    groups = _groups(proc)
    limits: list[float] = []
    for mount in _mounts(proc):
        key = _UNIFIED if _UNIFIED in mount.controllers else controller
        if key not in mount.controllers:
            continue
        read = read_v2 if key == _UNIFIED else read_v1
        readings = (read(directory) for directory in _with_parents(mount, groups.get(key)))
        limits += [limit for limit in readings if limit is not None]
    return min(limits, default=None)


def _with_parents(mount: _Mount, group: PurePosixPath | None) -> Iterator[Path]:
    """The directories of a group and of its parents, as far as they are visible.

    For a group outside of the mount (``/../other``, or the host's path in a container that sees only its own subtree)
    this is the mount point alone, which is then the group itself or its nearest parent.
    """
    yield mount.point
    if group is None or ".." in group.parts or not group.is_relative_to(mount.root):
        return
    directory = mount.point
    for part in group.relative_to(mount.root).parts:
        directory /= part
        yield directory


def _groups(proc: Path) -> dict[str, PurePosixPath]:
    """The process's group for each controller; :data:`_UNIFIED` is the key of version 2."""
    groups = {}
    for line in _lines(proc / "cgroup"):
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            groups[controller] = PurePosixPath(path)
    return groups


def _mounts(proc: Path) -> Iterator[_Mount]:
    for line in _lines(proc / "mountinfo"):
        before, separator, after = line.partition(" - ")
        if not separator:
            continue
        root, point = (_unescape(field) for field in before.split(" ")[3:5])
        kind, _, options = after.split(" ", 2)
        if kind == "cgroup2":
            yield _Mount(Path(point), PurePosixPath(root), frozenset({_UNIFIED}))
        elif kind == "cgroup":
            yield _Mount(Path(point), PurePosixPath(root), frozenset(options.split(",")))


def _cpus_v2(group: Path) -> float | None:
    quota, _, period = _text(group / "cpu.max").partition(" ")
    return int(quota) / int(period) if quota not in {"", "max"} else None


def _cpus_v1(group: Path) -> float | None:
    quota, period = _text(group / "cpu.cfs_quota_us"), _text(group / "cpu.cfs_period_us")
    return int(quota) / int(period) if quota and period and int(quota) > 0 else None


def _memory_v2(group: Path) -> float | None:
    texts = [_text(group / name) for name in ("memory.max", "memory.high")]
    return min((int(text) for text in texts if text and text != "max"), default=None)


def _memory_v1(group: Path) -> float | None:
    text = _text(group / "memory.limit_in_bytes")
    return int(text) if text else None


def _lines(path: Path) -> list[str]:
    return _text(path).splitlines()


def _text(path: Path) -> str:
    """The content of a file; empty if the file does not exist or cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape").strip()
    except OSError:
        return ""


def _unescape(field: str) -> str:
    """Decode the octal escapes that the kernel writes for spaces and the like in paths."""
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), field)
