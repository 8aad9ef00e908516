"""Does what a map's plan says, in an event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator

from redis.exceptions import RedisError

from producer import errors
from producer.async_waiter import AsyncResultWaiter
from producer.chunks import Chunk, ChunkedMap, Outcome
from producer.connections import Deadline
from producer.contract import Request
from producer.expectations import Expectation
from producer.message_log import UNSURE_S
from producer.outcomes import late, results_unavailable

__all__ = ["AsyncMap"]

#: How long a request waits for others that may share its message, while the caller's requests come slowly.
_HOLD_S = 0.02


class AsyncMap:
    """One map.

    Args:
        plan: what to do.
        requests: of the caller.
        waiter: of the event loop.
        enqueue: sends a request under an id, by a deadline.
        fresh_deadline: makes the deadline of one message.
    """

    def __init__(
        self,
        plan: ChunkedMap,
        requests: Iterable[Request] | AsyncIterable[Request],
        waiter: AsyncResultWaiter,
        enqueue: Callable[[Request, str, Deadline], Awaitable[None]],
        fresh_deadline: Callable[[], Deadline],
    ) -> None:
        self._plan, self._waiter, self._enqueue, self._fresh_deadline = plan, waiter, enqueue, fresh_deadline
        self._requests = requests
        self._sent: dict[str, tuple[Chunk, Expectation]] = {}
        self._finished: deque[Expectation] = deque()
        self._came = asyncio.Event()
        self._next: asyncio.Task[Request] | None = None

    async def run(self) -> AsyncIterator[tuple[int, Outcome]]:
        """Send the requests and yield their outcomes."""
        plan = self._plan
        source = aiter(self._requests) if isinstance(self._requests, AsyncIterable) else iter(self._requests)
        try:
            while not plan.is_done:
                for numbered in plan.take_outcomes():
                    yield numbered
                if isinstance(source, AsyncIterator):
                    await self._fill(source)
                else:
                    self._fill_now(source)
                if chunks := plan.to_send():
                    await asyncio.gather(*map(self._send, chunks))
                else:
                    await self._wait()
                    self._take_answers()
        finally:
            if self._next is not None:
                self._next.cancel()
            for _, expectation in self._sent.values():
                self._waiter.release(expectation)

    def _fill_now(self, source: Iterator[Request]) -> None:
        while self._plan.wants_more:
            try:
                self._plan.add(next(source))
            except StopIteration:
                self._plan.end()

    async def _fill(self, source: AsyncIterator[Request]) -> None:
        while self._plan.wants_more:
            if self._next is None:
                self._next = asyncio.ensure_future(_next_of(source))
            await asyncio.wait({self._next}, timeout=_HOLD_S)
            if not self._next.done():
                self._plan.flush()
                return
            coming, self._next = self._next, None
            try:
                self._plan.add(coming.result())
            except StopAsyncIteration:
                self._plan.end()

    async def _send(self, chunk: Chunk) -> None:
        logged_id = self._plan.enter(chunk)
        request_id = logged_id or self._waiter.expectations.new_id()
        expectation = self._waiter.expect(request_id, is_sent=logged_id is not None)
        if chunk.is_looked_for:
            self._await(chunk, expectation)
            return
        try:
            await self._enqueue(chunk.request, expectation.request_id, self._fresh_deadline())
        except errors.InvalidRequest as error:
            self._waiter.release(expectation)
            self._plan.failed(chunk, error)
        else:
            self._plan.sent(request_id)
            self._await(chunk, expectation)

    def _await(self, chunk: Chunk, expectation: Expectation) -> None:
        self._sent[expectation.request_id] = chunk, expectation
        if expectation.record is None:
            expectation.listeners.append(self._notice)
        else:
            self._notice(expectation)

    def _notice(self, expectation: Expectation) -> None:
        self._finished.append(expectation)
        self._came.set()

    async def _wait(self) -> None:
        """Wait for any answer or another request, and give up the oldest message if there is none in time."""
        if not self._sent:
            if self._next is not None:
                await asyncio.wait({self._next})
            return
        request_id, (chunk, oldest) = next(iter(self._sent.items()))
        fresh = self._fresh_deadline()
        if chunk.is_unsure:
            fresh = fresh.capped(UNSURE_S)
        deadline = self._plan.deadline_of_oldest(request_id, fresh)
        until = deadline.brought_forward(self._waiter.margin_s)
        self._came.clear()
        if self._finished:
            return
        coming = asyncio.ensure_future(self._came.wait())
        awaited = {coming} if self._next is None or not self._plan.wants_more else {coming, self._next}
        try:
            await asyncio.wait(awaited, timeout=until.remaining_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            coming.cancel()
        if self._finished or until.remaining_s:
            return
        problem: errors.CeleriacError | None = None
        try:
            await self._waiter.wait(oldest, deadline)
        except RedisError as error:
            problem = results_unavailable(error)
        if not self._finished and chunk.is_looked_for:
            self._send_what_was_not_found()
        elif not self._finished:
            del self._sent[request_id]
            self._waiter.release(oldest)
            self._plan.failed(chunk, problem or late(request_id))

    def _send_what_was_not_found(self) -> None:
        """All of it has been waited for as long as the oldest."""
        looked_for = [request_id for request_id, (chunk, _) in self._sent.items() if chunk.is_looked_for]
        overdue = [self._sent.pop(request_id) for request_id in looked_for]
        for _, expectation in overdue:
            self._waiter.release(expectation)
        self._plan.not_found(chunk for chunk, _ in overdue)

    def _take_answers(self) -> None:
        while self._finished:
            expectation = self._finished.popleft()
            entry = self._sent.pop(expectation.request_id, None)
            if entry is not None and expectation.record is not None:
                self._waiter.release(expectation)
                self._plan.answered(entry[0], expectation.request_id, expectation.record)


async def _next_of(source: AsyncIterator[Request]) -> Request:
    return await anext(source)
