"""A kombu channel whose messages come from the fetch script."""

from __future__ import annotations

import logging
from typing import Any

import redis
from kombu.transport import redis as stock

from worker.transport.envelope import Message, find_task_id
from worker.transport.fetcher import Fetcher
from worker.transport.poller import FETCH
from worker.transport.qos import QoS
from worker.transport.script import Names
from worker.transport.unsettled import Leftovers, leftovers_of

__all__ = ["Channel"]

logger = logging.getLogger(__name__)

_CLOSE_S = 2.0


class Channel(stock.Channel):
    """kombu's channel; publishing, purging and the sweep are untouched.

    The options below are read from ``broker_transport_options``, as kombu's are.
    """

    QoS = QoS
    Message = Message

    #: Messages and bytes that one call takes at most; a single message may be larger.
    fetch_messages = 64
    fetch_bytes = 256 * 1024
    #: While at least half of the prefetch is held, a fetch waits this long for more credit, in seconds.
    fetch_hold = 0.005
    #: Whether acknowledgements wait as well meanwhile: less CPU time, and those that wait are repeated after a SIGKILL.
    fetch_hold_acks = False
    #: What wakes idle consumers: ``one`` of them, ``all`` of them, or nothing (``poll``).
    fetch_wake = "one"
    #: An idle consumer looks by itself this often, in seconds, should a push be lost.
    fetch_recheck = 5.0
    #: Shortest and longest pause between two looks where nothing wakes, in seconds.
    fetch_poll_min = 0.005
    fetch_poll_max = 0.2
    #: How many malformed messages ``<queue>.dead`` keeps, and for how many seconds after the last one came.
    dead_letter_length = 1000
    dead_letter_ttl = 7 * 24 * 3600

    from_transport_options = (
        *stock.Channel.from_transport_options,
        "fetch_messages",
        "fetch_bytes",
        "fetch_hold",
        "fetch_hold_acks",
        "fetch_wake",
        "fetch_recheck",
        "fetch_poll_min",
        "fetch_poll_max",
        "dead_letter_length",
        "dead_letter_ttl",
    )

    def __init__(self, connection: Any, **options: Any) -> None:
        #: Queues consumed without acknowledgement: their messages are not recorded.
        self.unrecorded: frozenset[str] = frozenset()
        self.fetcher = Fetcher(self)
        super().__init__(connection, **options)
        if not self.ack_emulation:
            raise ValueError("this transport records every message: ack_emulation cannot be turned off")
        self.fetcher.begin(connection.cycle)
        # kombu's own way to read this kind of connection, for errors that its poller reports.
        self.handlers[FETCH] = self.fetcher.read

    @property
    def names(self) -> Names:
        """The keys that the script uses."""
        prefix = self.global_keyprefix
        return Names(prefix + self.unacked_index_key, prefix + self.unacked_key, prefix)

    @property
    def leftovers(self) -> Leftovers:
        """What closed channels on this broker left."""
        return self._leftovers

    def plain_client(self) -> redis.Redis:
        """A client that adds no prefix to keys, on the channel's pool."""
        return redis.Redis(connection_pool=self.pool)

    def _get_pool(self, asynchronous: bool = False) -> Any:
        pool = super()._get_pool(asynchronous)
        info = self.connection.client
        identity = (info.hostname, info.port, info.virtual_host, self.names.unacked)
        self._leftovers = leftovers_of(identity)
        return pool

    def basic_consume(self, queue: str, no_ack: bool = False, *args: Any, **options: Any) -> Any:
        """Consume from a queue, from the next turn on; from a fanout queue, at once.

        Raises:
            redis.exceptions.ConnectionError: the server cannot be reached for a fanout queue.
        """
        self.unrecorded = self.unrecorded | {queue} if no_ack else self.unrecorded - {queue}
        result = super().basic_consume(queue, no_ack, *args, **options)
        self.fetcher.queues_changed()
        if queue in self.active_fanout_queues:
            self.connection.cycle.listen(self)
        return result

    def pause(self, queue: str, seconds: float) -> None:
        """Leave a queue to its other consumers for a while; what was fetched from it is still handed over."""
        self.fetcher.pause(queue, seconds)

    def _basic_cancel(self, consumer_tag: str) -> Any:
        result = super()._basic_cancel(consumer_tag)
        self.fetcher.queues_changed()
        return result

    def set_aside(self, queue: str, tag: str | bytes, raw: bytes, reason: str) -> None:
        """Move a malformed message that the script had recorded to ``<queue>.dead``."""
        names, dead = self.names, self.names.dead(queue)
        with self.plain_client() as client, client.pipeline(transaction=True) as pipe:
            pipe.lpush(dead, raw).ltrim(dead, 0, self.dead_letter_length - 1).expire(dead, self.dead_letter_ttl)
            pipe.zrem(names.index, tag).hdel(names.unacked, tag)
            pipe.execute()
        task_id, size = find_task_id(raw), len(raw)
        about = {"task_id": task_id} if task_id else None
        logger.error("set aside a malformed message of %d bytes in the list %s: %s", size, dead, reason, extra=about)

    def set_aside_by_tag(self, tag: str | bytes, reason: str) -> None:
        """As :meth:`set_aside`, for a record that nobody could read: the queue is only in what cannot be read."""
        with self.plain_client() as client:
            raw = client.hget(self.names.unacked, tag)
        if raw is not None:
            self.set_aside(self.unacked_key, tag, raw, reason)

    def _do_restore_message(self, payload: Any, *args: Any, **options: Any) -> Any:
        # kombu marks what it puts back in the headers, fails over null, logs the message and drops it.
        if payload.get("headers") is None:
            payload.pop("headers", None)
        return super()._do_restore_message(payload, *args, **options)

    def _on_connection_disconnect(self, connection: Any) -> None:
        if self.fetcher.link.belongs_to(connection):
            self.fetcher.link.forget()
        super()._on_connection_disconnect(connection)

    def _poll_error(self, type: str, **options: Any) -> Any:  # noqa: A002 - kombu's name
        if type == FETCH:
            return self.fetcher.read()
        return super()._poll_error(type, **options)

    def _flush_brpop_reauth(self) -> None:
        # The answer to AUTH would be taken for that of a fetch.
        if self.fetcher.link.in_flight is None:
            super()._flush_brpop_reauth()

    def close(self) -> None:
        """Settle what can be settled, leave the rest to the next channel, and put back what is held."""
        if self.closed or not self._registered:
            super().close()
            return
        self.fetcher.close(_CLOSE_S)
        qos = self.qos
        held = [tag for tag in qos._delivered if tag not in qos._dirty]  # noqa: SLF001 - kombu's accounts
        try:
            super().close()
        except self.connection_errors:
            self._leftovers.held.extend(held)
            raise
        finally:
            # kombu disconnects its pools, and then makes one more to put back what is held.
            self._disconnect_pools()
