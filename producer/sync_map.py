"""Does what a map's plan says, in the thread that asks for the outcomes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

from redis.exceptions import RedisError

from producer import errors
from producer.chunks import Chunk, ChunkedMap, Outcome
from producer.connections import Deadline
from producer.contract import Request
from producer.expectations import Expectation
from producer.message_log import UNSURE_S
from producer.outcomes import late, results_unavailable
from producer.waiter import ResultWaiter, Wait

__all__ = ["SyncMap"]

#: An iterable that takes longer than this for a request has what it gives sent at once.
_SLOW_S = 0.02


class SyncMap:
    """One map.

    Args:
        plan: what to do.
        waiter: of the client.
        send: expects the result of a request, and sends it, under an id if one is given.
        fresh_deadline: makes the deadline of one message.
    """

    def __init__(
        self,
        plan: ChunkedMap,
        waiter: ResultWaiter,
        send: Callable[[Request, Wait, str | None], Expectation],
        fresh_deadline: Callable[[], Deadline],
    ) -> None:
        self._plan, self._waiter, self._send_request, self._fresh_deadline = plan, waiter, send, fresh_deadline
        self._wait_for = Wait()
        self._sent: dict[str, tuple[Chunk, Expectation]] = {}

    def run(self, requests: Iterable[Request]) -> Iterator[tuple[int, Outcome]]:
        """Send the requests and yield their outcomes."""
        plan, source = self._plan, iter(requests)
        try:
            while not plan.is_done:
                yield from plan.take_outcomes()
                while plan.wants_more:
                    asked_s = time.monotonic()
                    try:
                        plan.add(next(source))
                    except StopIteration:
                        plan.end()
                    if time.monotonic() - asked_s > _SLOW_S:
                        # The next one may be as slow.
                        plan.flush()
                chunks = plan.to_send()
                for chunk in chunks:
                    self._send(chunk)
                if self._sent and not chunks:
                    self._wait()
        finally:
            for _, expectation in self._sent.values():
                self._waiter.release(expectation, self._wait_for)

    def _send(self, chunk: Chunk) -> None:
        request_id = self._plan.enter(chunk)
        if request_id is not None and chunk.is_looked_for:
            self._sent[request_id] = chunk, self._waiter.expect(request_id, self._wait_for, is_sent=True)
            return
        try:
            expectation = self._send_request(chunk.request, self._wait_for, request_id)
        except errors.InvalidRequest as error:
            self._plan.failed(chunk, error)
        else:
            self._plan.sent(expectation.request_id)
            self._sent[expectation.request_id] = chunk, expectation

    def _wait(self) -> None:
        """Wait for any answer, and give up the oldest message if there is none in time."""
        problem: errors.CeleriacError | None = None
        oldest_id, (oldest, awaited) = next(iter(self._sent.items()))
        fresh = self._fresh_deadline()
        if oldest.is_unsure:
            fresh = fresh.capped(UNSURE_S)
        try:
            self._waiter.wait_for_any(self._wait_for, self._plan.deadline_of_oldest(oldest_id, fresh))
        except RedisError as error:
            problem = results_unavailable(error)
        if not self._wait_for.finished and oldest.is_looked_for:
            self._send_what_was_not_found()
        elif not self._wait_for.finished:
            del self._sent[oldest_id]
            self._waiter.release(awaited, self._wait_for)
            self._plan.failed(oldest, problem or late(oldest_id))
        while self._wait_for.finished:
            expectation = self._wait_for.finished.popleft()
            entry = self._sent.pop(expectation.request_id, None)
            # One that has just been given up may come all the same.
            if entry is not None and expectation.record is not None:
                self._waiter.release(expectation, self._wait_for)
                self._plan.answered(entry[0], expectation.request_id, expectation.record)

    def _send_what_was_not_found(self) -> None:
        """All of it has been waited for as long as the oldest."""
        looked_for = [request_id for request_id, (chunk, _) in self._sent.items() if chunk.is_looked_for]
        overdue = [self._sent.pop(request_id) for request_id in looked_for]
        for _, expectation in overdue:
            self._waiter.release(expectation, self._wait_for)
        self._plan.not_found(chunk for chunk, _ in overdue)
