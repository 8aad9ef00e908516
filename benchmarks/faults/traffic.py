"""A client that keeps sending, and the ledger of what became of each of its requests."""

from __future__ import annotations

import queue
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from producer import (
    CeleriacError,
    Client,
    ResultBackendUnavailable,
    ServiceUnavailable,
    TextClassificationRequest,
    WaitTimeout,
)

__all__ = ["Ledger", "Traffic"]

_REQUEST = TextClassificationRequest.parse({"inputs": "A delight from the first minute to the last."})
#: Requests a second, and how many are waited for side by side.
_PACE, _WAITERS = 8, 4
_POLL_S = 0.1
#: How long a broker is empty before what has not ended is lost: a waiter looks again every second, for so many.
_SETTLED_S = 5.0


@dataclass
class Ledger:
    """What became of the requests.

    Attributes:
        accepted: ids whose ``submit`` has returned.
        refused: errors of the others' ``submit``, by type.
        answered: ids that have an answer.
        failed: ids that ended with an error, with its type.
        waits_failed: errors of ``wait`` that left the request open, by type: it was waited for again.
        probes: begin and end of each call of ``classify`` that was answered, on the monotonic clock.
    """

    accepted: set[str] = field(default_factory=set)
    refused: Counter[str] = field(default_factory=Counter)
    answered: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)
    waits_failed: Counter[str] = field(default_factory=Counter)
    probes: list[tuple[float, float]] = field(default_factory=list)

    @property
    def open(self) -> set[str]:
        """Accepted, and neither answered nor failed."""
        return self.accepted - self.answered - self.failed.keys()

    def back_after_s(self, moment_s: float) -> float | None:
        """Seconds from a moment to the first answer to a request that was sent after it; None if there is none."""
        return min((end_s - moment_s for begin_s, end_s in self.probes if begin_s >= moment_s), default=None)


class Traffic:
    """Sends requests until :meth:`end`, waits for their answers, and calls ``classify`` again and again.

    Args:
        broker_url: where requests are sent.
        backend_url: where answers are read.
        durable: whether each request is to be on disk before it counts as accepted.
        call_s: how long a call may take, in seconds.
    """

    def __init__(
        self, broker_url: str, backend_url: str | None = None, *, durable: bool = False, call_s: float = 2.0
    ) -> None:
        self.ledger = Ledger()
        self._urls = broker_url, backend_url
        self._durable, self._call_s = durable, call_s
        # Not a SimpleQueue: in Python 3.11 its timeout can be missed, and then it waits for ever.
        self._open: queue.Queue[str] = queue.Queue()
        self._sends, self._waits = threading.Event(), threading.Event()
        names = (self._send, self._probe, *[self._wait] * _WAITERS)
        self._threads = [threading.Thread(target=target, daemon=True) for target in names]

    def end(self) -> None:
        """Send no more."""
        self._sends.clear()

    def drain(self, is_over: Callable[[], bool], timeout_s: float) -> None:
        """Wait until every accepted request has ended, or nothing can come any more, or the time is up.

        Args:
            is_over: whether the broker is empty.
            timeout_s: how long to wait at most, in seconds.
        """
        give_up_s = time.monotonic() + timeout_s
        over_s = time.monotonic()
        while self.ledger.open and time.monotonic() < give_up_s and time.monotonic() - over_s < _SETTLED_S:
            if not is_over():
                over_s = time.monotonic()
            time.sleep(_POLL_S)

    def __enter__(self) -> Self:
        self._sends.set()
        self._waits.set()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sends.clear()
        self._waits.clear()
        for thread in self._threads:
            thread.join()

    def _client(self) -> Client:
        return Client(*self._urls, timeout_s=self._call_s)

    def _send(self) -> None:
        with self._client() as client:
            while self._sends.is_set():
                next_s = time.monotonic() + 1 / _PACE
                request_id = str(uuid.uuid4())
                try:
                    client.submit(_REQUEST, request_id=request_id, durable=self._durable)
                except ServiceUnavailable as error:
                    self.ledger.refused[type(error).__name__] += 1
                else:
                    self.ledger.accepted.add(request_id)
                    self._open.put(request_id)
                time.sleep(max(0.0, next_s - time.monotonic()))

    def _probe(self) -> None:
        with self._client() as client:
            while self._sends.is_set():
                begin_s = time.monotonic()
                try:
                    client.classify("A delight.", timeout_s=self._call_s)
                except CeleriacError:
                    time.sleep(_POLL_S)
                else:
                    self.ledger.probes.append((begin_s, time.monotonic()))
                    time.sleep(_POLL_S)

    def _wait(self) -> None:
        with self._client() as client:
            while self._waits.is_set():
                try:
                    request_id = self._open.get(timeout=_POLL_S)
                except queue.Empty:
                    continue
                try:
                    client.wait(request_id, timeout_s=self._call_s)
                except (WaitTimeout, ResultBackendUnavailable) as error:
                    self.ledger.waits_failed[type(error).__name__] += 1
                    self._open.put(request_id)
                    if isinstance(error, ResultBackendUnavailable):
                        time.sleep(_POLL_S)
                except CeleriacError as error:
                    self.ledger.failed[request_id] = _kind(error)
                else:
                    self.ledger.answered.add(request_id)


def _kind(error: CeleriacError) -> str:
    name = getattr(error, "name", None)
    return f"{type(error).__name__}({name})" if name else type(error).__name__
