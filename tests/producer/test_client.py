"""The client against a real server; answers are stored as a worker's result backend stores them."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
from celery import Celery
from celery.exceptions import SoftTimeLimitExceeded, TimeLimitExceeded, WorkerLostError

from examples.local_stack import PATIENCE_S, LocalServer
from producer import (
    CeleriacError,
    Client,
    DeadlineExceeded,
    InvalidRequest,
    ModelFailed,
    RemoteFailure,
    RequestRevoked,
    TextClassificationRequest,
    TextInput,
    UnknownModel,
    UnknownTask,
    WaitTimeout,
)
from producer.contract import ErrorCode, QueueClass
from producer.sender import MAX_TIMEOUT_S

from .helpers import failure, has_looked, is_awaited, key_of, queued, record, store, subscriptions, wait_until

ANSWER = [{"label": "POSITIVE", "score": 0.9}]
REQUEST = TextClassificationRequest(inputs=TextInput(text="a"))
QUEUE = "text-classification"


def test_an_answer_that_is_there_already_is_returned_with_its_model(own_client: Client, own_redis: redis.Redis) -> None:
    model = {"name": "sentiment", "revision": "abc"}
    store(own_redis, "id-1", ANSWER, model=model)
    answer = own_client.wait("id-1")
    assert (answer.request_id, answer.result, answer.model) == ("id-1", ANSWER, model)


def test_an_answer_may_be_asked_for_again(own_client: Client, own_redis: redis.Redis) -> None:
    store(own_redis, "id-1", ANSWER)
    assert own_client.wait("id-1") == own_client.wait("id-1")


def test_an_answer_of_a_worker_that_names_no_model_has_none(own_client: Client, own_redis: redis.Redis) -> None:
    store(own_redis, "id-1", ANSWER)
    assert own_client.wait("id-1").model is None


def test_an_answer_that_comes_during_the_wait_is_returned(
    own_client: Client, own_redis: redis.Redis, threads: ThreadPoolExecutor
) -> None:
    waiting = threads.submit(own_client.wait, "id-1")
    wait_until(lambda: has_looked(own_redis))
    store(own_redis, "id-1", ANSWER)
    assert waiting.result(timeout=PATIENCE_S).result == ANSWER


def test_an_announcement_alone_ends_the_wait(
    own_client: Client, own_redis: redis.Redis, threads: ThreadPoolExecutor
) -> None:
    waiting = threads.submit(own_client.wait, "id-1")
    wait_until(lambda: has_looked(own_redis))
    assert own_redis.publish(key_of("id-1"), record("id-1", ANSWER)) == 1
    assert waiting.result(timeout=PATIENCE_S).result == ANSWER


def test_an_answer_whose_announcement_was_lost_is_found_all_the_same(
    own_client: Client, own_redis: redis.Redis, threads: ThreadPoolExecutor
) -> None:
    waiting = threads.submit(own_client.wait, "id-1", timeout_s=60)
    wait_until(lambda: has_looked(own_redis))
    own_redis.set(key_of("id-1"), record("id-1", ANSWER), ex=60)
    assert waiting.result(timeout=PATIENCE_S).result == ANSWER


def test_a_wait_survives_the_loss_of_its_subscription(
    own_client: Client, own_redis: redis.Redis, threads: ThreadPoolExecutor
) -> None:
    waiting = threads.submit(own_client.wait, "id-1")
    wait_until(lambda: has_looked(own_redis))
    assert own_redis.client_kill_filter(_type="pubsub") == 1
    store(own_redis, "id-1", ANSWER)
    assert waiting.result(timeout=PATIENCE_S).result == ANSWER


@pytest.mark.parametrize("status", ["PENDING", "STARTED", "RETRY"])
def test_a_request_that_has_not_ended_is_waited_for(
    own_client: Client, own_redis: redis.Redis, threads: ThreadPoolExecutor, status: str
) -> None:
    store(own_redis, "id-1", None, status=status)
    waiting = threads.submit(own_client.wait, "id-1")
    wait_until(lambda: is_awaited(own_redis, "id-1"))
    store(own_redis, "id-1", None, status=status)
    store(own_redis, "id-1", ANSWER)
    assert waiting.result(timeout=PATIENCE_S).result == ANSWER


def test_no_subscription_outlives_a_wait(own_client: Client, own_redis: redis.Redis) -> None:
    with pytest.raises(WaitTimeout, match="id-1"):
        own_client.wait("id-1", timeout_s=2)
    store(own_redis, "id-2", ANSWER)
    own_client.wait("id-2")
    store(own_redis, "id-3", failure("TaskRevokedError", ["terminated"]), status="REVOKED")
    with pytest.raises(RequestRevoked):
        own_client.wait("id-3")
    wait_until(lambda: subscriptions(own_redis) == [])


def test_a_submitted_request_subscribes_to_nothing(own_client: Client, own_redis: redis.Redis) -> None:
    own_client.submit(REQUEST)
    assert subscriptions(own_redis) == []


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (InvalidRequest.of(ErrorCode.EMPTY, "inputs: must not be empty", field="inputs"), InvalidRequest),
        (UnknownModel.of(ErrorCode.UNKNOWN_MODEL, "no such model", field="model"), UnknownModel),
        (UnknownTask.of(ErrorCode.UNKNOWN_TASK, "no such task", field="task"), UnknownTask),
        (ModelFailed.of(ErrorCode.MODEL_FAILED, "model sentiment failed"), ModelFailed),
        (TimeLimitExceeded(45), RemoteFailure),
        (SoftTimeLimitExceeded(), RemoteFailure),
        (WorkerLostError("signal 9"), RemoteFailure),
        (ValueError("anything else"), RemoteFailure),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
@pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")
def test_a_failure_that_celery_stored_is_raised_as_the_class_that_it_stands_for(
    own_server: LocalServer, own_client: Client, error: Exception, kind: type[CeleriacError]
) -> None:
    with Celery("stock", backend=own_server.url, set_as_current=False) as app:
        app.backend.mark_as_failure("id-1", error)
    with pytest.raises(kind) as caught:
        own_client.wait("id-1")
    assert type(caught.value) is kind
    if kind is RemoteFailure:
        assert caught.value.args == (type(error).__name__, " ".join(map(str, error.args)))
    else:
        assert caught.value.args == error.args


@pytest.mark.parametrize(("reason", "kind"), [("expired", DeadlineExceeded), ("terminated", RequestRevoked)])
@pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")
def test_an_expired_request_passed_its_deadline_and_any_other_revoked_one_was_revoked(
    own_server: LocalServer, own_client: Client, reason: str, kind: type[CeleriacError]
) -> None:
    with Celery("stock", backend=own_server.url, set_as_current=False) as app:
        app.backend.mark_as_revoked("id-1", reason)
    with pytest.raises(kind):
        own_client.wait("id-1")


def test_a_request_lies_in_the_queue_of_its_task_under_the_id_that_was_returned(
    own_client: Client, own_redis: redis.Redis
) -> None:
    request_id = own_client.submit(REQUEST)
    (message,) = queued(own_redis)
    assert (message["headers"]["id"], message["headers"]["task"]) == (request_id, QUEUE)
    assert message["headers"]["expires"] is None


def test_a_caller_chooses_the_id_the_deadline_and_the_bulk_queue(own_client: Client, own_redis: redis.Redis) -> None:
    assert own_client.submit(REQUEST, queue_class=QueueClass.BULK, expires_s=60, request_id="mine") == "mine"
    (message,) = queued(own_redis, f"{QUEUE}.bulk")
    assert message["headers"]["id"] == "mine"
    assert message["headers"]["expires"] is not None


def test_the_first_request_in_is_the_first_one_out(own_client: Client, own_redis: redis.Redis) -> None:
    ids = [own_client.submit(REQUEST) for _ in range(3)]
    taken = [json.loads(own_redis.execute_command("RPOP", QUEUE))["headers"]["id"] for _ in ids]
    assert taken == ids


@pytest.mark.parametrize(
    ("inputs", "sent"),
    [
        ("a", "a"),
        (TextInput(text="a"), "a"),
        ({"text": "a", "text_pair": "b"}, {"text": "a", "text_pair": "b"}),
        (["a", TextInput(text="b", text_pair="c"), {"text": "d"}], ["a", {"text": "b", "text_pair": "c"}, "d"]),
        (("a", "b"), ["a", "b"]),
    ],
    ids=["text", "input", "mapping", "list", "tuple"],
)
def test_classify_sends_its_inputs_and_returns_the_result(
    own_client: Client, own_redis: redis.Redis, threads: ThreadPoolExecutor, inputs: Any, sent: Any
) -> None:
    waiting = threads.submit(own_client.classify, inputs, top_k=None)
    wait_until(lambda: bool(own_redis.llen(QUEUE)))
    (message,) = queued(own_redis)
    assert json.loads(base64.b64decode(message["body"]))[1] == {"inputs": sent, "top_k": None}
    store(own_redis, message["headers"]["id"], ANSWER)
    assert waiting.result(timeout=PATIENCE_S) == ANSWER


def test_classify_sends_what_it_may_take_as_the_deadline(own_client: Client, own_redis: redis.Redis) -> None:
    with pytest.raises(WaitTimeout):
        own_client.classify("a", timeout_s=2)
    (message,) = queued(own_redis)
    assert message["headers"]["expires"] is not None


@pytest.mark.parametrize("arguments", [{"inputs": ""}, {"inputs": "a", "top_k": 0}, {"inputs": []}])
def test_an_invalid_request_is_refused_before_it_is_sent(
    own_client: Client, own_redis: redis.Redis, arguments: dict[str, Any]
) -> None:
    with pytest.raises(InvalidRequest):
        own_client.classify(**arguments)
    assert queued(own_redis) == []


@pytest.mark.parametrize(
    ("inputs", "field"),
    [
        (None, "inputs"),
        (5, "inputs"),
        (b"text", "inputs"),
        ({"a", "b"}, "inputs"),
        (iter(["a"]), "inputs"),
        (object(), "inputs"),
        ({}, "inputs.text"),
        ({"text": 5}, "inputs.text"),
        ({5: "a", "text": "a"}, "inputs[5]"),
        ([None], "inputs[0]"),
        (["a", b"b"], "inputs[1]"),
        (range(3), "inputs[0]"),
        ([["a"]], "inputs[0]"),
        (["a", {"text": "a", "text_pair": 5}], "inputs[1].text_pair"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_inputs_of_a_wrong_type_are_refused_by_the_name_of_their_field(
    own_client: Client, own_redis: redis.Redis, inputs: Any, field: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        own_client.classify(inputs)
    assert caught.value.field == field
    assert queued(own_redis) == []


@pytest.mark.parametrize("timeout_s", [0, -1, float("inf"), float("-inf"), float("nan"), 1e300])
def test_a_timeout_that_is_no_time_to_wait_is_refused_in_the_constructor_and_in_every_call(
    own_client: Client, own_redis: redis.Redis, timeout_s: float
) -> None:
    calls: list[Callable[[], object]] = [
        lambda: Client(timeout_s=timeout_s),
        lambda: own_client.classify("a", timeout_s=timeout_s),
        lambda: own_client.submit(REQUEST, timeout_s=timeout_s),
        lambda: own_client.wait("id-1", timeout_s=timeout_s),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"^timeout_s must be more than 0 and at most 604800 seconds, not "):
            call()
    assert queued(own_redis) == []


def test_the_longest_timeout_can_be_used(own_client: Client, own_redis: redis.Redis) -> None:
    store(own_redis, "id-1", ANSWER)
    assert own_client.wait("id-1", timeout_s=MAX_TIMEOUT_S).result == ANSWER
