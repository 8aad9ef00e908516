"""The lease by which a process holds messages, and the thread that renews it.

A lease ends by the server's clock when nobody renews it. Another consumer then takes back what it holds
(:mod:`worker.transport.take_back`), and whoever had it can neither fetch nor acknowledge by it any more. The thread
renews whatever the event loop and the tasks do. See ``docs/decisions/0086-leases.md``.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import uuid4

import redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from worker.transport.held import Held, HoldsMessages, snapshot
from worker.transport.keys import Keys
from worker.transport.lease_mark import mark_of
from worker.transport.unsettled import Broker, Unsettled

__all__ = ["Lease", "LeaseLostError", "LeasesByBroker", "Terms"]

logger = logging.getLogger(__name__)

_SOURCE = Path(__file__).with_name("lease.lua").read_text(encoding="utf-8")
#: How long a lease is renewed that no channel has, in seconds: Celery may be about to connect again.
_UNUSED_S = 60.0
#: How often a lease is renewed within its time, and the longest wait before a failed renewal is repeated, in seconds.
_RENEWALS, _REPEAT_S = 5, 0.5
#: How often the visibility timeout starts again within itself.
_RESTARTS = 4
#: The shortest time between two renewals, in seconds.
_MIN_INTERVAL_S = 0.2


class LeaseLostError(RedisConnectionError):
    """Others have taken back what this process held. For kombu and Celery it is a lost connection."""


@dataclass(frozen=True)
class Terms:
    """On which server a lease is taken, and for how long.

    Attributes:
        keys: the keys that the scripts use.
        lease_s: how long it lasts without a renewal.
        owner: names the process for people.
        visibility_timeout_s: when consumers of stock kombu take over what was not renewed.
        make_client: makes a client that adds no prefix to keys.
        unsettled: what closed channels left.
    """

    keys: Keys
    lease_s: float
    owner: str
    visibility_timeout_s: float
    make_client: Callable[[], redis.Redis]
    unsettled: Unsettled

    def take(self, client: redis.Redis) -> str:
        """Take a lease and return its name: its number, and its owner.

        Raises:
            redis.exceptions.RedisError: the server does not answer, or refuses.
        """
        # Never the same name twice, even if the server has lost data and gives a number again.
        name: bytes = self._run(client, "take", f"{self.owner} {uuid4().hex[:8]}")
        return name.decode()

    def renew(self, client: redis.Redis, lease: str, restart: Held | None = None) -> tuple[str, ...] | None:
        """Renew a lease.

        Args:
            client: a client of the server.
            lease: the lease.
            restart: what it holds, if the visibility timeout of that starts again.

        Returns:
            Leases that have ended and may hold messages; None if this one has ended.

        Raises:
            redis.exceptions.RedisError: the server does not answer, or refuses.
        """
        restart_ms = max(1, round(self.visibility_timeout_s * 1000)) if restart else 0
        tags, records = restart or Held([], [])
        tags_bytes = [tag.encode(errors="replace") for tag in tags]
        is_good, *ended = self._run(client, "renew", lease, restart_ms, *tags_bytes, records=records)
        return tuple(name.decode() for name in ended) if is_good else None

    def release(self, client: redis.Redis, lease: str) -> bool:
        """End a lease by which nothing is held, as far as its process knows. False if there is something after all.

        Raises:
            redis.exceptions.RedisError: the server does not answer, or refuses.
        """
        return bool(self._run(client, "release", lease, mark_of(lease)))

    def _run(
        self, client: redis.Redis, act: str, lease: str, *more: str | bytes | int, records: Sequence[str] = ()
    ) -> Any:
        keys = self.keys
        names = [keys.leases, keys.ended_leases, keys.lease_number, keys.unacked_index, keys.unacked, *records]
        arguments = [act, lease, self.lease_s, keys.lease_prefix, *more]
        return client.register_script(_SOURCE)(keys=names, args=arguments)


class Lease:
    """The lease of this process on one broker, shared by its channels. Used by the event loop and by its own thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._grant: str | None = None
        #: The open channels. Replaced and never changed, since the thread reads it.
        self._channels: tuple[HoldsMessages, ...] = ()
        self._pid = os.getpid()
        self._stopping = threading.Event()
        #: Leases that have ended and may hold messages, as the last renewal has seen them.
        self.ended: tuple[str, ...] = ()

    @property
    def grant(self) -> str | None:
        """What this process holds messages by; None before the first fetch, and once it is lost."""
        return self._grant if self._pid == os.getpid() else None

    def join(self, terms: Terms, channel: HoldsMessages) -> str:
        """Make sure that this process has a lease, for one channel more.

        Returns:
            The lease as the server knows it, its number and its owner: the old one where it is still good.

        Raises:
            redis.exceptions.RedisError: the server cannot be reached, or refuses.
        """
        with self._lock:
            if self._pid != os.getpid():
                self._grant, self._channels, self._pid = None, (), os.getpid()
            client = terms.make_client()
            try:
                grant = self._grant
                if grant is None or terms.renew(client, grant) is None:
                    grant = self._take(terms, client)
            finally:
                client.connection_pool.disconnect(inuse_connections=False)
            self._channels = (*self._channels, channel)
            return grant

    def _take(self, terms: Terms, client: redis.Redis) -> str:
        self._stopping.set()
        grant = terms.take(client)
        self._grant, self._channels, self._stopping, self.ended = grant, (), threading.Event(), ()
        threading.Thread(
            target=self._keep, args=(terms, grant, self._stopping), name="transport-lease", daemon=True
        ).start()
        return grant

    def leave(self, terms: Terms, grant: str, channel: HoldsMessages) -> None:
        """A channel has closed. The last one ends the lease, unless something is left to settle or to acknowledge."""
        with self._lock:
            if self._grant != grant:
                return
            self._channels = tuple(other for other in self._channels if other is not channel)
            if self._channels or terms.unsettled:
                return
            client = terms.make_client()
            try:
                is_released = terms.release(client, grant)
            except RedisError:
                is_released = False
            finally:
                client.connection_pool.disconnect(inuse_connections=False)
            if is_released:
                self._grant = None
                self._stopping.set()

    def lose(self, grant: str) -> None:
        """Take in that a lease has ended."""
        with self._lock:
            if self._grant == grant:
                logger.warning("the lease of this worker has ended: others take back the messages that it held")
                self._grant, self._channels = None, ()
                self._stopping.set()

    def _held(self, terms: Terms) -> Held:
        """What this process holds, read in the order in which messages move on: none is missed."""
        parts = [channel.held() for channel in self._channels]
        lost = [terms.keys.record(consumer_id) for consumer_id, _ in snapshot(terms.unsettled.lost_fetches)]
        left = snapshot(terms.unsettled.held)
        tags = [tag for part in parts for tag in part.tags]
        return Held(tags + left, [record for part in parts for record in part.records] + lost)

    def _keep(self, terms: Terms, grant: str, stopping: threading.Event) -> None:
        """Renew until the lease is given up or lost. Runs in a thread."""
        client = terms.make_client()
        interval_s = min(terms.lease_s / _RENEWALS, max(_MIN_INTERVAL_S, terms.visibility_timeout_s / _RESTARTS))
        wait_s = interval_s
        used_at_s = restarted_at_s = monotonic()
        try:
            while not stopping.wait(wait_s):
                used_at_s = monotonic() if self._channels else used_at_s
                if monotonic() - used_at_s > _UNUSED_S:
                    self.lose(grant)
                    return
                restart = monotonic() - restarted_at_s >= terms.visibility_timeout_s / _RESTARTS - wait_s
                held = self._held(terms) if restart else None
                try:
                    ended = terms.renew(client, grant, held)
                except RedisError:
                    # Down, full or read-only: a lease that outlives that is still good.
                    logger.debug("could not renew the lease", exc_info=True)
                    wait_s = min(_REPEAT_S, interval_s)
                    continue
                wait_s = interval_s
                restarted_at_s = monotonic() if restart else restarted_at_s
                if ended is None:
                    self.lose(grant)
                    return
                self.ended = ended
        finally:
            client.connection_pool.disconnect()


class LeasesByBroker:
    """The leases of this process, one on each broker."""

    def __init__(self) -> None:
        self._by_broker: dict[Broker, Lease] = {}

    def on(self, broker: Broker) -> Lease:
        """The lease on one broker; all channels on it share the same object."""
        return self._by_broker.setdefault(broker, Lease())
