"""A real worker's processes follow the work, each with a core of its own."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery

from examples.local_stack import PATIENCE_S, LocalServer, LocalWorker
from producer import Client
from producer.contract import TextClassificationRequest
from worker.cores.leases import LeaseRequest, LeasingError, take_leases
from worker.cores.topology import usable_cores

CORES = usable_cores()
#: Requests that wait, at least, until a worker has grown.
WAITING = 300
TEXT = TextClassificationRequest.parse({"inputs": "It does the job, and nobody has complained about it so far. " * 8})

pytestmark = pytest.mark.skipif(len(CORES) < 2, reason="a process more needs a core more")


@pytest.fixture
def environment(own_environment: dict[str, str]) -> dict[str, str]:
    return {
        **own_environment,
        "CELERIAC_PROCESSES_MIN": "1",
        "CELERIAC_PROCESSES_MAX": "2",
        "CELERIAC_SCALE_DRAIN_S": "0.5",
        "CELERIAC_SCALE_COOLDOWN_S": "5",
    }


@pytest.fixture
def worker(environment: dict[str, str]) -> Iterator[LocalWorker]:
    with LocalWorker(environment=environment) as started:
        started.wait_until_ready()
        yield started


def stats(app: Celery) -> dict[str, Any]:
    replies = app.control.inspect(timeout=PATIENCE_S, limit=1).stats() or {}
    (found,) = replies.values()
    return dict(found)


def free_cores(environment: dict[str, str]) -> int:
    """How many cores nobody has leased."""
    try:
        leases = take_leases(
            LeaseRequest(Path(environment["CELERIAC_CORES_LEASE_DIR"]), CORES, 1, "test", False), len(CORES)
        )
    except LeasingError:
        return 0
    for core_set in leases.sets.values():
        core_set.close()
    return len(leases.sets)


def send_until_it_grows(worker: LocalWorker, client: Client, server: LocalServer) -> list[str]:
    """Send as many requests as it takes for a second process; on a fast machine more than on a slow one."""
    sent: list[str] = []

    def has_grown() -> bool:
        if len(worker.processes) == 2:
            return True
        with redis.Redis.from_url(server.url) as connected:
            if connected.llen("text-classification") < WAITING:
                sent.extend(client.submit(TEXT) for _ in range(WAITING))
        return False

    worker.wait_for(has_grown)
    return sent


def test_it_grows_with_the_queue_and_shrinks_when_it_is_calm(
    worker: LocalWorker, environment: dict[str, str], own_server: LocalServer, own_stock: Celery
) -> None:
    assert len(worker.processes) == 1
    assert free_cores(environment) == len(CORES) - 1

    with Client(own_server.url, timeout_s=PATIENCE_S) as client:
        sent = send_until_it_grows(worker, client, own_server)
        assert free_cores(environment) == len(CORES) - 2
        answers = [client.wait(request_id) for request_id in sent]

    assert len(answers) == len(sent)
    worker.wait_for(lambda: len(worker.processes) == 1)
    worker.wait_for(lambda: free_cores(environment) == len(CORES) - 1)
    scaler = stats(own_stock)["autoscaler"]
    assert (scaler["max"], scaler["min"], scaler["current"], scaler["needed"]) == (2, 1, 1, 1)
    assert "from 1 to 2 processes" in worker.log
    assert "from 2 to 1 processes" in worker.log


def test_the_control_command_sets_the_range(worker: LocalWorker, own_stock: Celery) -> None:
    (reply,) = own_stock.control.autoscale(max=2, min=2, reply=True, timeout=PATIENCE_S, limit=1)
    assert "max=2 min=2" in str(reply)
    worker.wait_for(lambda: len(worker.processes) == 2)
    assert stats(own_stock)["pool"]["max-concurrency"] == 2

    (reply,) = own_stock.control.autoscale(max=1, min=1, reply=True, timeout=PATIENCE_S, limit=1)
    assert "max=1 min=1" in str(reply)
    worker.wait_for(lambda: len(worker.processes) == 1)


def test_it_does_not_grow_onto_the_cores_of_another_worker(
    worker: LocalWorker, environment: dict[str, str], own_server: LocalServer
) -> None:
    others = take_leases(
        LeaseRequest(Path(environment["CELERIAC_CORES_LEASE_DIR"]), CORES, 1, "celery@other", False), len(CORES)
    )
    try:
        with Client(own_server.url, timeout_s=PATIENCE_S) as client:
            sent = [client.submit(TEXT) for _ in range(300)]
            worker.wait_for(lambda: "is leased by celery@other" in worker.log)
            for request_id in sent:
                client.wait(request_id)
        assert len(worker.processes) == 1
    finally:
        for core_set in others.sets.values():
            core_set.close()


def test_a_process_that_dies_after_the_worker_has_shrunk_comes_back(worker: LocalWorker, own_stock: Celery) -> None:
    own_stock.control.autoscale(max=2, min=2, reply=True, timeout=PATIENCE_S, limit=1)
    worker.wait_for(lambda: len(worker.processes) == 2)
    own_stock.control.autoscale(max=1, min=1, reply=True, timeout=PATIENCE_S, limit=1)
    worker.wait_for(lambda: len(worker.processes) == 1)
    ((_, pid),) = worker.processes.items()

    os.kill(pid, signal.SIGKILL)

    worker.wait_for(lambda: len(worker.processes) == 1 and pid not in worker.processes.values())
    assert stats(own_stock)["pool"]["max-concurrency"] == 1


def test_two_workers_have_cores_of_their_own_and_a_killed_ones_are_free_at_once(environment: dict[str, str]) -> None:
    settings = {**environment, "CELERIAC_PROCESSES_MIN": "1", "CELERIAC_PROCESSES_MAX": "1"}
    with LocalWorker(["-n", "one@%h"], settings) as one, LocalWorker(["-n", "two@%h"], settings) as two:
        one.wait_until_ready()
        two.wait_until_ready()
        assert free_cores(environment) == len(CORES) - 2

        one.signal(signal.SIGKILL)
        one.wait_for_exit()
        two.wait_for(lambda: free_cores(environment) == len(CORES) - 1)


def test_celerys_own_pool_grows_by_celerys_rule_on_cores_leased_at_the_start(
    environment: dict[str, str], own_server: LocalServer
) -> None:
    with LocalWorker(["-P", "processes", "--autoscale=2,1"], environment) as worker:
        worker.wait_for(lambda: " ready." in worker.log and len(worker.processes) == 1)
        assert free_cores(environment) == len(CORES) - 2

        with Client(own_server.url, timeout_s=PATIENCE_S) as client:
            sent = send_until_it_grows(worker, client, own_server)
            for request_id in sent:
                client.wait(request_id)
