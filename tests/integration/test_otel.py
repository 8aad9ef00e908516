"""OpenTelemetry's spans, by its SDK and an OTLP sink: from a producer through a worker, and what is never in them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from examples.local_stack import PATIENCE_S, LocalServer, LocalWorker
from tests.conftest import PATIENT, plain_celery
from tests.integration.otlp_sink import OtlpSink, ReceivedSpan

SECRET = "Zebediah"  # noqa: S105 - a text, not a password
NAME = "text-classification"
TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
LAUNCHER = str(Path(sys.executable).with_name("opentelemetry-instrument"))
MALFORMED: list[dict[str, Any]] = [
    {"traceparent": 7, "tracestate": ["x"], "baggage": {"a": 1}, "celeriac_received_at": "yesterday"},
    {"traceparent": f"ff-{'0' * 32}-{'0' * 16}-zz", "tracestate": "é", "celeriac_received_at": 1e300},
]

#: A service with both clients, below spans of its own. It ends without an error, and prints what it has sent.
PRODUCERS = """
import asyncio, json, os, sys
from opentelemetry import baggage, context, trace
from producer import AsyncClient, Client, QueueClass, RequestError, TextClassificationRequest

tracer = trace.get_tracer("service")
url, secret = sys.argv[1:]
sent = {}
request = TextClassificationRequest(inputs=f"{secret} is so good")

async def send():
    async with AsyncClient(url, timeout_s=300) as client:
        with tracer.start_as_current_span("async"):
            sent["async"] = (await (await client.submit_classify(request.inputs)).answer()).request_id

with Client(url, timeout_s=300) as client:
    with tracer.start_as_current_span("sync"):
        sent["sync"] = client.submit(request)
    client.wait(sent["sync"])
    with tracer.start_as_current_span("batch"):
        busy = client.submit(TextClassificationRequest(inputs=[f"{secret} is nothing " * 60] * 32))
        sent["batch"] = [client.submit(request, queue_class=QueueClass.BULK) for _ in range(6)]
    for request_id in [busy, *sent["batch"]]:
        client.wait(request_id)
    with tracer.start_as_current_span("wrong"):
        sent["wrong"] = client.submit(TextClassificationRequest(inputs=secret, model=secret))
    try:
        client.wait(sent["wrong"])
    except RequestError as error:
        sent["code"] = error.details["code"]
asyncio.run(send())
print(json.dumps(sent))
"""

WITHOUT = """
import json, sys
for name in ["opentelemetry", *[name for name in sys.modules if name.startswith("opentelemetry")]]:
    sys.modules[name] = None
import redis
from producer import Client, TextClassificationRequest
with Client(sys.argv[1]) as client:
    client.submit(TextClassificationRequest(inputs="so good"))
element = redis.Redis.from_url(sys.argv[1]).lpop("text-classification")
print(sorted(json.loads(element)["headers"].keys() & {"traceparent", "tracestate", "baggage"}))
"""


@dataclass(frozen=True)
class Traces:
    """What was sent, and the spans of it."""

    sent: dict[str, Any]
    spans: list[ReceivedSpan]
    received: list[bytes]
    log: str

    def named(self, name: str) -> ReceivedSpan:
        (span,) = [span for span in self.spans if span.name == name]
        return span

    def of(self, request_id: str, kind: str) -> ReceivedSpan:
        (span,) = [
            span
            for span in self.spans
            if span.attributes.get("messaging.message.id") == request_id and span.kind == kind
        ]
        return span

    def batch_of(self, process: ReceivedSpan) -> ReceivedSpan:
        (span,) = [span for span in self.spans if span.name == f"compute {NAME}" and process.span_id in span.links]
        return span


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traces]:
    """Everything that is sent here, by a worker that has ended: its processes send their last spans then."""
    with LocalServer() as server, OtlpSink() as sink:
        environment = {
            "CELERIAC_BROKER_URL": server.url,
            "CELERIAC_MODELS": "sentiment",
            "CELERIAC_CORES_LEASE_DIR": str(tmp_path_factory.mktemp("leases")),
            "OTEL_SERVICE_NAME": "worker",
            # Nothing is exported before the end.
            "OTEL_BSP_SCHEDULE_DELAY": "600000",
            **sink.environment,
            **PATIENT,
        }
        with LocalWorker(["--concurrency=1"], environment, launcher=[LAUNCHER]) as worker:
            worker.wait_until_ready()
            command = [LAUNCHER, "--service_name", "service", sys.executable, "-c", PRODUCERS, server.url, SECRET]
            done = subprocess.run(
                command, env=environment | {"OTEL_SERVICE_NAME": "service"}, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr
            sent = json.loads(done.stdout) | _send_by_stock_celery(server)
            assert worker.stop() == 0
            yield Traces(sent, sink.spans, sink.received, worker.log)


def _send_by_stock_celery(server: LocalServer) -> dict[str, Any]:
    arguments = {"inputs": f"{SECRET} is so good"}
    for stock in plain_celery(server):
        link = stock.signature(NAME, kwargs=arguments, immutable=True).set(task_id="linked")
        headers = {"traceparent": f"00-{TRACE_ID}-{SPAN_ID}-01"}
        first = stock.send_task(NAME, kwargs=arguments, headers=headers, link=link, queue=NAME)
        dropped = stock.send_task(NAME, kwargs=arguments, headers={"traceparent": f"00-{TRACE_ID}-{SPAN_ID}-00"})
        malformed = [stock.send_task(NAME, kwargs=arguments, headers=headers) for headers in MALFORMED]
        for result in [first, dropped, *malformed, stock.AsyncResult("linked")]:
            assert result.get(timeout=PATIENCE_S)
        return {"stock": first.id, "dropped": dropped.id, "malformed": [result.id for result in malformed]}
    raise AssertionError("unreachable")


@pytest.mark.parametrize("client", ["sync", "async"])
def test_one_trace_goes_from_the_caller_through_producer_and_worker(traces: Traces, client: str) -> None:
    caller, request_id = traces.named(client), traces.sent[client]
    send, process = traces.of(request_id, "PRODUCER"), traces.of(request_id, "CONSUMER")
    batch = traces.batch_of(process)

    assert {span.trace_id for span in (caller, send, process, batch)} == {caller.trace_id}
    assert (send.parent_id, process.parent_id, batch.parent_id) == (caller.span_id, send.span_id, process.span_id)
    assert [span.service for span in (caller, send, process, batch)] == ["service", "service", "worker", "worker"]
    assert (send.name, process.name, batch.kind) == (f"send {NAME}", f"process {NAME}", "INTERNAL")
    assert send.started_at <= process.started_at <= batch.started_at < batch.ended_at <= process.ended_at
    assert not any(span.is_error for span in (send, process, batch))


def test_the_attributes_are_those_of_the_messaging_conventions(traces: Traces) -> None:
    request_id = traces.sent["sync"]
    send, process = traces.of(request_id, "PRODUCER"), traces.of(request_id, "CONSUMER")
    common = {"messaging.system": "celery", "messaging.destination.name": NAME, "messaging.message.id": request_id}
    model = {"celeriac.task": NAME, "celeriac.model": "sentiment", "celeriac.arithmetic": "int8"}

    assert send.attributes == {**common, "messaging.operation.type": "send", "messaging.operation.name": "send"}
    revision = {"celeriac.revision": process.attributes["celeriac.revision"]}
    operation = {"messaging.operation.type": "process", "messaging.operation.name": "process"}
    assert process.attributes == {**common, **operation, **model, **revision}
    assert traces.batch_of(process).attributes == {**model, **revision, "messaging.batch.message_count": 1}


def test_the_span_of_a_batch_is_linked_with_those_of_its_requests(traces: Traces) -> None:
    processes = [traces.of(request_id, "CONSUMER") for request_id in traces.sent["batch"]]
    batches = {traces.batch_of(process).span_id: traces.batch_of(process) for process in processes}

    assert any(len(batch.links) > 1 for batch in batches.values())
    for batch in batches.values():
        assert len(batch.links) == batch.attributes["messaging.batch.message_count"]
        assert batch.parent_id in batch.links
    for process in processes:
        batch = traces.batch_of(process)
        # One leads to the other, as its child or by a link.
        assert process.links == (() if process.span_id == batch.parent_id else (batch.span_id,))
        assert process.attributes["messaging.destination.name"] == f"{NAME}.bulk"


def test_a_failure_has_its_code(traces: Traces) -> None:
    process = traces.of(traces.sent["wrong"], "CONSUMER")

    assert process.is_error
    assert process.attributes["error.type"] == traces.sent["code"] == "unknown_model"


def test_a_stock_producers_trace_goes_on_and_so_does_what_is_linked(traces: Traces) -> None:
    process, linked = traces.of(traces.sent["stock"], "CONSUMER"), traces.of("linked", "CONSUMER")

    assert (process.trace_id, process.parent_id) == (TRACE_ID, SPAN_ID)
    assert (linked.trace_id, linked.parent_id) == (TRACE_ID, process.span_id)


def test_the_senders_decision_against_a_trace_is_kept(traces: Traces) -> None:
    known = {span.attributes.get("messaging.message.id") for span in traces.spans}

    assert traces.sent["stock"] in known
    assert traces.sent["dropped"] not in known


def test_malformed_headers_start_a_trace(traces: Traces) -> None:
    for request_id in traces.sent["malformed"]:
        assert traces.of(request_id, "CONSUMER").parent_id == ""


def test_no_span_has_a_text(traces: Traces) -> None:
    assert len(traces.received) >= 2
    assert not any(SECRET.encode() in body for body in traces.received)
    assert "Traceback" not in traces.log


def test_a_producer_needs_nothing_of_opentelemetry(own_server: LocalServer) -> None:
    command = [sys.executable, "-c", WITHOUT, own_server.url]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)

    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr
