"""Which messages Celery may be given, as kombu decodes them."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest
from celery import Celery
from celery.worker.request import Request
from hypothesis import given
from hypothesis import strategies as st
from kombu import Connection
from kombu.message import Message

from producer.contract import MAX_REQUEST_BYTES, ErrorCode, InvalidRequest, TextClassificationRequest
from producer.message import build_message
from worker.intake.message_checks import find_fault, shorten, unreadable_message

OPTIONS = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
BODY = [[], {"inputs": "a"}, OPTIONS]
HEADERS = {"task": "text-classification", "id": "id-1"}
MARKER = "Geheimnis"
APP = Celery("messages", set_as_current=False, broker="memory://", backend="disabled://")

NAMES = [
    "task",
    "id",
    "timelimit",
    "retries",
    "stamps",
    "stamped_headers",
    "eta",
    "expires",
    "group_index",
    "chain",
    "x",
]

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda values: st.lists(values, max_size=4) | st.dictionaries(st.text(max_size=8), values, max_size=3),
    max_leaves=10,
)


def message(body: Any = BODY, headers: Any = None, **fields: Any) -> Message:
    """A message as the worker's consumer receives it."""
    known = {"content_type": "application/json", "content_encoding": "utf-8", "accept": {"application/json"}}
    encoded = body if isinstance(body, (bytes, str)) else json.dumps(body)
    return Message(body=encoded, headers=HEADERS if headers is None else headers, **{**known, **fields})


def fault(received: Message) -> InvalidRequest:
    found = find_fault(received)
    assert found is not None
    return found


def test_a_message_of_our_client_has_no_fault() -> None:
    request = TextClassificationRequest.parse({"inputs": ["a", "ü"]})
    sent = json.loads(build_message(request, request_id="id-1", queue="text-classification", expires_s=60))
    with Connection("memory://") as connection:
        received = connection.default_channel.message_to_python(sent)
        received.accept = {"application/json"}
        assert find_fault(received) is None
        assert received.payload[1] == request.to_arguments()


@pytest.mark.parametrize("options", [OPTIONS, {}, None, {"callbacks": [{"task": "x"}]}])
def test_a_body_of_arguments_and_options_has_no_fault(options: Any) -> None:
    assert find_fault(message([[1], {"inputs": "a"}, options])) is None


@pytest.mark.parametrize(
    "headers",
    [
        {"retries": 0, "timelimit": [None, None], "stamped_headers": None, "stamps": {}},
        {"retries": 3, "timelimit": [45, 40.5], "stamped_headers": ["a"], "stamps": {"a": ["b"]}},
        {"eta": "2030-01-01T00:00:00+00:00", "expires": "2030-01-01T00:00:00Z", "shadow": "s", "group": "g"},
        {"root_id": "r", "parent_id": None, "timelimit": None, "retries": None, "further": {"a": [1]}},
        {"timelimit": [604_800, 0.5], "retries": 2**53, "group_index": 0, "ignore_result": True},
        {"expires": "2030-01-01T00:00:00.000001+05:30", "eta": "9999-12-31T23:59:59", "shadow": "", "root_id": ""},
        {"group_index": None, "ignore_result": None, "celeriac_contract_version": 1, "stamped_headers": []},
        {"lang": 5, "origin": [1], "argsrepr": {"a": 1}, "kwargsrepr": 5, "replaced_task_nesting": "x", "meth": [1]},
        {"hostname": "h", "correlation_id": [5], "reply_to": {}, "headers": {"a": 1}, "chain": "of our sender"},
    ],
)
def test_headers_that_celery_sends_have_no_fault(headers: dict[str, Any]) -> None:
    assert find_fault(message(headers={**HEADERS, **headers})) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("task", None),
        ("task", ""),
        ("task", 5),
        ("task", ["text-classification"]),
        ("id", None),
        ("id", ""),
        ("id", 7),
        ("id", {"a": 1}),
        ("root_id", 5),
        ("parent_id", []),
        ("group", 5),
        ("id", "half a \ud800 pair"),
        ("group", "half a \ud800 pair"),
        ("group_index", "0"),
        ("group_index", [1]),
        ("group_index", 1.5),
        ("group_index", 10**400),
        ("eta", 5),
        ("eta", ""),
        ("eta", "soon"),
        ("eta", "9999-12-31T24:00:00"),
        ("eta", "9999-12-31T23:59:59-12:00"),
        ("eta", "0001-01-01T00:00:00+14:00"),
        ("eta", "2030-01-01T00:00:00+25:00"),
        ("eta", "-2030-01-01"),
        ("expires", ""),
        ("expires", 0),
        ("expires", 60),
        ("expires", 1.5),
        ("expires", "9999-12-31T24:00:00"),
        ("expires", "x" * 1_000_000),
        ("expires", "2030-01-01T00:00:00\ud800"),
        ("expires", {"at": "noon"}),
        ("shadow", ["s"]),
        ("retries", "3"),
        ("retries", -1),
        ("retries", True),
        ("retries", 1.5),
        ("timelimit", "45"),
        ("timelimit", 45),
        ("timelimit", []),
        ("timelimit", [45]),
        ("timelimit", [45, 40, 35]),
        ("timelimit", ["45", None]),
        ("timelimit", [0, None]),
        ("timelimit", [-1, None]),
        ("timelimit", [True, None]),
        ("timelimit", [float("nan"), None]),
        ("timelimit", [None, float("nan")]),
        ("timelimit", [float("inf"), None]),
        ("timelimit", [None, 604_801]),
        ("timelimit", [None, 1e308]),
        ("timelimit", [10**400, None]),
        ("timelimit", [None, 10**400]),
        ("timelimit", {"hard": 45}),
        ("retries", 10**400),
        ("ignore_result", "false"),
        ("ignore_result", 1),
        ("ignore_result", []),
        ("stamped_headers", "a"),
        ("stamped_headers", [["a"]]),
        ("stamped_headers", [{"a": 1}]),
        ("stamped_headers", ["a", 1]),
        ("stamped_headers", [None]),
        ("stamps", ["a"]),
        ("celeriac_contract_version", [1]),
        ("celeriac_contract_version", {"a": 1}),
        ("celeriac_contract_version", "1"),
        ("get", 5),
        ("update", None),
        ("_children", 5),
        ("_get_custom_headers", 5),
        ("__dict__", {}),
        ("chain", 5),
        ("errbacks", ["x"]),
        ("chord", []),
    ],
)
def test_a_header_that_no_worker_can_use_is_named(name: str, value: Any) -> None:
    found = fault(message([[], {"inputs": "a"}, {}], headers={**HEADERS, name: value}))
    assert (found.code, found.field) == (ErrorCode.UNREADABLE_MESSAGE, name)
    assert name in found.message


@pytest.mark.parametrize("missing", HEADERS)
def test_a_message_without_a_task_or_an_id_is_no_task_message(missing: str) -> None:
    headers = {name: value for name, value in HEADERS.items() if name != missing}
    assert fault(message(headers=headers)).field == missing


@pytest.mark.parametrize(
    "body",
    [
        [],
        [[], {}],
        [[], {}, {}, {}],
        [{}, {}, {}],
        [[], [], {}],
        [None, {}, {}],
        [[], None, {}],
        [[], {}, []],
        [[], {}, "chain"],
        {"args": [], "kwargs": {}},
        {"task": "text-classification", "id": "id-1", "args": [], "kwargs": {}},
        "text",
        5,
        None,
        True,
    ],
    ids=str,
)
def test_a_body_that_celery_cannot_unpack_is_refused(body: Any) -> None:
    found = fault(message(json.dumps(body)))
    assert (found.code, found.field) == (ErrorCode.UNREADABLE_MESSAGE, "body")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            (name, value)
            for name in ("callbacks", "errbacks", "chain")
            for value in (5, True, "x", [5], ["x"], {"a": 1})
        ),
        *(("chord", value) for value in (5, True, "x", [], [{"a": 1}])),
        *((name, 5) for name in ("id", "delivery_info", "ignore_result", "headers", "get", "_children", "timelimit")),
    ],
)
def test_an_option_of_the_body_that_no_worker_can_use_is_named(name: str, value: Any) -> None:
    found = fault(message([[], {"inputs": "a"}, {**OPTIONS, name: value}]))
    assert (found.code, found.field) == (ErrorCode.UNREADABLE_MESSAGE, "body")
    assert name in found.message


def test_an_option_that_this_version_of_celery_does_not_know_has_no_fault() -> None:
    assert find_fault(message([[], {"inputs": "a"}, {**OPTIONS, "of_a_later_celery": [5]}])) is None


@pytest.mark.parametrize("levels", [101, 500, 900])
def test_what_is_nested_too_deep_for_celery_to_hand_it_to_its_pool_is_refused(levels: int) -> None:
    deep: list[Any] = []
    for _ in range(levels - 1):
        deep = [deep]
    assert fault(message([[], {"inputs": deep}, OPTIONS])).field == "body"
    assert fault(message(headers={**HEADERS, "deep": deep})).field == "headers"
    assert fault(message(headers={**HEADERS, "id": deep})).field == "id"


def test_what_a_group_of_chains_nests_has_no_fault() -> None:
    task: dict[str, Any] = {"task": "text-classification", "args": [], "kwargs": {"inputs": "a"}, "options": {}}
    for _ in range(20):
        task = {"task": "celery.chain", "args": [], "kwargs": {"tasks": [task]}, "options": {}, "immutable": False}
    assert find_fault(message([[], {"inputs": "a"}, {**OPTIONS, "callbacks": [task], "chain": [task]}])) is None


@pytest.mark.parametrize("body", [None, 0, 5, 1.5, True, False, [], {}, [[], {}, {}]], ids=str)
def test_a_message_whose_body_is_no_text_is_refused(body: Any) -> None:
    found = fault(Message(body=body, headers=HEADERS, content_type="application/json", content_encoding="utf-8"))
    assert (found.code, found.field) == (ErrorCode.UNREADABLE_MESSAGE, "body")


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff\xfe\x00", b"[[], {}, {}", b"NaN", b"[" * 100_000, '[[], {"a": "\ud800"}'],
    ids=["empty", "cut", "no UTF-8", "open", "NaN", "deep", "half a surrogate"],
)
def test_a_body_that_is_not_the_json_that_it_says_is_refused(body: bytes | str) -> None:
    assert fault(message(body)).field == "body"


@pytest.mark.parametrize("kind", ["application/x-python-serialize", "application/x-yaml", "", None, 5, ["a"]])
def test_another_content_type_is_refused_before_anything_is_decoded(kind: Any) -> None:
    found = fault(message(pickle.dumps(BODY), content_type=kind))
    assert (found.code, found.field) == (ErrorCode.UNREADABLE_MESSAGE, "content-type")


def test_a_body_that_is_too_large_is_refused_before_it_is_decoded() -> None:
    found = fault(message(b"{" * (2 * MAX_REQUEST_BYTES)))
    assert (found.code, found.limit) == (ErrorCode.TOO_LARGE, MAX_REQUEST_BYTES)


def test_the_largest_request_that_a_client_sends_has_no_fault() -> None:
    inputs = "x" * (MAX_REQUEST_BYTES - 200)
    assert find_fault(message([[], {"inputs": inputs}, OPTIONS])) is None


@given(JSON_VALUES)
def test_any_json_is_either_a_task_body_or_refused(body: Any) -> None:
    found = find_fault(message(json.dumps(body)))
    match body:
        case [list(), dict(), dict() as options] if options:
            assert found is None or any(name in found.message for name in options)
        case [list(), dict(), dict() | None]:
            assert found is None
        case _:
            assert found is not None


@given(st.binary())
def test_no_bytes_make_the_check_itself_fail(body: bytes) -> None:
    assert fault(message(body)).code is ErrorCode.UNREADABLE_MESSAGE


@given(st.dictionaries(st.sampled_from(NAMES), JSON_VALUES))
def test_no_headers_make_the_check_itself_fail(headers: dict[str, Any]) -> None:
    found = find_fault(message(headers=headers))
    assert found is None or found.field in {*headers, "task", "id"}


def test_no_fault_repeats_the_body() -> None:
    for body in ([MARKER], f'["{MARKER}"', [[MARKER], {MARKER: 1}]):
        assert MARKER not in str(fault(message(body)))


def test_what_a_sender_wrote_is_repeated_in_part_only() -> None:
    assert shorten("x" * 1000) == "x" * 100
    assert len(fault(message(content_type="x" * 1000)).message) < 200
    assert unreadable_message("problem", "field").field == "field"


def test_what_no_log_can_hold_is_repeated_in_another_way() -> None:
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    assert shorten(deep) == "list"
    assert shorten("half a \ud800 pair") == "half a \\ud800 pair"


@given(
    st.text(alphabet="0123456789-+:.TWZ", max_size=30)
    | st.datetimes(timezones=st.none() | st.timezones()).map(lambda moment: moment.isoformat())
)
def test_no_moment_makes_the_check_itself_fail_and_celery_reads_those_without_a_fault(text: str) -> None:
    received = message(headers={**HEADERS, "eta": text, "expires": text})
    if find_fault(received) is None:
        request = Request(received, app=APP, task=APP.Task())
        assert request.eta == request.expires
        assert request.maybe_expire() in (True, None)
