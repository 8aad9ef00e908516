"""What is lost when something dies: nothing."""

from __future__ import annotations

import signal
import time

import pytest
import redis
from celery import Celery
from celery.exceptions import SoftTimeLimitExceeded, TimeLimitExceeded

from examples.local_stack import PATIENCE_S, LocalServer, LocalWorker
from examples.local_stack.procfs import process_state
from producer import Client, TextClassificationRequest
from producer.contract.limits import MAX_INPUTS

TEXT = "a long walk along the shore " * 80
#: What one request shall take a process, in seconds; far below every limit.
REQUEST_S = 0.5
#: A worker that dies is found out after half a minute; a request that takes 30 times what it should is still answered.
SHORT_LIMITS = {
    "CELERIAC_TIME_SOFT_LIMIT_S": "28",
    "CELERIAC_TIME_HARD_LIMIT_S": "29",
    "CELERIAC_TIME_VISIBILITY_TIMEOUT_S": "30",
}


@pytest.fixture
def environment(own_environment: dict[str, str]) -> dict[str, str]:
    """A server of its own, and limits that nothing meets."""
    return {
        **own_environment,
        "CELERIAC_TIME_SOFT_LIMIT_S": "3600",
        "CELERIAC_TIME_HARD_LIMIT_S": "3700",
        "CELERIAC_TIME_VISIBILITY_TIMEOUT_S": "3800",
    }


def request_at_the_pace_of(client: Client) -> TextClassificationRequest:
    """A request that takes about :data:`REQUEST_S` on this machine as it is now, with a worker of one process."""
    client.classify(TEXT)  # compiles for this length
    started_s = time.monotonic()
    client.classify([TEXT] * 2)
    text_s = (time.monotonic() - started_s) / 2
    return TextClassificationRequest.parse({"inputs": [TEXT] * max(1, min(MAX_INPUTS, round(REQUEST_S / text_s)))})


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
    environment |= SHORT_LIMITS
    with Client(own_server.url, timeout_s=PATIENCE_S) as client:
        with LocalWorker(["--concurrency=1"], environment) as victim:
            victim.wait_until_ready()
            request = request_at_the_pace_of(client)
            sent = [client.submit(request) for _ in range(8)]
            victim.wait_for(lambda: is_stopped_with_requests_in_hand(victim, own_server, len(sent)))
            victim.signal(signal.SIGKILL)
            victim.wait_for_exit()
        assert waiting(own_server) > 0

        with LocalWorker(environment=environment):
            answers = [client.wait(request_id, timeout_s=PATIENCE_S).result for request_id in sent]

    assert all(len(answer) == len(request.items) for answer in answers)


def test_a_worker_goes_on_after_its_server_was_restarted(environment: dict[str, str], own_server: LocalServer) -> None:
    with (
        LocalWorker(["--concurrency=1"], environment) as worker,
        Client(own_server.url, timeout_s=PATIENCE_S) as client,
    ):
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
        with Client(own_server.url, timeout_s=PATIENCE_S) as client:
            assert client.classify("good")


def test_a_warm_shutdown_finishes_what_it_holds_and_loses_nothing(
    environment: dict[str, str], own_server: LocalServer
) -> None:
    with Client(own_server.url, timeout_s=PATIENCE_S) as client:
        with LocalWorker(["--concurrency=1"], environment) as worker:
            worker.wait_until_ready()
            request = request_at_the_pace_of(client)
            sent = [client.submit(request) for _ in range(12)]
            worker.wait_for(lambda: waiting(own_server) > 0)
            assert worker.stop() == 0
        with LocalWorker(environment=environment):
            for request_id in sent:
                assert len(client.wait(request_id, timeout_s=PATIENCE_S).result) == len(request.items)


def test_a_request_over_the_hard_limit_fails_and_its_process_comes_back(
    environment: dict[str, str], own_server: LocalServer, own_stock: Celery
) -> None:
    with (
        LocalWorker(["--concurrency=1"], environment) as worker,
        Client(own_server.url, timeout_s=PATIENCE_S) as client,
    ):
        worker.wait_until_ready()
        (before,) = worker.processes.values()

        def is_ended_by_the_hard_limit() -> bool:
            # The limits are this request's alone: the next may take as long as this machine needs. Celery looks at the
            # hard limit once the soft one has passed, and the process may heed that one first.
            big = own_stock.send_task(
                "text-classification", kwargs={"inputs": [TEXT] * MAX_INPUTS}, soft_time_limit=0.2, time_limit=0.2
            )
            error = big.get(timeout=PATIENCE_S, propagate=False)
            assert isinstance(error, (TimeLimitExceeded, SoftTimeLimitExceeded))
            return isinstance(error, TimeLimitExceeded)

        worker.wait_for(is_ended_by_the_hard_limit)

        assert client.classify("good")[0]["label"] == "POSITIVE"
        assert before not in worker.processes.values()
