"""What goes to Sentry: which traces are continued and sampled, and what is taken out of a report."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from sentry_sdk import Client
from sentry_sdk.utils import event_from_exception

from producer.contract import ErrorCode, ModelFailed
from worker.observability.sentry import incoming_trace
from worker.observability.sentry.hiding import hide_texts
from worker.observability.sentry.traces import sampling_decision

SECRET = "Zebediah"  # noqa: S105 - a text, not a password
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, {}),
        ({"sentry-trace": f"{TRACE}-{SPAN}"}, {"sentry-trace": f"{TRACE}-{SPAN}"}),
        ({"headers": {"sentry-trace": f"{TRACE}-{SPAN}-1"}}, {"sentry-trace": f"{TRACE}-{SPAN}-1"}),
        ({"traceparent": f"00-{TRACE}-{SPAN}-01"}, {"sentry-trace": f"{TRACE}-{SPAN}-1"}),
        ({"traceparent": f"00-{TRACE}-{SPAN}-02"}, {"sentry-trace": f"{TRACE}-{SPAN}-0"}),
        ({"traceparent": f"cc-{TRACE}-{SPAN}-01-more"}, {"sentry-trace": f"{TRACE}-{SPAN}-1"}),
        ({"sentry-trace": "x", "traceparent": f"00-{TRACE}-{SPAN}-01"}, {"sentry-trace": f"{TRACE}-{SPAN}-1"}),
        ({"sentry-trace": f"{TRACE}-{SPAN}", "baggage": "a=b"}, {"sentry-trace": f"{TRACE}-{SPAN}", "baggage": "a=b"}),
        ({"sentry-trace": f"{TRACE}-{SPAN}", "baggage": "a" * 8193}, {"sentry-trace": f"{TRACE}-{SPAN}"}),
        ({"traceparent": f"ff-{TRACE}-{SPAN}-01"}, {}),
        ({"traceparent": f"00-{'0' * 32}-{SPAN}-01"}, {}),
        ({"traceparent": f"00-{TRACE}-{'0' * 16}-01"}, {}),
        ({"traceparent": f"00-{TRACE.upper()}-{SPAN}-01"}, {}),
        ({"traceparent": 7, "sentry-trace": None, "headers": []}, {}),
        ({"baggage": "a=b"}, {}),
    ],
)
def test_the_trace_of_a_message_is_read_from_either_header(headers: dict[str, Any], expected: dict[str, str]) -> None:
    assert incoming_trace.read_trace(headers) == expected


@pytest.mark.parametrize(
    ("trace", "baggage", "rate", "expected"),
    [
        (f"{TRACE}-{SPAN}-1", "", 0.001, True),
        (f"{TRACE}-{SPAN}-0", "", 1.0, False),
        (f"{TRACE}-{SPAN}", "other=1,sentry-sample_rand=0.250000,sentry-environment=x", 0.3, True),
        (f"{TRACE}-{SPAN}", "sentry-sample_rand=0.250000", 0.2, False),
        (f"{TRACE}-{SPAN}", "sentry-sample_rand=nan", 0.2, None),
        (f"{TRACE}-{SPAN}", "", 0.5, None),
    ],
)
def test_a_sender_decides_about_its_trace(trace: str, baggage: str, rate: float, expected: bool | None) -> None:
    assert sampling_decision({"sentry-trace": trace, "baggage": baggage}, rate) is expected


def test_traces_that_begin_here_are_sampled_at_the_rate() -> None:
    assert sampling_decision({}, 1.0) is True
    assert 0 < sum(sampling_decision({}, 0.5) is True for _ in range(1000)) < 1000


@pytest.mark.parametrize("at", [None, "now", True, -1, float("nan"), float("inf"), 1e300])
def test_a_time_of_enqueueing_that_is_none_is_as_good_as_not_there(at: object) -> None:
    assert incoming_trace.enqueued_at({incoming_trace.ENQUEUED_AT: at}) is None
    assert incoming_trace.enqueued_at({incoming_trace.ENQUEUED_AT: 1_700_000_000.5}) == 1_700_000_000.5


def report_of(error: BaseException, **hint: Any) -> dict[str, Any]:
    options = Client(default_integrations=False, include_local_variables=False).options
    event, _ = event_from_exception(error, client_options=options)
    hidden: dict[str, Any] = hide_texts({**event, "extra": {"args": SECRET}}, hint)
    return hidden


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except type(error) as caught:
        return caught


@pytest.mark.parametrize(
    "error",
    [
        ValueError(SECRET),
        RuntimeError(f"failed over {SECRET}"),
        KeyError(SECRET),
        UnicodeEncodeError("utf-8", SECRET, 0, 1, SECRET),
    ],
)
def test_a_report_has_the_type_and_stack_of_an_exception_and_not_its_message(error: Exception) -> None:
    chained = raised(RuntimeError("outer"))
    chained.__cause__ = raised(error)

    report = report_of(chained)

    assert [value["type"] for value in report["exception"]["values"]] == [type(error).__name__, "RuntimeError"]
    assert report["exception"]["values"][-1]["stacktrace"]["frames"][-1]["function"] == "raised"
    assert SECRET not in json.dumps(report, default=str)


@pytest.mark.parametrize("error", [ConnectionRefusedError(111, "refused"), MemoryError("all of it")])
def test_a_message_that_quotes_nobody_is_shown(error: Exception) -> None:
    assert report_of(raised(error))["exception"]["values"][0]["value"] == str(error)


def test_the_contracts_errors_are_shown() -> None:
    error = ModelFailed.of(ErrorCode.MODEL_FAILED, "model sentiment failed: RuntimeError")
    assert "model sentiment failed" in report_of(raised(error))["exception"]["values"][0]["value"]


def test_a_reported_log_line_names_exceptions_and_does_not_quote_them() -> None:
    args = ("sentiment", 3, ValueError(SECRET), [SECRET])
    record = logging.LogRecord("worker", logging.ERROR, __file__, 1, "%s: %d failed: %r %s", args, None)
    event = hide_texts({"logentry": {"formatted": record.getMessage()}}, {"log_record": record})
    assert event["logentry"]["formatted"] == "sentiment: 3 failed: 'ValueError' list"


def test_a_line_that_cannot_be_formatted_without_its_exception_is_reported_as_it_is_written() -> None:
    record = logging.LogRecord("worker", logging.ERROR, __file__, 1, "%s and %d", ("one", [SECRET]), None)
    event = hide_texts({}, {"log_record": record})
    assert event["logentry"]["formatted"] == "%s and %d"
