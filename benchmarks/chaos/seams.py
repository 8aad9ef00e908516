"""Our transport, result backend and pool hooks, with the steps at which a trap may kill the process.

Each part is a subclass that calls ours and then says which step was passed.
"""

from __future__ import annotations

from typing import Any

from benchmarks.chaos.steps import Step, Trap
from worker import transport
from worker.pool import ComputedBatch, PoolHooks
from worker.results.backend import RedisBackend
from worker.transport.channel import Channel
from worker.transport.fetcher import Fetcher
from worker.transport.script import Fetch, Fetched, FetchReply

__all__ = ["AMQP", "TRAPPED_BACKENDS", "TrappedBackend", "TrappedHooks"]


class TrappedFetcher(Fetcher):
    """Passes the steps between fetching a message and acknowledging it."""

    def __init__(self, channel: Any) -> None:
        super().__init__(channel)
        self._trap = Trap.of_environment()

    def send_next(self) -> None:
        """See :meth:`Fetcher.send_next`."""
        before = self.fetch_connection.in_flight
        super().send_next()
        sent = self.fetch_connection.in_flight
        if sent is None or sent is before:
            return
        if sent.credit:
            self._trap.passing(Step.FETCH_SENT)
        if sent.acks:
            self._trap.passing(Step.ACK_SENT)

    def defer_ack(self, tag: str) -> bool:
        """See :meth:`Fetcher.defer_ack`."""
        is_kept = super().defer_ack(tag)
        self._trap.passing(Step.ACK_WAITS)
        return is_kept

    def _take_reply(self, fetch: Fetch, reply: FetchReply) -> None:
        super()._take_reply(fetch, reply)
        if reply.messages:
            self._trap.passing(Step.FETCHED)

    def _deliver(self, message: Fetched) -> None:
        super()._deliver(message)
        self._trap.passing(Step.DELIVERED)


class TrappedChannel(Channel):
    """A channel with that fetcher."""

    Fetcher = TrappedFetcher


class TrappedTransport(transport.Transport):
    """A transport with that channel."""

    Channel = TrappedChannel


class TrappedConnection(transport.Connection):
    """A connection that uses that transport wherever ours would use our own."""

    def get_transport_cls(self) -> Any:
        """See :meth:`Connection.get_transport_cls`."""
        found = super().get_transport_cls()
        return TrappedTransport if found is transport.Transport else found


class AMQP(transport.AMQP):
    """What an app makes such connections with."""

    Connection = TrappedConnection
    BrokerConnection = TrappedConnection


class TrappedBackend(RedisBackend):
    """Passes the steps before and after results are stored."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._trap = Trap.of_environment()

    def on_chord_part_return(self, request: Any, state: str, result: Any, **options: Any) -> Any:
        """See Celery's backend: called once the result of a chord's member is stored."""
        if request.group:
            self._trap.passing(Step.CHORD_BEGINS)
        returned = super().on_chord_part_return(request, state, result, **options)
        if request.group:
            self._trap.passing(Step.CHORD_ENDED)
        return returned

    def _write(self, gathered: Any) -> None:
        self._trap.passing(Step.STORE_BEGINS)
        super()._write(gathered)
        self._trap.passing(Step.STORED)


class TrappedHooks(PoolHooks):
    """The hooks of a plain app, which pass the step after a batch."""

    def __init__(self) -> None:
        self._trap = Trap.of_environment()

    def on_batch(self, batch: ComputedBatch) -> None:
        """See :meth:`PoolHooks.on_batch`."""
        super().on_batch(batch)
        self._trap.passing(Step.REPORTED)


#: For the loader's ``override_backends``.
TRAPPED_BACKENDS = dict.fromkeys(("redis", "rediss"), f"{__name__}:TrappedBackend")
