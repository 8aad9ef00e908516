"""Bad input gives its sender a typed error, and nobody else notices."""

from __future__ import annotations

import base64
import json
import pickle
import uuid
from typing import Any

import pytest
import redis
from celery import Celery
from celery.exceptions import TaskRevokedError

from examples.local_stack import LocalWorker
from producer import Client

pytestmark = pytest.mark.usefixtures("worker")

TASK = "text-classification"


def send_raw(redis_client: redis.Redis, body: bytes, content_type: str = "application/json", **headers: Any) -> str:
    """Push a message that no well-behaved client would send, and return its id."""
    task_id = str(uuid.uuid4())
    message = {
        "body": base64.b64encode(body).decode(),
        "content-encoding": "utf-8",
        "content-type": content_type,
        "headers": {"lang": "py", "task": TASK, "id": task_id, **headers},
        "properties": {
            "correlation_id": task_id,
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": TASK},
            "body_encoding": "base64",
            "delivery_tag": str(uuid.uuid4()),
        },
    }
    redis_client.lpush(TASK, json.dumps(message))
    return task_id


def failure_of(stock: Celery, task_id: str) -> tuple[str, Any]:
    """Name and arguments of the error that a stock client rebuilds."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - the class is made by Celery from its name
        stock.AsyncResult(task_id).get(timeout=20)
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


def test_arguments_by_position_get_a_typed_error(stock: Celery) -> None:
    name, (_, details) = failure_of(stock, stock.send_task(TASK, args=["a text"]).id)

    assert name == "InvalidRequest"
    assert details["field"] == "args"


def test_a_deadline_in_the_past_ends_revoked(stock: Celery, client: Client) -> None:
    with pytest.raises(TaskRevokedError):
        stock.send_task(TASK, kwargs={"inputs": "a"}, expires="2020-01-01T00:00:00+00:00").get(timeout=20)
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
        pytest.param(b"[[],{},{}]", "application/json", {"expires": "soon"}, "headers", id="expires"),
        pytest.param(b"[[],{},{}]", "application/json", {"eta": [1]}, "eta", id="eta"),
    ],
)
def test_a_message_that_is_no_task_message_gets_a_typed_error_and_the_worker_lives(
    stock: Celery,
    client: Client,
    redis_client: redis.Redis,
    worker: LocalWorker,
    body: bytes,
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


def test_a_newer_contract_version_gets_a_typed_error_that_names_the_newest(stock: Celery) -> None:
    sent = stock.send_task(TASK, kwargs={"inputs": "a"}, headers={"celeriac_contract_version": 99})

    _, (_, details) = failure_of(stock, sent.id)

    assert details == {"code": "unsupported_version", "field": "celeriac_contract_version", "limit": 1}


def test_in_a_bulk_message_only_the_bad_items_carry_an_error(client: Client, stock: Celery) -> None:
    sent = stock.send_task(TASK, kwargs={"inputs": ["good", "", {"text": "bad"}, 7], "top_k": 1})

    first, second, third, fourth = sent.get(timeout=20)

    assert first[0]["label"] == "POSITIVE"
    assert second == {
        "error": {"code": "empty", "message": "inputs[1]: must not be empty", "field": "inputs[1]", "limit": None}
    }
    assert third[0]["label"] == "NEGATIVE"
    assert fourth["error"]["code"] == "wrong_type"
    assert client.classify("good")
