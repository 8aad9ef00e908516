"""Bad input gives its sender a typed error, and nobody else notices."""

from __future__ import annotations

import base64
import json
import pickle
import uuid
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery
from celery.exceptions import TaskRevokedError

from examples.local_stack import PATIENCE_S, LocalServer, LocalWorker
from producer import Client

pytestmark = pytest.mark.usefixtures("worker")

TASK = "text-classification"
GOOD_BODY = b'[[], {"inputs": "good"}, {"callbacks": null, "errbacks": null, "chain": null, "chord": null}]'
PAST = "2020-01-01T00:00:00+00:00"


def send_raw(
    redis_client: redis.Redis,
    body: bytes | None,
    content_type: str = "application/json",
    properties: dict[str, Any] | None = None,
    **headers: Any,
) -> str:
    """Push a message that no well-behaved client would send, and return its id."""
    task_id = str(uuid.uuid4())
    message = {
        "body": None if body is None else base64.b64encode(body).decode(),
        "content-encoding": "utf-8",
        "content-type": content_type,
        "headers": {"lang": "py", "task": TASK, "id": task_id, **headers},
        "properties": {
            "correlation_id": task_id,
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": TASK},
            "body_encoding": "base64",
            "delivery_tag": str(uuid.uuid4()),
            **(properties or {}),
        },
    }
    redis_client.lpush(TASK, json.dumps(message))
    return task_id


def failure_of(stock: Celery, task_id: str) -> tuple[str, Any]:
    """Name and arguments of the error that a stock client rebuilds."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - the class is made by Celery from its name
        stock.AsyncResult(task_id).get(timeout=PATIENCE_S)
    return type(caught.value).__name__, caught.value.args


@pytest.mark.parametrize(
    ("kwargs", "name", "code", "field", "limit"),
    [
        pytest.param({"inputs": 3}, "InvalidRequest", "wrong_type", "inputs", None, id="wrong type"),
        pytest.param({"inputs": ""}, "InvalidRequest", "empty", "inputs", None, id="empty"),
        pytest.param({"inputs": "x" * 10_000_000}, "InvalidRequest", "too_large", None, 1_048_576, id="10 MB"),
        pytest.param({"inputs": "x" * 900_000}, "InvalidRequest", "too_long", "inputs", 100_000, id="900 kB"),
        pytest.param({"inputs": "a\ud800b"}, "InvalidRequest", "invalid_character", "inputs", None, id="surrogate"),
        pytest.param({"inputs": "a\x00b"}, "InvalidRequest", "invalid_character", "inputs", None, id="NUL"),
        pytest.param({"inputs": "a", "foo": 1}, "InvalidRequest", "unknown_parameter", "foo", None, id="parameter"),
        pytest.param({"inputs": "a", "model": "nope"}, "UnknownModel", "unknown_model", "model", None, id="model"),
        pytest.param({}, "InvalidRequest", "missing", "inputs", None, id="nothing"),
        pytest.param({"inputs": ["a"] * 65}, "InvalidRequest", "too_many", "inputs", 64, id="65 inputs"),
        pytest.param(
            {"inputs": "word " * 2000, "truncation": False},
            "InvalidRequest", "too_many_tokens", "inputs", 512, id="tokens",
        ),
    ],
)  # fmt: skip
def test_a_bad_request_gets_its_typed_error_and_the_same_processes_answer_the_next(
    stock: Celery,
    client: Client,
    worker: LocalWorker,
    kwargs: dict[str, Any],
    name: str,
    code: str,
    field: str | None,
    limit: int | None,
) -> None:
    before = worker.processes

    seen, (message, details) = failure_of(stock, stock.send_task(TASK, kwargs=kwargs).id)

    assert seen == name
    assert details == {"code": code, "field": field, "limit": limit}
    assert isinstance(message, str)
    assert client.classify("good")[0]["label"] == "POSITIVE"
    assert worker.processes == before


def test_an_unknown_task_gets_a_typed_error_that_names_the_tasks(stock: Celery, client: Client) -> None:
    name, (message, details) = failure_of(stock, stock.send_task("no-such-task", kwargs={"inputs": "a"}).id)

    assert name == "UnknownTask"
    assert details["code"] == "unknown_task"
    assert "text-classification" in message
    assert client.classify("good")


def test_a_deadline_in_the_past_ends_revoked(stock: Celery, client: Client) -> None:
    with pytest.raises(TaskRevokedError):
        stock.send_task(TASK, kwargs={"inputs": "a"}, expires="2020-01-01T00:00:00+00:00").get(timeout=PATIENCE_S)
    assert client.classify("good")


@pytest.mark.parametrize(
    ("body", "content_type", "headers", "field"),
    [
        pytest.param(pickle.dumps([[], {}, {}]), "application/x-python-serialize", {}, "content-type", id="pickle"),
        pytest.param(b"[[],{},{}]", "text/plain", {}, "content-type", id="text"),
        pytest.param(b"{{{{", "application/json", {}, "body", id="broken JSON"),
        pytest.param(b"\xff\xfe", "application/json", {}, "body", id="not UTF-8"),
        pytest.param(b"[1,2]", "application/json", {}, "body", id="two elements"),
        pytest.param(b'{"a":1}', "application/json", {}, "body", id="an object"),
        pytest.param(b"[[],[1],{}]", "application/json", {}, "body", id="kwargs a list"),
        pytest.param(b"[[],{},{}]", "application/json", {"timelimit": "x"}, "timelimit", id="time limit"),
        pytest.param(b"[[],{},{}]", "application/json", {"retries": "x"}, "retries", id="retries"),
        pytest.param(b"[[],{},{}]", "application/json", {"expires": "soon"}, "expires", id="expires"),
        pytest.param(b"[[],{},{}]", "application/json", {"eta": [1]}, "eta", id="eta"),
        pytest.param(None, "application/json", {}, "body", id="no body"),
        pytest.param(GOOD_BODY, "application/json", {"timelimit": [None, 10**400]}, "timelimit", id="endless limit"),
        pytest.param(GOOD_BODY, "application/json", {"expires": ""}, "expires", id="empty expires"),
        pytest.param(GOOD_BODY, "application/json", {"eta": ""}, "eta", id="empty eta"),
        pytest.param(GOOD_BODY, "application/json", {"eta": "9999-12-31T24:00:00"}, "eta", id="the last midnight"),
        pytest.param(GOOD_BODY, "application/json", {"stamped_headers": [[1]]}, "stamped_headers", id="stamps"),
        pytest.param(GOOD_BODY, "application/json", {"ignore_result": "false"}, "ignore_result", id="ignore_result"),
        pytest.param(GOOD_BODY, "application/json", {"_children": 5, "expires": PAST}, "_children", id="children"),
        pytest.param(GOOD_BODY, "application/json", {"task": ["x"]}, "task", id="task a list"),
        pytest.param(
            GOOD_BODY, "application/json", {"celeriac_contract_version": [1]}, "celeriac_contract_version", id="version"
        ),
        pytest.param(
            b'[[],{},{"chord":5}]', "application/json", {"group": "g", "expires": PAST}, "body", id="chord a number"
        ),
        pytest.param(
            b'[[],{"inputs":' + b"[" * 600 + b"]" * 600 + b"},null]", "application/json", {}, "body", id="nested deep"
        ),
    ],
)
def test_a_message_that_is_no_task_message_gets_a_typed_error_and_the_worker_lives(
    stock: Celery,
    client: Client,
    redis_client: redis.Redis,
    worker: LocalWorker,
    body: bytes | None,
    content_type: str,
    headers: dict[str, Any],
    field: str,
) -> None:
    before = worker.pid, worker.processes

    name, (_, details) = failure_of(stock, send_raw(redis_client, body, content_type, **headers))

    assert name == "InvalidRequest"
    assert details == {"code": "unreadable_message", "field": field, "limit": None}
    assert client.classify("good")
    assert (worker.pid, worker.processes) == before


def test_a_message_under_an_id_that_no_key_can_hold_is_dropped_and_the_worker_lives(
    client: Client, redis_client: redis.Redis, worker: LocalWorker
) -> None:
    before = worker.pid, worker.log.count("header id has an invalid value")

    send_raw(redis_client, GOOD_BODY, id="half a \ud800 pair")

    assert client.classify("good")
    worker.wait_for(lambda: worker.log.count("header id has an invalid value") > before[1])
    assert worker.pid == before[0]


def test_what_celery_fails_over_all_the_same_is_fetched_once_and_the_worker_goes_on(
    client: Client, redis_client: redis.Redis, worker: LocalWorker
) -> None:
    # Celery takes this error of the server for a lost connection.
    group = str(uuid.uuid4())
    redis_client.set(f"celery-taskset-meta-{group}.j", "not what Celery keeps there", ex=60)
    body = json.dumps([[], {"inputs": "good"}, {"chord": {"task": TASK, "chord_size": 1}}]).encode()
    before = worker.log.count("Connection to broker lost")

    task_id = send_raw(redis_client, body, group=group, group_index=0, expires=PAST)

    worker.wait_for(lambda: f"refused {TASK}[{task_id}]: this message cannot be processed" in worker.log)
    assert client.classify("good")
    assert worker.log.count("Connection to broker lost") == before


@pytest.fixture
def own_worker(own_server: LocalServer, tmp_path: Path) -> Iterator[LocalWorker]:
    """A worker for one test: it serves one task, and is taken for dead after a second."""
    environment = {
        "CELERIAC_BROKER_URL": own_server.url,
        "CELERIAC_CORES_LEASE_DIR": str(tmp_path / "leases"),
        "CELERIAC_MODELS": "sentiment",
        "CELERIAC_TIME_SOFT_LIMIT_S": "0.5",
        "CELERIAC_TIME_HARD_LIMIT_S": "0.8",
        "CELERIAC_TIME_VISIBILITY_TIMEOUT_S": "1",
    }
    with LocalWorker(["--concurrency=1"], environment) as started:
        started.wait_until_ready()
        yield started


def test_a_message_for_another_worker_is_moved_as_one_that_it_can_read(
    own_server: LocalServer, own_worker: LocalWorker
) -> None:
    queue = "question-answering"
    odd: dict[str, Any] = {"properties": {"delivery_mode": "x"}, "compression": "application/x-gzip"}
    with redis.Redis.from_url(own_server.url) as connected:
        task_id = send_raw(connected, zlib.compress(GOOD_BODY), task=queue, **odd)

        own_worker.wait_for(lambda: f"moved {queue}[{task_id}] to the queue {queue}" in own_worker.log)

        (moved,) = map(json.loads, connected.lrange(queue, 0, -1))
    assert moved["headers"]["id"] == task_id
    assert "compression" not in moved["headers"]
    assert base64.b64decode(moved["body"]) == GOOD_BODY


def test_a_request_that_waits_for_its_eta_is_held_once_whatever_the_visibility_timeout(
    own_server: LocalServer, own_worker: LocalWorker
) -> None:
    deliveries: set[float] = set()  # the visibility timeout is a second
    in_an_hour = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    with redis.Redis.from_url(own_server.url) as connected:
        task_id = send_raw(connected, GOOD_BODY, eta=in_an_hour)

        def outlived_its_timeout() -> bool:
            deliveries.update(at for _, at in connected.zrange("unacked_index", 0, -1, withscores=True))
            return bool(deliveries) and max(deliveries) - min(deliveries) > 3

        own_worker.wait_for(outlived_its_timeout)
    assert own_worker.log.count(f"{task_id}] received") == 1


def test_a_newer_contract_version_gets_a_typed_error_that_names_the_newest(stock: Celery) -> None:
    sent = stock.send_task(TASK, kwargs={"inputs": "a"}, headers={"celeriac_contract_version": 99})

    _, (_, details) = failure_of(stock, sent.id)

    assert details == {"code": "unsupported_version", "field": "celeriac_contract_version", "limit": 1}


def test_in_a_bulk_message_only_the_bad_items_carry_an_error(client: Client, stock: Celery) -> None:
    sent = stock.send_task(TASK, kwargs={"inputs": ["good", "", {"text": "bad"}, 7], "top_k": 1})

    first, second, third, fourth = sent.get(timeout=PATIENCE_S)

    assert first[0]["label"] == "POSITIVE"
    assert second == {
        "error": {"code": "empty", "message": "inputs[1]: must not be empty", "field": "inputs[1]", "limit": None}
    }
    assert third[0]["label"] == "NEGATIVE"
    assert fourth["error"]["code"] == "wrong_type"
    assert client.classify("good")
