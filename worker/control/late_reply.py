"""Replies that a control command gives when what it has started is done.

Celery calls a command on the event loop and sends what it returns. A command that returns a :class:`LateReply` is
answered later, and the loop goes on meanwhile.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from celery.app.control import Control
from kombu import pidbox
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

__all__ = ["LateReply", "LateReplyControl"]

logger = logging.getLogger(__name__)


class LateReply:
    """A reply that is not known yet. It is sent once, when both the reply and its addressee are known."""

    def __init__(self) -> None:
        self._value: object = None
        self._is_given = False
        self._send: Callable[[object], None] | None = None

    def give(self, value: object) -> None:
        """Reply; without an addressee, nothing is sent."""
        self._value, self._is_given = value, True
        self._send_if_known()

    def send_with(self, send: Callable[[object], None]) -> None:
        """Set how the reply is sent."""
        self._send = send
        self._send_if_known()

    def _send_if_known(self) -> None:
        if self._is_given and self._send is not None:
            send, self._send = self._send, None
            send(self._value)


class _Node(pidbox.Node):
    """A worker's end of the remote control."""

    def reply(self, data: dict[str, Any], exchange: str, routing_key: str, ticket: str, **options: Any) -> None:
        """Send a reply now, or have it sent later."""
        value = data.get(self.hostname)
        if not isinstance(value, LateReply):
            super().reply(data, exchange, routing_key, ticket, **options)
            return

        def send(late: object) -> None:
            try:
                super(_Node, self).reply({self.hostname: late}, exchange, routing_key, ticket, **options)
            except (KombuError, RedisError, OSError):
                logger.warning("a reply to a control command could not be sent", exc_info=True)

        value.send_with(send)


class _Mailbox(pidbox.Mailbox):
    node_cls = _Node


class LateReplyControl(Control):
    """Celery's remote control, whose workers may reply later."""

    Mailbox = _Mailbox
