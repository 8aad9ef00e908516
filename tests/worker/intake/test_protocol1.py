"""A converted message says what Celery itself reads in protocol 1."""

from __future__ import annotations

import json
from typing import Any

import pytest
from celery import Celery
from celery.worker.request import Request
from celery.worker.strategy import hybrid_to_proto2, proto1_to_proto2
from hypothesis import given
from hypothesis import strategies as st
from kombu.message import Message

from worker.intake.message_checks import find_fault
from worker.intake.protocol1 import convert_to_protocol_2

APP = Celery("protocol1", set_as_current=False, broker="memory://", backend="disabled://")
TASK = "text-classification"
READ = ("id", "name", "args", "kwargs", "eta", "expires", "time_limits", "root_id", "parent_id", "group", "group_index")


@APP.task(name=TASK, shared=False)
def _task() -> None:
    """For Celery's requests."""


def message(body: Any, headers: dict[str, Any] | None = None) -> Message:
    return Message(
        body=json.dumps(body).encode(),
        headers=headers,
        content_type="application/json",
        content_encoding="utf-8",
        accept={"application/json"},
    )


def as_celery_reads(received: Message) -> dict[str, Any]:
    read = proto1_to_proto2 if "task" not in received.headers else hybrid_to_proto2
    body, headers, decoded, utc = read(received, received.payload)
    return seen(Request(received, app=APP, body=body, headers=headers, decoded=decoded, utc=utc))


def seen(request: Request) -> dict[str, Any]:
    links = {name: request._payload[2].get(name) for name in ("callbacks", "errbacks", "chord")}
    return {**{name: getattr(request, name) for name in READ}, **links, "args": list(request.args)}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"countdown": 5, "expires": 60, "retries": 2, "time_limit": 45, "soft_time_limit": 40},
        {"eta": "2030-01-01T00:00:00", "expires": "2030-01-02T00:00:00+02:00"},
        {"group_id": "a-group", "group_index": 3, "chord": {"task": "a-body", "args": [], "kwargs": {}, "options": {}}},
        {"callbacks": [{"task": "next"}], "errbacks": [{"task": "failed"}]},
    ],
    ids=str,
)
@pytest.mark.parametrize("headers", [None, {"task": TASK, "id": "id-1"}], ids=["protocol 1", "half-way"])
def test_what_stock_celery_sends_is_read_as_celery_reads_it(
    options: dict[str, Any], headers: dict[str, Any] | None
) -> None:
    body = APP.amqp.as_task_v1("id-1", TASK, args=["a text"], kwargs={"top_k": None}, **options).body
    expected = as_celery_reads(message(body, headers))
    if headers:
        # Celery forgets it here, without which a chord's results have no order.
        expected["group_index"] = options.get("group_index")
    received = message(body, headers)

    convert_to_protocol_2(received)

    assert find_fault(received) is None
    assert seen(Request(received, app=APP)) == expected
    assert json.loads(received.body) == received.payload


def test_a_message_of_protocol_2_is_left_as_it_is() -> None:
    body = [["a"], {"b": 1}, {"chain": [{"task": "next"}]}]
    received = message(body, {"task": TASK, "id": "id-1"})

    convert_to_protocol_2(received)

    assert received.payload == body
    assert received.headers == {"task": TASK, "id": "id-1"}


@given(
    st.dictionaries(
        st.sampled_from(["task", "id", "args", "kwargs", "eta", "taskset", "callbacks", "timelimit", "x"]),
        st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3), max_leaves=5),
    )
)
def test_no_object_makes_the_conversion_or_the_check_behind_it_fail(body: dict[str, Any]) -> None:
    received = message(body)

    convert_to_protocol_2(received)

    find_fault(received)
