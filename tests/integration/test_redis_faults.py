"""A worker outlives a Redis that misbehaves: nothing is lost, nothing loops, and it says what is wrong."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
import redis

from examples.local_stack import PATIENCE_S, LocalServer, LocalWorker, free_port
from producer import BrokerUnavailable, Client, TextClassificationRequest

REQUEST = TextClassificationRequest.parse({"inputs": "A delight."})
#: Enough that a batch is being computed while others wait.
MANY = 40


@pytest.fixture
def results() -> Iterator[LocalServer]:
    """A server for the results alone."""
    with LocalServer() as started:
        yield started


def answers(client: Client, ids: list[str]) -> list[str]:
    return [client.wait(request_id, timeout_s=PATIENCE_S).result[0]["label"] for request_id in ids]


def readiness(port: int) -> list[str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz") as reply:
            body = json.load(reply)
    except urllib.error.HTTPError as error:
        body = json.load(error)
    reasons: list[str] = body["reasons"]
    return reasons


def test_a_read_only_broker_neither_ends_a_worker_nor_loses_what_it_holds(
    own_environment: dict[str, str], own_server: LocalServer, own_redis: redis.Redis
) -> None:
    with LocalWorker(["--concurrency=1"], own_environment) as worker, Client(own_server.url) as client:
        worker.wait_until_ready()
        sent = [client.submit(REQUEST) for _ in range(MANY)]
        own_redis.replicaof("127.0.0.1", "1")
        worker.wait_for(lambda: worker.log.count("can't write against a read only replica") > 5)
        with pytest.raises(BrokerUnavailable, match="read only"):
            client.submit(REQUEST, timeout_s=0.2)
        own_redis.replicaof("NO", "ONE")
        assert answers(client, sent) == ["POSITIVE"] * MANY


def test_a_worker_that_cannot_store_results_fetches_nothing_until_it_can(
    own_environment: dict[str, str], own_server: LocalServer, own_redis: redis.Redis, results: LocalServer
) -> None:
    port = free_port()
    environment = {
        **own_environment,
        "CELERIAC_RESULT_BACKEND_URL": results.url,
        "CELERIAC_METRICS_PORT": str(port),
    }
    with (
        LocalWorker(["--concurrency=1"], environment) as worker,
        Client(own_server.url, results.url, timeout_s=PATIENCE_S) as client,
        redis.Redis.from_url(results.url) as store,
    ):
        worker.wait_until_ready()
        assert client.classify("good")
        store.config_set("maxmemory", "1mb")
        sent = [client.submit(REQUEST)]
        worker.wait_for(lambda: "no request is fetched until results can be stored" in worker.log)
        sent += [client.submit(REQUEST) for _ in range(MANY)]
        worker.wait_for(lambda: any("results cannot be stored" in reason for reason in readiness(port)))
        # What it held went back, and waits with the others.
        worker.wait_for(lambda: own_redis.llen("text-classification") == len(sent))
        failures = worker.log.count("could not store the results")

        store.config_set("maxmemory", "0")
        assert answers(client, sent) == ["POSITIVE"] * len(sent)
        worker.wait_for(lambda: readiness(port) == [])
        assert worker.log.count("could not store the results") == failures
