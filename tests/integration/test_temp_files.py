"""What a killed worker leaves outside Redis: nothing."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from examples.local_stack import LocalWorker

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where the kernel keeps named semaphores and shared memory


def shared_memory_of(pids: set[int]) -> set[str]:
    """Names in shared memory that one of these processes has mapped."""
    names = set()
    for pid in pids:
        maps = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8")
        names |= {line.split(maxsplit=5)[5] for line in maps.splitlines() if f" {SHARED_MEMORY}/" in line}
    return {name for name in names if not name.endswith(" (deleted)")}


def files_under(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


@pytest.mark.parametrize("pool", ["prefork", "processes"])
def test_a_killed_worker_leaves_no_temporary_files(own_environment: dict[str, str], tmp_path: Path, pool: str) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    environment = {**own_environment, "TMPDIR": str(temporary)}
    with LocalWorker(["--concurrency=1", "-P", pool], environment) as victim:
        victim.wait_for(lambda: " ready." in victim.log and bool(victim.processes))
        assert shared_memory_of({victim.pid, *victim.processes.values()}) == set()
        victim.signal(signal.SIGKILL)
        victim.wait_for_exit()
    assert files_under(temporary) == []
