"""When a channel fetches, and what becomes of what it has fetched."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from time import monotonic
from typing import Protocol

import redis
from kombu.transport import redis as stock

from worker.transport.admission import NO_CREDIT, UNLIMITED, Credit
from worker.transport.channel_lease import ChannelLease
from worker.transport.envelope import MalformedMessageError, decode
from worker.transport.fetch_connection import FetchConnection
from worker.transport.held import Held, snapshot
from worker.transport.lease import LeaseLostError
from worker.transport.protocols import EventLoop, FetchingChannel
from worker.transport.read_order import ReadOrder
from worker.transport.reclaim import reclaim, settle
from worker.transport.script import SOURCE, Fetch, Fetched, FetchLimits, FetchReply, Wake
from worker.transport.wake_up import WakeUp

__all__ = ["Fetcher"]

logger = logging.getLogger(__name__)

#: A loop that has not turned for so long sends no acknowledgement soon: it is shutting down, or runs a task itself.
_STALLED_S = 1.0
#: How long messages are delivered at a stretch. In Celery's solo pool each delivery runs its task.
_DELIVERY_S = 0.05
_PAUSE_S = 0.001
#: How many acknowledgements one call may carry.
_MAX_ACKS = 5000
#: After idling, a consumer asks for this part of its prefetch and doubles from there, so that others get a share.
_SLOW_START = 16


class HasLoop(Protocol):
    """The poller, as far as a fetcher knows it."""

    @property
    def hub(self) -> EventLoop | None:
        """The event loop; None while ``drain_events`` polls."""


class Fetcher:
    """Fetches for one channel, delivers what it fetched, and collects acknowledgements for the next call."""

    def __init__(self, channel: FetchingChannel) -> None:
        self._channel = channel
        self._acks: deque[str] = deque()
        self._undelivered: deque[Fetched] = deque()
        self._turned_at_s = float("-inf")
        self._hold_timer: object = None
        #: Messages that one call may take during the slow start; 0 after idling.
        self._window = 0
        self._token = 0
        self.lease = ChannelLease(channel, self._held)
        #: Messages that were fetched, malformed ones among them.
        self.fetched = 0
        #: The tag of the message that is being delivered, if the script has recorded it.
        self.delivering: str | None = None
        self.fetch_connection: FetchConnection
        self._poller: HasLoop
        self._limits: FetchLimits
        self._read_order: ReadOrder
        self._wake_up: WakeUp

    def start(self, poller: HasLoop) -> None:
        """Begin to fetch, once the channel has read its options and its connection pool works."""
        channel = self._channel
        self._poller = poller
        self._limits = FetchLimits(
            max_bytes=channel.fetch_bytes,
            record_s=channel.visibility_timeout,
            stale_s=4 * channel.fetch_recheck,
            dead_letters=channel.letter_bounds,
        )
        self._read_order = ReadOrder(channel)
        self._wake_up = WakeUp(channel.keys, channel.fetch_recheck, channel.fetch_poll_min, channel.fetch_poll_max)
        self.fetch_connection = FetchConnection(
            channel.keys, may_track=channel.fetch_wake != "poll", on_push=self._on_push, on_lost=self._on_lost
        )

    def _held(self) -> Held:
        """What the channel holds, read in the order in which messages move on; called by any thread."""
        record = self._channel.keys.record(self.fetch_connection.consumer_id)
        undelivered = [message.tag.decode(errors="replace") for message in snapshot(self._undelivered)]
        return Held(undelivered + self._channel.qos.delivered_tags(), [record])

    @property
    def fetches(self) -> int:
        """How many calls have asked for messages."""
        return self._token

    # -- what is sent

    @property
    def needs_connection(self) -> bool:
        """Whether this channel has anything to send."""
        return bool(self._channel.active_queues or self._acks or self._wake_up.idle_registration)

    @property
    def due_in_s(self) -> float:
        """How long a loop without timers may wait before the next turn."""
        return self._wake_up.due_in_s

    def send_next(self) -> None:
        """Send one call, if one is due and none is in flight."""
        self._turned_at_s = monotonic()
        connection = self.fetch_connection
        if connection.in_flight is not None or not connection.is_open:
            return
        if self._channel.unsettled:
            self._acks.extend(reclaim(self._channel))
        if (registration := self._wake_up.pop_leaving()) is not None:
            connection.send(self._leave_call(registration))
            return
        credit = self._credit() if not self._undelivered and self._wake_up.is_due else NO_CREDIT
        if credit and not self._is_holding():
            connection.send(self._fetch_call(credit))
        elif self._acks and not (self._channel.fetch_hold_acks and self._is_holding()):
            connection.send(self._ack_call())

    def _credit(self) -> Credit:
        """How much may be fetched now."""
        channel, qos = self._channel, self._channel.qos
        credit = qos.credit() if self._read_order.reads_any() else NO_CREDIT
        if credit:
            self._window = self._window or max(1, (qos.prefetch_count or channel.fetch_messages) // _SLOW_START)
        return credit.at_most(min(channel.fetch_messages, self._window))

    def _is_holding(self) -> bool:
        """Whether to wait a moment for more credit, so that messages are not fetched one by one."""
        return self._hold_timer is not None and self._is_half_full()

    def _is_half_full(self, done: int = 0) -> bool:
        """Whether at least half of the prefetch is held, ``done`` messages not counted."""
        qos = self._channel.qos
        return bool(2 * (qos.held_count - done) >= (qos.prefetch_count or self._channel.fetch_messages))

    def _fetch_call(self, credit: Credit) -> Fetch:
        channel = self._channel
        self._token += 1
        return replace(
            self._ack_call(),
            token=self._token,
            credit=credit,
            reads=self._read_order.plan(),
            unrecorded=channel.unrecorded,
            wake=self._wake(),
            is_recheck=self._wake_up.is_recheck,
        )

    def _wake(self) -> Wake:
        if not self.fetch_connection.is_tracking:
            return "no"
        return "all" if self._channel.fetch_wake == "all" else "one"

    def _ack_call(self) -> Fetch:
        return self._call(self._pop_acks())

    def _call(self, acks: Sequence[str]) -> Fetch:
        return Fetch(self.fetch_connection.consumer_id, 0, self._limits, lease=self.lease.name, acks=acks)

    def _leave_call(self, registration: Fetch) -> Fetch:
        consumer_id = self.fetch_connection.consumer_id
        return replace(registration, consumer_id=consumer_id, credit=NO_CREDIT, acks=self._pop_acks())

    def _pop_acks(self) -> Sequence[str]:
        return [self._acks.popleft() for _ in range(min(len(self._acks), _MAX_ACKS))]

    # -- what comes

    def read(self) -> bool:
        """Take what has arrived on a readable socket.

        Returns:
            Whether a message was delivered.

        Raises:
            redis.exceptions.ConnectionError: the connection is gone, the server refused, or the lease has ended.
        """
        for fetch, reply in self.fetch_connection.read():
            self._take_reply(fetch, reply)
        self._channel.reauthenticate()
        return self._deliver_some()

    def _take_reply(self, fetch: Fetch, reply: FetchReply) -> None:
        if reply.is_lease_lost:
            self._lose_lease()
            self._wake_up.reset()
            return
        if not fetch.credit:
            return
        self._undelivered.extend(reply.messages)
        for queue, size_bytes in reply.dead_letters:
            logger.error("moved a malformed message of %d bytes from %s to the dead letters", size_bytes, queue)
        found = len(reply.messages) + len(reply.dead_letters)
        self.fetched += found
        if not found:
            self._window = 0
        elif found >= fetch.credit.messages:
            self._window = min(2 * self._window, UNLIMITED)
        self._wake_up.record_reply(fetch, reply.idle_position, found)
        if self._wake_up.poll_delay_s and not self._undelivered:
            self._turn_again_in(self._wake_up.poll_delay_s)

    def _lose_lease(self) -> None:
        """Forget what was held: it is others' now, and not to be acknowledged or put back here.

        Raises:
            LeaseLostError: something was held, and whoever works on it has to know. Otherwise another lease is taken.
        """
        self.lease.lose()
        if not (self._acks or self._undelivered or self._channel.qos.held_count):
            self.lease.rejoin()
            return
        self._acks.clear()
        self._undelivered.clear()
        self._channel.qos.forget_all()
        raise LeaseLostError("the lease of this worker has ended, and others take back what it held")

    def _deliver_some(self) -> bool:
        until_s, delivered = monotonic() + _DELIVERY_S, False
        while self._undelivered and not self._channel.is_closed:
            self._deliver(self._undelivered[0])
            delivered = True
            hub = self._poller.hub
            if monotonic() > until_s and hub is not None:
                if self._undelivered:
                    hub.call_later(_PAUSE_S, self._deliver_some)
                break
        return delivered

    def _deliver(self, message: Fetched) -> None:
        channel, (queue, tag, raw) = self._channel, message
        try:
            payload = decode(raw, tag)
            self._undelivered.popleft()
            self.delivering = None if queue in channel.unrecorded else tag.decode()
            channel.deliver(payload, queue)
        except MalformedMessageError as error:
            if self._undelivered and self._undelivered[0] is message:
                self._undelivered.popleft()
            channel.move_to_dead_letters(queue, tag, raw, str(error))
        finally:
            self.delivering = None
        self._read_order.rotate(queue)

    def _on_push(self, keys: list[bytes] | None) -> None:
        delay_s = self._wake_up.heed_push(keys)
        if delay_s:
            self._turn_again_in(delay_s)

    def _on_lost(self, fetch: Fetch | None) -> None:
        self._wake_up.reset()
        if fetch is None:
            return
        self._acks.extendleft(reversed(fetch.acks))
        if fetch.credit:
            self._channel.unsettled.lost_fetches.append((fetch.consumer_id, fetch.token))

    # -- acknowledgements

    def defer_ack(self, tag: str) -> bool:
        """Keep an acknowledgement for the next call.

        Returns:
            Whether it is kept; if not, no call comes soon, and the caller has to send it.
        """
        channel = self._channel
        if channel.is_closed:
            if self.lease.is_good:
                channel.unsettled.acks.append(tag)
            return True
        hub = self._poller.hub
        if hub is None or monotonic() - self._turned_at_s > _STALLED_S:
            return False
        self._acks.append(tag)
        if threading.get_ident() != hub._loop_thread:  # noqa: SLF001 - call_soon asks the same
            hub.call_soon(_wake_loop)
        elif self._hold_timer is None and channel.fetch_hold and self._is_half_full(done=1):
            # Started here and not in a turn: the poll that follows a turn does not see timers that the turn has added.
            self._hold_timer = hub.call_later(channel.fetch_hold, self._end_hold)
        return True

    def ack_now(self, tags: Sequence[str]) -> None:
        """Send acknowledgements at once, on another connection.

        Raises:
            redis.exceptions.RedisError: the server does not answer, or refuses.
        """
        # Not as the consumer, whose calls may have been declared void.
        call = replace(self._call(tags), consumer_id="none")
        with self._channel.unprefixed_client() as client:
            client.eval(SOURCE, call.key_count, *call.arguments(self._channel.keys))

    def _end_hold(self) -> None:
        self._hold_timer = None

    def _turn_again_in(self, delay_s: float) -> None:
        if self._poller.hub is not None:
            self._poller.hub.call_later(delay_s, _wake_loop)

    # -- life

    def on_queues_changed(self) -> None:
        """Fetch at once, and leave the idle consumers of the queues read so far."""
        self._wake_up.leave_idle()

    def pause(self, queue: str, seconds: float) -> None:
        """Read nothing from a queue for a while."""
        self._read_order.pause(queue, seconds)
        self.on_queues_changed()
        if self._poller.hub is not None:
            # A little late, when the pause is over.
            self._poller.hub.call_later(seconds + _PAUSE_S, self.on_queues_changed)

    def check_health(self) -> None:
        """Drop the connection if a reply is overdue."""
        self.fetch_connection.drop_if_overdue(
            self._channel.health_check_interval or stock.DEFAULT_HEALTH_CHECK_INTERVAL
        )

    def finish(self, timeout_s: float) -> None:
        """Send acknowledgements, leave the idle consumers, and hold what was fetched and not delivered."""
        channel, connection = self._channel, self.fetch_connection
        try:
            for fetch, reply in connection.wait(timeout_s):
                self._take_reply(fetch, reply)
            self._wake_up.leave_idle()
            registration = self._wake_up.pop_leaving()
            if connection.is_open and connection.in_flight is None and (registration or self._acks):
                connection.send(self._leave_call(registration) if registration else self._ack_call())
                connection.wait(timeout_s)
        except channel.connection_errors:
            logger.debug("the connection was lost before its channel was closed", exc_info=True)
        if connection.in_flight is not None:
            connection.abandon()
        self._put_back_undelivered()

    def close(self, timeout_s: float) -> None:
        """:meth:`finish`, and settle what that could not."""
        self.finish(timeout_s)
        channel = self._channel
        if self._acks or channel.unsettled.lost_fetches:
            channel.unsettled.acks.extend(self._acks)
            self._acks.clear()
            settle(channel, self.ack_now)

    def _put_back_undelivered(self) -> None:
        channel = self._channel
        while self._undelivered:
            queue, tag, raw = self._undelivered.popleft()
            if queue not in channel.unrecorded:
                channel.qos.hold([tag.decode(errors="replace")])
                continue
            try:
                with channel.unprefixed_client() as client:
                    client.rpush(channel.keys.prefix + queue, raw)
            except redis.RedisError:
                logger.warning("lost a message of %s, which is consumed without acknowledgement", queue)


def _wake_loop() -> None:
    """Does nothing: the call ends the loop's wait, and the turn that follows does the rest."""
