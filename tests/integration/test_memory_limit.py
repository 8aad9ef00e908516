"""A real worker in a real control group with little memory starts as many processes as fit."""

from __future__ import annotations

import pytest

from examples.local_stack import LocalWorker
from models.store import BUNDLED_DIRECTORY, find
from tests.control_group import control_group
from worker.boot.memory_bound import needs_of
from worker.cores.topology import usable_cores

pytestmark = pytest.mark.skipif(len(usable_cores()) < 2, reason="with one core there is one process anyway")

NEEDS = needs_of([find("sentiment", BUNDLED_DIRECTORY)], is_shared=True)
ROOM_FOR_ONE = NEEDS.shared_bytes + NEEDS.process_bytes * 3 // 2


def test_memory_bounds_the_processes_and_the_log_says_why(own_environment: dict[str, str]) -> None:
    with control_group("memory") as group:
        group.limit_memory(group.outer, ROOM_FOR_ONE)
        with LocalWorker(environment=own_environment, launcher=group.launcher) as worker:
            worker.wait_until_ready()

            assert len(worker.processes) == 1
            assert f"1 process instead of {len(usable_cores())}" in worker.log


def test_the_range_of_the_autoscaler_ends_where_the_memory_does(own_environment: dict[str, str]) -> None:
    with control_group("memory") as group:
        group.limit_memory(group.inner, ROOM_FOR_ONE)
        environment = {**own_environment, "CELERIAC_PROCESSES_MIN": "1"}
        with LocalWorker(environment=environment, launcher=group.launcher) as worker:
            worker.wait_until_ready()

            assert "concurrency: {min=1, max=1}" in worker.log


def test_a_number_that_is_set_wins_with_a_warning(own_environment: dict[str, str]) -> None:
    with control_group("memory") as group:
        group.limit_memory(group.outer, ROOM_FOR_ONE)
        with LocalWorker(["--concurrency=2"], own_environment, launcher=group.launcher) as worker:
            worker.wait_until_ready()

            assert len(worker.processes) == 2
            assert "there is memory for 1 process, but 2 are configured" in worker.log
