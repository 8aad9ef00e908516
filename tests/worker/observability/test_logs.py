"""A log line as JSON: which request it is about, and that it is a line whatever is in it."""

from __future__ import annotations

import io
import json
import logging
from typing import Any, NamedTuple

import pytest

from worker.observability.logs import JsonFormatter
from worker.pool import work_context

REPR_FAILS = "its repr fails"


class Known(NamedTuple):
    """A request."""

    task: str
    task_id: str


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError(REPR_FAILS)


def line_of(message: object, *args: object, **more: Any) -> dict[str, Any]:
    record = logging.LogRecord("a.logger", logging.INFO, __file__, 1, message, args or None, None)
    vars(record).update(more)
    (text,) = JsonFormatter().format(record).splitlines()
    line: dict[str, Any] = json.loads(text)
    return line


def test_a_line_has_when_where_and_what() -> None:
    line = line_of("two %s", "parts")
    assert line["message"] == "two parts"
    assert (line["level"], line["logger"]) == ("INFO", "a.logger")
    assert line.keys() == {"time", "level", "logger", "pid", "message"}


@pytest.mark.parametrize(
    ("message", "args"),
    [
        ("Discarding revoked task: %s[%s]", ("a-task", "an-id")),
        ("Soft time limit (%ss) exceeded for %s[%s]", (1, "a-task", "an-id")),
        ("100%% of %s[%s] failed: %r", ("a-task", "an-id", ValueError())),
    ],
)
def test_a_line_that_names_a_request_as_celery_does_is_about_it(message: str, args: tuple[object, ...]) -> None:
    line = line_of(message, *args)
    assert (line["task_id"], line["task"]) == ("an-id", "a-task")


def test_a_line_with_celerys_data_is_about_its_request() -> None:
    line = line_of("received", data={"id": "an-id", "name": "a-task", "args": "secret"})
    assert (line["task_id"], line["task"]) == ("an-id", "a-task")
    assert "secret" not in json.dumps(line)


@pytest.mark.parametrize(("ids", "expected"), [("one", {"task_id": "one"}), ("one, two", {"task_ids": ["one", "two"]})])
def test_a_revocation_is_about_all_that_it_revokes(ids: str, expected: dict[str, Any]) -> None:
    assert line_of("Tasks flagged as revoked: %s", ids).items() >= expected.items()


def test_a_line_during_the_computation_of_a_batch_is_about_all_its_requests() -> None:
    calls = [Known("a-task", "one"), Known("a-task", "two")]
    work_context.begin(calls)
    try:
        during = line_of("computing")
    finally:
        work_context.end()
    assert during["task_ids"] == ["one", "two"]
    assert (during["task"], during["batch"]) == ("a-task", 2)
    assert "task_ids" not in line_of("after")


def test_a_line_about_one_request_of_a_batch_is_about_that_one() -> None:
    calls = [Known("a-task", "one"), Known("a-task", "two")]
    with work_context.on_batch(calls), work_context.on_request(calls[1]):
        line = line_of("Task handler raised error: %r", ValueError())
    assert (line["task_id"], line["batch"]) == ("two", 2)
    assert "task_ids" not in line


@pytest.mark.parametrize(
    ("message", "args", "more"),
    [
        ("%d of %d", ("one",), {}),
        ("%s", (Unprintable(),), {}),
        (Unprintable(), (), {}),
        ("half of \ud83d", (), {}),
        ("%s[%s]", ("only one",), {}),
        ("two\nlines", (), {}),
        ("no exception", (), {"exc_info": (None, None, None)}),
        ("odd exception", (), {"exc_info": True}),
        ("odd data", (), {"data": {"id": {1, 2}}}),
        ("odd ids", (), {"task_ids": Unprintable()}),
        ("odd keys", (), {"task_id": {("a", "tuple"): 1}}),
    ],
)
def test_whatever_is_in_a_record_becomes_one_line_that_can_be_written(
    message: object, args: tuple[object, ...], more: dict[str, Any]
) -> None:
    line = line_of(message, *args, **more)
    assert line["logger"] == "a.logger"
    assert "message" in line
    io.TextIOWrapper(io.BytesIO(), "ascii").write(json.dumps(line))


def test_an_exception_is_a_part_of_its_line() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        _ = 1 / 0
    line = line_of("failed", exc_info=(caught.type, caught.value, caught.tb))
    assert line["exception"].endswith("ZeroDivisionError: division by zero")
