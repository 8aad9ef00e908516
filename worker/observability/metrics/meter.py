"""What the event loop counts of requests and batches: a few additions to plain dictionaries per message."""

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

#: Label of tasks and models that this worker does not have: senders can invent any number of names.
_OTHER = "other"
_TASKS = frozenset(task.value for task in TaskName)
#: Send times that are plausible, in seconds since 1970.
_MOMENTS = (1e9, 1e11)
#: A longer wait is not plausible.
_LONGEST_S = 30 * 24 * 3600.0


class RequestOutcome(StrEnum):
    """How a request ended here."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    #: Its deadline had passed.
    EXPIRED = "expired"
    REVOKED = "revoked"
    RETRIED = "retried"
    REJECTED = "rejected"
    IGNORED = "ignored"
    #: The connection was lost, and the broker has delivered it again.
    GIVEN_AWAY = "given_away"


_ANSWERED = frozenset({RequestOutcome.SUCCEEDED, RequestOutcome.FAILED})


class RestartReason(StrEnum):
    """Why a process had to be replaced."""

    #: It died while it served.
    DIED = "died"
    #: It ended before it could serve.
    FAILED_TO_START = "failed_to_start"


class Since(StrEnum):
    """When a request's times start."""

    #: When it was sent, as its message says.
    SENT = "sent"
    #: When this worker fetched it, where its message does not say when it was sent.
    RECEIVED = "received"


def _histograms() -> dict[Since, Histogram]:
    return {since: Histogram(SECONDS_BOUNDS) for since in Since}


@dataclass(slots=True)
class RequestSeries:
    """What is counted for requests of equal labels."""

    labels: tuple[str, str, str]
    wait: dict[Since, Histogram] = field(default_factory=_histograms)
    total: dict[Since, Histogram] = field(default_factory=_histograms)
    outcomes: Counter[RequestOutcome] = field(default_factory=Counter)


@dataclass(slots=True)
class BatchSeries:
    """What is counted for the batches of a task and model."""

    sizes: Histogram = field(default_factory=lambda: Histogram(BATCH_BOUNDS))
    seconds: Histogram = field(default_factory=lambda: Histogram(SECONDS_BOUNDS))
    inference: Histogram = field(default_factory=lambda: Histogram(SECONDS_BOUNDS))
    usage: Usage = field(default_factory=Usage)


class CountedRequest(Protocol):
    """A Celery request with room for what the meter remembers of it.

    Attributes:
        received_s: when this worker fetched it, on the monotonic clock; None where its waiting is intended.
        since: what its times start with.
        from_s: when its times start, on the monotonic clock; None before it has started, or if nobody knows.
        series: the counts it belongs to, once it has started.
        is_counted: whether its end is counted.
    """

    name: str
    args: Any
    kwargs: Any
    received_s: float | None
    since: Since
    from_s: float | None
    series: RequestSeries | None
    is_counted: bool

    @property
    def delivery_info(self) -> Any:
        """Where its message came from."""

    @property
    def _request_dict(self) -> Any: ...


class Meter:
    """All counts of a worker. The event loop writes them, the thread of the HTTP server reads copies."""

    def __init__(self) -> None:
        self._models: Mapping[str, Sequence[str]] = {}
        self.requests: dict[tuple[str, str, str], RequestSeries] = {}
        #: The same by task, named model and whether it is bulk; for models that are served.
        self._by_request: dict[tuple[str, str | None, bool], RequestSeries] = {}
        self.batches: dict[tuple[str, str], BatchSeries] = {}
        #: By task and code.
        self.errors: Counter[tuple[str, str]] = Counter()
        #: By task.
        self.moved: Counter[str] = Counter()
        #: Processes that had to be replaced.
        self.restarts: Counter[RestartReason] = Counter()

    def serve(self, models: Mapping[str, Sequence[str]]) -> None:
        """Set the models of each task; the first is the one that answers requests that name none."""
        self._models = models
        for task in models:
            # A counter that exists from the start has a rate from the first request on.
            self.series_of(task, None, None)
            self._batch_series(task, None)

    def received(self, request: CountedRequest) -> None:
        """A request was fetched; Celery calls this with each."""
        request.received_s = monotonic()

    def began(self, request: CountedRequest) -> None:
        """A process has started a request; the time before a second run is not counted as waiting."""
        if request.series is not None:
            return
        series = request.series = self._series_of(request)
        now_s = monotonic()
        request.since, request.from_s = _beginning(request, now_s)
        if request.from_s is not None:
            series.wait[request.since].observe(now_s - request.from_s)

    def ended(self, request: CountedRequest, outcome: RequestOutcome, code: str | None = None) -> None:
        """A request has ended, once."""
        if request.is_counted:
            return
        request.is_counted = True
        series = request.series or self._series_of(request)
        series.outcomes[outcome] += 1
        if code is not None:
            self.errors[series.labels[0], code] += 1
        if request.from_s is not None and outcome in _ANSWERED:
            series.total[request.since].observe(monotonic() - request.from_s)

    def refused(self, task: object, code: str) -> None:
        """A message was refused before it became a request."""
        name = task if isinstance(task, str) and task in _TASKS else _OTHER
        self.series_of(name, _OTHER, None).outcomes[RequestOutcome.FAILED] += 1
        self.errors[name, code] += 1

    def batch(self, key: Any, size: int, seconds: float, usage: Any) -> None:
        """A batch was computed; its key is the task's name and the model's."""
        series = self._batch_series(*key)
        series.sizes.observe(size)
        series.seconds.observe(seconds)
        if isinstance(usage, Usage):
            series.inference.observe(usage.seconds)
            series.usage = total((series.usage, usage))

    def series_of(self, task: str, model: Hashable, queue: str | None) -> RequestSeries:
        """The counts for requests of a task from a queue that name a model, or none."""
        named = model if model is None or isinstance(model, str) else _OTHER
        key = task, named, is_bulk(queue)
        found = self._by_request.get(key)
        if found is None:
            queue_class = QueueClass.BULK if key[2] else QueueClass.INTERACTIVE
            labels = (task, self._label(task, named), queue_class.value)
            found = self.requests.setdefault(labels, RequestSeries(labels))
            if labels[1] != _OTHER:
                self._by_request[key] = found
        return found

    def _series_of(self, request: CountedRequest) -> RequestSeries:
        model = named_model(request.name, request.args, request.kwargs)
        return self.series_of(request.name, model, request.delivery_info.get("routing_key"))

    def _batch_series(self, task: str, model: Hashable) -> BatchSeries:
        labels = (task, self._label(task, model))
        found = self.batches.get(labels)
        if found is None:
            found = self.batches[labels] = BatchSeries()
        return found

    def _label(self, task: str, model: Hashable) -> str:
        names = self._models.get(task, ())
        if model is None and names:
            return names[0]
        return model if isinstance(model, str) and model in names else _OTHER


def _beginning(request: CountedRequest, now_s: float) -> tuple[Since, float | None]:
    """When a request's times start, on the monotonic clock."""
    sent_at_s = request._request_dict.get(SENT_AT_HEADER)  # noqa: SLF001 - Celery's public property copies it
    if isinstance(sent_at_s, (int, float)) and _MOMENTS[0] < sent_at_s < _MOMENTS[1]:
        waited_s = time() - sent_at_s
        if waited_s < _LONGEST_S:
            # The sender's clock may be ahead.
            return Since.SENT, now_s - max(0.0, waited_s)
    return Since.RECEIVED, request.received_s
