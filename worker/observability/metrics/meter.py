"""Counts requests and batches on the event loop, at the cost of a few dictionary updates per message."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from time import monotonic, time
from typing import Any, Protocol

from models.engine.usage import Usage, total
from producer.contract import SENT_AT_HEADER, QueueClass, TaskName, is_bulk
from worker.inference.arguments import named_model
from worker.observability.metrics.families import BATCH_BOUNDS, SECONDS_BOUNDS
from worker.observability.metrics.histogram import Histogram

__all__ = ["BatchSeries", "CountedRequest", "Meter", "RequestOutcome", "RequestSeries", "RestartReason", "Since"]

#: Label of tasks and models that this worker does not serve: senders can invent any number of names.
_OTHER = "other"
_TASKS = frozenset(task.value for task in TaskName)
#: Range of plausible send times, in seconds since the epoch.
_SEND_TIMES_S = (1e9, 1e11)
#: A longer wait is not plausible.
_LONGEST_WAIT_S = 30 * 24 * 3600.0


class RequestOutcome(StrEnum):
    """How a request ended in this worker."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    #: The request expired before it started.
    EXPIRED = "expired"
    REVOKED = "revoked"
    RETRIED = "retried"
    REJECTED = "rejected"
    IGNORED = "ignored"
    #: The connection was lost, and the broker delivered the request to another worker.
    GIVEN_AWAY = "given_away"


_ANSWERED = frozenset({RequestOutcome.SUCCEEDED, RequestOutcome.FAILED})


class RestartReason(StrEnum):
    """Why a process had to be replaced."""

    #: It died after it had become ready.
    DIED = "died"
    #: It ended before it was ready.
    FAILED_TO_START = "failed_to_start"


class Since(StrEnum):
    """From when the times of a request are measured."""

    #: From when it was sent, according to its message.
    SENT = "sent"
    #: From when this worker fetched it, if its message has no send time.
    RECEIVED = "received"


def _histograms() -> dict[Since, Histogram]:
    return {since: Histogram(SECONDS_BOUNDS) for since in Since}


@dataclass(slots=True)
class RequestSeries:
    """The counts of requests with the same labels."""

    labels: tuple[str, str, str]
    wait: dict[Since, Histogram] = field(default_factory=_histograms)
    total: dict[Since, Histogram] = field(default_factory=_histograms)
    outcomes: Counter[RequestOutcome] = field(default_factory=Counter)


@dataclass(slots=True)
class BatchSeries:
    """The counts of the batches of one task and model."""

    sizes: Histogram = field(default_factory=lambda: Histogram(BATCH_BOUNDS))
    seconds: Histogram = field(default_factory=lambda: Histogram(SECONDS_BOUNDS))
    inference: Histogram = field(default_factory=lambda: Histogram(SECONDS_BOUNDS))
    usage: Usage = field(default_factory=Usage)


class CountedRequest(Protocol):
    """A Celery request with the attributes that the meter needs.

    Attributes:
        received_s: when this worker fetched it, on the monotonic clock; None if it waits by intention (``eta``).
        since: the event from which its times are measured.
        timed_from_s: when that event happened, on the monotonic clock; None before the start, or if it is unknown.
        series: the counts to which it belongs; None before it has started.
        is_counted: whether its end has been counted.
    """

    name: str
    args: Any
    kwargs: Any
    received_s: float | None
    since: Since
    timed_from_s: float | None
    series: RequestSeries | None
    is_counted: bool

    @property
    def delivery_info(self) -> Any:
        """How its message was delivered; ``routing_key`` is the queue."""

    @property
    def _request_dict(self) -> Any: ...


class Meter:
    """All counts of a worker. The event loop writes them; the threads of the monitoring server read copies."""

    def __init__(self) -> None:
        self._models: Mapping[str, Sequence[str]] = {}
        self.requests: dict[tuple[str, str, str], RequestSeries] = {}
        #: The same series by task, named model and whether the queue is bulk; only for models that are served.
        self._by_request: dict[tuple[str, str | None, bool], RequestSeries] = {}
        self.batches: dict[tuple[str, str], BatchSeries] = {}
        #: Number of errors by task and code.
        self.errors: Counter[tuple[str, str]] = Counter()
        #: Number of moved messages by task.
        self.moved: Counter[str] = Counter()
        #: Number of processes that had to be replaced, by reason.
        self.restarts: Counter[RestartReason] = Counter()
        #: In which arithmetic each model computes, by its name, as the last process that started has reported.
        self.arithmetic: Mapping[str, str] = {}
        #: The revision of each model, by its name, as the last process that started has reported.
        self.revisions: Mapping[str, str] = {}

    def set_models(self, models: Mapping[str, Sequence[str]]) -> None:
        """Set the models of each task. The first one answers requests that name no model."""
        self._models = models
        for task in models:
            # Prometheus computes a rate from the first request only if the counter exists before it.
            self.series_of(task, None, None)
            self._batch_series(task, None)

    def on_received(self, request: CountedRequest) -> None:
        """Note when a request was fetched; Celery calls this for each."""
        request.received_s = monotonic()

    def on_started(self, request: CountedRequest) -> None:
        """Count the wait of a request that a process starts; only the first start counts."""
        if request.series is not None:
            return
        series = request.series = self._series_of(request)
        now_s = monotonic()
        request.since, request.timed_from_s = _start_of_times(request, now_s)
        if request.timed_from_s is not None:
            series.wait[request.since].observe(now_s - request.timed_from_s)

    def on_ended(self, request: CountedRequest, outcome: RequestOutcome, code: str | None = None) -> None:
        """Count the end of a request; only the first end counts."""
        if request.is_counted:
            return
        request.is_counted = True
        series = request.series or self._series_of(request)
        series.outcomes[outcome] += 1
        if code is not None:
            self.errors[series.labels[0], code] += 1
        if request.timed_from_s is not None and outcome in _ANSWERED:
            series.total[request.since].observe(monotonic() - request.timed_from_s)

    def on_refused(self, task: object, code: str) -> None:
        """Count a message that was refused before it became a request."""
        name = task if isinstance(task, str) and task in _TASKS else _OTHER
        self.series_of(name, _OTHER, None).outcomes[RequestOutcome.FAILED] += 1
        self.errors[name, code] += 1

    def on_batch(self, key: Any, size: int, seconds: float, usage: Any) -> None:
        """Count a computed batch; its key is the names of the task and of the model."""
        series = self._batch_series(*key)
        series.sizes.observe(size)
        series.seconds.observe(seconds)
        if isinstance(usage, Usage):
            series.inference.observe(usage.seconds)
            series.usage = total((series.usage, usage))

    def series_of(self, task: str, model: Hashable, queue: str | None) -> RequestSeries:
        """The counts of requests for a task from a queue.

        Args:
            task: name of the task.
            model: the model that the requests name; None if they name none.
            queue: the queue that they came from.
        """
        named = model if model is None or isinstance(model, str) else _OTHER
        key = task, named, is_bulk(queue)
        series = self._by_request.get(key)
        if series is None:
            queue_class = QueueClass.BULK if key[2] else QueueClass.INTERACTIVE
            labels = (task, self._label(task, named), queue_class.value)
            series = self.requests.setdefault(labels, RequestSeries(labels))
            if labels[1] != _OTHER:
                self._by_request[key] = series
        return series

    def _series_of(self, request: CountedRequest) -> RequestSeries:
        model = named_model(request.name, request.args, request.kwargs)
        return self.series_of(request.name, model, request.delivery_info.get("routing_key"))

    def _batch_series(self, task: str, model: Hashable) -> BatchSeries:
        labels = (task, self._label(task, model))
        series = self.batches.get(labels)
        if series is None:
            series = self.batches[labels] = BatchSeries()
        return series

    def _label(self, task: str, model: Hashable) -> str:
        names = self._models.get(task, ())
        if model is None and names:
            return names[0]
        return model if isinstance(model, str) and model in names else _OTHER


def _start_of_times(request: CountedRequest, now_s: float) -> tuple[Since, float | None]:
    """From when the times of a request are measured: the event, and its time on the monotonic clock."""
    sent_at_s = request._request_dict.get(SENT_AT_HEADER)  # noqa: SLF001 - the public property makes a copy
    if isinstance(sent_at_s, (int, float)) and _SEND_TIMES_S[0] < sent_at_s < _SEND_TIMES_S[1]:
        waited_s = time() - sent_at_s
        if waited_s < _LONGEST_WAIT_S:
            # The sender's clock may be ahead.
            return Since.SENT, now_s - max(0.0, waited_s)
    return Since.RECEIVED, request.received_s
