"""The span of sending, by OpenTelemetry's SDK in a process of its own: a provider is set once and for all."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
import redis

from examples.local_stack import PATIENCE_S, LocalServer, free_port

SECRET = "Zebediah"  # noqa: S105 - a text, not a password
#: The flag of https://www.w3.org/TR/trace-context/#sampled-flag.
SAMPLED = 1

#: Prints the spans of what it sends: with Sentry too, not sampled, without headers, too large, and to nobody.
SENDING = """
import asyncio, json, sys
import sentry_sdk
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from producer import AsyncClient, Client, CeleriacError, TextClassificationRequest

url, nobody, secret = sys.argv[1:]
request = TextClassificationRequest(inputs=secret)
exporter, provider = InMemorySpanExporter(), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
sentry_sdk.init(traces_sample_rate=1.0, dsn="http://key@127.0.0.1:9/1", default_integrations=False)
unsampled = trace.NonRecordingSpan(trace.SpanContext(1, 2, is_remote=True, trace_flags=trace.TraceFlags(0)))

async def send_to_nobody():
    async with AsyncClient(nobody, timeout_s=0.2) as client:
        await client.submit(request)

with Client(url) as client, Client(url, trace_headers=dict) as silent:
    token = context.attach(baggage.set_baggage("user", "7"))
    with sentry_sdk.start_transaction(name="here"):
        client.submit(request, request_id="both")
    with trace.use_span(unsampled):
        client.submit(request, request_id="unsampled")
    silent.submit(request, request_id="silent")
    context.detach(token)
    for call in (
        lambda: client.submit(TextClassificationRequest(inputs=[secret * 5000] * 64), request_id="large"),
        lambda: asyncio.run(send_to_nobody()),
    ):
        try:
            call()
        except CeleriacError as error:
            pass
print(json.dumps([json.loads(span.to_json()) for span in exporter.get_finished_spans()]))
"""


@pytest.fixture
def sent(own_server: LocalServer) -> list[dict[str, Any]]:
    command = [sys.executable, "-c", SENDING, own_server.url, f"redis://127.0.0.1:{free_port()}/0", SECRET]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    assert SECRET not in done.stdout
    spans: list[dict[str, Any]] = json.loads(done.stdout)
    return spans


def test_each_message_continues_its_span_and_a_failure_has_its_kind(
    sent: list[dict[str, Any]], own_redis: redis.Redis
) -> None:
    both, silent, large, lost = sent
    elements = own_redis.lrange("text-classification", 0, -1)
    assert isinstance(elements, list)
    headers = {one["id"]: one for one in (json.loads(element)["headers"] for element in elements)}

    assert {span["name"] for span in sent} == {"send text-classification"}
    assert [span["attributes"].get("messaging.message.id") for span in (both, silent, large)] == [
        "both",
        "silent",
        "large",
    ]
    context = both["context"]
    *ids, flags = headers["both"]["traceparent"].split("-")
    assert (ids, int(flags, 16) & SAMPLED) == (["00", context["trace_id"][2:], context["span_id"][2:]], SAMPLED)
    assert "sentry-trace" in headers["both"]
    members = [member.partition("=")[0] for member in headers["both"]["baggage"].split(",")]
    assert {"user", "sentry-trace_id"} <= set(members)
    assert len(members) == len(set(members))
    assert int(headers["unsampled"]["traceparent"][-2:], 16) & SAMPLED == 0
    assert headers["silent"].keys() & {"traceparent", "baggage", "sentry-trace"} == set()
    assert [span["attributes"].get("error.type") for span in sent] == [
        None,
        None,
        "too_large",
        "producer.errors.BrokerUnavailable",
    ]
    assert [span["status"]["status_code"] for span in (both, large, lost)] == ["UNSET", "ERROR", "ERROR"]
    assert not any(span["events"] for span in sent)
