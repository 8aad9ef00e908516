"""The caller's trace in our messages: Sentry's automatically, any other through a function that the caller passes."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest
import redis

from examples.local_stack import PATIENCE_S, LocalServer
from producer import Client, TextClassificationRequest
from producer.trace_headers import TraceHeaderSource

REQUEST = TextClassificationRequest.parse({"inputs": "so good"})
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
NAMES = {"sentry-trace", "traceparent", "tracestate", "baggage", "sentry-task-enqueued-time"}


def sent_headers(server: LocalServer, connected: redis.Redis, trace_headers: TraceHeaderSource) -> dict[str, Any]:
    with Client(server.url, trace_headers=trace_headers) as client:
        client.submit(REQUEST)
    element = connected.lpop("text-classification")
    assert isinstance(element, bytes)
    headers: dict[str, Any] = json.loads(element)["headers"]
    return headers


def test_the_headers_of_the_callers_function_are_sent(own_server: LocalServer, own_redis: redis.Redis) -> None:
    headers = sent_headers(own_server, own_redis, lambda: {"traceparent": TRACEPARENT, "tracestate": "a=b"})
    assert (headers["traceparent"], headers["tracestate"]) == (TRACEPARENT, "a=b")
    assert headers.keys() & NAMES == {"traceparent", "tracestate"}


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"task": "another", "id": "another", "traceparents": TRACEPARENT},
        {"traceparent": "", "baggage": "x" * 8193, "tracestate": "é", "sentry-trace": "two\nlines"},
        {"traceparent": 7, "baggage": None},
        None,
    ],
)
def test_what_is_no_trace_is_not_sent(own_server: LocalServer, own_redis: redis.Redis, given: Any) -> None:
    headers = sent_headers(own_server, own_redis, lambda: given)
    assert headers["task"] == "text-classification"
    assert headers["id"] != "another"
    assert headers.keys() & {*NAMES, "traceparents"} == set()


def test_a_function_that_fails_costs_the_trace_and_not_the_request(
    own_server: LocalServer, own_redis: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> Mapping[str, str]:
        raise LookupError("no span")

    with caplog.at_level(logging.WARNING):
        headers = sent_headers(own_server, own_redis, broken)
    assert headers.keys() & NAMES == set()
    assert "sent without its trace" in caplog.text


WITH_SENTRY = """
import sys
import redis, sentry_sdk
from producer import Client, TextClassificationRequest

request = TextClassificationRequest.parse({"inputs": "so good"})
url = sys.argv[1]
with Client(url) as client, Client(url, trace_headers=dict) as silent:
    client.submit(request)
    sentry_sdk.init(traces_sample_rate=1.0, dsn="http://key@127.0.0.1:9/1", default_integrations=False)
    with sentry_sdk.start_transaction(name="here") as transaction:
        silent.submit(request)
        client.submit(request)
        print(transaction.to_traceparent())
        transaction.sampled = False
"""


def test_sentrys_headers_are_sent_where_its_sdk_is_set_up(own_server: LocalServer, own_redis: redis.Redis) -> None:
    command = [sys.executable, "-c", WITH_SENTRY, own_server.url]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE_S)
    elements = own_redis.lrange("text-classification", 0, -1)
    assert isinstance(elements, list)
    last, silent, first = (json.loads(element)["headers"] for element in elements)
    assert first.keys() & NAMES == silent.keys() & NAMES == set()
    assert last["sentry-trace"] == done.stdout.strip()
    assert "sentry-trace_id=" in last["baggage"]
    assert last["sentry-task-enqueued-time"] > 1_700_000_000
