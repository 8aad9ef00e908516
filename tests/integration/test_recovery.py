"""What is lost when something dies: nothing."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import redis

from examples.local_stack import LocalServer, LocalWorker
from examples.local_stack.procfs import process_state
from producer import Client, TextClassificationRequest

LONG = {"inputs": ["a long walk along the shore " * 80] * 16}


@pytest.fixture
def environment(own_server: LocalServer, tmp_path: Path) -> dict[str, str]:
    """A server of its own, and time limits that fit a test."""
    return {
        "CELERIAC_BROKER_URL": own_server.url,
        "CELERIAC_CORES_LEASE_DIR": str(tmp_path / "leases"),
        "CELERIAC_TIME_SOFT_LIMIT_S": "8",
        "CELERIAC_TIME_HARD_LIMIT_S": "9",
        "CELERIAC_TIME_VISIBILITY_TIMEOUT_S": "10",
    }


def waiting(server: LocalServer) -> int:
    """Messages that a worker has fetched and not acknowledged."""
    with redis.Redis.from_url(server.url) as connected:
        return int(connected.hlen("unacked"))


def is_stopped_with_requests_in_hand(worker: LocalWorker, server: LocalServer, sent: int) -> bool:
    """Stop the worker where it has fetched requests and the server's books account for every one; else let it go on.

    Where a request is that the books do not show (in the client, on its way) is left to chance otherwise.
    """
    worker.signal(signal.SIGSTOP)
    with redis.Redis.from_url(server.url) as connected, connected.pipeline() as books:
        while process_state(worker.pid) != "T":
            connected.ping()
        connected.ping()  # what the worker sent before it stopped is done when this is answered
        books.hlen("unacked").llen("text-classification").eval("return #redis.call('KEYS', 'celery-task-meta-*')", 0)
        held, queued, answered = books.execute()
    if held and held + queued + answered >= sent:
        return True
    worker.signal(signal.SIGCONT)
    return False


def test_what_a_killed_worker_held_is_answered_by_the_next(
    environment: dict[str, str], own_server: LocalServer
) -> None:
    with Client(own_server.url, timeout_s=60) as client:
        with LocalWorker(["--concurrency=1"], environment) as victim:
            victim.wait_until_ready()
            sent = [client.submit(TextClassificationRequest.parse(LONG)) for _ in range(8)]
            victim.wait_for(lambda: is_stopped_with_requests_in_hand(victim, own_server, len(sent)))
            victim.signal(signal.SIGKILL)
            victim.wait_for_exit()
        assert waiting(own_server) > 0

        with LocalWorker(environment=environment):
            answers = [client.wait(request_id, timeout_s=60).result for request_id in sent]

    assert all(len(answer) == len(LONG["inputs"]) for answer in answers)


def test_a_worker_goes_on_after_its_server_was_restarted(environment: dict[str, str], own_server: LocalServer) -> None:
    with LocalWorker(["--concurrency=1"], environment) as worker, Client(own_server.url, timeout_s=60) as client:
        worker.wait_until_ready()
        assert client.classify("good")

        own_server.stop()
        worker.wait_for(lambda: "Connection to broker lost" in worker.log)
        own_server.start()

        assert client.classify("bad")[0]["label"] == "NEGATIVE"
        assert client.classify("good")[0]["label"] == "POSITIVE"


def test_a_worker_waits_for_a_server_that_is_not_up_yet(environment: dict[str, str], own_server: LocalServer) -> None:
    own_server.stop()
    with LocalWorker(["--concurrency=1"], environment) as worker:
        worker.wait_for(lambda: "Cannot connect to" in worker.log)
        own_server.start()
        worker.wait_until_ready()
        with Client(own_server.url, timeout_s=30) as client:
            assert client.classify("good")


def test_a_warm_shutdown_finishes_what_it_holds_and_loses_nothing(
    environment: dict[str, str], own_server: LocalServer
) -> None:
    with Client(own_server.url, timeout_s=60) as client:
        with LocalWorker(["--concurrency=1"], environment) as worker:
            worker.wait_until_ready()
            sent = [client.submit(TextClassificationRequest.parse(LONG)) for _ in range(12)]
            worker.wait_for(lambda: waiting(own_server) > 0)
            assert worker.stop() == 0
        with LocalWorker(environment=environment):
            for request_id in sent:
                assert len(client.wait(request_id, timeout_s=60).result) == len(LONG["inputs"])


def test_a_request_over_the_hard_limit_fails_and_its_process_comes_back(
    environment: dict[str, str], own_server: LocalServer
) -> None:
    from producer import RemoteFailure

    limits = {"CELERIAC_TIME_SOFT_LIMIT_S": "0.2", "CELERIAC_TIME_HARD_LIMIT_S": "0.4"}
    with (
        LocalWorker(["--concurrency=1"], {**environment, **limits}) as worker,
        Client(own_server.url, timeout_s=60) as client,
    ):
        worker.wait_until_ready()
        big = client.submit(TextClassificationRequest.parse({"inputs": LONG["inputs"] * 4}))

        with pytest.raises(RemoteFailure, match="TimeLimitExceeded"):
            client.wait(big)

        assert client.classify("good")[0]["label"] == "POSITIVE"
