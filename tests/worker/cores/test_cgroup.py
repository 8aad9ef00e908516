"""Which limits are found in trees of control groups: described as the kernel describes them, and in a real one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.control_group import ControlGroup, control_group
from worker.cores.cgroup import cpu_quota, memory_limit_bytes

Describe = Callable[..., Path]
MIB = 1024 * 1024


@pytest.fixture
def described(tmp_path: Path) -> Describe:
    """A process's ``/proc`` directory; ``TREE`` in mounts stands for the directory that has the files."""

    def describe(groups: str, mounts: list[str], files: dict[str, str]) -> Path:
        tree = tmp_path / "tree"
        for name, text in files.items():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_text(f"{text}\n")
        proc = tmp_path / "proc"
        proc.mkdir()
        (proc / "cgroup").write_text(groups + "\n")
        lines = [
            f"31 23 0:28 {mount}\n".replace("TREE", str(tree).replace(" ", "\\040"))
            for mount in ("/ / rw - ext4 /dev/vda rw", *mounts)
        ]
        (proc / "mountinfo").write_text("".join(lines))
        return proc

    return describe


V2 = ["/ TREE rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate"]
V1 = ["/ TREE/cpu rw - cgroup cgroup rw,cpu,cpuacct", "/ TREE/memory rw - cgroup cgroup rw,memory"]


@pytest.mark.parametrize(
    ("groups", "mounts", "files", "cpus"),
    [
        ("0::/", V2, {"cpu.max": "150000 100000"}, 1.5),
        ("0::/", V2, {"cpu.max": "max 100000"}, None),
        ("0::/", V2, {}, None),
        ("0::/system.slice/ours.service", V2, {"system.slice/ours.service/cpu.max": "200000 100000"}, 2.0),
        (
            "0::/system.slice/ours.service",
            V2,
            {"system.slice/ours.service/cpu.max": "max 100000", "system.slice/cpu.max": "100000 100000"},
            1.0,
        ),
        (
            "0::/a/b",
            V2,
            {"a/cpu.max": "300000 100000", "a/b/cpu.max": "100000 50000", "other/cpu.max": "1 100000"},
            2.0,
        ),
        ("0::/../outside", V2, {"cpu.max": "300000 100000"}, 3.0),
        ("0::/host/pod", ["/host/pod TREE rw - cgroup2 cgroup2 rw"], {"cpu.max": "300000 100000"}, 3.0),
        ("0::/host/pod/x", ["/host/pod TREE rw - cgroup2 cgroup2 rw"], {"x/cpu.max": "100000 100000"}, 1.0),
        ("0::/not/here", V2, {"cpu.max": "max 100000"}, None),
        (
            "4:cpu,cpuacct:/docker/id\n3:memory:/elsewhere",
            V1,
            {"cpu/docker/id/cpu.cfs_quota_us": "50000", "cpu/docker/id/cpu.cfs_period_us": "100000"},
            0.5,
        ),
        (
            "4:cpu,cpuacct:/docker/id",
            V1,
            {
                "cpu/docker/id/cpu.cfs_quota_us": "-1",
                "cpu/docker/id/cpu.cfs_period_us": "100000",
                "cpu/docker/cpu.cfs_quota_us": "300000",
                "cpu/docker/cpu.cfs_period_us": "100000",
            },
            3.0,
        ),
        (
            "4:cpu,cpuacct:/docker/id",
            ["/docker/id TREE/cpu rw - cgroup cgroup rw,cpu,cpuacct"],
            {"cpu/cpu.cfs_quota_us": "300000", "cpu/cpu.cfs_period_us": "100000"},
            3.0,
        ),
        # Both versions at once, as systemd's hybrid layout has it.
        (
            "4:cpu:/a\n0::/b",
            [*V1, "/ TREE/unified rw - cgroup2 cgroup2 rw"],
            {"cpu/a/cpu.cfs_quota_us": "300000", "cpu/a/cpu.cfs_period_us": "100000", "unified/b/memory.max": "1"},
            3.0,
        ),
    ],
)
def test_the_smallest_cpu_quota_of_a_group_and_its_parents_counts(
    described: Describe, groups: str, mounts: list[str], files: dict[str, str], cpus: float | None
) -> None:
    assert cpu_quota(described(groups, mounts, files)) == cpus


@pytest.mark.parametrize(
    ("groups", "mounts", "files", "limit"),
    [
        ("0::/a/b", V2, {"a/memory.max": "300", "a/b/memory.max": "max"}, 300),
        ("0::/a/b", V2, {"a/memory.max": "300", "a/b/memory.max": "max", "a/b/memory.high": "200"}, 200),
        ("0::/a/b", V2, {"memory.max": "max", "a/memory.high": "max"}, None),
        ("0::/a", V1, {}, None),
        ("3:memory:/a/b", V1, {"memory/a/memory.limit_in_bytes": "300"}, 300),
        ("3:memory:/a", V1, {"memory/a/memory.limit_in_bytes": "9223372036854771712"}, 9223372036854771712),
    ],
)
def test_the_smallest_limit_of_memory_counts(
    described: Describe, groups: str, mounts: list[str], files: dict[str, str], limit: int | None
) -> None:
    assert memory_limit_bytes(described(groups, mounts, files)) == limit


def test_a_path_with_a_blank_is_found(tmp_path: Path, described: Describe) -> None:
    (tmp_path / "a tree").mkdir()
    (tmp_path / "a tree" / "cpu.max").write_text("100000 100000\n")
    mount = f"/ {tmp_path}/a\\040tree rw - cgroup2 cgroup2 rw"

    assert cpu_quota(described("0::/", [mount], {})) == 1.0


def test_without_control_groups_nothing_is_limited(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path) is None
    assert memory_limit_bytes(tmp_path) is None


def in_group(code: str, group: ControlGroup) -> str:
    command = [*group.launcher, sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_a_real_quota_of_the_parent_bounds_the_cores() -> None:
    with control_group("cpu") as group:
        group.limit_cpus(group.outer, 1)

        assert in_group("from worker.cores.topology import usable_cores; print(len(usable_cores()))", group) == "1"


def test_a_real_limit_of_the_parents_memory_is_found() -> None:
    with control_group("memory") as group:
        group.limit_memory(group.outer, 300 * MIB)

        found = in_group("from worker.boot.memory_bound import usable_bytes; print(usable_bytes())", group)

    assert int(found) == 300 * MIB
