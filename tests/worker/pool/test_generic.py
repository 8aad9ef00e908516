"""The pool serves a plain Celery app where nothing else of this project can be imported."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery

from examples.local_stack import PATIENCE_S, LocalServer, LocalWorker
from tests.conftest import plain_celery
from worker.pool import ProcessDied

APPLICATION = "tests.worker.pool.generic_app"


@pytest.fixture
def worker(own_server: LocalServer) -> Iterator[LocalWorker]:
    arguments = ["--concurrency=1", "--without-mingle", "--without-gossip"]
    with LocalWorker(arguments, {"GENERIC_APP_URL": own_server.url}, application=APPLICATION) as started:
        started.wait_for(lambda: " ready." in started.log)
        yield started


@pytest.fixture
def client(own_server: LocalServer) -> Iterator[Celery]:
    yield from plain_celery(own_server)


def test_a_plain_apps_worker_answers_batches(worker: LocalWorker, client: Celery, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    held = client.send_task("add", [1, 2], {"wait_for": str(gate)})
    worker.wait_for((tmp_path / "gate.held").exists)
    sent = [client.send_task("add", [index, index]) for index in range(5)]
    worker.wait_for(lambda: all(f"[{result.id}] received" in worker.log for result in sent))
    gate.touch()

    assert held.get(timeout=PATIENCE_S) == {"sum": 3, "batch": 1}
    assert [result.get(timeout=PATIENCE_S) for result in sent] == [{"sum": 2 * index, "batch": 5} for index in range(5)]
    assert client.send_task("multiply", [6, 7]).get(timeout=PATIENCE_S) == 42
    with pytest.raises(ProcessDied):
        client.send_task("add", [], {"die": True}).get(timeout=PATIENCE_S)
    assert client.send_task("add", [2]).get(timeout=PATIENCE_S) == {"sum": 2, "batch": 1}
    assert worker.stop() == 0


@pytest.mark.parametrize(
    "module", ["models", "config", "producer", "worker.celery_app", "worker.scaling", "worker.transport"]
)
def test_nothing_else_can_be_imported_there(module: str) -> None:
    code = f"import {APPLICATION}, {module}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == f"ImportError: {module} must not be imported"
