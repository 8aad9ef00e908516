"""Load on a queue: as much as is taken, with a bounded number in flight; or arrivals that wait for nobody.

Requests are sent with ``producer.Client.submit``, whoever consumes them: message and sender are the same for all
contestants. Results are read in bulk from Celery's result keys, or from the notifications that go with them.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Self

import redis

from producer import Client
from producer.contract import QueueClass, Request

__all__ = ["NoAnswerError", "OpenLoop", "saturate"]

_KEY_PREFIX = "celery-task-meta-"
_READ_AT_ONCE = 128
_SENT_AT_ONCE = 64
#: Between two looks at the results, each of which costs CPU time: this share of what has passed so far, so that a load
#: that takes long is not looked at more often than a short one; and its bounds.
_PAUSE_SHARE, _LEAST_PAUSE_S, _MOST_PAUSE_S = 0.01, 0.005, 0.05
_PATIENCE_S = 120.0
_RECHECK_S = 1.0


class NoAnswerError(RuntimeError):
    """Nothing was answered for too long."""


def saturate(url: str, requests: Sequence[Request], queue_class: QueueClass, in_flight: int) -> list[Any]:
    """Send all requests, some of them ahead of the answers.

    Returns:
        The result of each request, in order; None where it failed.

    Raises:
        NoAnswerError: for two minutes nothing was answered.
    """
    results: list[Any] = [None] * len(requests)
    waiting: deque[tuple[str, int]] = deque()
    todo = iter(enumerate(requests))
    start_s = last_s = time.monotonic()
    done = 0
    with Client(url, timeout_s=60) as client, redis.Redis.from_url(url) as server:
        while done < len(requests):
            sent = _send(client, todo, waiting, queue_class, min(_SENT_AT_ONCE, in_flight - len(waiting)))
            found = _read(server, waiting, results)
            done += found
            if found:
                last_s = time.monotonic()
            elif time.monotonic() - last_s > _PATIENCE_S:
                raise NoAnswerError(f"{len(requests) - done} of {len(requests)} requests were not answered")
            if not sent and found < _READ_AT_ONCE:
                pause_s = _PAUSE_SHARE * (time.monotonic() - start_s)
                time.sleep(min(max(pause_s, _LEAST_PAUSE_S), _MOST_PAUSE_S))
    return results


def _send(
    client: Client,
    todo: Iterator[tuple[int, Request]],
    waiting: deque[tuple[str, int]],
    queue_class: QueueClass,
    count: int,
) -> int:
    sent = 0
    while sent < count and (following := next(todo, None)):
        index, request = following
        waiting.append((client.submit(request, queue_class=queue_class), index))
        sent += 1
    return sent


def _read(server: redis.Redis, waiting: deque[tuple[str, int]], results: list[Any]) -> int:
    """Look at the oldest requests, and take those that are answered out of ``waiting``."""
    looked_at = [waiting.popleft() for _ in range(min(_READ_AT_ONCE, len(waiting)))]
    if not looked_at:
        return 0
    values: Any = server.mget([_KEY_PREFIX + request_id for request_id, _ in looked_at])
    missing = []
    for (request_id, index), value in zip(looked_at, values, strict=True):
        if value is None:
            missing.append((request_id, index))
        else:
            results[index] = _result(value)
    waiting.extendleft(reversed(missing))
    return len(looked_at) - len(missing)


def _result(value: bytes | str) -> Any:
    record = json.loads(value)
    return record["result"] if record["status"] == "SUCCESS" else None


class OpenLoop(AbstractContextManager["OpenLoop"]):
    """Requests that arrive when they arrive; a latency counts from the arrival, also when sending was late."""

    def __init__(self, url: str) -> None:
        self._client = Client(url, timeout_s=60)
        self._server = redis.Redis.from_url(url)
        self._results = self._server.pubsub(ignore_subscribe_messages=True)

    def __enter__(self) -> Self:
        self._results.psubscribe(f"{_KEY_PREFIX}*")
        self._results.get_message(timeout=1.0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._results.close()
        self._server.close()
        self._client.close()

    def run(self, requests: Sequence[Request], arrivals: Sequence[float]) -> list[float]:
        """Seconds from each arrival to its answer, in the order of the answers.

        Raises:
            NoAnswerError: a request failed, or nothing was answered for two minutes.
        """
        latencies: list[float] = []
        due: dict[str, float] = {}
        start_s = last_s = time.perf_counter()
        coming = deque(zip(requests, arrivals, strict=True))
        while coming or due:
            now_s = time.perf_counter()
            if coming and coming[0][1] <= now_s - start_s:
                request, arrival = coming.popleft()
                due[self._client.submit(request)] = start_s + arrival
                continue
            pause_s = min(coming[0][1] - (now_s - start_s), _RECHECK_S) if coming else _RECHECK_S
            answered = self._next(pause_s)
            if answered in due:
                last_s = time.perf_counter()
                latencies.append(last_s - due.pop(answered))
            elif now_s - last_s > _PATIENCE_S:
                raise NoAnswerError(f"{len(due)} requests were not answered")
        return latencies

    def _next(self, pause_s: float) -> str:
        """The id of the next request that is answered; empty where none is in time."""
        message = self._results.get_message(timeout=max(pause_s, 0.0))
        if not message or message["type"] != "pmessage":
            return ""
        if _result(message["data"]) is None:
            raise NoAnswerError(f"a request failed: {message['data']!r}")
        return str(message["channel"].decode().removeprefix(_KEY_PREFIX))
