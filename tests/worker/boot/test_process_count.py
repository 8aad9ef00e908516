"""How many processes a worker starts with, and the range in which it scales."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from celery.worker.autoscale import Autoscaler as CeleryAutoscaler
from hypothesis import given
from hypothesis import strategies as st

from config import Settings, load_settings
from worker.boot.memory_bound import MemoryBound, MemoryNeeds
from worker.boot.process_count import ProcessCount
from worker.cores.leases import LeaseRequest
from worker.cores.topology import Core

CORES = 8
MIB = 1024 * 1024


def memory_for(processes: int | None) -> MemoryBound:
    needs = MemoryNeeds(shared_bytes=100 * MIB, process_bytes=400 * MIB)
    return MemoryBound(needs, None if processes is None else (100 + 400 * processes) * MIB)


def worker(concurrency: int | None = None, autoscale: tuple[int, int] | None = None) -> SimpleNamespace:
    """Celery's worker with these arguments on a machine of :data:`CORES` cores; Celery has parsed them already."""
    return SimpleNamespace(
        options={"concurrency": concurrency, "autoscale": autoscale},
        concurrency=concurrency or CORES,
        autoscaler_cls="ours",
    )


def settings(least: int | None = None, most: int | None = None) -> Settings:
    base = load_settings()
    return base.model_copy(update={"processes": base.processes.model_copy(update={"min": least, "max": most})})


def count(
    started: SimpleNamespace, of: Settings, memory: int | None = None, *, grows: bool = True, cores: int = CORES
) -> ProcessCount:
    candidates = [Core(number, 0, 0) for number in range(cores)]
    request = LeaseRequest(Path("nowhere"), candidates, 1, "celery@here", allow_sharing=False)
    return ProcessCount(started, of, request, memory_for(memory), grows=grows)


@pytest.mark.parametrize(
    ("arguments", "range_of_settings", "memory", "initial"),
    [
        ({}, (None, None), None, CORES),
        ({}, (None, None), 3, 3),
        ({}, (None, None), 0, 1),
        ({}, (None, 5), 3, 5),
        ({}, (None, 50), None, CORES),
        ({"concurrency": 6}, (None, 5), 3, 6),
        ({"concurrency": 6}, (2, 5), 3, 6),
        ({}, (2, None), None, 2),
        ({}, (2, 5), None, 2),
        ({"autoscale": (7, 4)}, (2, 5), None, 4),
        ({"autoscale": (7, 0)}, (None, None), None, 1),
    ],
)
def test_the_command_line_comes_before_the_settings_and_both_before_the_memory(
    arguments: dict[str, Any], range_of_settings: tuple[int | None, int | None], memory: int | None, initial: int
) -> None:
    counted = count(worker(**arguments), settings(*range_of_settings), memory)
    counted.set_range()

    assert counted.initial() == initial


@pytest.mark.parametrize(
    ("arguments", "range_of_settings", "memory", "autoscale"),
    [
        ({}, (None, None), None, None),
        ({}, (None, 5), None, None),
        ({}, (2, 5), None, (5, 2)),
        ({}, (2, 5), 3, (5, 2)),
        ({}, (2, None), None, (CORES, 2)),
        ({}, (2, None), 3, (3, 2)),
        ({}, (4, None), 3, (4, 4)),
        ({"concurrency": 6}, (2, 5), None, None),
        ({"autoscale": (7, 4)}, (2, 5), None, (7, 4)),
    ],
)
def test_the_range_is_that_of_the_settings_unless_the_command_line_says_otherwise(
    arguments: dict[str, Any],
    range_of_settings: tuple[int | None, int | None],
    memory: int | None,
    autoscale: tuple[int, int] | None,
) -> None:
    started = worker(**arguments)

    count(started, settings(*range_of_settings), memory).set_range()

    assert started.options["autoscale"] == autoscale


@pytest.mark.parametrize(
    ("autoscale", "leased", "cores", "grows", "applied"),
    [
        ((7, 4), 4, 8, True, (7, 4)),
        ((20, 4), 4, 8, True, (8, 4)),
        ((7, 4), 2, 8, True, (7, 2)),
        ((7, 0), 1, 8, True, (7, 1)),
        ((7, 4), 7, 8, False, (7, 4)),
        ((7, 4), 3, 8, False, (3, 3)),
        ((20, 4), 8, 8, False, (8, 4)),
    ],
)
def test_the_range_ends_with_the_cores_or_with_the_leases_of_a_pool_that_takes_no_more(
    autoscale: tuple[int, int], leased: int, cores: int, grows: bool, applied: tuple[int, int]
) -> None:
    started = worker(autoscale=autoscale)

    count(started, settings(), grows=grows, cores=cores).apply(leased)

    assert started.options["autoscale"] == applied
    assert started.autoscaler_cls == ("ours" if grows else CeleryAutoscaler)


def test_a_pool_that_leases_nothing_later_starts_with_all_that_it_may_need() -> None:
    assert count(worker(autoscale=(7, 2)), settings(), grows=False).initial() == 7
    assert count(worker(autoscale=(7, 2)), settings(), grows=True).initial() == 2


def test_without_a_range_only_the_number_of_processes_is_set() -> None:
    started = worker(concurrency=6)

    count(started, settings(), grows=False).apply(4)

    assert started.concurrency == 4
    assert started.options["autoscale"] is None
    assert started.autoscaler_cls == "ours"


@pytest.mark.parametrize(
    ("arguments", "range_of_settings", "memory", "said"),
    [
        ({}, (None, None), None, None),
        ({}, (None, None), CORES, None),
        ({}, (None, None), 3, "memory limits this worker to 3 processes instead of 8"),
        ({"concurrency": 6}, (None, None), 3, "there is memory for 3 processes, but 6 are configured"),
        ({"concurrency": 3}, (None, None), 3, None),
        ({"concurrency": 20}, (None, None), 3, "there is memory for 3 processes, but 8 are configured"),
        ({"autoscale": (7, 2)}, (None, None), 3, "there is memory for 3 processes, but 7 are configured"),
        ({}, (None, 5), 3, "there is memory for 3 processes, but 5 are configured"),
        ({}, (2, None), 3, "memory limits this worker to 3 processes instead of 8"),
        ({}, (4, None), 3, "there is memory for 3 processes, but 4 are configured"),
        ({}, (1, None), 0, "not enough memory for one process"),
    ],
)
def test_an_operator_is_warned_of_processes_that_do_not_fit_into_memory(
    arguments: dict[str, Any],
    range_of_settings: tuple[int | None, int | None],
    memory: int | None,
    said: str | None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    count(worker(**arguments), settings(*range_of_settings), memory).warn_of_memory()

    warning = capsys.readouterr().err
    assert said in warning if said else not warning


COUNTS = st.none() | st.integers(1, 20)
RANGES = st.tuples(st.integers(0, 20), st.integers(0, 20)).map(lambda ends: (max(1, *ends), min(ends)))


@given(COUNTS, st.none() | RANGES, st.tuples(COUNTS, COUNTS), st.none() | st.integers(0, 20), st.data())
def test_no_worker_has_more_processes_than_leases_or_an_empty_range(
    concurrency: int | None,
    autoscale: tuple[int, int] | None,
    ends: tuple[int | None, int | None],
    memory: int | None,
    data: st.DataObject,
) -> None:
    least, most = ends
    if least is not None and most is not None and least > most:
        least, most = most, least
    started = worker(concurrency, autoscale)
    grows = data.draw(st.booleans())
    counted = count(started, settings(least, most), memory, grows=grows)
    counted.set_range()
    initial = counted.initial()
    # At least one set is leased, or the worker does not start.
    leased = data.draw(st.integers(1, max(1, min(initial, CORES))))
    counted.apply(leased)

    assert initial >= 1
    assert 1 <= started.concurrency <= leased
    if started.options["autoscale"] is not None:
        most_processes, fewest = started.options["autoscale"]
        assert 1 <= fewest <= leased
        assert fewest <= most_processes <= (CORES if grows else leased)
