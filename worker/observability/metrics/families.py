"""All metrics, with their meanings and labels. ``docs/operations.md`` contains the same list."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["BATCH_BOUNDS", "FAMILIES", "PREFIX", "SECONDS_BOUNDS", "Family", "Kind"]

PREFIX = "celeriac_"
#: Upper bounds of the buckets of durations, in seconds: from one short text to a long wait in a bulk queue.
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
        name: the name without prefix, and without the ``_total`` of a counter.
        meaning: what it measures, with the unit.
        labels: names of its labels.
    """

    kind: Kind
    name: str
    meaning: str
    labels: tuple[str, ...] = ()

    @property
    def full_name(self) -> str:
        """The name to use in queries."""
        return PREFIX + self.name + ("_total" if self.kind is Kind.COUNTER else "")


_MODEL = ("task", "model")
_REQUEST = ("task", "model", "queue_class")

_GAUGES = (
    Family(Kind.GAUGE, "ready", "1 while the worker is ready; otherwise /readyz gives the reasons"),
    Family(Kind.GAUGE, "deaf", "1 while requests wait and the worker has room for them, but fetches none"),
    Family(Kind.GAUGE, "results_storable", "1 while results can be stored; otherwise the worker fetches nothing"),
    Family(Kind.GAUGE, "broker_connected", "1 while the broker answers"),
    Family(
        Kind.GAUGE,
        "queue_waiting",
        "requests waiting in a queue; every worker that consumes the queue reports the same number",
        ("queue",),
    ),
    Family(
        Kind.GAUGE,
        "queue_oldest_seconds",
        "how long the oldest request of a queue has been waiting; absent if its message has no send time",
        ("queue",),
    ),
    Family(
        Kind.GAUGE,
        "queue_workers",
        "workers that consume a queue; only those that autoscale or have metrics are counted",
        ("queue",),
    ),
    Family(Kind.GAUGE, "unacknowledged_messages", "messages that all workers together have fetched but not finished"),
    Family(
        Kind.GAUGE,
        "dead_letters",
        "dead letters that are kept; every worker of the broker reports the same numbers",
        ("reason",),
    ),
    Family(Kind.GAUGE, "dead_letters_bytes", "bytes of all dead letters"),
    Family(Kind.GAUGE, "dead_letters_oldest_seconds", "age of the oldest dead letter; absent if there is none"),
    Family(Kind.GAUGE, "held_requests", "requests that this worker has fetched but not finished"),
    Family(Kind.GAUGE, "held_seconds", "how long one process is expected to take for the held requests"),
    Family(Kind.GAUGE, "line_requests", "held requests that are waiting for a process"),
    Family(
        Kind.GAUGE,
        "backlog_seconds",
        "how long one process is expected to take for the held requests and this worker's share of the queues",
    ),
    Family(Kind.GAUGE, "arriving_work", "work that arrives per second, in seconds of one process; this worker's share"),
    Family(Kind.GAUGE, "drain_seconds", "how long the ready processes are expected to take for the backlog"),
    Family(Kind.GAUGE, "processes", "pool processes"),
    Family(Kind.GAUGE, "processes_ready", "pool processes that have loaded their models"),
    Family(Kind.GAUGE, "processes_busy", "pool processes that are computing"),
    Family(Kind.GAUGE, "processes_wanted", "processes that the autoscaler wants; without it, the size of the pool"),
    Family(Kind.GAUGE, "processes_min", "fewest processes that the autoscaler keeps; without it, the size of the pool"),
    Family(Kind.GAUGE, "processes_max", "most processes that the autoscaler starts; without it, the size of the pool"),
    Family(Kind.GAUGE, "process_rss_bytes", "resident memory of the parent and of each process", ("process",)),
    Family(
        Kind.GAUGE,
        "process_anonymous_bytes",
        "the part of the resident memory that is not backed by a file",
        ("process",),
    ),
    Family(
        Kind.GAUGE,
        "worker_info",
        "always 1; the labels describe the worker",
        ("worker", "version", "models", "arithmetic", "revisions"),
    ),
)

_COUNTERS = (
    Family(Kind.COUNTER, "process_cpu_seconds", "CPU time of the parent and of each process", ("process",)),
    Family(
        Kind.COUNTER,
        "process_restarts",
        "processes that were replaced because they died or could not start",
        ("reason",),
    ),
    Family(Kind.COUNTER, "requests", "requests that ended in this worker", (*_REQUEST, "outcome")),
    Family(
        Kind.COUNTER,
        "errors",
        "failed requests and refused messages, by error code",
        ("task", "code"),
    ),
    Family(Kind.COUNTER, "moved_messages", "messages moved to the queue of workers that can answer them", ("task",)),
    Family(
        Kind.COUNTER,
        "dead_letters_buried",
        "messages of all workers that became dead letters; begins anew once no letter has come for their whole age",
        ("reason",),
    ),
    Family(
        Kind.COUNTER,
        "dead_letters_dropped",
        "dead letters deleted for a bound: number, bytes or age; content: messages too large to be kept",
        ("bound",),
    ),
    Family(Kind.COUNTER, "inferences", "model runs", _MODEL),
    Family(Kind.COUNTER, "tokens", "tokens read by the model, without padding", _MODEL),
    Family(Kind.COUNTER, "padding_tokens", "padding tokens that the model computed in addition", _MODEL),
    Family(Kind.COUNTER, "fetches", "fetches on the current broker connection"),
    Family(Kind.COUNTER, "fetched_messages", "messages fetched on the current broker connection"),
)

_HISTOGRAMS = (
    Family(Kind.HISTOGRAM, "batch_requests", "requests in a batch", _MODEL),
    Family(
        Kind.HISTOGRAM,
        "batch_seconds",
        "time from when a process starts a batch until the parent has its results",
        _MODEL,
    ),
    Family(Kind.HISTOGRAM, "inference_seconds", "time that the model spends on a batch", _MODEL),
    Family(Kind.HISTOGRAM, "wait_seconds", "time until a process starts a request", (*_REQUEST, "since")),
    Family(Kind.HISTOGRAM, "request_seconds", "time until a request succeeds or fails", (*_REQUEST, "since")),
)

FAMILIES = {family.name: family for family in (*_GAUGES, *_COUNTERS, *_HISTOGRAMS)}
