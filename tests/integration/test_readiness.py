"""A worker that cannot serve says so, and is not killed for what is not its fault."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator

import pytest

from examples.local_stack import PATIENCE_S, LocalServer
from producer import Client
from producer.contract import TextClassificationRequest
from tests.monitored_worker import MonitoredWorker
from tests.producer.proxy import proxy
from worker.transport.script import SHA

TEXT = TextClassificationRequest.parse({"inputs": "A few words."})
#: By what a call that fetches is known.
FETCH = SHA.encode()


class SlowLink:
    """A way to the server on which calls that fetch are held up while they are not let through; all others pass."""

    def __init__(self) -> None:
        self.is_free = threading.Event()
        self.is_free.set()
        #: One has come and waits.
        self.holds_one = threading.Event()

    def treat(self, piece: bytes) -> bytes:
        if FETCH in piece and not self.is_free.is_set():
            self.holds_one.set()
            self.is_free.wait()
        return piece


@pytest.fixture(scope="module")
def broker() -> Iterator[LocalServer]:
    with LocalServer() as started:
        yield started


@pytest.fixture(scope="module")
def link() -> Iterator[SlowLink]:
    made = SlowLink()
    yield made
    made.is_free.set()


@pytest.fixture(scope="module")
def worker(broker: LocalServer, link: SlowLink, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MonitoredWorker]:
    """One that every test leaves as it was."""
    environment = {
        "CELERIAC_MODELS": "sentiment",
        "CELERIAC_CORES_LEASE_DIR": str(tmp_path_factory.mktemp("leases")),
        "CELERIAC_METRICS_DEAF_S": "2",
    }
    with (
        proxy(broker, requests=link.treat) as url,
        MonitoredWorker(["--concurrency=1"], {**environment, "CELERIAC_BROKER_URL": url}) as started,
    ):
        started.wait_until_ready()
        started.wait_for(started.is_ready)
        yield started


def test_a_worker_without_its_broker_lives_is_not_ready_and_comes_back(
    worker: MonitoredWorker, broker: LocalServer
) -> None:
    broker.stop()

    worker.wait_for(lambda: "broker" in worker.reasons())
    assert worker.value("ready") == worker.value("broker_connected") == 0
    assert worker.json("/healthz") == (200, {"alive": True, "reasons": []})
    broker.start()
    worker.wait_for(worker.is_ready)
    worker.wait_for(lambda: worker.json("/scale")[0] == 200)


def test_a_broker_that_does_not_answer_is_found_out_while_connections_stay_open(
    worker: MonitoredWorker, broker: LocalServer
) -> None:
    broker.pause()
    try:
        worker.wait_for(lambda: "broker" in worker.reasons())
        assert worker.get("/healthz")[0] == 200
    finally:
        broker.resume()
    worker.wait_for(worker.is_ready)


def test_a_worker_that_takes_nothing_although_requests_wait_is_deaf_until_it_does(
    worker: MonitoredWorker, broker: LocalServer, link: SlowLink
) -> None:
    link.is_free.clear()
    with Client(broker.url, timeout_s=PATIENCE_S) as client:
        # The first wakes the worker, or is taken by a fetch that was on its way already; the second surely waits.
        sent = [client.submit(TEXT)]
        try:
            worker.wait_for(link.holds_one.is_set)
            sent.append(client.submit(TEXT))
            worker.wait_for(lambda: "none was fetched" in worker.reasons())
            assert worker.value("deaf") == 1
            assert worker.value("queue_waiting") >= 1
            assert worker.get("/healthz")[0] == 200
        finally:
            link.is_free.set()
        for request_id in sent:
            client.wait(request_id)

    worker.wait_for(worker.is_ready)
    assert worker.value("deaf") == 0


def test_a_worker_that_has_no_room_is_busy_and_not_deaf(worker: MonitoredWorker, broker: LocalServer) -> None:
    with Client(broker.url, timeout_s=PATIENCE_S) as client:
        with worker.frozen():
            sent = [client.submit(TEXT) for _ in range(600)]
            worker.wait_for(lambda: worker.value("held_requests") > 0 and worker.value("queue_waiting") > 0)
            ages = defaultdict[float, set[float]](set)

            def has_fetched_nothing_for_long() -> bool:
                # The age grows with each look at the queues, once a second.
                same = ages[worker.value("fetched_messages_total")]
                same.add(worker.value("queue_oldest_seconds"))
                return len(same) > 4

            worker.wait_for(has_fetched_nothing_for_long)
            assert worker.is_ready()
        for request_id in sent:
            client.wait(request_id)
