"""Log lines as JSON: all of them, and each that is about a request with its id."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections import defaultdict
from typing import Any

import pytest
import redis
from celery import Celery

from examples.local_stack import PATIENCE_S, LocalServer, LocalWorker

Line = dict[str, Any]
QUEUE = "text-classification"
LONG = ["so good and yet so bad " * 100] * 64


def lines_of(worker: LocalWorker) -> list[Line]:
    """Every line of a log whose last line may be half written; one that is no JSON fails."""
    return [json.loads(line) for line in worker.log.splitlines(keepends=True) if line.endswith("\n")]


def by_request(lines: list[Line]) -> dict[str, list[Line]]:
    """The lines that are about each request, alone or with others."""
    found: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        for task_id in [line["task_id"]] if "task_id" in line else line.get("task_ids", []):
            found[task_id].append(line)
    return found


@pytest.fixture
def json_environment(own_environment: dict[str, str]) -> dict[str, str]:
    # Warnings are said before Celery has logging: as root it warns.
    return own_environment | {"CELERIAC_LOG_FORMAT": "json"}


def send(app: Celery, kwargs: dict[str, Any], **options: Any) -> str:
    task_id: str = app.send_task("text-classification", kwargs=kwargs, queue=QUEUE, **options).id
    return task_id


def send_mixed(app: Celery) -> dict[str, str]:
    """Send 20 requests that end in all ways, as how each ends by its id."""
    ends = {send(app, {"inputs": LONG[:4]}): "succeeded"}
    ends |= {send(app, {"inputs": f"number {n} is good"}): "succeeded" for n in range(11)}
    ends |= {send(app, {"inputs": "x", "unknown": n}): "raised expected" for n in range(2)}
    ends |= {send(app, {"inputs": "x", "model": "none"}): "raised expected" for _ in range(2)}
    ends |= {send(app, {"inputs": LONG}, soft_time_limit=0.05): "raised unexpected" for _ in range(2)}
    ends[send(app, {"inputs": "x"}, expires=-5)] = "Discarding revoked"
    ends[send(app, {"inputs": "x"}, time_limit="soon")] = "refused"
    return ends


def test_each_line_about_a_request_says_which(
    json_environment: dict[str, str], own_server: LocalServer, own_stock: Celery
) -> None:
    with LocalWorker(["--concurrency=1"], json_environment) as worker:
        worker.wait_until_ready()
        ends = send_mixed(own_stock)
        malformed = str(uuid.uuid4())
        with redis.Redis.from_url(own_server.url) as connected:
            connected.lpush(QUEUE, json.dumps({"headers": {"id": malformed}, "body": "", "properties": {}}))
        for task_id in ends:
            own_stock.AsyncResult(task_id).get(timeout=PATIENCE_S, propagate=False)
        worker.wait_for(lambda: "moved a malformed message" in worker.log)
        assert worker.stop() == 0
        lines = lines_of(worker)

    assert len(ends) == 20
    found = by_request(lines)
    for task_id, end in ends.items():
        messages = [line["message"] for line in found[task_id]]
        assert any(end in message for message in messages), messages
        assert end == "refused" or any("received" in message for message in messages)
        assert [line for line in found[task_id] if line.get("task") != QUEUE] == []
    answered = [line for line in lines if "succeeded" in line["message"]]
    assert {(line["model"], line["process"]) for line in answered} == {("sentiment", 0)}
    assert max(line["batch"] for line in answered) > 1
    # No line names one of these and is about none.
    known = {*ends, malformed}
    assert [line for line in lines for task_id in known if task_id in line["message"] and task_id not in found] == []


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"CELERIAC_MODELS": "nowhere"}, "nowhere"),
        ({"CELERIAC_CORES_PER_PROCESS": "none"}, "CELERIAC_CORES_PER_PROCESS"),
    ],
)
def test_a_worker_that_cannot_start_says_so_in_json(
    json_environment: dict[str, str], wrong: dict[str, str], said: str
) -> None:
    command = [sys.executable, "-m", "celery", "-A", "worker", "worker"]
    environment = {**os.environ, **json_environment, **wrong}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S, env=environment)
    assert done.returncode != 0
    lines = [json.loads(line) for line in [*done.stdout.splitlines(), *done.stderr.splitlines()]]
    assert said in lines[-1]["message"]
    assert lines[-1]["level"] == "CRITICAL"
