"""How many processes fit into the memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.store import BUNDLED_DIRECTORY, find
from worker.boot.memory_bound import MemoryBound, MemoryNeeds, needs_of, usable_bytes

MIB = 1024 * 1024
NEEDS = MemoryNeeds(shared_bytes=300 * MIB, process_bytes=400 * MIB)


@pytest.mark.parametrize(
    ("usable_mib", "fits", "of_16"), [(300, 0, 1), (699, 0, 1), (700, 1, 1), (2048, 4, 4), (100_000, 249, 16)]
)
def test_what_is_left_beside_the_shared_part_bounds_the_processes(usable_mib: int, fits: int, of_16: int) -> None:
    bound = MemoryBound(NEEDS, usable_mib * MIB)

    assert (bound.capacity, bound.bound(16)) == (fits, of_16)


def test_where_the_memory_is_not_known_nothing_is_bounded() -> None:
    bound = MemoryBound(NEEDS, None)

    assert (bound.capacity, bound.bound(16), bound.warning(16, is_explicit=False)) == (None, 16, None)


def test_an_operator_is_told_how_many_why_and_which_setting_changes_it() -> None:
    bound = MemoryBound(NEEDS, 2048 * MIB)

    warning = bound.warning(16, is_explicit=False)

    assert warning is not None
    for part in ("4 processes instead of 16", "2048 MiB", "400 MiB", "300 MiB", "CELERIAC_PROCESSES_MAX"):
        assert part in warning
    assert bound.warning(4, is_explicit=False) is None


def test_a_number_that_was_set_is_warned_about() -> None:
    warning = MemoryBound(NEEDS, 2048 * MIB).warning(6, is_explicit=True)

    assert warning is not None
    assert "memory for 4 processes, but 6 are configured" in warning


def test_too_little_for_one_says_so() -> None:
    warning = MemoryBound(NEEDS, 500 * MIB).warning(1, is_explicit=False)

    assert warning is not None
    assert "not enough memory for one process" in warning


def test_more_models_and_copies_of_their_own_take_more() -> None:
    one, three = (
        [find(name, Path("nowhere")) for name in names] for names in (["sentiment"], ["sentiment", "nli", "qa"])
    )

    needs = needs_of(one, is_shared=True)
    assert needs_of(three, is_shared=True).process_bytes > 2 * needs.process_bytes
    assert needs_of(one, is_shared=False).process_bytes > needs.process_bytes
    assert needs_of(one, is_shared=False).shared_bytes < needs.shared_bytes


def test_sixteen_cores_and_two_gibibytes_are_a_few_processes_of_a_bundled_model() -> None:
    (name, *_) = sorted(path.name for path in BUNDLED_DIRECTORY.iterdir() if path.is_dir())
    bound = MemoryBound(needs_of([find(name, Path("nowhere"))], is_shared=True), 2048 * MIB)

    assert 2 <= bound.bound(16) <= 6


def test_the_machines_memory_counts_where_no_group_has_less(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:        2048000 kB\nMemFree:            1 kB\n")

    assert usable_bytes(tmp_path, meminfo) == 2_048_000 * 1024
    assert usable_bytes(tmp_path, tmp_path / "none") is None
