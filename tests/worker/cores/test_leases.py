"""Core leases against a real other holder, which is a process that can be killed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from worker.cores.leases import CoreSet, LeaseRequest, Leases, LeasingError, take_leases
from worker.cores.topology import Core

#: Other workers in one process: leases the cores 0 and 1 in each directory that it is told, until it ends.
OTHER_WORKER = """
import sys
from pathlib import Path
from worker.cores.topology import Core
from worker.cores.leases import LeaseRequest, take_leases
kept = []
for line in sys.stdin:
    cores, directory = [Core(0, 0, 0), Core(1, 0, 0)], Path(line.strip())
    kept.append(take_leases(LeaseRequest(directory, cores, 1, "celery@other", False), 2))
    print("leased", flush=True)
"""
Take = Callable[..., Leases]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A lease directory that does not exist yet."""
    return tmp_path / "run" / "leases"


@pytest.fixture
def take(directory: Path) -> Iterator[Take]:
    """Leases cores as ``celery@us``; they are given back after the test."""
    taken: list[Leases] = []

    def lease(cores: list[int], sets: int = 8, set_size: int = 1, allow_sharing: bool = False) -> Leases:
        candidates = [Core(number, 0, 0) for number in cores]
        leases = take_leases(LeaseRequest(directory, candidates, set_size, "celery@us", allow_sharing), sets)
        taken.append(leases)
        return leases

    yield lease
    for leases in taken:
        give_back(leases)


@contextmanager
def another_process() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", OTHER_WORKER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


@pytest.fixture(scope="module")
def _long_lived() -> Iterator[subprocess.Popen[str]]:
    with another_process() as process:
        yield process


@pytest.fixture
def other(directory: Path, _long_lived: subprocess.Popen[str]) -> int:
    """Pid of a worker that has leased the cores 0 and 1."""
    return lease_elsewhere(directory, _long_lived)


def lease_elsewhere(directory: Path, process: subprocess.Popen[str]) -> int:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{directory}\n")
    process.stdin.flush()
    assert process.stdout.readline() == "leased\n"
    return process.pid


def give_back(leases: Leases) -> None:
    for core_set in leases.sets.values():
        core_set.close()


def cores_of(leases: Leases) -> list[tuple[int, ...]]:
    return [core_set.cores for core_set in leases.sets.values()]


def inherited(leases: Leases) -> Leases:
    """What a forked process has: its own copies of the same open files."""
    copies = {i: CoreSet(core_set.cores, tuple(map(os.dup, core_set.files))) for i, core_set in leases.sets.items()}
    return Leases(copies, leases.request)


def test_as_many_sets_are_leased_as_are_wanted_best_first(take: Take) -> None:
    leases = take([4, 2, 0, 1], sets=3)
    assert cores_of(leases) == [(4,), (2,), (0,)]
    assert not any(core_set.is_shared for core_set in leases.sets.values())
    assert cores_of(take([4, 2, 0, 1], sets=3)) == [(1,)]


def test_no_core_is_leased_twice_and_the_message_names_the_holder(take: Take, other: int) -> None:
    with pytest.raises(LeasingError) as caught:
        take([0, 1])
    message = str(caught.value)
    assert f"core 0 is leased by celery@other (pid {other})" in message
    assert f"core 1 is leased by celery@other (pid {other})" in message
    assert "CELERIAC_CORES_ALLOW_SHARING=true" in message


@pytest.mark.usefixtures("other")
def test_the_cores_that_are_left_are_leased(take: Take) -> None:
    assert cores_of(take([0, 1, 2, 3], sets=4)) == [(2,), (3,)]


@pytest.mark.usefixtures("other")
def test_a_set_is_made_of_free_cores_only(take: Take) -> None:
    assert cores_of(take([0, 2, 1, 3, 4], sets=2, set_size=2)) == [(2, 3)]
    assert cores_of(take([4], sets=1)) == [(4,)], "a core that made no set must not stay leased"


def test_the_cores_of_a_killed_worker_are_free_again(take: Take, directory: Path) -> None:
    with another_process() as process:
        lease_elsewhere(directory, process)
        with pytest.raises(LeasingError):
            take([0, 1])
        process.kill()
        process.wait()
        assert cores_of(take([0, 1])) == [(0,), (1,)]


@pytest.mark.usefixtures("other")
def test_leased_cores_are_shared_only_where_free_ones_do_not_suffice(take: Take) -> None:
    leases = take([0, 1, 2], sets=2, allow_sharing=True)
    assert [(core_set.cores, core_set.is_shared) for core_set in leases.sets.values()] == [((2,), False), ((0,), True)]


@pytest.mark.usefixtures("other")
def test_a_worker_may_start_on_nothing_but_shared_cores(take: Take) -> None:
    leases = take([0, 1], sets=4, allow_sharing=True)
    assert [(core_set.cores, core_set.is_shared) for core_set in leases.sets.values()] == [((0,), True), ((1,), True)]


def test_sharing_takes_no_more_sets_than_are_wanted(take: Take) -> None:
    assert cores_of(take([0, 1, 2], sets=2, allow_sharing=True)) == [(0,), (1,)]


@pytest.mark.usefixtures("other")
def test_a_shared_set_has_no_core_of_this_workers_own_sets(take: Take) -> None:
    leases = take([0, 2, 1, 3], sets=2, set_size=2, allow_sharing=True)
    assert [(core_set.cores, core_set.is_shared) for core_set in leases.sets.values()] == [
        ((2, 3), False),
        ((0, 1), True),
    ]


@pytest.mark.usefixtures("other")
def test_a_worker_has_fewer_sets_rather_than_two_that_overlap(take: Take) -> None:
    leases = take([0, 2, 3], sets=2, set_size=2, allow_sharing=True)
    assert [(core_set.cores, core_set.is_shared) for core_set in leases.sets.values()] == [((2, 3), False)]


@pytest.mark.usefixtures("other")
def test_a_shared_set_is_whole_where_the_own_one_could_not_be(take: Take) -> None:
    leases = take([0, 1, 2], sets=2, set_size=2, allow_sharing=True)
    assert [(core_set.cores, core_set.is_shared) for core_set in leases.sets.values()] == [
        ((2,), False),
        ((0, 1), True),
    ]


@pytest.mark.usefixtures("other")
def test_a_worker_may_start_on_too_few_shared_cores(take: Take) -> None:
    leases = take([0, 1], sets=2, set_size=4, allow_sharing=True)
    assert [(core_set.cores, core_set.is_shared) for core_set in leases.sets.values()] == [((0, 1), True)]


def test_a_process_keeps_its_own_lease_and_closes_the_others(take: Take) -> None:
    parent = take([0, 1, 2])
    process = inherited(parent)
    others = [file for index in (0, 2) for file in process.sets[index].files]
    own = process.keep_only(1)
    assert own.cores == (1,)
    os.fstat(own.files[0])
    for file in others:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(file)
    own.close()


def test_a_core_is_free_when_both_the_parent_and_the_process_on_it_are_gone(take: Take) -> None:
    parent = take([0, 1])
    process = inherited(parent)
    process.keep_only(0)
    with pytest.raises(LeasingError):
        take([0, 1])
    give_back(parent)
    assert cores_of(take([0, 1])) == [(1,)], "the process lives on with its core"
    process.sets[0].close()
    assert cores_of(take([0])) == [(0,)]


def test_a_process_beyond_the_leased_sets_gets_no_cores(take: Take) -> None:
    with pytest.raises(LeasingError, match="process 2 has no cores: the worker leased 2 sets"):
        take([0, 1]).keep_only(2)


def test_the_directory_is_open_to_the_workers_of_every_user(take: Take, directory: Path) -> None:
    before = os.umask(0o077)
    try:
        take([0])
    finally:
        os.umask(before)
    assert directory.stat().st_mode & 0o7777 == 0o1777
    assert (directory / "core-0.lease").stat().st_mode & 0o777 == 0o666


def test_a_directory_that_cannot_be_used_is_named(take: Take, directory: Path) -> None:
    directory.parent.mkdir(parents=True)
    directory.write_text("a file")
    with pytest.raises(LeasingError, match=f"the core leases in {directory} cannot be used"):
        take([0])


def test_a_lease_file_that_is_a_link_is_not_followed(take: Take, directory: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("content")
    directory.mkdir(parents=True)
    (directory / "core-0.lease").symlink_to(precious)
    with pytest.raises(LeasingError, match="cannot be used"):
        take([0])
    assert precious.read_text() == "content"


@pytest.mark.usefixtures("other")
def test_a_holder_that_has_not_written_its_name_yet_is_a_worker_that_starts(take: Take, directory: Path) -> None:
    for content in ("", "{", "{}", '{"worker": "celery@other"}'):
        (directory / "core-0.lease").write_text(content)
        with pytest.raises(LeasingError, match="core 0 is leased by a worker that is just starting"):
            take([0])


def test_further_sets_are_leased_when_they_are_needed_and_given_back(take: Take) -> None:
    leases = take([0, 1, 2], sets=1)
    leases.grow(2)
    assert cores_of(leases) == [(0,), (1,), (2,)]
    with pytest.raises(LeasingError, match="no cores for 1 more"):
        leases.grow(1)

    leases.shrink(1, alive={1})
    assert {index: core_set.cores for index, core_set in leases.sets.items()} == {1: (1,)}
    assert cores_of(take([0, 1, 2])) == [(0,), (2,)]


@pytest.mark.usefixtures("other")
def test_growing_by_more_than_is_free_leases_nothing(take: Take) -> None:
    leases = take([0, 1, 2, 3], sets=1)
    with pytest.raises(LeasingError, match="core 0 is leased by celery@other"):
        leases.grow(2)

    assert cores_of(leases) == [(2,)]
    assert cores_of(take([3])) == [(3,)]


def test_a_process_takes_over_the_cores_of_one_that_is_gone(take: Take) -> None:
    leases = take([4, 5], sets=2)
    leases.shrink(1, alive={1})
    leases.assign(0, alive=set())

    assert {index: core_set.cores for index, core_set in leases.sets.items()} == {0: (5,)}


def test_what_a_process_that_is_to_be_replaced_had_stays_leased(take: Take) -> None:
    leases = take([0, 1], sets=2)
    leases.shrink(2, alive={1})
    leases.assign(0, alive={1})

    assert cores_of(leases) == [(0,), (1,)]
