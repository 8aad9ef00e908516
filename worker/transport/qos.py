"""Prefetch and acknowledgements of a channel; acknowledgements go to the server with the next fetch."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from typing import Any

from kombu.transport import redis as stock
from kombu.transport import virtual

from worker.transport.admission import NO_CREDIT, UNLIMITED, Credit, has_foreign_gate
from worker.transport.dead_letters import DeadReason
from worker.transport.held import snapshot

__all__ = ["QoS"]

logger = logging.getLogger(__name__)


class QoS(stock.QoS):
    """kombu's book-keeping of unacknowledged messages, without a round trip for each message."""

    def can_consume(self) -> bool:
        """Whether anything may be fetched now, by the prefetch count and the channel's admission."""
        return bool(self._own_credit())

    def credit(self) -> Credit:
        """How much may be fetched now, by the prefetch count, the channel's admission and a foreign gate."""
        if has_foreign_gate(self):
            return self._own_credit().at_most(1) if self.can_consume() else NO_CREDIT
        return self._own_credit()

    def _own_credit(self) -> Credit:
        prefetch = self.can_consume_max_estimate()
        if prefetch == 0:
            return NO_CREDIT
        admitted: Credit = self.channel.admission.credit()
        return admitted.at_most(UNLIMITED if prefetch is None else prefetch)

    @property
    def held_count(self) -> int:
        """How many messages are delivered and not acknowledged."""
        return len(self._delivered) - len(self._dirty)

    def held_tags(self) -> list[str]:
        """The delivery tags of those messages, oldest first."""
        return [tag for tag in self._delivered if tag not in self._dirty]

    def delivered_tags(self) -> list[str]:
        """The delivery tags of those messages and of some that are acknowledged; for any thread."""
        return snapshot(self._delivered)

    def hold(self, tags: Iterable[str]) -> None:
        """Count messages that no consumer has seen as delivered: kombu puts these back when the channel closes."""
        self._delivered.update(dict.fromkeys(tags))

    def forget(self, tag: str | bytes) -> None:
        """Free the credit of a message whose record is gone already."""
        if tag in self._delivered:
            virtual.QoS.ack(self, tag)

    def append(self, message: Any, delivery_tag: str) -> None:
        """Hold a delivered message, and record it unless the fetch script has done so."""
        if delivery_tag == self.channel.fetcher.delivering:
            virtual.QoS.append(self, message, delivery_tag)
        else:
            super().append(message, delivery_tag)
            self.channel.fetcher.lease.hold(delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        """Free the message's credit at once; its record is removed with the next call."""
        if not self.channel.fetcher.defer_ack(delivery_tag):
            self.channel.fetcher.ack_now([delivery_tag])
        virtual.QoS.ack(self, delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Put a message back on its queue, or drop it, which is the same as an acknowledgement.

        Where the server is gone or refuses to take it, the next channel puts it back.
        """
        if not requeue:
            self.ack(delivery_tag)
            return
        channel = self.channel
        try:
            if not channel.is_closed:
                channel.fetcher.lease.put_back([delivery_tag], is_last=True)
                virtual.QoS.ack(self, delivery_tag)
                return
        except (*channel.connection_errors, channel.ResponseError) as error:
            logger.warning("a message could not be put back, and is later: %s", error)
        if channel.fetcher.lease.is_good:
            channel.unsettled.held.append(delivery_tag)
        virtual.QoS.ack(self, delivery_tag)

    def forget_all(self) -> None:
        """Hold nothing any more: the next channel puts it back, or others have it."""
        self._delivered.clear()
        self._dirty.clear()

    def give_back(self, kept: Collection[str]) -> int:
        """Put all held messages back except those that are kept, in the order in which they came.

        Returns:
            How many were put back.
        """
        tags = [tag for tag in self.held_tags() if tag not in kept]
        # The message that is put back last is taken first.
        self.channel.fetcher.lease.put_back(tags[::-1])
        for tag in tags:
            del self._delivered[tag]
        return len(tags)

    def restore_unacked(self, client: Any = None) -> None:  # noqa: ARG002 - kombu passes it
        """Put all held messages back in the order in which they came; kombu reverses it."""
        self.channel.fetcher.lease.put_back(list(reversed(self._delivered)))
        self._delivered.clear()

    def restore_by_tag(self, tag: str | bytes, client: Any = None, leftmost: bool = False) -> None:
        """Put a message back that a stock consumer held, or move it to the dead letters if Python cannot decode it.

        kombu's sweep calls this once the visibility timeout has passed. Such a message would end every sweep before the
        messages after it are reached.
        """
        try:
            super().restore_by_tag(tag, client=client, leftmost=leftmost)
        except (ValueError, TypeError, LookupError, RecursionError) as error:
            self.channel.bury(tag, DeadReason.MALFORMED, f"it cannot be decoded ({type(error).__name__})")
