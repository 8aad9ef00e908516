"""What the parts of a fetch ask of their channel, and what kombu's event loop and queue cycles offer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import redis

from worker.transport.dead_letters import DeadLetterBounds, DeadReason
from worker.transport.keys import Keys
from worker.transport.qos import QoS
from worker.transport.unsettled import Unsettled

__all__ = ["EventLoop", "FetchingChannel", "QueueCycle"]


class QueueCycle(Protocol):
    """kombu's order of queues (``queue_order_strategy``)."""

    def consume(self, n: int) -> list[str]:
        """The first ``n`` queues in the current order."""

    def rotate(self, last_used: str) -> object:
        """Move on after ``last_used`` has given a message."""


class EventLoop(Protocol):
    """kombu's event loop, which Celery's worker runs."""

    #: The identity of the thread that runs it.
    _loop_thread: int | None

    def call_later(self, delay_s: float, callback: Callable[..., object], /, *args: object) -> object:
        """Call a function once, after a delay."""

    def call_soon(self, callback: Callable[..., object], /, *args: object) -> object:
        """Call a function in the next turn, from any thread."""

    def call_repeatedly(self, interval_s: float, callback: Callable[..., object], /, *args: object) -> object:
        """Call a function again and again."""


class FetchingChannel(Protocol):
    """A channel that fetches with the script; its options are described in :mod:`worker.transport.channel`."""

    fetch_messages: int
    fetch_bytes: int
    fetch_hold: float
    fetch_hold_acks: bool
    fetch_wake: str
    fetch_recheck: float
    fetch_poll_min: float
    fetch_poll_max: float
    unrecorded: frozenset[str]

    # kombu's
    visibility_timeout: float
    health_check_interval: float | None
    priority_steps: Sequence[int]
    connection_errors: tuple[type[Exception], ...]
    ResponseError: type[Exception]
    qos: QoS

    @property
    def active_queues(self) -> list[str]:
        """The consumed queues that are lists, which those of fanout exchanges are not."""

    @property
    def is_closed(self) -> bool:
        """Whether this channel sends nothing any more."""

    @property
    def keys(self) -> Keys:
        """The keys that the script uses."""

    @property
    def letter_bounds(self) -> DeadLetterBounds:
        """How much is kept of what no worker can use."""

    @property
    def unsettled(self) -> Unsettled:
        """What closed channels on this broker could not settle."""

    @property
    def queue_cycle(self) -> QueueCycle:
        """The order of the queues."""

    def list_key(self, queue: str, priority: int) -> str:
        """The list that holds the messages of a queue at one priority."""

    def unprefixed_client(self) -> redis.Redis:
        """A client that adds no prefix to keys."""

    def client_maker(self) -> Callable[[], redis.Redis]:
        """Makes such clients on connections of their own, which outlive the channel."""

    def restore_to(self, pushes: object, payload: Any, exchange: str, routing_key: str) -> None:
        """Mark a message as redelivered, and push it to ``pushes`` for each of its queues."""

    def bury(self, tag: str | bytes, reason: DeadReason, problem: str) -> None:
        """Move an unacknowledged message to the dead letters."""

    def deliver(self, payload: dict[str, Any], queue: str) -> None:
        """Hand a message to the consumer of its queue."""

    def move_to_dead_letters(self, queue: str, tag: str | bytes, raw: bytes, reason: str) -> None:
        """Move a message that is malformed to the dead letters, and remove its record if it has one."""

    def reauthenticate(self) -> None:
        """Send a renewed credential, where one is waiting and nothing is in flight."""
