"""A real Flower beside a real worker under load: what it shows, and what its buttons do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from examples.local_stack import PATIENCE_S, LocalServer, LocalWorker, free_port
from producer import Client
from producer.contract import TextClassificationRequest
from tests.conftest import plain_celery
from worker.cores.topology import usable_cores

ROOT = Path(__file__).resolve().parents[2]
PRIVATE = "Nobody shall read this but the model."
GOOD, BAD = 120, 3


@dataclass(frozen=True)
class Flower:
    """Its API."""

    url: str

    def get(self, path: str) -> Any:
        return self._ask(urllib.request.Request(f"{self.url}{path}"))  # noqa: S310 - our own server

    def post(self, path: str) -> Any:
        return self._ask(urllib.request.Request(f"{self.url}{path}", data=b"", method="POST"))  # noqa: S310

    def is_up(self) -> bool:
        try:
            return bool(self.get("/api/workers?refresh=1"))
        except (urllib.error.URLError, OSError):
            return False

    @staticmethod
    def _ask(request: urllib.request.Request) -> Any:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as reply:  # noqa: S310 - our own server
            return json.loads(reply.read() or b"null")


@pytest.fixture(scope="module")
def server() -> Iterator[LocalServer]:
    with LocalServer() as started:
        yield started


@pytest.fixture(scope="module")
def environment(server: LocalServer) -> Iterator[dict[str, str]]:
    with tempfile.TemporaryDirectory() as leases:
        yield {
            "CELERIAC_BROKER_URL": server.url,
            "CELERIAC_MODELS": "sentiment",
            "CELERIAC_CORES_LEASE_DIR": leases,
            "CELERIAC_PROCESSES_MIN": "1",
            "CELERIAC_PROCESSES_MAX": str(min(2, len(usable_cores()))),
        }


@pytest.fixture(scope="module")
def worker(environment: dict[str, str]) -> Iterator[LocalWorker]:
    with LocalWorker(["-n", "shown@%h"], environment) as started:
        started.wait_until_ready()
        yield started


@pytest.fixture(scope="module")
def flower(
    worker: LocalWorker, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Flower]:
    port = free_port()
    command = [sys.executable, "-m", "celery", "-A", "worker", "flower", f"--port={port}", "--address=127.0.0.1"]
    log = tmp_path_factory.mktemp("flower") / "log"
    variables = {**os.environ, **environment, "FLOWER_UNAUTHENTICATED_API": "true"}
    with (
        log.open("wb") as output,
        subprocess.Popen(command, cwd=ROOT, env=variables, stdout=output, stderr=output) as process,
    ):
        shown = Flower(f"http://127.0.0.1:{port}")
        try:
            worker.wait_for(shown.is_up)
            yield shown
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def name(flower: Flower) -> str:
    (found,) = flower.get("/api/workers?refresh=1")
    return str(found)


def test_every_task_is_shown_with_its_end_and_its_runtime_but_not_its_text(
    flower: Flower, worker: LocalWorker, server: LocalServer
) -> None:
    stock = Celery("stock", broker=server.url, backend=server.url, set_as_current=False)
    with Client(server.url, timeout_s=PATIENCE_S) as client:
        sent = [client.submit(TextClassificationRequest.parse({"inputs": PRIVATE})) for _ in range(GOOD)]
        # A stock producer writes the arguments in clear into the message's headers.
        sent += [stock.send_task("text-classification", kwargs={"inputs": PRIVATE, "top": 1}).id for _ in range(BAD)]
    stock.close()

    def all_ended() -> bool:
        tasks = flower.get("/api/tasks?limit=1000")
        return set(sent) <= {key for key, task in tasks.items() if task["state"] in ("SUCCESS", "FAILURE")}

    worker.wait_for(all_ended)
    shown = flower.get("/api/tasks?limit=1000")
    tasks = [shown[task_id] for task_id in sent]
    assert [task["state"] for task in tasks] == ["SUCCESS"] * GOOD + ["FAILURE"] * BAD
    assert all(task["runtime"] > 0 for task in tasks[:GOOD])
    assert all("InvalidRequest" in task["exception"] for task in tasks[GOOD:])
    assert PRIVATE not in json.dumps(shown)


def test_a_message_that_was_refused_is_shown_with_its_name_and_error(
    flower: Flower, worker: LocalWorker, server: LocalServer
) -> None:
    for stock in plain_celery(server):
        refused = stock.send_task("text-classification", kwargs={"inputs": PRIVATE}, headers={"retries": "many"}).id
    worker.wait_for(lambda: refused in flower.get("/api/tasks?limit=1000"))

    shown = flower.get("/api/tasks?limit=1000")[refused]

    assert (shown["name"], shown["state"]) == ("text-classification", "FAILURE")
    assert "header retries" in shown["exception"]
    assert PRIVATE not in json.dumps(shown)


def test_the_queues_are_shown(flower: Flower) -> None:
    queues = {queue["name"] for queue in flower.get("/api/queues/length")["active_queues"]}

    assert {"celery", "text-classification", "text-classification.bulk"} <= queues


@pytest.mark.skipif(len(usable_cores()) < 2, reason="a process more needs a core more")
def test_the_range_of_processes_can_be_set(flower: Flower, worker: LocalWorker, name: str) -> None:
    flower.post(f"/api/worker/pool/autoscale/{name}?min=2&max=2")
    worker.wait_for(lambda: len(worker.processes) == 2)

    flower.post(f"/api/worker/pool/autoscale/{name}?min=1&max=1")
    worker.wait_for(lambda: len(worker.processes) == 1)


def test_a_rate_limit_can_be_set_and_a_task_revoked(
    flower: Flower, worker: LocalWorker, name: str, server: LocalServer
) -> None:
    flower.post(f"/api/task/rate-limit/text-classification?workername={name}&ratelimit=1/m")
    with Client(server.url, timeout_s=PATIENCE_S) as client:
        sent = [client.submit(TextClassificationRequest.parse({"inputs": PRIVATE})) for _ in range(3)]
        worker.wait_for(lambda: all(f"{request_id}] received" in worker.log for request_id in sent))
        flower.post(f"/api/task/revoke/{sent[-1]}")
        worker.wait_for(
            lambda: (
                f"task {sent[-1]} revoked" in worker.log.lower()
                or f"tasks flagged as revoked: {sent[-1]}" in worker.log.lower()
            )
        )
    flower.post(f"/api/task/rate-limit/text-classification?workername={name}&ratelimit=0")


def test_the_worker_can_be_shut_down(flower: Flower, worker: LocalWorker, name: str) -> None:
    flower.post(f"/api/worker/shutdown/{name}")

    assert worker.wait_for_exit() == 0
