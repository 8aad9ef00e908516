"""The metrics: every name, with its meaning and its labels. ``docs/operations.md`` has the same list."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["BATCH_BOUNDS", "FAMILIES", "PREFIX", "SECONDS_BOUNDS", "Family", "Kind"]

PREFIX = "celeriac_"
#: Upper bounds of the buckets of times, in seconds: from one short text to what a bulk queue may wait.
SECONDS_BOUNDS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
#: Upper bounds of the buckets of batch sizes, in requests.
BATCH_BOUNDS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)


class Kind(StrEnum):
    """A metric's type."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


@dataclass(frozen=True)
class Family:
    """One metric.

    Attributes:
        kind: its type.
        name: without prefix, and without the ``_total`` of a counter.
        meaning: what it says, with its unit.
        labels: names of its labels.
    """

    kind: Kind
    name: str
    meaning: str
    labels: tuple[str, ...] = ()

    @property
    def full_name(self) -> str:
        """The name in queries."""
        return PREFIX + self.name + ("_total" if self.kind is Kind.COUNTER else "")


_MODEL = ("task", "model")
_REQUEST = ("task", "model", "queue_class")

_GAUGES = (
    Family(Kind.GAUGE, "ready", "1 while the worker serves; /readyz says why not"),
    Family(Kind.GAUGE, "deaf", "1 while requests wait and the worker fetches none, although it has room for them"),
    Family(Kind.GAUGE, "broker_connected", "1 while the broker answers"),
    Family(
        Kind.GAUGE, "queue_waiting", "requests in a queue; every worker that consumes it reports the same", ("queue",)
    ),
    Family(
        Kind.GAUGE,
        "queue_oldest_seconds",
        "age of the oldest request in a queue; absent if its message does not say when it was sent",
        ("queue",),
    ),
    Family(Kind.GAUGE, "queue_workers", "workers that consume a queue, if they scale or serve metrics", ("queue",)),
    Family(Kind.GAUGE, "unacknowledged_messages", "messages that all workers together have fetched and not finished"),
    Family(Kind.GAUGE, "held_requests", "requests that this worker has fetched and not finished"),
    Family(Kind.GAUGE, "held_seconds", "time that the held requests are expected to take, in seconds of one process"),
    Family(Kind.GAUGE, "line_requests", "held requests that wait for a process"),
    Family(
        Kind.GAUGE, "backlog_seconds", "held requests and this worker's share of the queues, in seconds of one process"
    ),
    Family(
        Kind.GAUGE,
        "arriving_work",
        "this worker's share of the work that arrives per second, in seconds of one process",
    ),
    Family(Kind.GAUGE, "drain_seconds", "time that the ready processes need for the backlog"),
    Family(Kind.GAUGE, "processes", "pool processes"),
    Family(Kind.GAUGE, "processes_ready", "pool processes that have loaded their models"),
    Family(Kind.GAUGE, "processes_busy", "pool processes that are computing"),
    Family(
        Kind.GAUGE, "processes_wanted", "processes that the autoscaler wants; the pool's size without an autoscaler"
    ),
    Family(Kind.GAUGE, "processes_min", "minimum number of processes"),
    Family(Kind.GAUGE, "processes_max", "maximum number of processes"),
    Family(Kind.GAUGE, "process_rss_bytes", "resident memory of the parent and of each process", ("process",)),
    Family(
        Kind.GAUGE,
        "process_anonymous_bytes",
        "resident memory that is not backed by a file, and so is private once written",
        ("process",),
    ),
    Family(Kind.GAUGE, "worker_info", "always 1; the labels say what is running", ("worker", "version", "models")),
)

_COUNTERS = (
    Family(Kind.COUNTER, "process_cpu_seconds", "CPU time of the parent and of each process", ("process",)),
    Family(Kind.COUNTER, "process_restarts", "processes that died or could not start, and were replaced", ("reason",)),
    Family(Kind.COUNTER, "requests", "requests that ended in this worker", (*_REQUEST, "outcome")),
    Family(
        Kind.COUNTER,
        "errors",
        "failed requests and refused messages by error code",
        ("task", "code"),
    ),
    Family(Kind.COUNTER, "moved_messages", "messages moved to the queue of their task", ("task",)),
    Family(Kind.COUNTER, "inferences", "runs of the model", _MODEL),
    Family(Kind.COUNTER, "tokens", "tokens that the model has read, without padding", _MODEL),
    Family(Kind.COUNTER, "padding_tokens", "padding tokens that the model has computed", _MODEL),
    Family(Kind.COUNTER, "fetches", "fetch calls on the current connection"),
    Family(Kind.COUNTER, "fetched_messages", "messages fetched on the current connection"),
)

_HISTOGRAMS = (
    Family(Kind.HISTOGRAM, "batch_requests", "requests per batch", _MODEL),
    Family(Kind.HISTOGRAM, "batch_seconds", "time from when a process begins a batch until its results arrive", _MODEL),
    Family(Kind.HISTOGRAM, "inference_seconds", "time that the model takes for a batch", _MODEL),
    Family(Kind.HISTOGRAM, "wait_seconds", "time until a process begins a request", (*_REQUEST, "since")),
    Family(Kind.HISTOGRAM, "request_seconds", "time until a request succeeds or fails", (*_REQUEST, "since")),
)

FAMILIES = {family.name: family for family in (*_GAUGES, *_COUNTERS, *_HISTOGRAMS)}
