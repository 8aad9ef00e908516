"""Messages that a worker does not run: refused with an error for their sender, or moved to another queue."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from celery import Celery
from kombu import Connection
from kombu.message import Message
from redis.exceptions import ResponseError

from examples.local_stack import PATIENCE_S
from producer.contract import ErrorCode, InvalidRequest, QueueClass, TaskName
from worker.inference.hidden_result import HIDDEN
from worker.intake.disposal import Disposal, is_fault_of_server
from worker.observability.metrics.meter import RequestOutcome
from worker.runtime import CeleriacApp
from worker.transport.dead_letters import DeadReason

# Celery's own way of storing.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")

TASK = TaskName.TEXT_CLASSIFICATION.value
ARRIVED, OTHER = "text-classification", "model:other"
SECRET = "Zebediah"  # noqa: S105 - a text, not a password


def refusal(code: ErrorCode, field: str) -> InvalidRequest:
    return InvalidRequest.of(code, f"quotes {SECRET}", field=field)


ERROR = InvalidRequest.of(ErrorCode.UNREADABLE_MESSAGE, "the body is not [args, kwargs, options]", field="body")


class Dispatcher:
    """Remembers the events that are sent."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def send(self, kind: str, **fields: Any) -> None:
        self.sent.append({"type": kind, **fields})


@pytest.fixture
def dispatcher() -> Dispatcher:
    return Dispatcher()


@pytest.fixture
def connection(app: CeleriacApp) -> Iterator[Connection]:
    with app.connection_for_read() as connected:
        yield connected


@pytest.fixture
def disposal(app: CeleriacApp, connection: Connection, dispatcher: Dispatcher) -> Disposal:
    return Disposal(
        SimpleNamespace(app=app, connection_errors=connection.connection_errors, event_dispatcher=dispatcher)
    )


def send(stock: Celery, **options: Any) -> str:
    """Send a request as a stock producer does, and return its id."""
    task_id: str = stock.send_task(TASK, kwargs={"inputs": SECRET}, queue=ARRIVED, **options).id
    return task_id


def received(connection: Connection) -> Message:
    """The next message, fetched and not acknowledged."""
    message = connection.default_channel.basic_get(ARRIVED)
    assert message is not None
    return message


def test_a_moved_message_is_the_same_in_its_new_queue(
    disposal: Disposal, connection: Connection, own_stock: Celery, own_redis: redis.Redis
) -> None:
    task_id = send(own_stock, priority=3, reply_to="a-sender", headers={"celeriac_contract_version": 1})
    before = received(connection)

    disposal.move(before, OTHER)

    assert before.acknowledged
    assert own_redis.hlen("unacked") == own_redis.llen(ARRIVED) == 0
    after = connection.default_channel.basic_get(OTHER)
    assert after is not None
    assert (after.body, after.payload, after.headers) == (before.body, before.payload, before.headers)
    assert after.headers["id"] == after.properties["correlation_id"] == task_id
    assert (after.properties["reply_to"], after.properties["priority"]) == ("a-sender", 3)
    assert (after.content_type, after.content_encoding) == (before.content_type, before.content_encoding)
    assert after.delivery_info["routing_key"] == OTHER


def test_a_compressed_message_is_moved_decompressed(
    disposal: Disposal, connection: Connection, own_stock: Celery
) -> None:
    send(own_stock, compression="zlib")

    disposal.move(received(connection), OTHER)

    moved = connection.default_channel.basic_get(OTHER)
    assert moved is not None
    assert "compression" not in moved.headers
    assert json.loads(moved.body)[1] == {"inputs": SECRET}


def test_properties_that_kombu_sets_itself_are_not_taken_from_the_sender(
    disposal: Disposal, connection: Connection, own_stock: Celery
) -> None:
    send(own_stock)
    message = received(connection)
    message.properties |= {"delivery_mode": "nonsense", "reply_to": None}

    disposal.move(message, OTHER)

    moved = connection.default_channel.basic_get(OTHER)
    assert moved is not None
    assert moved.properties["delivery_mode"] != "nonsense"


def test_a_crash_between_publishing_and_acknowledging_repeats_the_message_instead_of_losing_it(
    disposal: Disposal,
    connection: Connection,
    own_stock: Celery,
    own_redis: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    send(own_stock)
    message = received(connection)

    def crash(*_: object) -> None:
        assert own_redis.llen(OTHER) == 1
        raise SystemExit

    monkeypatch.setattr(message, "ack_log_error", crash)

    with pytest.raises(SystemExit):
        disposal.move(message, OTHER)
    assert (own_redis.llen(OTHER), own_redis.hlen("unacked")) == (1, 1)


def test_a_moved_message_is_counted(
    disposal: Disposal, connection: Connection, own_stock: Celery, app: CeleriacApp
) -> None:
    send(own_stock)

    disposal.move(received(connection), OTHER)

    assert app.runtime.meter.moved == {TASK: 1}


def test_the_sender_of_a_refused_message_gets_the_typed_error(
    disposal: Disposal, connection: Connection, own_stock: Celery, own_redis: redis.Redis
) -> None:
    task_id = send(own_stock)
    message = received(connection)

    disposal.refuse(message, ERROR)

    assert message.acknowledged
    assert own_redis.hlen("unacked") == own_redis.llen(ARRIVED) == 0
    with pytest.raises(Exception, match="the body is not") as caught:
        own_stock.AsyncResult(task_id).get(timeout=PATIENCE_S)
    assert type(caught.value).__name__ == "InvalidRequest"
    assert caught.value.args[1] == ERROR.details


@pytest.mark.parametrize(
    ("error", "reason", "problem"),
    [
        (ERROR, DeadReason.MALFORMED, "not a task message that Celery can use (body)"),
        (refusal(ErrorCode.UNREADABLE_MESSAGE, "eta"), DeadReason.MALFORMED, "can use (eta)"),
        (refusal(ErrorCode.UNREADABLE_MESSAGE, "content-type"), DeadReason.WRONG_CONTENT_TYPE, "not application/json"),
        (refusal(ErrorCode.UNKNOWN_TASK, "task"), DeadReason.UNKNOWN_TASK, "no worker runs this task"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_no_worker_can_use_is_kept_as_it_came_and_what_is_written_about_it_quotes_nothing(
    disposal: Disposal,
    connection: Connection,
    own_stock: Celery,
    own_redis: redis.Redis,
    error: InvalidRequest,
    reason: DeadReason,
    problem: str,
) -> None:
    task_id = send(own_stock)
    envelope = own_redis.lindex(ARRIVED, 0)

    disposal.refuse(received(connection), error)

    letters = connection.default_channel.dead_letters
    (letter,) = letters.newest_first()
    assert (letter.reason, letter.queue, letter.task, letter.task_id) == (reason, ARRIVED, TASK, task_id)
    assert problem in letter.problem
    assert letter.error == f"InvalidRequest ({error.details['code']})"
    assert SECRET not in repr(letter)
    # kombu's own `basic_get` has written the record, with separators of its own.
    assert json.loads(letters.envelope(letter.letter_id)) == json.loads(envelope or b"")


def test_a_body_that_cannot_be_decoded_has_a_reason_of_its_own(
    disposal: Disposal, connection: Connection, own_stock: Celery
) -> None:
    send(own_stock)
    message = received(connection)
    message.body = b"{{{{"

    disposal.refuse(message, ERROR)

    (letter,) = connection.default_channel.dead_letters.newest_first()
    assert (letter.reason, letter.problem) == (DeadReason.UNDECODABLE, "the body cannot be decoded")


@pytest.mark.parametrize("code", [ErrorCode.TOO_LARGE, ErrorCode.WRONG_TYPE])
def test_an_invalid_request_of_a_known_task_is_only_refused(
    disposal: Disposal, connection: Connection, own_stock: Celery, own_redis: redis.Redis, code: ErrorCode
) -> None:
    send(own_stock)
    message = received(connection)

    disposal.refuse(message, refusal(code, "inputs"))

    assert message.acknowledged
    assert own_redis.hlen("unacked") == 0
    assert not list(connection.default_channel.dead_letters.newest_first())


def test_a_refused_message_is_counted_and_announced_without_its_arguments(
    disposal: Disposal, connection: Connection, own_stock: Celery, app: CeleriacApp, dispatcher: Dispatcher
) -> None:
    task_id = send(own_stock)

    disposal.refuse(received(connection), ERROR)

    (event,) = dispatcher.sent
    assert (event["type"], event["uuid"], event["name"]) == ("task-failed", task_id, TASK)
    assert event["args"] == event["kwargs"] == HIDDEN
    assert SECRET not in repr(event)
    meter = app.runtime.meter
    assert meter.errors == {(TASK, "unreadable_message"): 1}
    (series,) = meter.requests.values()
    assert series.labels == (TASK, "other", QueueClass.INTERACTIVE.value)
    assert series.outcomes == {RequestOutcome.FAILED: 1}


@pytest.mark.parametrize("name", ["x" * 10_000, None, ["a", "list"]], ids=["long", "none", "list"])
def test_a_name_that_a_sender_makes_up_is_no_label_and_fills_no_log(
    disposal: Disposal,
    connection: Connection,
    own_stock: Celery,
    app: CeleriacApp,
    name: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    send(own_stock)
    message = received(connection)
    message.headers["task"] = name

    disposal.refuse(message, ERROR)

    assert app.runtime.meter.errors == {("other", "unreadable_message"): 1}
    assert len(caplog.text) < 1000


def test_a_message_without_an_id_has_no_sender_to_tell_and_is_kept_for_people(
    disposal: Disposal, connection: Connection, own_stock: Celery, own_redis: redis.Redis, dispatcher: Dispatcher
) -> None:
    send(own_stock)
    message = received(connection)
    del message.headers["id"]
    del message.properties["correlation_id"]

    disposal.refuse(message, ERROR)

    assert message.acknowledged
    assert dispatcher.sent == []
    assert own_redis.xlen("unacked.dead.letters") == 1
    assert not list(own_redis.scan_iter("celery-task-meta-*"))


def test_a_worker_without_events_refuses_all_the_same(
    app: CeleriacApp, connection: Connection, own_stock: Celery
) -> None:
    task_id = send(own_stock)
    consumer = SimpleNamespace(app=app, connection_errors=connection.connection_errors, event_dispatcher=None)

    Disposal(consumer).refuse(received(connection), ERROR)

    assert own_stock.AsyncResult(task_id).state == "FAILURE"


def test_a_refused_member_of_a_chord_fails_the_chord(
    disposal: Disposal, connection: Connection, own_stock: Celery
) -> None:
    group, body = str(uuid.uuid4()), str(uuid.uuid4())
    callback = {"task": "anything", "args": [], "kwargs": {}, "options": {"task_id": body}, "chord_size": 1}
    own_stock.backend.set_chord_size(group, 1)
    send(own_stock, chord=callback, group_id=group, group_index=0)

    disposal.refuse(received(connection), ERROR)

    assert own_stock.AsyncResult(body).state == "FAILURE"


def test_a_chord_that_cannot_be_told_does_not_keep_the_error_from_the_sender(
    disposal: Disposal,
    connection: Connection,
    own_stock: Celery,
    own_redis: redis.Redis,
    caplog: pytest.LogCaptureFixture,
) -> None:
    group = str(uuid.uuid4())
    own_redis.set(f"celery-taskset-meta-{group}.j", "not what Celery keeps there")
    task_id = send(own_stock, chord={"task": "anything", "chord_size": 1}, group_id=group, group_index=0)
    message = received(connection)

    disposal.refuse(message, ERROR)

    assert f"could not notify the tasks linked to [{task_id}]" in caplog.text
    assert message.acknowledged
    assert own_stock.AsyncResult(task_id).state == "FAILURE"


@pytest.mark.parametrize(
    ("error", "is_fault"),
    [
        (ResponseError("OOM command not allowed when used memory > 'maxmemory'."), True),
        (ResponseError("READONLY You can't write against a read only replica."), True),
        (ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value"), False),
        (KeyError("task"), False),
        (ValueError(), False),
    ],
    ids=repr,
)
def test_only_a_full_or_read_only_server_is_at_fault_itself(error: Exception, is_fault: bool) -> None:
    assert is_fault_of_server(error) == is_fault


def test_a_full_server_is_no_fault_of_the_message_which_stays_unacknowledged(
    disposal: Disposal, connection: Connection, own_stock: Celery, own_redis: redis.Redis
) -> None:
    send(own_stock, chord={"task": "anything", "chord_size": 1}, group_id=str(uuid.uuid4()), group_index=0)
    message = received(connection)
    own_redis.config_set("maxmemory", "1")

    with pytest.raises(Exception, match="maxmemory"):
        disposal.refuse(message, ERROR)

    assert not message.acknowledged
