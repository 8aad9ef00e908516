"""Collects the metrics for prometheus-client when they are requested."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from config import Settings
from worker.endpoints.health import why_not_ready
from worker.endpoints.procfs import resources_of
from worker.endpoints.pulse import Beat, Pulse
from worker.observability.metrics.families import FAMILIES, PREFIX, Kind
from worker.observability.metrics.histogram import Histogram
from worker.observability.metrics.meter import Meter, RequestOutcome, Since
from worker.transport.dead_letters import DeadReason, DropReason
from worker.workload.monitor import ObservedWorkload

__all__ = ["WorkerCollector"]

#: Metrics and their keys in ``Beat.processes``.
_PROCESSES = {
    "processes": "all",
    "processes_ready": "ready",
    "processes_busy": "busy",
    "processes_wanted": "wanted",
    "processes_min": "min",
    "processes_max": "max",
}
_FAMILY_TYPES = {
    Kind.GAUGE: GaugeMetricFamily,
    Kind.COUNTER: CounterMetricFamily,
    Kind.HISTOGRAM: HistogramMetricFamily,
}
#: Name of the metric, values of its labels, value.
_Sample = tuple[str, tuple[str, ...], float | Histogram]


class WorkerCollector(Collector):
    """Reads the counts of a worker and the last beat of its event loop.

    Args:
        worker: node name of the worker.
        pulse: the beats of its event loop.
        meter: its counts.
        settings: its settings, which name the models.
    """

    def __init__(self, worker: str, pulse: Pulse, meter: Meter, settings: Settings) -> None:
        self._info = (worker, version("celeriac"), ",".join(settings.models))
        self._pulse = pulse
        self._meter = meter

    def describe(self) -> Iterable[Metric]:
        """All metrics, without values."""
        return [_family(name) for name in FAMILIES]

    def collect(self) -> Iterable[Metric]:
        """All metrics that have a value."""
        families: dict[str, Metric] = {}
        for name, labels, value in self._samples():
            family = families.setdefault(name, _family(name))
            if isinstance(family, HistogramMetricFamily) and isinstance(value, Histogram):
                family.add_metric(labels, list(value.buckets()), value.sum)
            elif isinstance(family, (GaugeMetricFamily, CounterMetricFamily)) and not isinstance(value, Histogram):
                family.add_metric(labels, value)
        return families.values()

    def _samples(self) -> Iterator[_Sample]:
        beat, vitals = self._pulse.last, self._pulse.vitals()
        yield "worker_info", (*self._info, _joined(self._meter.arithmetic), _joined(self._meter.revisions)), 1
        yield "ready", (), not why_not_ready(vitals)
        yield "deaf", (), vitals.deaf_for_s is not None
        yield "results_storable", (), vitals.storing_problem is None
        yield "broker_connected", (), vitals.is_connected and vitals.broker_answers
        yield from _of_beat(beat)
        yield from _of_workload(self._pulse.observed(), beat.processes.get("ready", 0))
        yield from _of_dead_letters(self._pulse.observed())
        yield from _of_processes(beat)
        yield from self._of_requests()
        yield from self._of_batches()

    def _of_requests(self) -> Iterator[_Sample]:
        for labels, series in list(self._meter.requests.items()):
            for outcome, count in list(series.outcomes.items()) or [(RequestOutcome.SUCCEEDED, 0)]:
                yield "requests", (*labels, str(outcome)), count
            for name, by_since in (("wait_seconds", series.wait), ("request_seconds", series.total)):
                for since, histogram in by_since.items():
                    if histogram.sum or since is Since.SENT:
                        yield name, (*labels, since.value), histogram
        for (task, code), count in list(self._meter.errors.items()):
            yield "errors", (task, code), count
        for task, count in list(self._meter.moved.items()):
            yield "moved_messages", (task,), count

    def _of_batches(self) -> Iterator[_Sample]:
        for labels, series in list(self._meter.batches.items()):
            usage = series.usage
            yield "batch_requests", labels, series.sizes
            yield "batch_seconds", labels, series.seconds
            yield "inference_seconds", labels, series.inference
            yield "inferences", labels, usage.inferences
            yield "tokens", labels, usage.tokens
            yield "padding_tokens", labels, usage.padding_tokens


def _joined(by_model: Mapping[str, str]) -> str:
    return ",".join(f"{model}={value}" for model, value in by_model.items())


def _of_beat(beat: Beat) -> Iterator[_Sample]:
    for name, key in _PROCESSES.items():
        yield name, (), beat.processes.get(key, 0)
    for reason, count in beat.restarts.items():
        yield "process_restarts", (reason.value,), count
    yield "line_requests", (), beat.waiting
    yield "fetches", (), beat.fetches
    yield "fetched_messages", (), beat.fetched


def _of_workload(observed: ObservedWorkload | None, ready: int) -> Iterator[_Sample]:
    if observed is None:
        return
    yield "held_requests", (), observed.held
    yield "held_seconds", (), observed.held_s
    yield "backlog_seconds", (), observed.workload.backlog_s
    yield "arriving_work", (), observed.workload.arriving
    if ready:
        yield "drain_seconds", (), observed.workload.backlog_s / ready
    yield "unacknowledged_messages", (), observed.sample.unacknowledged
    for queue, count in observed.sample.waiting.items():
        yield "queue_waiting", (queue,), count
        yield "queue_workers", (queue,), observed.sample.workers[queue]
    for queue, oldest_s in observed.sample.oldest_s.items():
        yield "queue_oldest_seconds", (queue,), oldest_s


def _of_dead_letters(observed: ObservedWorkload | None) -> Iterator[_Sample]:
    if observed is None:
        return
    dead = observed.sample.dead
    # Prometheus computes an increase from the first letter only if the counter exists before it.
    for reason in {**dict.fromkeys(map(str, DeadReason), 0), **dead.buried}:
        yield "dead_letters", (reason,), dead.kept.get(reason, 0)
        yield "dead_letters_buried", (reason,), dead.buried.get(reason, 0)
    for bound in {**dict.fromkeys(map(str, DropReason), 0), **dead.dropped}:
        yield "dead_letters_dropped", (bound,), dead.dropped.get(bound, 0)
    yield "dead_letters_bytes", (), dead.bytes
    if dead.oldest_s is not None:
        yield "dead_letters_oldest_seconds", (), dead.oldest_s


def _of_processes(beat: Beat) -> Iterator[_Sample]:
    for process, pid in beat.pids.items():
        resources = resources_of(pid)
        if resources is not None:
            yield "process_rss_bytes", (process,), resources.rss_bytes
            yield "process_anonymous_bytes", (process,), resources.anonymous_bytes
            yield "process_cpu_seconds", (process,), resources.cpu_seconds


def _family(name: str) -> Metric:
    family = FAMILIES[name]
    metric: Metric = _FAMILY_TYPES[family.kind](PREFIX + name, family.meaning, labels=family.labels)
    return metric
