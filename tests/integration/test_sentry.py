"""Errors and traces in Sentry: what is in them, whose trace they continue, and what is never in them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from examples.local_stack import PATIENCE_S, LocalServer, LocalWorker
from models.engine.arithmetic import has_int8_products
from producer import Client, TextClassificationRequest
from producer.contract import TaskName
from tests.conftest import plain_celery
from tests.integration.sentry_sink import SentrySink

SECRET = "Zebediah"  # noqa: S105 - a text, not a password
LONG_SECRET = f"my doctor {SECRET} says that it is nothing " * 60
TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"

SHORT: dict[str, dict[str, Any]] = {
    TaskName.TEXT_CLASSIFICATION: {"inputs": f"{SECRET} is so good"},
    TaskName.ZERO_SHOT_CLASSIFICATION: {"inputs": f"{SECRET} is ill", "candidate_labels": "health, money"},
    TaskName.QUESTION_ANSWERING: {"question": "Who is it?", "context": f"My doctor is called {SECRET}."},
}
LONG: dict[str, dict[str, Any]] = {
    TaskName.TEXT_CLASSIFICATION: {"inputs": [LONG_SECRET] * 64},
    TaskName.ZERO_SHOT_CLASSIFICATION: {"inputs": [LONG_SECRET] * 16, "candidate_labels": [*"abcdefgh"]},
    TaskName.QUESTION_ANSWERING: {"question": ["Who is it?"] * 32, "context": [LONG_SECRET] * 32},
}


@pytest.fixture(scope="module")
def sink() -> Iterator[SentrySink]:
    with SentrySink() as started:
        yield started


@pytest.fixture
def sentry_sink() -> Iterator[SentrySink]:
    """A sink for one test."""
    with SentrySink() as started:
        yield started


@pytest.fixture(scope="module")
def traced_server() -> Iterator[LocalServer]:
    with LocalServer() as started:
        yield started


@pytest.fixture(scope="module")
def traced(
    traced_server: LocalServer, sink: SentrySink, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalWorker]:
    """A worker that traces every request whose sender has not decided otherwise."""
    environment = {
        "CELERIAC_BROKER_URL": traced_server.url,
        "CELERIAC_CORES_LEASE_DIR": str(tmp_path_factory.mktemp("leases")),
        "CELERIAC_SENTRY_DSN": sink.dsn,
        "CELERIAC_SENTRY_ENVIRONMENT": "a-test",
        "CELERIAC_SENTRY_TRACES_SAMPLE_RATE": "1",
        "CELERIAC_LOG_FORMAT": "json",
    }
    with LocalWorker(["--concurrency=1"], environment) as started:
        started.wait_until_ready()
        yield started


@pytest.fixture
def sender(traced_server: LocalServer) -> Iterator[Celery]:
    """Plain Celery without Sentry."""
    yield from plain_celery(traced_server)


@pytest.mark.parametrize("task", list(TaskName))
def test_a_failing_request_is_reported_once_with_tags_and_without_its_text(
    traced: LocalWorker, sender: Celery, sink: SentrySink, task: TaskName
) -> None:
    result = sender.send_task(task.value, kwargs=LONG[task], queue=task.value, soft_time_limit=0.05)
    with pytest.raises(Exception, match="SoftTimeLimitExceeded"):
        result.get(timeout=PATIENCE_S)
    traced.wait_for(lambda: bool(sink.events_of(result.id) and sink.transactions_of(result.id)))

    (event,) = sink.events_of(result.id)
    assert event["exception"]["values"][-1]["type"] == "SoftTimeLimitExceeded"
    assert event["environment"] == "a-test"
    assert event["transaction"] == task.value
    tags = event["tags"]
    assert tags["task"] == tags["queue"] == task.value
    assert tags["model"] in {"sentiment", "nli", "qa"}
    assert tags["revision"]
    assert "arithmetic" not in tags or tags["arithmetic"] == _arithmetic_of(tags["model"])
    assert tags["batch_size"] == "1"
    assert int(tags["tokens"]) > 1000
    (transaction,) = sink.transactions_of(result.id)
    assert transaction["contexts"]["trace"]["status"] == "internal_error"
    assert event["contexts"]["trace"]["trace_id"] == transaction["contexts"]["trace"]["trace_id"]
    assert not any(SECRET.encode() in envelope for envelope in sink.received)
    assert SECRET not in traced.log


def _arithmetic_of(model: str) -> str:
    """The arithmetic of a bundled model where INT8 is set: some of the inputs of two are quantized as they come."""
    return "int8" if model == "sentiment" or has_int8_products() else "f32"


@pytest.mark.parametrize("task", list(TaskName))
def test_a_sampled_request_has_a_transaction_with_the_span_of_its_batch(
    traced: LocalWorker, sender: Celery, sink: SentrySink, task: TaskName
) -> None:
    sent = [sender.send_task(task.value, kwargs=SHORT[task], queue=task.value) for _ in range(6)]
    assert all(result.get(timeout=PATIENCE_S) for result in sent)
    traced.wait_for(lambda: all(sink.transactions_of(result.id) for result in sent))

    for result in sent:
        (transaction,) = sink.transactions_of(result.id)
        assert transaction["transaction"] == task.value
        tags = transaction["tags"]
        assert tags.keys() >= {"task", "task_id", "queue", "batch_size", "tokens", "model", "revision"}
        assert tags["arithmetic"] == _arithmetic_of(tags["model"])
        process, batch = transaction["spans"]
        assert (process["op"], batch["op"], batch["description"]) == ("queue.process", "inference", "compute batch")
        assert batch["parent_span_id"] == process["span_id"]
        assert str(batch["data"]["batch_size"]) == tags["batch_size"]
        assert 4 < batch["data"]["tokens"] < 64
        assert batch["data"]["arithmetic"] == tags["arithmetic"]
        # It begins with the batch, and ends after the batch has.
        assert transaction["start_timestamp"] == batch["start_timestamp"] < batch["timestamp"]
        assert batch["timestamp"] <= transaction["timestamp"]
    assert not any(SECRET.encode() in envelope for envelope in sink.received)


def test_the_requests_of_a_batch_share_its_times(traced: LocalWorker, sender: Celery, sink: SentrySink) -> None:
    name = TaskName.TEXT_CLASSIFICATION.value
    busy = sender.send_task(name, kwargs={"inputs": [LONG_SECRET] * 16}, queue=name)
    sent = [sender.send_task(name, kwargs=SHORT[name], queue=name) for _ in range(8)]
    assert all(result.get(timeout=PATIENCE_S) for result in [busy, *sent])
    traced.wait_for(lambda: all(sink.transactions_of(result.id) for result in sent))

    found = [sink.transactions_of(result.id)[0] for result in sent]
    by_batch: dict[str, list[str]] = {}
    for transaction in found:
        by_batch.setdefault(transaction["spans"][1]["start_timestamp"], []).append(transaction["tags"]["batch_size"])
    assert any(len(sizes) > 1 for sizes in by_batch.values())
    assert all(int(size) >= len(sizes) for sizes in by_batch.values() for size in sizes)


PRODUCERS = """
import sys
import sentry_sdk
from celery import Celery
from sentry_sdk.integrations.celery import CeleryIntegration
from producer import Client

url, dsn = sys.argv[1:]
sentry_sdk.init(dsn=dsn, traces_sample_rate=1.0, integrations=[CeleryIntegration()])
with sentry_sdk.start_transaction(name="ours", op="test") as ours, Client(url) as client:
    client.classify("so good")
with sentry_sdk.start_transaction(name="stock", op="test") as stock, Celery(broker=url, backend=url) as app:
    app.send_task("text-classification", kwargs={"inputs": "so good"}).get(timeout=300)
sentry_sdk.flush()
print(ours.trace_id, stock.trace_id)
"""


def test_the_trace_of_a_sender_with_sentry_goes_on_in_the_worker(
    traced: LocalWorker, traced_server: LocalServer, sink: SentrySink
) -> None:
    command = [sys.executable, "-c", PRODUCERS, traced_server.url, sink.dsn]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE_S)
    for trace_id in done.stdout.split():

        def found(trace_id: str = trace_id) -> list[Any]:
            return [t for t in sink.transactions if t["contexts"]["trace"]["trace_id"] == trace_id]

        traced.wait_for(lambda: len(found()) == 2)
        here, there = sorted(found(), key=lambda transaction: str(transaction["contexts"]["trace"]["op"]))
        assert here["contexts"]["trace"]["op"] == "queue.task.celery"
        inside = {there["contexts"]["trace"]["span_id"], *(span["span_id"] for span in there["spans"])}
        assert here["contexts"]["trace"]["parent_span_id"] in inside
        assert here["spans"][0]["data"]["messaging.message.receive.latency"] >= 0


def test_a_w3c_traceparent_is_continued_and_its_decision_kept(
    traced: LocalWorker, traced_server: LocalServer, sender: Celery, sink: SentrySink
) -> None:
    name = TaskName.TEXT_CLASSIFICATION.value
    dropped = sender.send_task(name, kwargs=SHORT[name], headers={"traceparent": f"00-{TRACE_ID}-{SPAN_ID}-00"})
    kept = sender.send_task(name, kwargs=SHORT[name], headers={"traceparent": f"00-{TRACE_ID}-{SPAN_ID}-01"})
    with Client(traced_server.url, trace_headers=lambda: {"traceparent": f"00-{TRACE_ID}-{SPAN_ID}-01"}) as client:
        ours = client.submit(TextClassificationRequest.parse(SHORT[name]))
        client.wait(ours, timeout_s=PATIENCE_S)
    assert dropped.get(timeout=PATIENCE_S)
    traced.wait_for(lambda: bool(sink.transactions_of(kept.id) and sink.transactions_of(ours)))

    for task_id in (kept.id, ours):
        (transaction,) = sink.transactions_of(task_id)
        assert transaction["contexts"]["trace"]["trace_id"] == TRACE_ID
        assert transaction["contexts"]["trace"]["parent_span_id"] == SPAN_ID
    assert sink.transactions_of(dropped.id) == []


def test_what_a_request_links_to_is_part_of_its_trace(traced: LocalWorker, sender: Celery, sink: SentrySink) -> None:
    name = TaskName.TEXT_CLASSIFICATION.value
    link = sender.signature(name, kwargs=SHORT[name], immutable=True).set(task_id="linked")
    first = sender.send_task(name, kwargs=SHORT[name], link=link)
    assert first.get(timeout=PATIENCE_S)
    traced.wait_for(lambda: bool(sink.transactions_of(first.id) and sink.transactions_of("linked")))

    (before,), (after,) = sink.transactions_of(first.id), sink.transactions_of("linked")
    assert after["contexts"]["trace"]["trace_id"] == before["contexts"]["trace"]["trace_id"]


@pytest.mark.parametrize(
    "headers",
    [
        {"traceparent": 7, "sentry-trace": ["x"], "baggage": {"a": 1}},
        {"sentry-trace": f"{TRACE_ID}-{SPAN_ID}-1", "baggage": "sentry-sample_rand=nan,,=,sentry-=%zz"},
        {"headers": {"sentry-trace": None, "baggage": "x" * 100_000}},
        {"headers": "none", "sentry-trace": "é" * 40, "sentry-task-enqueued-time": "yesterday"},
        {"traceparent": f"ff-{'0' * 32}-{'0' * 16}-zz", "sentry-task-enqueued-time": 1e300},
    ],
)
def test_a_request_with_malformed_trace_headers_is_answered_and_traced(
    traced: LocalWorker, sender: Celery, sink: SentrySink, headers: dict[str, Any]
) -> None:
    name = TaskName.TEXT_CLASSIFICATION.value
    result = sender.send_task(name, kwargs=SHORT[name], headers=headers)

    assert result.get(timeout=PATIENCE_S)
    traced.wait_for(lambda: bool(sink.transactions_of(result.id)))
    assert "Signal handler" not in traced.log


def test_a_request_that_is_given_up_is_reported_by_the_parent_and_its_log_tells_why(
    traced: LocalWorker, sender: Celery, sink: SentrySink
) -> None:
    name = TaskName.TEXT_CLASSIFICATION.value
    result = sender.send_task(name, kwargs=LONG[name], queue=name)
    inspect, killed = sender.control.inspect(timeout=5, limit=1), set[int]()
    while len(killed) < 3:
        traced.wait_for(lambda: bool(traced.processes.keys() and set(traced.processes.values()) - killed))
        traced.wait_for(lambda: result.id in json.dumps(inspect.active()))
        killed.add(traced.processes[0])
        os.kill(traced.processes[0], signal.SIGKILL)
    with pytest.raises(Exception, match="3 processes died"):
        result.get(timeout=PATIENCE_S)
    traced.wait_for(lambda: bool(sink.events_of(result.id)))

    (event,) = sink.events_of(result.id)
    assert event["exception"]["values"][-1]["type"] == "ModelFailed"
    assert event["tags"].items() >= {"task": name, "model": "sentiment", "batch_size": "1"}.items()
    assert not any(SECRET.encode() in envelope for envelope in sink.received)
    lines = [json.loads(line) for line in traced.log.splitlines(keepends=True) if line.endswith("\n")]
    died = [line for line in lines if "requests died, each now runs alone" in line["message"]]
    assert [line["task_ids"] for line in died] == [[result.id]] * 2
    assert [line["task_id"] for line in lines if "gave up" in line["message"]] == [result.id]


def test_nothing_is_sent_without_sampling_and_without_failures(
    own_environment: dict[str, str], own_server: LocalServer, own_stock: Celery, sentry_sink: SentrySink
) -> None:
    environment = own_environment | {"CELERIAC_SENTRY_DSN": sentry_sink.dsn}
    with (
        LocalWorker(["--concurrency=1"], environment) as worker,
        Client(own_server.url, timeout_s=PATIENCE_S) as client,
    ):
        worker.wait_until_ready()
        assert client.classify("so good")
        sampled = {"traceparent": f"00-{TRACE_ID}-{SPAN_ID}-01"}
        assert own_stock.send_task("text-classification", kwargs={"inputs": "bad"}, headers=sampled).get(
            timeout=PATIENCE_S
        )
        # The sender's own fault.
        invalid = own_stock.send_task("text-classification", kwargs={"inputs": ""})
        with pytest.raises(Exception, match="inputs"):
            invalid.get(timeout=PATIENCE_S)
        # What is on its way is sent at the end.
        assert worker.stop() == 0
    assert sentry_sink.received == []


def test_a_process_sends_what_it_has_before_it_ends(
    own_environment: dict[str, str], own_server: LocalServer, sentry_sink: SentrySink
) -> None:
    environment = own_environment | {
        "CELERIAC_SENTRY_DSN": sentry_sink.dsn,
        "CELERIAC_SENTRY_TRACES_SAMPLE_RATE": "1",
    }
    arguments = ["--concurrency=1", "--max-tasks-per-child=1"]
    with LocalWorker(arguments, environment) as worker, Client(own_server.url, timeout_s=PATIENCE_S) as client:
        worker.wait_until_ready()
        sent = [client.submit(TextClassificationRequest.parse({"inputs": "so good"})) for _ in range(2)]
        assert [client.wait(request_id).request_id for request_id in sent] == sent
        assert worker.stop() == 0
    assert all(sentry_sink.transactions_of(request_id) for request_id in sent)


def test_nothing_of_sentry_is_loaded_without_a_dsn(tmp_path: Path) -> None:
    code = "import sys, worker.celery_app, worker.pool, producer.client; print('sentry_sdk' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert json.loads(done.stdout.lower()) is False
