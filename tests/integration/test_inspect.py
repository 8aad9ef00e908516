"""What ``inspect`` says is true while hundreds of requests wait."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from examples.local_stack import PATIENCE_S, LocalServer, LocalWorker
from producer import Client
from producer.contract import QueueClass, TextClassificationRequest

ROOT = Path(__file__).resolve().parents[2]
NAME = "told@here"
WAITING = 500
REQUEST = TextClassificationRequest.parse({"inputs": ["A sentence of a handful of words. " * 6] * 8})


@pytest.fixture
def worker(own_environment: dict[str, str]) -> Iterator[LocalWorker]:
    with LocalWorker(["-n", NAME], own_environment) as started:
        started.wait_until_ready()
        yield started


def test_while_500_requests_wait(worker: LocalWorker, own_stock: Celery, own_server: LocalServer) -> None:
    def inspect(what: str) -> Any:
        return getattr(own_stock.control.inspect([NAME], timeout=PATIENCE_S), what)()[NAME]

    with Client(own_server.url, timeout_s=PATIENCE_S) as client:
        sent = [client.submit(REQUEST, queue_class=QueueClass.BULK) for _ in range(WAITING)]
        worker.wait_for(lambda: "received" in worker.log)
        assert inspect("ping") == {"ok": "pong"}
        active, reserved, stats, conf = (inspect(what) for what in ("active", "reserved", "stats", "conf"))

        assert active
        assert all(task["worker_pid"] in worker.processes.values() and task["time_start"] for task in active)
        assert {task["id"] for task in active + reserved} <= set(sent)
        assert all(task["kwargs"] == "<hidden>" for task in active + reserved)
        assert stats["pool"]["max-concurrency"] == len(worker.processes)
        assert set(map(int, stats["pool"]["cores"])) == set(worker.processes.values())
        assert conf["worker_pool"] == "worker.pool:TaskPool"
        for request_id in sent:
            client.wait(request_id)

    worker.wait_for(lambda: inspect("active") == inspect("reserved") == [])
    assert sum(inspect("stats")["total"].values()) == WAITING


@pytest.mark.usefixtures("worker")
def test_from_the_command_line(own_environment: dict[str, str]) -> None:
    variables = {name: value for name, value in os.environ.items() if not name.startswith("CELERIAC_")}
    command = [sys.executable, "-m", "celery", "-A", "worker", "inspect", "ping", "--json", "-d", NAME, "--timeout=300"]

    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=ROOT, env={**variables, **own_environment}
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout) == {NAME: {"ok": "pong"}}
