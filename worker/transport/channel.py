"""A kombu channel that gets its messages from the fetch script."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any

import redis
from kombu.exceptions import InconsistencyError
from kombu.transport import redis as stock

from worker.transport.admission import Admission, Unlimited
from worker.transport.dead_envelope import facts_of, split_record
from worker.transport.dead_letters import Attempt, DeadLetterBounds, DeadLetters, DeadReason, Epitaph
from worker.transport.envelope import Message, task_id_in
from worker.transport.fetcher import Fetcher
from worker.transport.keys import Keys
from worker.transport.lease import Lease
from worker.transport.poller import FETCH
from worker.transport.protocols import QueueCycle
from worker.transport.qos import QoS
from worker.transport.unsettled import Broker, Unsettled

__all__ = ["Channel"]

logger = logging.getLogger(__name__)

_CLOSE_S = 2.0


class Channel(stock.Channel):
    """kombu's channel. Publishing, purging and the sweep are kombu's own.

    The options below are read from ``broker_transport_options``, like kombu's.
    """

    QoS = QoS
    Message = Message
    Fetcher = Fetcher

    #: Messages and bytes that one call takes at most. A single message may be larger.
    fetch_messages = 64
    fetch_bytes = 256 * 1024
    #: While at least half of the prefetch is held, a fetch waits this long for more credit, in seconds.
    fetch_hold = 0.005
    #: Whether acknowledgements wait as long. That saves CPU time; those that wait are repeated after a SIGKILL.
    fetch_hold_acks = False
    #: Which idle consumers a message wakes: ``one``, ``all``, or none (``poll``).
    fetch_wake = "one"
    #: How long an idle consumer waits before it fetches by itself, in seconds, in case a push was lost.
    fetch_recheck = 5.0
    #: Shortest and longest delay between two fetches where nothing wakes the consumer, in seconds.
    fetch_poll_min = 0.005
    fetch_poll_max = 0.2
    #: How long a consumer that has stopped renewing its lease keeps what it holds, in seconds.
    lease_s = 5.0
    #: How many dead letters are kept, how many bytes of them, for how many seconds, and whether with their envelopes.
    dead_letter_length = 10_000
    dead_letter_bytes = 64 * 1024 * 1024
    dead_letter_ttl = 7 * 24 * 3600
    dead_letter_content = True

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
        "dead_letter_bytes",
        "dead_letter_ttl",
        "dead_letter_content",
        "lease_s",
    )

    def __init__(self, connection: Any, **options: Any) -> None:
        #: Queues consumed without acknowledgement: their messages are not recorded.
        self.unrecorded: frozenset[str] = frozenset()
        self.admission: Admission = Unlimited()
        self.fetcher = self.Fetcher(self)
        super().__init__(connection, **options)
        if not self.ack_emulation:
            raise ValueError("this transport records every message: ack_emulation cannot be turned off")
        self.fetcher.start(connection.cycle)
        # How kombu reads a connection of this kind when its poller reports an error.
        self.handlers[FETCH] = self.fetcher.read

    # -- for whoever consumes

    def admit_by(self, admission: Admission) -> None:
        """Ask ``admission`` before each fetch how much may be fetched, within the prefetch count."""
        self.admission = admission

    def pause(self, queue: str, seconds: float) -> None:
        """Leave a queue to its other consumers for a while. What was fetched from it is still delivered."""
        self.fetcher.pause(queue, seconds)

    def bury(
        self,
        tag: str | bytes,
        reason: DeadReason,
        problem: str,
        *,
        error: str | None = None,
        attempts: Sequence[Attempt] = (),
    ) -> None:
        """Move an unacknowledged message to the dead letters in one step; no acknowledgement is needed.

        Nothing happens to a message whose record is gone: it was acknowledged, or has gone back to its queue.

        Args:
            tag: its delivery tag.
            reason: why.
            problem: the same for people; must not quote the message.
            error: the error that its sender gets, or that ended the last attempt.
            attempts: when it was delivered to whom.

        Raises:
            redis.exceptions.RedisError: the server does not answer or refuses. The message is as it was.
        """
        with self.unprefixed_client() as client:
            record = client.hget(self.keys.unacked, tag)
        if record is not None:
            envelope, exchange, routing_key = split_record(record)
            queue = self._queue_of(exchange, routing_key)
            known = self._epitaph(queue, envelope, reason, problem)
            epitaph = replace(known, error=error or "", attempts=tuple(attempts))
            if self.dead_letters.bury(tag, envelope, epitaph):
                logger.warning(
                    "moved a message of %d bytes from %s to the dead letters (%s): %s",
                    len(envelope), _shown(queue), reason.value, problem, extra=epitaph.subject,
                )  # fmt: skip
        self.qos.forget(tag)

    def leave_to_others(self, tag: str) -> None:
        """Stop holding a message, and leave its record to whoever holds it by now.

        A closed channel holds nothing any more.

        Raises:
            redis.exceptions.RedisError: the server does not answer, or refuses.
        """
        self.qos.forget(tag)
        if not self.is_closed:
            self.fetcher.lease.drop(tag)

    def _epitaph(self, queue: str, envelope: bytes, reason: DeadReason, problem: str) -> Epitaph:
        facts = facts_of(envelope)
        task_id = facts.task_id or task_id_in(envelope) or ""
        list_key = self.list_key(queue, facts.priority) if queue else ""
        return Epitaph(reason, problem, queue, list_key, facts.task, task_id)

    def _queue_of(self, exchange: str, routing_key: str) -> str:
        """The queue that a message was published to; one of them if there are several."""
        try:
            queues = set(self._lookup(exchange, routing_key))
        except (KeyError, InconsistencyError, UnicodeError, redis.ResponseError):
            # The sender has named an exchange that is none.
            queues = set()
        return min(queues) if queues and routing_key not in queues else routing_key

    def give_back(self, kept: Collection[str]) -> int:
        """Put back what this channel holds, for other workers to take at once. Its consumers must be cancelled before.

        Args:
            kept: the delivery tags of the messages that are worked on.

        Returns:
            How many messages were put back.

        Raises:
            redis.exceptions.RedisError: the server does not answer. What is left is put back when the channel closes.
        """
        self.fetcher.finish(_CLOSE_S)
        given_back: int = self.qos.give_back(kept)
        return given_back

    def basic_consume(self, queue: str, no_ack: bool = False, *args: Any, **options: Any) -> object:
        """Consume from a queue, from the next turn on; from a fanout queue, at once.

        Celery says that a worker is ready before its first turn. A control command that is broadcast in between would
        be lost if the channel subscribed only then, as in stock kombu.

        Raises:
            redis.exceptions.RedisError: the server cannot be reached, or refuses.
        """
        self.unrecorded = self.unrecorded | {queue} if no_ack else self.unrecorded - {queue}
        result = super().basic_consume(queue, no_ack, *args, **options)
        if not no_ack and queue not in self.active_fanout_queues:
            self.fetcher.lease.join(self._lease, self.lease_s)
        self.fetcher.on_queues_changed()
        if queue in self.active_fanout_queues:
            self._in_listen = None  # the mark that kombu sets once it has subscribed, which was to fewer queues
            self.connection.cycle.listen(self)
        return result

    def _basic_cancel(self, consumer_tag: str) -> object:
        result = super()._basic_cancel(consumer_tag)
        self.fetcher.on_queues_changed()
        return result

    # -- for the fetcher and its parts

    @property
    def is_closed(self) -> bool:
        """Whether this channel sends nothing any more. kombu takes connections apart without closing each channel."""
        return self.closed or self.connection is None or self.connection.client is None

    @property
    def keys(self) -> Keys:
        """The keys that the script uses."""
        prefix = self.global_keyprefix
        return Keys(prefix + self.unacked_index_key, prefix + self.unacked_key, prefix)

    @property
    def unsettled(self) -> Unsettled:
        """What closed channels on this broker could not settle."""
        return self._unsettled

    @property
    def queue_cycle(self) -> QueueCycle:
        """The order of the queues."""
        cycle: QueueCycle = self._queue_cycle
        return cycle

    def list_key(self, queue: str, priority: int) -> str:
        """The list that holds the messages of a queue at one priority."""
        return f"{self.global_keyprefix}{self._q_for_pri(queue, priority)}"

    def unprefixed_client(self) -> redis.Redis:
        """A client on the channel's pool that adds no prefix to keys."""
        return redis.Redis(connection_pool=self.pool)

    def client_maker(self) -> Callable[[], redis.Redis]:
        """Makes such clients on connections of their own, which outlive the channel."""
        pool = super()._get_pool()
        return lambda: redis.Redis(connection_pool=pool)

    def restore_to(self, pushes: object, payload: Any, exchange: str, routing_key: str) -> None:
        """Mark a message as redelivered, and push it to ``pushes`` for each of its queues."""
        self._do_restore_message(payload, exchange, routing_key, pushes)

    def deliver(self, payload: dict[str, Any], queue: str) -> None:
        """Hand a message to the consumer of its queue."""
        self.connection.deliver(payload, queue)

    def reauthenticate(self) -> None:
        """Send a renewed credential, where one is waiting and nothing is in flight."""
        self._flush_brpop_reauth()

    @property
    def letter_bounds(self) -> DeadLetterBounds:
        """How much is kept of what no worker can use."""
        return DeadLetterBounds(
            self.dead_letter_length, self.dead_letter_bytes, self.dead_letter_ttl, self.dead_letter_content
        )

    @property
    def dead_letters(self) -> DeadLetters:
        """What no worker of this broker can use."""
        return DeadLetters(self.unprefixed_client(), self.keys, self.letter_bounds)

    def move_to_dead_letters(self, queue: str, tag: str | bytes, raw: bytes, reason: str) -> None:
        """Move a malformed message to the dead letters, and remove its record if it has one."""
        epitaph = self._epitaph(queue, raw, DeadReason.MALFORMED, reason)
        self.dead_letters.bury(tag, raw, epitaph, must_be_recorded=False)
        logger.error(
            "moved a malformed message of %d bytes from %s to the dead letters: %s",
            len(raw),
            _shown(queue),
            reason,
            extra=epitaph.subject,
        )

    # -- what kombu calls

    def _get_pool(self, asynchronous: bool = False) -> Any:
        pool = super()._get_pool(asynchronous)
        # With each pool, since kombu may have switched to another broker; and kept, since closing clears `connection`.
        broker = self._broker()
        self._unsettled: Unsettled = self.connection.unsettled.on(broker)
        self._lease: Lease = self.connection.leases.on(broker)
        return pool

    def _broker(self) -> Broker:
        """The broker that this channel is on."""
        info = self.connection.client
        return Broker(info.hostname, info.port, info.virtual_host, self.keys.unacked)

    def _do_restore_message(self, payload: Any, *args: Any, **options: Any) -> object:
        # kombu sets a mark in the headers. Where they are null it fails, logs the message and drops it.
        if payload.get("headers") is None:
            payload.pop("headers", None)
        return super()._do_restore_message(payload, *args, **options)

    def _on_connection_disconnect(self, connection: object) -> None:
        if self.fetcher.fetch_connection.uses(connection):
            self.fetcher.fetch_connection.abandon()
        super()._on_connection_disconnect(connection)

    def _poll_error(self, kind: str, **options: Any) -> object:
        return self.fetcher.read() if kind == FETCH else super()._poll_error(kind, **options)

    def _flush_brpop_reauth(self) -> None:
        # While a fetch is in flight, the reply to AUTH would be taken for its reply.
        if self.fetcher.fetch_connection.in_flight is None:
            super()._flush_brpop_reauth()

    def close(self) -> None:
        """Settle what can be settled, leave the rest to the next channel, and put held messages back.

        A server that is gone or refuses is no error here: it would keep the connection's other channels from being
        closed.
        """
        if self.closed or not self._registered:
            super().close()
            return
        if self.is_closed:
            self._leave_to_next_channel(self.qos.held_tags())
            self.fetcher.lease.leave()
            return
        self.fetcher.close(_CLOSE_S)
        held, transport = self.qos.held_tags(), self.connection
        try:
            super().close()
        except (*self.connection_errors, self.ResponseError):
            logger.debug("a channel was closed without its server", exc_info=True)
            self._leave_to_next_channel(held)
            transport.close_channel(self)
        finally:
            self.fetcher.lease.leave()
            # kombu disconnects its pools, and then makes another one to put held messages back.
            self._disconnect_pools()

    def _leave_to_next_channel(self, held: list[str]) -> None:
        if self.fetcher.lease.is_good:
            self._unsettled.held.extend(held)
        self.qos.forget_all()
        self.closed = True


def _shown(queue: str | None) -> str:
    """A queue's name as any log can write it: senders can put half of a surrogate pair into it."""
    return (queue or "").encode(errors="backslashreplace").decode()
