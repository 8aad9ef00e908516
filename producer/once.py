"""Requests to which callers give ids are enqueued once, also if several send the same id at the same time. No I/O.

A *mark* in the server of the results says what has become of such a request (:mod:`producer.contract.keys`). If
that server is the broker too, one script looks at the mark and enqueues. Otherwise the mark first says that a message
is about to be sent, and afterwards that it was. In between a second sender sends too, since the first one may have
died; workers compute only one of the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from producer.connections import Command
from producer.contract.keys import CANCELLED_KEPT_S, CANCELLED_KEY, MARK_KEPT_S, MarkState, mark_key
from producer.outcomes import KEY_PREFIX

__all__ = ["Publication", "cancel_command", "publication_of"]

# KEYS: the mark; the result; the cancelled requests; and, if the broker is this server, the queue.
# ARGV: the id; the name of this sending; how long the mark is kept, in milliseconds; whether the message is sent in any
# case; the message. Returns whether it is sent, or is to be sent. Celery writes JSON with the status first.
_MARK = f"""
local head = redis.pcall('GETRANGE', KEYS[2], 0, 19)
if head == '{{"status": "SUCCESS"' or head == '{{"status": "FAILURE"' then return 0 end
local mark = redis.call('GET', KEYS[1]) or ''
local state = string.sub(mark, 1, 1)
local was_cancelled = redis.call('ZSCORE', KEYS[3], ARGV[1])
local is_new = state ~= '{MarkState.SENT}' and state ~= '{MarkState.TAKEN}'
if head == '{{"status": "REVOKED"' then
  is_new = true
elseif was_cancelled and state ~= '{MarkState.TAKEN}' then
  is_new = true
end
local is_sent = is_new or (ARGV[4] == '1' and state ~= '{MarkState.TAKEN}')
-- First the message: a script does not roll back, and a mark without a message would keep others from sending it.
if is_sent and KEYS[4] then redis.call('LPUSH', KEYS[4], ARGV[5]) end
redis.call('ZREM', KEYS[3], ARGV[1])
if head == '{{"status": "REVOKED"' then redis.call('DEL', KEYS[2]) end
if is_sent then
  redis.call('SET', KEYS[1], (KEYS[4] and '{MarkState.SENT}' or '{MarkState.SENDING}') .. ARGV[2], 'PX', ARGV[3])
else
  -- A write, so that WAITAOF covers the message that was sent before.
  redis.call('SET', KEYS[1], mark, 'KEEPTTL')
  return tonumber(ARGV[4])
end
return 1
"""
# KEYS: the mark. ARGV: the name of this sending.
_CONFIRM = f"""
if redis.call('GET', KEYS[1]) == '{MarkState.SENDING}' .. ARGV[1] then
  redis.call('SET', KEYS[1], '{MarkState.SENT}' .. ARGV[1], 'KEEPTTL')
end
"""
# KEYS: the cancelled requests. ARGV: the id; how long it is kept, in seconds.
_CANCEL = """
local now = redis.call('TIME')[1]
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[2])
"""


@dataclass(frozen=True)
class Publication:
    """The commands that enqueue a request, in their order.

    Attributes:
        mark: for the result backend; :meth:`is_wanted` reads its reply. None if nothing is to be asked first.
        publish: for the broker.
        confirm: for the result backend, once the broker has the message. It may be lost.
    """

    publish: Command
    mark: Command | None = None
    confirm: Command | None = None

    @staticmethod
    def is_wanted(reply: Any) -> bool:
        """Whether the message is to be sent: it is not, if another one is on its way or the result is stored."""
        return bool(reply)


def publication_of(
    request_id: str,
    queue: str,
    message: bytes,
    *,
    sending: str,
    expires_s: float | None,
    durable: bool,
    has_one_server: bool,
) -> Publication:
    """The commands that enqueue a request with a caller's own id.

    Args:
        request_id: the id.
        queue: the list that the message is pushed to.
        message: with :data:`producer.contract.ONCE_HEADER`.
        sending: the name of this sending, in that header.
        expires_s: seconds from now after which no worker starts the request: then the id may be sent again.
        durable: whether the caller waits until it is on the broker's disk.
        has_one_server: whether the broker is the result backend too.
    """
    kept_s = MARK_KEPT_S if expires_s is None else min(MARK_KEPT_S, expires_s)
    keys = (mark_key(request_id), KEY_PREFIX + request_id, CANCELLED_KEY)
    arguments = (request_id, sending, max(1, int(kept_s * 1000)))
    if has_one_server:
        return Publication(("EVAL", _MARK, 4, *keys, queue, *arguments, 0, message))
    return Publication(
        ("LPUSH", queue, message),
        # What another client has sent is perhaps not on the disk.
        ("EVAL", _MARK, 3, *keys, *arguments, int(durable)),
        ("EVAL", _CONFIRM, 1, keys[0], sending),
    )


def cancel_command(request_id: str) -> Command:
    """The command for the result backend that makes workers drop a request until it is sent again."""
    return ("EVAL", _CANCEL, 1, CANCELLED_KEY, request_id, CANCELLED_KEPT_S)
