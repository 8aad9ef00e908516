"""A worker that cannot serve says so, and is not killed for what is not its fault."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from examples.local_stack import LocalServer
from producer import Client
from producer.contract import TextClassificationRequest
from tests.monitored_worker import MonitoredWorker
from tests.producer.proxy import proxy
from worker.transport.script import SHA

TEXT = TextClassificationRequest.parse({"inputs": "A few words."})
#: By what a call that fetches is known.
FETCH = SHA.encode()


class HalfDeadLink:
    """A way to the server on which calls that fetch are lost while it is broken; everything else gets through."""

    def __init__(self) -> None:
        self.is_broken = threading.Event()

    def treat(self, piece: bytes) -> bytes:
        return b"" if self.is_broken.is_set() and FETCH in piece else piece


@pytest.fixture
def environment(own_environment: dict[str, str]) -> dict[str, str]:
    return {**own_environment, "CELERIAC_METRICS_DEAF_S": "2"}


@pytest.fixture
def link() -> HalfDeadLink:
    return HalfDeadLink()


@pytest.fixture
def worker(own_server: LocalServer, environment: dict[str, str], link: HalfDeadLink) -> Iterator[MonitoredWorker]:
    with (
        proxy(own_server, requests=link.treat) as url,
        MonitoredWorker(["--concurrency=1"], {**environment, "CELERIAC_BROKER_URL": url}) as started,
    ):
        started.wait_until_ready()
        started.wait_for(started.is_ready)
        yield started


def test_a_worker_without_its_broker_lives_is_not_ready_and_comes_back(
    worker: MonitoredWorker, own_server: LocalServer
) -> None:
    own_server.stop()

    worker.wait_for(lambda: "broker" in worker.reasons())
    assert worker.value("ready") == worker.value("broker_connected") == 0
    assert worker.json("/healthz") == (200, {"alive": True, "reasons": []})
    own_server.start()
    worker.wait_for(worker.is_ready)
    assert worker.json("/scale")[0] == 200


def test_a_broker_that_does_not_answer_is_found_out_while_connections_stay_open(
    worker: MonitoredWorker, own_server: LocalServer
) -> None:
    own_server.pause()
    try:
        worker.wait_for(lambda: "broker" in worker.reasons())
        assert worker.get("/healthz")[0] == 200
    finally:
        own_server.resume()
    worker.wait_for(worker.is_ready)


def test_a_worker_that_takes_nothing_although_requests_wait_is_deaf_until_it_does(
    worker: MonitoredWorker, own_server: LocalServer, link: HalfDeadLink
) -> None:
    link.is_broken.set()
    with Client(own_server.url, timeout_s=60) as client:
        sent = client.submit(TEXT)

        worker.wait_for(lambda: "none was fetched" in worker.reasons())
        assert worker.value("deaf") == 1
        assert worker.value("queue_waiting") == 1
        assert worker.get("/healthz")[0] == 200
        # It drops the silent connection by itself.
        link.is_broken.clear()
        client.wait(sent)

    worker.wait_for(worker.is_ready)
    assert worker.value("deaf") == 0


def test_a_worker_that_has_no_room_is_busy_and_not_deaf(worker: MonitoredWorker, own_server: LocalServer) -> None:
    with Client(own_server.url, timeout_s=60) as client:
        with worker.frozen():
            sent = [client.submit(TEXT) for _ in range(600)]
            worker.wait_for(lambda: worker.value("held_requests") > 0 and worker.value("queue_waiting") > 0)
            beats = worker.value("fetches_total")
            seen: set[float] = set()

            def has_watched_longer_than_it_takes() -> bool:
                # The age grows with each sample, once a second.
                seen.add(worker.value("queue_oldest_seconds"))
                return len(seen) > 4

            worker.wait_for(has_watched_longer_than_it_takes)
            assert worker.is_ready()
            assert worker.value("fetches_total") == beats
        for request_id in sent:
            client.wait(request_id)
