"""Our message compared with the one that Celery's ``send_task`` writes."""

from __future__ import annotations

import base64
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis
from celery import Celery

from examples.local_stack import LocalServer
from producer.contract import (
    CONTRACT_VERSION,
    MAX_REQUEST_BYTES,
    SENT_AT_HEADER,
    VERSION_HEADER,
    ErrorCode,
    InvalidRequest,
    TextClassificationRequest,
)
from producer.message import build_message

QUEUE = "text-classification"
SECRET = "Geheimnis"  # noqa: S105 - a text that must not be shown
REQUEST = TextClassificationRequest.parse({"inputs": [SECRET, "ü\U0001f600"], "top_k": None})


@pytest.fixture(params=[None, 60.0], ids=["no deadline", "deadline"])
def expires_s(request: pytest.FixtureRequest) -> float | None:
    seconds: float | None = request.param
    return seconds


@pytest.fixture
def ours(expires_s: float | None) -> dict[str, Any]:
    """Our message."""
    message: dict[str, Any] = json.loads(build_message(REQUEST, request_id="id-1", queue=QUEUE, expires_s=expires_s))
    return message


@pytest.fixture
def theirs(own_server: LocalServer, own_redis: redis.Redis, expires_s: float | None) -> dict[str, Any]:
    """Celery's message for the same request, as stored in Redis."""
    with Celery("stock", broker=own_server.url, backend=own_server.url, set_as_current=False) as app:
        app.send_task(QUEUE, kwargs=REQUEST.to_arguments(), task_id="id-1", queue=QUEUE, expires=expires_s)
    (element,) = own_redis.lrange(QUEUE, 0, -1)
    message: dict[str, Any] = json.loads(element)
    return message


def body_of(message: dict[str, Any]) -> Any:
    return json.loads(base64.b64decode(message["body"]))


def test_the_message_has_the_structure_of_celerys_own(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert ours.keys() == theirs.keys()
    assert ours["headers"].keys() == {*theirs["headers"], VERSION_HEADER, SENT_AT_HEADER}
    # For RabbitMQ only: kombu's Redis transport does not read it, and Celery's worker uses the header ``expires``.
    assert ours["properties"].keys() == theirs["properties"].keys() - {"expiration"}
    assert ours["properties"]["delivery_info"].keys() == theirs["properties"]["delivery_info"].keys()
    assert body_of(ours) == body_of(theirs)
    assert body_of(ours)[:2] == [[], REQUEST.to_arguments()]


def test_the_message_says_what_celerys_own_says(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    for name in ("content-type", "content-encoding"):
        assert ours[name] == theirs[name]
    # ``send_task`` leaves ``ignore_result`` to the worker; ours requests the result whatever the worker's setting.
    own_values = {"origin", "kwargsrepr", "expires", "ignore_result"}
    assert ours["headers"]["ignore_result"] is False
    for name in theirs["headers"].keys() - own_values:
        assert ours["headers"][name] == theirs["headers"][name], name
    for name in ("delivery_mode", "delivery_info", "priority", "body_encoding", "correlation_id"):
        assert ours["properties"][name] == theirs["properties"][name], name


def test_two_messages_have_delivery_tags_of_their_own() -> None:
    messages = [json.loads(build_message(REQUEST, request_id="id-1", queue=QUEUE, expires_s=None)) for _ in range(2)]
    assert messages[0]["properties"]["delivery_tag"] != messages[1]["properties"]["delivery_tag"]


def test_the_message_says_when_it_was_sent() -> None:
    before_s = time.time()
    message = json.loads(build_message(REQUEST, request_id="id-1", queue=QUEUE, expires_s=None))

    assert before_s - 0.001 <= message["headers"][SENT_AT_HEADER] <= time.time() + 0.001


def test_the_message_carries_the_version_and_the_names_of_its_parameters_but_no_text(ours: dict[str, Any]) -> None:
    assert ours["headers"][VERSION_HEADER] == CONTRACT_VERSION
    assert ours["headers"]["kwargsrepr"] == "<inputs, top_k>"
    assert SECRET not in json.dumps({**ours, "body": None})


def test_the_deadline_is_a_moment_in_utc_that_celery_reads(ours: dict[str, Any], expires_s: float | None) -> None:
    expires = ours["headers"]["expires"]
    if expires_s is None:
        assert expires is None
    else:
        left = datetime.fromisoformat(expires) - datetime.now(UTC)
        assert timedelta(0) < left <= timedelta(seconds=expires_s)


def test_a_body_that_is_too_large_is_refused_before_it_is_sent() -> None:
    inputs = ["é" * 100_000] * 11  # two bytes per character in UTF-8, six in JSON
    with pytest.raises(InvalidRequest) as caught:
        build_message(TextClassificationRequest.parse({"inputs": inputs}), request_id="i", queue=QUEUE, expires_s=None)
    assert (caught.value.code, caught.value.limit) == (ErrorCode.TOO_LARGE, MAX_REQUEST_BYTES)
    assert str(MAX_REQUEST_BYTES) in caught.value.message


def test_a_body_of_exactly_the_largest_size_is_sent() -> None:
    def request_of(last: int) -> TextClassificationRequest:
        return TextClassificationRequest.parse({"inputs": [*["x" * 100_000] * 10, "x" * last]})

    def size(last: int) -> int:
        message = build_message(request_of(last), request_id="i", queue=QUEUE, expires_s=None)
        return len(base64.b64decode(json.loads(message)["body"]))

    fitting = 1 + MAX_REQUEST_BYTES - size(1)
    assert size(fitting) == MAX_REQUEST_BYTES
    with pytest.raises(InvalidRequest):
        size(fitting + 1)
