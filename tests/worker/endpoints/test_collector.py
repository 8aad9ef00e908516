"""What a worker's counts and its last beat become for Prometheus."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from config import load_settings
from models.engine.usage import Usage
from worker.endpoints.collector import WorkerCollector
from worker.endpoints.health import Vitals
from worker.endpoints.pulse import Beat
from worker.observability.metrics.families import FAMILIES, PREFIX, Kind
from worker.observability.metrics.meter import Meter, RequestOutcome, RestartReason
from worker.transport.dead_letters import NO_DEAD_LETTERS, DeadLetterTotals, DeadReason, DropReason
from worker.workload.monitor import ObservedWorkload
from worker.workload.queue_depth import DepthSample
from worker.workload.workload import Workload

TASK = "text-classification"
WELL = Vitals(
    is_stopping=False, is_connected=True, beat_ago_s=0.5, processes_ready=2, broker_answers=True, deaf_for_s=None
)
DEAD = DeadLetterTotals(
    {DeadReason.MALFORMED: 3}, 4096, 60.5, {DeadReason.MALFORMED: 5, "of a newer version": 1}, {DropReason.NUMBER: 2}
)
SAMPLE = DepthSample(0.0, {"celery": 0, TASK: 30}, {TASK: 12.5}, 5, {"celery": 3, TASK: 2}, 0.0, DEAD)
OBSERVED = ObservedWorkload(Workload(backlog_s=6.0, arriving=0.5), SAMPLE, held=4, held_s=2.0)
BEAT = Beat(
    at_s=time.monotonic(),
    observed=OBSERVED,
    pids={"parent": os.getpid(), "0": 2**22 + 1},
    processes={"all": 3, "ready": 2, "busy": 1, "wanted": 4, "min": 1, "max": 6},
    waiting=3,
    restarts={RestartReason.DIED: 1, RestartReason.FAILED_TO_START: 0},
    fetches=70,
    fetched=700,
)


class Pulse:
    """A pulse whose last beat is what the test says."""

    def __init__(self, beat: Beat = BEAT, vitals: Vitals = WELL, observed: ObservedWorkload | None = OBSERVED) -> None:
        self.last = beat
        self._vitals = vitals
        self._observed = observed

    def vitals(self) -> Vitals:
        return self._vitals

    def observed(self) -> ObservedWorkload | None:
        return self._observed


@pytest.fixture
def meter() -> Meter:
    made = Meter()
    made.set_models({TASK: ["sentiment"]})
    return made


Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def collector_of(meter: Meter, pulse: Any) -> WorkerCollector:
    return WorkerCollector("celery@here", pulse, meter, load_settings())


def scraped(meter: Meter, pulse: Pulse | None = None) -> Samples:
    """The samples that Prometheus reads, by name without prefix and by labels."""
    registry = CollectorRegistry()
    registry.register(collector_of(meter, pulse or Pulse()))
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {
        (sample.name.removeprefix(PREFIX), frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]


def names(samples: Samples) -> set[str]:
    return {name for name, _ in samples}


def test_the_state_of_the_worker_is_that_of_its_last_beat(meter: Meter) -> None:
    samples = scraped(meter)

    assert [value(samples, name) for name in ("ready", "deaf", "broker_connected")] == [1, 0, 1]
    counts = {name: value(samples, f"processes{name}") for name in ("", "_ready", "_busy", "_wanted", "_min", "_max")}
    assert counts == {"": 3, "_ready": 2, "_busy": 1, "_wanted": 4, "_min": 1, "_max": 6}
    assert value(samples, "process_restarts_total", reason="died") == 1
    assert value(samples, "process_restarts_total", reason="failed_to_start") == 0
    assert (value(samples, "fetches_total"), value(samples, "fetched_messages_total")) == (70, 700)
    assert value(samples, "line_requests") == 3


def test_the_workload_is_in_seconds_of_one_process_and_the_drain_in_those_of_all_that_are_ready(meter: Meter) -> None:
    samples = scraped(meter)

    assert (value(samples, "held_requests"), value(samples, "held_seconds")) == (4, 2.0)
    assert (value(samples, "backlog_seconds"), value(samples, "arriving_work")) == (6.0, 0.5)
    assert value(samples, "drain_seconds") == 3.0
    assert value(samples, "unacknowledged_messages") == 5
    assert value(samples, "queue_waiting", queue=TASK) == 30
    assert value(samples, "queue_workers", queue="celery") == 3
    assert value(samples, "queue_oldest_seconds", queue=TASK) == 12.5
    assert ("queue_oldest_seconds", frozenset({("queue", "celery")})) not in samples


def test_dead_letters_are_counted_by_reason_and_each_reason_has_a_count_before_its_first_letter(meter: Meter) -> None:
    samples = scraped(meter)

    assert value(samples, "dead_letters", reason="malformed") == 3
    assert value(samples, "dead_letters_buried_total", reason="malformed") == 5
    assert value(samples, "dead_letters_buried_total", reason="of a newer version") == 1
    assert value(samples, "dead_letters_dropped_total", bound="number") == 2
    assert (value(samples, "dead_letters_bytes"), value(samples, "dead_letters_oldest_seconds")) == (4096, 60.5)
    for reason in set(DeadReason) - {DeadReason.MALFORMED}:
        assert value(samples, "dead_letters", reason=reason) == 0
        assert value(samples, "dead_letters_buried_total", reason=reason) == 0
    assert value(samples, "dead_letters_dropped_total", bound="bytes") == 0


def test_without_a_dead_letter_there_is_no_oldest(meter: Meter) -> None:
    none = replace(OBSERVED, sample=replace(SAMPLE, dead=NO_DEAD_LETTERS))
    assert "dead_letters_oldest_seconds" not in names(scraped(meter, Pulse(observed=none)))


def test_without_a_ready_process_there_is_no_time_to_drain(meter: Meter) -> None:
    assert "drain_seconds" not in names(scraped(meter, Pulse(replace(BEAT, processes={"all": 1, "ready": 0}))))


def test_while_the_broker_does_not_answer_the_workload_is_left_out(meter: Meter) -> None:
    samples = scraped(meter, Pulse(vitals=replace(WELL, broker_answers=False, deaf_for_s=40.0), observed=None))

    assert [value(samples, name) for name in ("ready", "deaf", "broker_connected")] == [0, 1, 0]
    assert not names(samples) & {"held_requests", "backlog_seconds", "queue_waiting", "unacknowledged_messages"}


def test_a_process_that_has_ended_has_no_memory_and_the_parent_is_this_process(meter: Meter) -> None:
    samples = scraped(meter)

    assert value(samples, "process_rss_bytes", process="parent") > 10 * 1024 * 1024
    assert (
        0
        < value(samples, "process_anonymous_bytes", process="parent")
        <= value(samples, "process_rss_bytes", process="parent")
    )
    assert value(samples, "process_cpu_seconds_total", process="parent") > 0
    assert ("process_rss_bytes", frozenset({("process", "0")})) not in samples


def test_the_worker_is_described_by_labels(meter: Meter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERIAC_MODELS", "sentiment,qa")

    ((_, labels),) = [key for key in scraped(meter) if key[0] == "worker_info"]

    assert {"worker": "celery@here", "models": "sentiment,qa"}.items() <= dict(labels).items()
    assert dict(labels)["version"]


def test_requests_errors_and_moves_are_counted_by_their_labels(meter: Meter) -> None:
    labels = {"task": TASK, "model": "sentiment", "queue_class": "interactive"}
    assert value(scraped(meter), "requests_total", **labels, outcome="succeeded") == 0

    request: Any = SimpleNamespace(
        name=TASK, args=(), kwargs={}, _request_dict={}, delivery_info={"routing_key": TASK}, series=None,
        is_counted=False, timed_from_s=None, received_s=None,
    )  # fmt: skip
    meter.on_received(request)
    meter.on_started(request)
    meter.on_ended(request, RequestOutcome.FAILED, "model_failed")
    meter.on_refused("made up", "unreadable_message")
    meter.moved[TASK] += 2
    samples = scraped(meter)

    assert value(samples, "requests_total", **labels, outcome="failed") == 1
    assert value(samples, "wait_seconds_count", **labels, since="received") == 1
    assert value(samples, "request_seconds_count", **labels, since="received") == 1
    assert value(samples, "request_seconds_count", **labels, since="sent") == 0
    assert value(samples, "errors_total", task=TASK, code="model_failed") == 1
    assert value(samples, "errors_total", task="other", code="unreadable_message") == 1
    assert value(samples, "moved_messages_total", task=TASK) == 2


def test_batches_are_counted_with_what_their_model_has_computed(meter: Meter) -> None:
    meter.on_batch((TASK, None), 8, 0.5, Usage(2, 100, 28, 0.4))
    samples = scraped(meter)
    labels = {"task": TASK, "model": "sentiment"}

    assert value(samples, "batch_requests_sum", **labels) == 8
    assert value(samples, "batch_seconds_bucket", **labels, le="0.5") == 1
    assert value(samples, "batch_seconds_bucket", **labels, le="0.25") == 0
    assert value(samples, "inference_seconds_sum", **labels) == 0.4
    counted = [value(samples, f"{name}_total", **labels) for name in ("inferences", "tokens", "padding_tokens")]
    assert counted == [2, 100, 28]


def test_every_metric_is_described_and_all_of_them_have_values_at_some_time(meter: Meter) -> None:
    collector = collector_of(meter, Pulse())
    meter.on_refused("made up", "unreadable_message")
    meter.moved[TASK] += 1

    described = {metric.name: metric.documentation for metric in collector.describe()}

    assert described == {PREFIX + family.name: family.meaning for family in FAMILIES.values()}
    assert {metric.name for metric in collector.collect()} == set(described)
    kinds = {PREFIX + family.name: family.kind for family in FAMILIES.values()}
    assert {metric.name: metric.type for metric in collector.collect()} == {
        name: {Kind.GAUGE: "gauge", Kind.COUNTER: "counter", Kind.HISTOGRAM: "histogram"}[kind]
        for name, kind in kinds.items()
    }
