"""Acknowledgements that go with the next call of the fetch script, those of one turn of the event loop together."""

from __future__ import annotations

from typing import Any

from kombu.transport import redis as stock
from kombu.transport import virtual

__all__ = ["QoS"]


class QoS(stock.QoS):
    """kombu's accounts of what is delivered and not acknowledged, without a round trip for each entry.

    A wrapper of ``can_consume`` that bounds more than a number of messages may set ``room_bytes``, a function without
    arguments that says for how many bytes of decoded bodies there is room. Without it a wrapped channel fetches one
    message at a time, and asks before each.
    """

    room_bytes: Any = None

    def append(self, message: Any, delivery_tag: str) -> None:
        """Take in a delivered message; the fetch script has recorded it, unless it came another way."""
        if delivery_tag == self.channel.fetcher.delivering:
            virtual.QoS.append(self, message, delivery_tag)
        else:
            super().append(message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        """Remove the record with the next call, and give the credit back at once."""
        if self.channel.fetcher.acknowledge(delivery_tag):
            virtual.QoS.ack(self, delivery_tag)
        else:
            super().ack(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Put a message back on its queue, or drop it, which is an acknowledgement."""
        if requeue:
            super().reject(delivery_tag, requeue=True)
        else:
            self.ack(delivery_tag)

    def restore_unacked(self, client: Any = None) -> None:
        """Put everything that is held back in the order in which it came, where kombu turns the order round."""
        with self.channel.conn_or_acquire(client) as used:
            for tag in reversed(tuple(self._delivered)):
                self.restore_by_tag(tag, client=used)
        self._delivered.clear()

    def restore_by_tag(self, tag: str | bytes, client: Any = None, leftmost: bool = False) -> None:
        """Put an unacknowledged message back; one that Python cannot decode is set aside.

        Such a one can only have been recorded by a fetch whose reply was lost. It would end every sweep before those
        that come after it.
        """
        try:
            super().restore_by_tag(tag, client=client, leftmost=leftmost)
        except (ValueError, TypeError, LookupError, RecursionError) as error:
            self.channel.set_aside_by_tag(tag, type(error).__name__)
