"""The keys beside the results by which producers and workers agree on requests that are sent again or cancelled.

All of them are in the server of the results. A *mark* says what has become of a request that its sender gave an id: one
character for its state, and the name of a sending (:data:`producer.contract.headers.ONCE_HEADER`).
"""

from __future__ import annotations

from enum import StrEnum

__all__ = ["CANCELLED_KEPT_S", "CANCELLED_KEY", "MARK_KEPT_S", "MarkState", "mark_key"]

#: A sorted set: the ids of cancelled requests, by the server's time of their cancellation in seconds.
CANCELLED_KEY = "celeriac.cancelled"
#: How long a cancellation is remembered, in seconds. Celery remembers its revocations for as long.
CANCELLED_KEPT_S = 3 * 3600
#: How long a mark is kept at most until a worker takes the request, in seconds. Then the same id is enqueued again, and
#: still computed once, since workers take only one of the messages.
MARK_KEPT_S = 600


class MarkState(StrEnum):
    """The first character of a mark; the name of a sending follows."""

    #: The message is about to be sent, or its sender has died before it was.
    SENDING = "?"
    #: The broker has the message.
    SENT = "+"
    #: A worker has begun to compute this message.
    TAKEN = "="


def mark_key(request_id: str) -> str:
    """The key of a request's mark."""
    return f"celeriac.request.{request_id}"
