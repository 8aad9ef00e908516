"""Which refused messages are kept as dead letters, and what is written about them.

A message that nobody can read, or whose task nobody runs, often comes from a wrong deployment: people look at it, mend
that and replay it. An invalid request of a known task is only refused, since its sender learns which field is wrong,
and the same request would be refused again.
"""

from __future__ import annotations

from kombu.message import Message

from producer.contract import ErrorCode, RequestError
from worker.intake.message_checks import is_decodable
from worker.transport.channel import Channel
from worker.transport.dead_letters import DeadReason

__all__ = ["bury", "reason_to_keep"]


def reason_to_keep(message: Message, error: RequestError) -> DeadReason | None:
    """Why a refused message is kept; None if it is not.

    Args:
        message: the message.
        error: what its sender is told.
    """
    code, field = error.details["code"], error.details["field"]
    if code == ErrorCode.UNKNOWN_TASK:
        return DeadReason.UNKNOWN_TASK
    if code != ErrorCode.UNREADABLE_MESSAGE:
        return None
    if field == "content-type":
        return DeadReason.WRONG_CONTENT_TYPE
    if field == "body" and not is_decodable(message):
        return DeadReason.UNDECODABLE
    return DeadReason.MALFORMED


def bury(message: Message, reason: DeadReason, error: RequestError) -> None:
    """Keep a refused message as a dead letter. This acknowledges it.

    Raises:
        redis.exceptions.RedisError: the broker does not answer or refuses; the message is as it was.
        TypeError: its channel is not of our transport.
    """
    channel = message.channel
    if not isinstance(channel, Channel):
        raise TypeError(f"a {type(channel).__name__} has no dead letters")
    known_as = f"{type(error).__name__} ({error.details['code']})"
    channel.bury(message.delivery_tag, reason, _problem(reason, error.details["field"]), error=known_as)
    message._state = "ACK"  # noqa: SLF001 - what `message.ack` sets: the record is gone already


def _problem(reason: DeadReason, field: str | None) -> str:
    """The error without what it quotes of the message. The names of fields are those of Celery's protocol."""
    match reason:
        case DeadReason.UNKNOWN_TASK:
            return "no worker runs this task"
        case DeadReason.WRONG_CONTENT_TYPE:
            return "the content type is not application/json"
        case DeadReason.UNDECODABLE:
            return "the body cannot be decoded"
        case _:
            return f"not a task message that Celery can use ({field})"
