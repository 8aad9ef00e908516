"""When a channel fetches, and what it does with what comes."""

from __future__ import annotations

import logging
import threading
from collections import deque
from dataclasses import replace
from time import monotonic, time
from typing import Any

import redis
from kombu.transport import redis as stock

from worker.transport.envelope import MalformedMessageError, decode
from worker.transport.fetch_connection import Link
from worker.transport.read_order import ReadOrder
from worker.transport.reclaim import reclaim
from worker.transport.script import UNLIMITED, Fetch, FetchReply
from worker.transport.wake_up import Look

__all__ = ["Fetcher"]

logger = logging.getLogger(__name__)

#: A loop that has not turned for so long sends no acknowledgement soon: it is shutting down, or a task runs in it.
_STALLED_S = 1.0
#: Messages are handed over for this long at a stretch; in Celery's solo pool each one runs its task meanwhile.
_DELIVERY_S = 0.05
_PAUSE_S = 0.001
#: Acknowledgements in one call at most.
_MAX_ACKS = 5000
#: Coming from idle, a consumer asks for this part of its prefetch and doubles from there, so that others get a share.
_FIRST_SHARE = 16


class Fetcher:
    """The accounts of one channel: acknowledgements that wait, messages that are not handed over, when to look next."""

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        self._acks: deque[str] = deque()
        self._messages: deque[tuple[str, bytes, bytes]] = deque()
        self._cycle: Any = None
        self._turned_at_s = float("-inf")
        self._hold_timer: Any = None
        self._share = 0
        self._token = 0
        #: Messages that came, malformed ones among them.
        self.fetched = 0
        #: The delivery tag that is being handed over and is recorded already.
        self.delivering: str | None = None
        self.link: Link
        self._look: Look
        self._order: ReadOrder

    def begin(self, cycle: Any) -> None:
        """Start, once the channel's options are read and its connection pool works."""
        channel = self._channel
        self._cycle = cycle
        self._order = ReadOrder(channel)
        self._look = Look(channel.names, channel.fetch_recheck, channel.fetch_poll_min, channel.fetch_poll_max)
        self.link = Link(
            channel.names, may_track=channel.fetch_wake != "poll", on_push=self._on_push, on_lost=self._on_lost
        )

    @property
    def fetches(self) -> int:
        """Calls so far that asked for messages."""
        return self._token

    # -- turns of the loop

    def wants_link(self) -> bool:
        """Whether this channel has anything to do with the queues."""
        return bool(self._channel.active_queues or self._acks or self._look.resting)

    def turn(self) -> None:
        """Send one call, if one is due and none is under way."""
        self._turned_at_s = monotonic()
        if self.link.in_flight is not None or not self.link.is_open:
            return
        if self._channel.leftovers:
            self._acks.extend(reclaim(self._channel))
        if (left := self._look.take_departure()) is not None:
            self.link.send(replace(left, consumer=self.link.consumer, credit=0, acks=self._some_acks()))
            return
        may_fetch = not self._messages and self._look.is_due()
        credit, room_bytes = self._credit() if may_fetch else (0, 0)
        if credit and not self._holds():
            self.link.send(self._fetch(credit, room_bytes))
        elif self._acks and not (self._channel.fetch_hold_acks and self._holds()):
            self.link.send(Fetch(self.link.consumer, 0, time(), acks=self._some_acks()))

    def _credit(self) -> tuple[int, int]:
        """Messages, and bytes of their bodies, that may be fetched now."""
        channel, qos = self._channel, self._channel.qos
        if not channel.active_queues or not self._order.reads_any() or not qos.can_consume():
            return 0, 0
        estimate = qos.can_consume_max_estimate()
        credit = min(UNLIMITED if estimate is None else estimate, channel.fetch_messages)
        room_bytes = UNLIMITED
        if qos.room_bytes is not None:
            room_bytes = min(room_bytes, max(1, qos.room_bytes()))
        elif "can_consume" in vars(qos):
            credit = min(credit, 1)  # somebody else counts as well, message by message
        self._share = self._share or max(1, (qos.prefetch_count or channel.fetch_messages) // _FIRST_SHARE)
        return min(credit, self._share), room_bytes

    def _holds(self) -> bool:
        """Whether more credit is expected within a moment, so that it does not trickle one by one."""
        return self._hold_timer is not None and self._is_half_full()

    def _is_half_full(self, done: int = 0) -> bool:
        qos = self._channel.qos
        held = len(qos._delivered) - len(qos._dirty) - done  # noqa: SLF001 - kombu's accounts
        return bool(2 * held >= (qos.prefetch_count or self._channel.fetch_messages))

    def _fetch(self, credit: int, room_bytes: int) -> Fetch:
        channel, (levels, lists, group) = self._channel, self._order.now()
        self._token += 1
        return Fetch(
            consumer=self.link.consumer,
            token=self._token,
            now_s=time(),
            credit=credit,
            max_bytes=channel.fetch_bytes,
            room_bytes=room_bytes,
            acks=self._some_acks(),
            levels=levels,
            lists=lists,
            unrecorded=channel.unrecorded,
            idle_group=group,
            wake=channel.fetch_wake if self.link.tracks else "no",
            rechecks=self._look.is_recheck,
            stale_s=4 * channel.fetch_recheck,
            record_s=channel.visibility_timeout,
            dead_length=channel.dead_letter_length,
            dead_s=channel.dead_letter_ttl,
        )

    def _some_acks(self) -> list[str]:
        return [self._acks.popleft() for _ in range(min(len(self._acks), _MAX_ACKS))]

    # -- what comes

    def read(self) -> bool:
        """Take what has arrived on a readable socket, and say whether it handed over a message."""
        for fetch, reply in self.link.read():
            self._take(fetch, reply)
        self._channel._flush_brpop_reauth()  # noqa: SLF001 - kombu's moment for it: nothing is under way
        return self._hand_over()

    def _take(self, fetch: Fetch, reply: FetchReply) -> None:
        if not fetch.credit:
            return
        self._messages.extend(reply.found)
        for queue, size in reply.dead:
            logger.error("set aside a malformed message of %d bytes in the list %s", size, self.link.names.dead(queue))
        found = len(reply.found) + len(reply.dead)
        self.fetched += found
        self._share = 0 if not found else min(2 * self._share, UNLIMITED) if found >= fetch.credit else self._share
        self._look.note(fetch, reply.place, found)
        if self._look.pause_s and not self._messages:
            self._call_later(self._look.pause_s)

    def _hand_over(self) -> bool:
        until_s, handed_over = monotonic() + _DELIVERY_S, False
        while self._messages and not self._channel.closed:
            self._hand_over_one(*self._messages[0])
            handed_over = True
            if monotonic() > until_s and self._cycle.hub is not None:
                if self._messages:
                    self._cycle.hub.call_later(_PAUSE_S, self._hand_over)
                break
        return handed_over

    def _hand_over_one(self, queue: str, tag: bytes, raw: bytes) -> None:
        channel = self._channel
        try:
            payload = decode(raw, tag)
            self._messages.popleft()
            self.delivering = None if queue in channel.unrecorded else tag.decode()
            channel.connection._deliver(payload, queue)  # noqa: SLF001 - kombu's way to the consumer
        except MalformedMessageError as error:
            if self._messages and self._messages[0][1] is tag:
                self._messages.popleft()
            channel.set_aside(queue, tag, raw, str(error))
        finally:
            self.delivering = None
        self._order.rotate(queue)

    def _on_push(self, keys: list[bytes] | None) -> None:
        pause_s = self._look.note_push(keys)
        if pause_s:
            self._call_later(pause_s)

    def _on_lost(self, fetch: Fetch | None) -> None:
        self._look.reset()
        if fetch is not None:
            self._acks.extendleft(reversed(fetch.acks))
            fetch.acks = ()
            if fetch.credit:
                self._channel.leftovers.lost.append((fetch.consumer, fetch.token))

    # -- acknowledgements

    def acknowledge(self, tag: str) -> bool:
        """Keep an acknowledgement for the next call; False where there is none, and the caller has to send it."""
        channel = self._channel
        if channel.closed or channel.connection is None:
            channel.leftovers.acks.append(tag)
            return True
        hub = self._cycle.hub
        if hub is None or monotonic() - self._turned_at_s > _STALLED_S:
            return False
        self._acks.append(tag)
        if threading.get_ident() != hub._loop_thread:  # noqa: SLF001 - call_soon asks the same
            hub.call_soon(_nothing)
        elif self._hold_timer is None and channel.fetch_hold and self._is_half_full(done=1):
            # From here and not from a turn: the poll that follows a turn does not see its timers.
            self._hold_timer = hub.call_later(channel.fetch_hold, self._end_hold)
        return True

    def _end_hold(self) -> None:
        self._hold_timer = None

    def _call_later(self, pause_s: float) -> None:
        if self._cycle.hub is not None:
            self._cycle.hub.call_later(pause_s, _nothing)

    # -- life

    def queues_changed(self) -> None:
        """Look at once, and leave the idle consumers of the queues so far."""
        self._look.depart()

    def pause(self, queue: str, seconds: float) -> None:
        """Read nothing from a queue for a while."""
        self._order.pause(queue, seconds)
        self.queues_changed()
        if self._cycle.hub is not None:
            # A little late, when the pause is over.
            self._cycle.hub.call_later(seconds + _PAUSE_S, self.queues_changed)

    def sleeps_s(self) -> float:
        """For how long a loop without timers may wait."""
        return self._look.left_s()

    def check_health(self) -> None:
        """Drop a connection whose answer is overdue."""
        link, limit_s = self.link, self._channel.health_check_interval or stock.DEFAULT_HEALTH_CHECK_INTERVAL
        waited_s = monotonic() - link.sent_at_s
        if link.in_flight is None or not link.is_open or waited_s < limit_s:
            return
        if not stock._socket_readable(link.socket):  # noqa: SLF001 - reads nothing, as needed
            logger.warning("Redis has not answered a fetch for %.0f s: the connection is dropped", waited_s)
            link.disconnect()

    def close(self, timeout_s: float) -> None:
        """Settle acknowledgements and the place among the idle; what was fetched and not handed over is put back."""
        channel = self._channel
        try:
            for fetch, reply in self.link.wait(timeout_s):
                self._take(fetch, reply)
            self._look.depart()
            left = self._look.take_departure()
            if self.link.is_open and self.link.in_flight is None and (left or self._acks):
                fetch = left or Fetch("", 0, 0.0)
                self.link.send(replace(fetch, consumer=self.link.consumer, credit=0, acks=self._some_acks()))
                self.link.wait(timeout_s)
        except channel.connection_errors:
            logger.debug("the connection is gone before its channel is closed", exc_info=True)
        if self.link.in_flight is not None:
            self.link.forget()
        self._put_back(channel)
        if self._acks or channel.leftovers.lost:
            channel.leftovers.acks.extend(self._some_acks())
            self._settle(channel)

    def _settle(self, channel: Any) -> None:
        """On a new connection, since that of the fetches is gone; if there is none, the next channel does it."""
        try:
            acks = reclaim(channel)
        except (*channel.connection_errors, channel.ResponseError):
            return
        try:
            if acks:
                names = channel.names
                with channel.plain_client() as client, client.pipeline(transaction=True) as pipe:
                    pipe.zrem(names.index, *acks).hdel(names.unacked, *acks).execute()
        except (*channel.connection_errors, channel.ResponseError):
            channel.leftovers.acks.extend(acks)

    def _put_back(self, channel: Any) -> None:
        """Messages that no consumer has seen: kombu restores those that count as delivered."""
        while self._messages:
            queue, tag, raw = self._messages.popleft()
            if queue not in channel.unrecorded:
                channel.qos._delivered[tag.decode(errors="replace")] = None  # noqa: SLF001 - kombu's accounts
                continue
            try:
                with channel.plain_client() as client:
                    client.rpush(channel.names.prefix + queue, raw)
            except redis.RedisError:
                logger.warning("a message of a queue without acknowledgements is lost with its connection")


def _nothing() -> None:
    """Wakes the loop, whose next turn does the rest."""
