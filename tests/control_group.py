"""A real control group of this machine, where one can be made."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.producer.helpers import wait_until

__all__ = ["ControlGroup", "control_group"]

_ROOT = Path("/sys/fs/cgroup")
_GONE_S = 10.0


class ControlGroup:
    """Two groups, one in the other: processes are put into the inner one.

    Args:
        outer: the outer group's directory.
        is_v2: which version of the interface it has.
    """

    def __init__(self, outer: Path, *, is_v2: bool) -> None:
        self.outer, self.inner = outer, outer / "inner"
        self._is_v2 = is_v2

    def limit_cpus(self, group: Path, cpus: float) -> None:
        """Give a group a CPU quota."""
        quota_us = str(int(cpus * 100_000))
        if self._is_v2:
            (group / "cpu.max").write_text(f"{quota_us} 100000")
        else:
            (group / "cpu.cfs_period_us").write_text("100000")
            (group / "cpu.cfs_quota_us").write_text(quota_us)

    def limit_memory(self, group: Path, size_bytes: int) -> None:
        """Give a group a limit of memory."""
        (group / ("memory.max" if self._is_v2 else "memory.limit_in_bytes")).write_text(str(size_bytes))

    @property
    def launcher(self) -> list[str]:
        """Runs a command, which follows, in the inner group."""
        return ["sh", "-c", 'echo $$ >"$0" && exec "$@"', str(self.inner / "cgroup.procs")]


@contextmanager
def control_group(controller: str) -> Iterator[ControlGroup]:
    """Make a group with a controller, ``cpu`` or ``memory``; skip the test where this machine does not let us."""
    is_v2 = (_ROOT / "cgroup.controllers").is_file()
    outer = _ROOT / ("" if is_v2 else controller) / f"celeriac-test-{os.getpid()}"
    group = ControlGroup(outer, is_v2=is_v2)
    try:
        outer.mkdir()
        if is_v2:
            (outer / "cgroup.subtree_control").write_text(f"+{controller}")
        group.inner.mkdir()
    except OSError as error:
        if outer.is_dir():
            outer.rmdir()
        pytest.skip(f"no control group can be made here, which takes root and a writable cgroup tree: {error}")
    try:
        yield group
    finally:
        for directory in (group.inner, outer):
            _remove(directory)


def _remove(directory: Path) -> None:
    """Remove a group, which the kernel allows once it has let go of the last process in it."""

    def is_gone() -> bool:
        with contextlib.suppress(OSError):
            directory.rmdir()
        return not directory.exists()

    wait_until(is_gone, _GONE_S)
