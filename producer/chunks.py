"""How a map sends many requests: which share a message, how many are on their way, and who gets which answer. No I/O.

Both clients do what a :class:`ChunkedMap` says. A message should cost a worker about ``chunk_s`` of computation: fewer
messages cost less, and an interactive request may have to wait for one.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from producer import errors
from producer.connections import Deadline
from producer.contract import MAX_INPUTS, MAX_REQUEST_BYTES, MAX_SEQUENCES, Request, ZeroShotClassificationRequest
from producer.message_log import LoggedMessage, MessageLog
from producer.outcomes import Answer, ResultRecord, answer_of, error_of_item

__all__ = ["Chunk", "ChunkedMap", "Outcome", "Progress"]

#: Called with the number of requests that are done.
Progress = Callable[[int], object]
Outcome = Answer | errors.CeleriacError

#: How many requests share a message while no worker says how long it computes for them.
_UNMEASURED = 16
#: What a request costs beside its text, in bytes of text.
_REQUEST_BYTES = 32
#: The texts of a message have so many bytes at most; the rest is left to its other parameters.
_MAX_TEXT_BYTES = MAX_REQUEST_BYTES // 2
#: How much of a new measurement is taken over.
_NEW_SHARE = 0.3
#: A message grows to so many times the size of the largest that was answered.
_GROWTH = 2
_INDEX = re.compile(r"\[\d+\]")
#: Errors of a message that may be due to one of its requests.
_OF_ONE = (errors.ModelFailed, errors.InvalidRequest, errors.RemoteFailure)


@dataclass(eq=False)
class Chunk:
    """The requests of one message.

    Attributes:
        numbers: of the requests, in the order in which the caller gave them.
        requests: as the caller gave them.
        retries: how often it may still be sent again.
        text_bytes: size of their texts as JSON.
        outcomes: one for each request, once they are known.
        logged: what the log says of it, once it is entered.
        is_overdue: whether an earlier run may have sent it, and its result has not come in time.
    """

    numbers: list[int]
    requests: list[Request]
    retries: int
    text_bytes: int = 0
    outcomes: list[Outcome] = field(default_factory=list)
    logged: LoggedMessage | None = None
    is_overdue: bool = False

    @property
    def is_looked_for(self) -> bool:
        """Whether its result is waited for though it was not sent: an earlier run may have sent it."""
        return self.logged is not None and self.logged.may_be_sent and not self.is_overdue

    @property
    def is_unsure(self) -> bool:
        """Whether that is so, and the earlier run did not enter that it was sent."""
        return self.is_looked_for and self.logged is not None and self.logged.is_unsure

    @property
    def request(self) -> Request:
        """All of them as one request."""
        first = self.requests[0]
        if len(self.requests) == 1:
            return first
        fields = type(first).item_fields
        return first.model_copy(update={f: [getattr(request, f) for request in self.requests] for f in fields})

    @property
    def weight(self) -> int:
        """What the cost of its computation is proportional to, as far as it can be told from here."""
        return (self.text_bytes + _REQUEST_BYTES * len(self.requests)) * _labels_of(self.requests[0])

    def parts(self) -> Iterator[Chunk]:
        """Each of its requests by itself."""
        for number, request in zip(self.numbers, self.requests, strict=True):
            yield Chunk([number], [request], self.retries, _text_bytes(request))


class ChunkedMap:
    """The plan of one map.

    Args:
        in_flight: how many messages may be unanswered, or, in order, answered behind one that is not.
        chunk_s: how long a worker should compute for one message, in seconds; None sends each request by itself.
        in_order: whether outcomes come in the order of the requests, or as they are known.
        retries: how often a request is sent again after a worker failed on it.
        on_progress: called with the number of requests that are done.
        log: names the messages; None for ids that the client makes.
    """

    def __init__(
        self,
        *,
        in_flight: int,
        chunk_s: float | None,
        in_order: bool,
        retries: int = 0,
        on_progress: Progress | None = None,
        log: MessageLog | None = None,
    ) -> None:
        if in_flight < 1:
            raise ValueError(f"in_flight must be at least 1, not {in_flight!r}")
        if chunk_s is not None and not chunk_s > 0:
            raise ValueError(f"chunk_s must be more than 0 seconds, or None, not {chunk_s!r}")
        self._in_flight, self._chunk_s, self._in_order = in_flight, chunk_s, in_order
        self._retries, self._on_progress = retries, on_progress
        self._log = log
        self._logged_sizes = deque(log.sizes if log is not None else ())
        #: How many requests the open message must have to be that of an earlier run.
        self._open_size: int | None = None
        self._open: Chunk | None = None
        self._ready: deque[Chunk] = deque()
        #: Sent, or to be sent again, and not yet handed out, in the order of their requests.
        self._under_way: list[Chunk] = []
        self._added = self._done = 0
        self._has_ended = False
        self._largest = 0
        self._seconds_per_weight: dict[type[Request], float] = {}
        self._oldest: tuple[str, Deadline] | None = None

    @property
    def is_done(self) -> bool:
        """Whether every request has its outcome, and no more will come."""
        return self._has_ended and not (self._open or self._ready or self._under_way)

    @property
    def wants_more(self) -> bool:
        """Whether another request should be added now."""
        return not self._has_ended and not self._ready and len(self._under_way) < self._in_flight

    @property
    def holds_back(self) -> bool:
        """Whether a request waits for others that may share its message; :meth:`flush` sends it."""
        return self._open is not None

    def add(self, request: Request) -> None:
        """Take the next request."""
        size = _text_bytes(request)
        if self._open is not None and not self._fits(self._open, request, size):
            self._close()
        if self._open is None:
            self._open = Chunk([], [], self._retries)
            self._open_size = self._logged_sizes.popleft() if self._logged_sizes else None
        self._open.numbers.append(self._added)
        self._open.requests.append(request)
        self._open.text_bytes += size
        self._added += 1
        if self._is_full(self._open):
            self._close()

    def flush(self) -> None:
        """Have the requests sent that wait for others, unless they are to share a message as in an earlier run."""
        if self._open_size is None:
            self._close()

    def end(self) -> None:
        """No more requests will come."""
        self._close()
        self._has_ended = True

    def to_send(self) -> list[Chunk]:
        """The messages to send now."""
        chunks = []
        while self._ready and (self._ready[0] in self._under_way or len(self._under_way) < self._in_flight):
            chunk = self._ready.popleft()
            if chunk not in self._under_way:
                self._under_way.append(chunk)
            chunks.append(chunk)
        return chunks

    def enter(self, chunk: Chunk) -> str | None:
        """Have a message entered in the log. Returns its id; None if there is no log."""
        if self._log is None:
            return None
        attempt = 1 + self._retries - chunk.retries
        chunk.logged = self._log.enter(chunk.numbers[0], len(chunk.numbers), attempt)
        return chunk.logged.request_id

    def sent(self, request_id: str) -> None:
        """The broker has a message."""
        if self._log is not None:
            self._log.sent(request_id)

    def not_found(self, chunks: Iterable[Chunk]) -> None:
        """The results of messages that an earlier run may have sent have not come in time: they are sent."""
        overdue = list(chunks)
        for chunk in overdue:
            chunk.is_overdue = True
        self._ready.extendleft(reversed(overdue))
        self._oldest = None

    def answered(self, chunk: Chunk, request_id: str, record: ResultRecord) -> None:
        """A message has ended."""
        try:
            answer = answer_of(request_id, record)
        except errors.CeleriacError as error:
            self.failed(chunk, error)
            return
        self._learn(chunk, record.get("compute_s"))
        if len(chunk.requests) == 1:
            self._finish(chunk, [answer])
        else:
            self._finish(chunk, [_outcome_of_item(answer, result) for result in answer.result])

    def failed(self, chunk: Chunk, error: errors.CeleriacError) -> None:
        """A message has ended as a whole, or was given up. What may be due to one request is tried without it."""
        at = self._under_way.index(chunk)
        if len(chunk.requests) > 1 and isinstance(error, _OF_ONE):
            parts = list(chunk.parts())
            self._under_way[at : at + 1] = parts
            self._ready.extendleft(reversed(parts))
        elif chunk.retries and isinstance(error, errors.RemoteFailure):
            chunk.retries -= 1
            self._ready.appendleft(chunk)
        else:
            self._finish(chunk, [error] * len(chunk.requests))

    def take_outcomes(self) -> list[tuple[int, Outcome]]:
        """The outcomes that can be handed out now, with the numbers of their requests."""
        taken: list[tuple[int, Outcome]] = []
        if self._in_order:
            while self._under_way and self._under_way[0].outcomes:
                chunk = self._under_way.pop(0)
                taken += zip(chunk.numbers, chunk.outcomes, strict=True)
        else:
            for chunk in self._under_way:
                taken += zip(chunk.numbers, chunk.outcomes, strict=False)
            self._under_way = [chunk for chunk in self._under_way if not chunk.outcomes]
        return taken

    def deadline_of_oldest(self, request_id: str, fresh: Deadline) -> Deadline:
        """Until when the oldest message is waited for: ``fresh`` when it has become the oldest."""
        if self._oldest is None or self._oldest[0] != request_id:
            self._oldest = request_id, fresh
        return self._oldest[1]

    def _close(self) -> None:
        """No more requests go into the open message."""
        if self._open is not None:
            self._ready.append(self._open)
            self._open = self._open_size = None

    def _finish(self, chunk: Chunk, outcomes: list[Outcome]) -> None:
        chunk.outcomes = outcomes
        self._done += len(outcomes)
        if self._on_progress is not None:
            self._on_progress(self._done)

    def _learn(self, chunk: Chunk, compute_s: float | None) -> None:
        self._largest = max(self._largest, len(chunk.requests))
        if compute_s:
            schema, measured = type(chunk.requests[0]), compute_s / chunk.weight
            known = self._seconds_per_weight.get(schema, measured)
            self._seconds_per_weight[schema] = known + _NEW_SHARE * (measured - known)

    def _fits(self, chunk: Chunk, request: Request, size: int) -> bool:
        count = len(chunk.requests) + 1
        return (
            not request.has_several
            and chunk.text_bytes + size <= _MAX_TEXT_BYTES
            and count * _labels_of(request) <= MAX_SEQUENCES
            and _differ_in_items_only(chunk.requests[0], request)
        )

    def _is_full(self, chunk: Chunk) -> bool:
        if self._open_size is not None:
            return len(chunk.requests) >= self._open_size
        if self._chunk_s is None or chunk.requests[0].has_several:
            return True
        rate = self._seconds_per_weight.get(type(chunk.requests[0]))
        # The first messages have one request each, and show what it costs.
        limit = min(MAX_INPUTS if rate is not None else _UNMEASURED, max(1, _GROWTH * self._largest))
        return len(chunk.requests) >= limit or (rate is not None and chunk.weight * rate >= self._chunk_s)


def _differ_in_items_only(one: Request, other: Request) -> bool:
    if type(one) is not type(other) or one.model_fields_set != other.model_fields_set:
        return False
    shared = one.model_fields_set.difference(type(one).item_fields)
    return all(getattr(one, name) == getattr(other, name) for name in shared)


def _labels_of(request: Request) -> int:
    if isinstance(request, ZeroShotClassificationRequest):
        labels = request.candidate_labels
        return max(1, labels.count(",") + 1 if isinstance(labels, str) else len(labels))
    return 1


def _text_bytes(request: Request) -> int:
    return sum(_size(getattr(request, name)) for name in type(request).item_fields)


def _size(item: object) -> int:
    if isinstance(item, str):
        return len(item) + 2 if item.isascii() else len(json.dumps(item))
    if isinstance(item, list):
        return sum(map(_size, item))
    return sum(_size(text) for text in vars(item).values() if text is not None)


def _outcome_of_item(answer: Answer, result: object) -> Outcome:
    """The outcome of one request of a message: its errors speak of the request, not of its place in the message."""
    if isinstance(result, dict) and isinstance(stated := result.get("error"), dict):
        path = stated["field"]
        if path is not None:
            own = _INDEX.sub("", path, count=1)
            stated = {**stated, "field": own, "message": stated["message"].replace(path, own, 1)}
        return error_of_item(stated)
    return Answer(answer.request_id, result, answer.model)
