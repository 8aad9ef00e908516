"""Which cores a worker uses, and in which order, on machines that are described by files as the kernel writes them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.cores.topology import Core, core_sets, usable_cores

Machine = Callable[..., Path]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Describes a machine: its cores by NUMA node and siblings, and those that this process may use."""

    def describe(
        nodes: dict[int, list[int]], siblings: Iterable[str] = (), allowed: Iterable[int] | None = None
    ) -> Path:
        root = tmp_path / "cpu"
        every = [core for cores in nodes.values() for core in cores]
        for node, cores in nodes.items():
            for core in cores:
                (root / f"cpu{core}" / f"node{node}").mkdir(parents=True)
                (root / f"cpu{core}" / "topology").mkdir()
        for text in siblings:
            for core in map(int, text.replace("-", ",").split(",")):
                (root / f"cpu{core}" / "topology" / "thread_siblings_list").write_text(f"{text}\n")
        mask = set(every if allowed is None else allowed)
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: mask)
        return root

    return describe


def numbers(cores: Iterable[Core]) -> list[int]:
    return [core.number for core in cores]


@pytest.fixture
def no_process(tmp_path: Path) -> Path:
    return tmp_path / "no process"


def test_second_threads_come_after_all_physical_cores_where_they_are_numbered_in_pairs(
    machine: Machine, no_process: Path
) -> None:
    root = machine({0: [0, 1, 2, 3]}, ["0-1", "2-3"])
    assert numbers(usable_cores(root, no_process)) == [0, 2, 1, 3]


def test_second_threads_come_after_all_physical_cores_where_they_are_numbered_last(
    machine: Machine, no_process: Path
) -> None:
    root = machine({0: [0, 1, 2, 3]}, ["0,2", "1,3"])
    cores = usable_cores(root, no_process)
    assert [(core.number, core.sibling_rank) for core in cores] == [(0, 0), (1, 0), (2, 1), (3, 1)]


def test_one_numa_node_is_filled_before_the_next(machine: Machine, no_process: Path) -> None:
    root = machine({0: [0, 2, 4, 6], 1: [1, 3, 5, 7]}, ["0,4", "2,6", "1,5", "3,7"])
    cores = usable_cores(root, no_process)
    assert numbers(cores) == [0, 2, 1, 3, 4, 6, 5, 7]
    assert [core.node for core in cores] == [0, 0, 1, 1, 0, 0, 1, 1]


def test_only_the_cores_of_the_mask_are_used(machine: Machine, no_process: Path) -> None:
    root = machine({0: [0, 1, 2, 3]}, ["0-1", "2-3"], allowed=[1, 3])
    assert numbers(usable_cores(root, no_process)) == [1, 3]


def test_a_machine_that_does_not_describe_its_cores_has_physical_cores_on_one_node(
    tmp_path: Path, no_process: Path
) -> None:
    cores = usable_cores(tmp_path / "nothing", no_process)
    assert cores == [Core(number, 0, 0) for number in sorted(os.sched_getaffinity(0))]


def test_this_machine_has_the_cores_of_its_mask() -> None:
    cores = usable_cores()
    assert cores
    assert set(numbers(cores)) <= os.sched_getaffinity(0)


@pytest.fixture
def quota(tmp_path: Path) -> Callable[[str], Path]:
    """What ``/proc/self`` says in a group of version 2 with this ``cpu.max``."""

    def describe(text: str) -> Path:
        (tmp_path / "group").mkdir()
        (tmp_path / "group" / "cpu.max").write_text(f"{text}\n")
        (tmp_path / "cgroup").write_text("0::/\n")
        (tmp_path / "mountinfo").write_text(f"31 23 0:28 / {tmp_path}/group rw - cgroup2 cgroup2 rw\n")
        return tmp_path

    return describe


@pytest.mark.parametrize(
    ("text", "usable"),
    [("max 100000", 4), ("400000 100000", 4), ("250000 100000", 2), ("50000 100000", 1), ("900000 100000", 4)],
)
def test_no_more_cores_are_used_than_the_cgroups_quota_pays_for(
    machine: Machine, quota: Callable[[str], Path], text: str, usable: int
) -> None:
    root = machine({0: [0, 1, 2, 3]})
    assert numbers(usable_cores(root, quota(text))) == [0, 1, 2, 3][:usable]


def test_a_quota_takes_physical_cores_first(machine: Machine, quota: Callable[[str], Path]) -> None:
    root = machine({0: [0, 1, 2, 3]}, ["0-1", "2-3"])
    assert numbers(usable_cores(root, quota("200000 100000"))) == [0, 2]


def cores_of(nodes: dict[int, int]) -> list[Core]:
    """So many physical cores on each node."""
    owners = [node for node, count in nodes.items() for _ in range(count)]
    return [Core(number, node, 0) for number, node in enumerate(owners)]


@pytest.mark.parametrize(
    ("nodes", "size", "sets"),
    [
        ({0: 3}, 1, [[0], [1], [2]]),
        ({0: 4}, 2, [[0, 1], [2, 3]]),
        ({0: 5}, 2, [[0, 1], [2, 3]]),
        ({0: 3, 1: 3}, 2, [[0, 1], [3, 4]]),
        ({0: 2}, 4, [[0, 1]]),
        ({0: 1, 1: 1, 2: 1}, 2, [[0]]),
        ({0: 1, 1: 3, 2: 3}, 4, [[1, 2, 3]]),
        ({}, 1, []),
    ],
    ids=[
        "one each",
        "pairs",
        "one left over",
        "no pair across nodes",
        "fewer than wanted",
        "one on each node",
        "fewer on any node",
        "none",
    ],
)
def test_sets_have_the_wanted_size_and_do_not_cross_nodes(
    nodes: dict[int, int], size: int, sets: list[list[int]]
) -> None:
    assert [numbers(members) for members in core_sets(cores_of(nodes), size)] == sets


@given(st.dictionaries(st.integers(0, 3), st.integers(0, 6), max_size=4), st.integers(1, 8))
def test_no_set_is_larger_than_wanted_or_crosses_nodes_or_has_a_core_of_another(
    nodes: dict[int, int], size: int
) -> None:
    cores = cores_of(nodes)
    sets = core_sets(cores, size)
    assert all(1 <= len(members) <= size for members in sets)
    assert all(len({core.node for core in members}) == 1 for members in sets)
    used = [core for members in sets for core in members]
    assert len(set(used)) == len(used)
    assert bool(sets) == bool(cores)


def test_sets_of_whole_physical_cores_come_before_those_with_second_threads() -> None:
    cores = [Core(0, 0, 0), Core(1, 0, 0), Core(4, 1, 0), Core(5, 1, 0)]
    second = [Core(2, 0, 1), Core(3, 0, 1), Core(6, 1, 1), Core(7, 1, 1)]
    sets = core_sets([*cores, *second], 2)
    assert [numbers(members) for members in sets] == [[0, 1], [4, 5], [2, 3], [6, 7]]
