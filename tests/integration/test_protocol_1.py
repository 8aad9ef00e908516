"""Messages of protocol 1, as stock Celery, gocelery and older clients for PHP and Node send them."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from celery import Celery
from celery.exceptions import TaskRevokedError

from examples.local_stack import PATIENCE_S, LocalServer
from tests.conftest import plain_celery

pytestmark = pytest.mark.usefixtures("worker")

TASK = "text-classification"


@pytest.fixture
def old(server: LocalServer) -> Iterator[Celery]:
    """Stock Celery that speaks protocol 1."""
    for app in plain_celery(server):
        app.conf.task_protocol = 1
        yield app


def push(redis_client: redis.Redis, body: Any, **outside: Any) -> None:
    """Push what gocelery does: no headers, and a correlation id that is not the task's."""
    message = {
        "body": base64.b64encode(json.dumps(body).encode()).decode(),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "properties": {
            "body_encoding": "base64",
            "correlation_id": str(uuid.uuid4()),
            "reply_to": str(uuid.uuid4()),
            "delivery_info": {"priority": 0, "routing_key": "celery", "exchange": "celery"},
            "delivery_mode": 2,
            "delivery_tag": str(uuid.uuid4()),
        },
        **outside,
    }
    redis_client.lpush("celery", json.dumps(message))


@pytest.mark.parametrize("arguments", [{"kwargs": {"inputs": "good"}}, {"args": ["good"]}], ids=["kwargs", "args"])
def test_stock_celery_in_protocol_1_is_answered(old: Celery, arguments: dict[str, Any]) -> None:
    (best,) = old.send_task(TASK, **arguments).get(timeout=PATIENCE_S)

    assert best["label"] == "POSITIVE"


def test_a_bad_request_in_protocol_1_gets_its_typed_error(old: Celery) -> None:
    with pytest.raises(Exception, match="inputs: must not be empty") as caught:
        old.send_task(TASK, kwargs={"inputs": ""}).get(timeout=PATIENCE_S)

    assert type(caught.value).__name__ == "InvalidRequest"


def test_a_deadline_in_protocol_1_holds(old: Celery) -> None:
    with pytest.raises(TaskRevokedError):
        old.send_task(TASK, args=["good"], expires="2020-01-01T00:00:00+00:00").get(timeout=PATIENCE_S)


def test_a_countdown_in_protocol_1_is_waited_for(old: Celery) -> None:
    (best,) = old.send_task(TASK, args=["good"], countdown=0.5).get(timeout=PATIENCE_S)

    assert best["label"] == "POSITIVE"


def test_a_callback_in_protocol_1_is_called(old: Celery) -> None:
    linked = old.signature(TASK, kwargs={"inputs": "dull"}, immutable=True)
    linked.freeze()

    old.send_task(TASK, args=["good"], link=linked)

    assert old.AsyncResult(linked.id).get(timeout=PATIENCE_S)[0]["label"] == "NEGATIVE"


def test_what_gocelery_sends_is_answered(redis_client: redis.Redis, stock: Celery) -> None:
    task_id = str(uuid.uuid4())

    push(
        redis_client,
        {"id": task_id, "task": TASK, "args": ["good"], "kwargs": {}, "retries": 0, "eta": None, "expires": None},
    )

    assert stock.AsyncResult(task_id).get(timeout=PATIENCE_S)[0]["label"] == "POSITIVE"


def test_a_message_half_way_to_protocol_2_is_answered(redis_client: redis.Redis, stock: Celery) -> None:
    task_id = str(uuid.uuid4())

    push(redis_client, {"args": ["good"], "kwargs": {}}, headers={"id": task_id, "task": TASK})

    assert stock.AsyncResult(task_id).get(timeout=PATIENCE_S)[0]["label"] == "POSITIVE"


@pytest.mark.parametrize(
    ("changes", "name", "field"),
    [
        ({"task": "nobodys"}, "UnknownTask", "task"),
        ({"kwargs": 5}, "InvalidRequest", "body"),
        ({"retries": "many"}, "InvalidRequest", "retries"),
        ({"task": None}, "InvalidRequest", "task"),
        ({"eta": "soon"}, "InvalidRequest", "eta"),
        ({"callbacks": [5]}, "InvalidRequest", "body"),
    ],
    ids=str,
)
def test_what_is_refused_in_protocol_1_has_its_failure_under_the_id_in_its_body(
    redis_client: redis.Redis, stock: Celery, changes: dict[str, Any], name: str, field: str
) -> None:
    task_id = str(uuid.uuid4())

    push(redis_client, {"id": task_id, "task": TASK, "args": ["good"], "kwargs": {}, **changes})

    with pytest.raises(Exception) as caught:  # noqa: PT011 - the class is made by Celery from its name
        stock.AsyncResult(task_id).get(timeout=PATIENCE_S)
    assert type(caught.value).__name__ == name
    assert caught.value.args[1]["field"] == field


@pytest.mark.parametrize("content_type", ["application/x-python-serialize", "application/json"])
def test_what_cannot_be_read_has_its_failure_under_the_correlation_id(
    redis_client: redis.Redis, stock: Celery, content_type: str
) -> None:
    task_id = str(uuid.uuid4())
    properties = {
        "body_encoding": "base64",
        "correlation_id": task_id,
        "delivery_info": {"routing_key": "celery", "exchange": "celery"},
        "delivery_tag": str(uuid.uuid4()),
    }

    body = base64.b64encode(b"\x80\x04").decode()
    message = {"body": body, "content-type": content_type, "content-encoding": "utf-8", "properties": properties}

    redis_client.lpush("celery", json.dumps(message))

    with pytest.raises(Exception) as caught:  # noqa: PT011 - the class is made by Celery from its name
        stock.AsyncResult(task_id).get(timeout=PATIENCE_S)
    assert caught.value.args[1]["code"] == "unreadable_message"
