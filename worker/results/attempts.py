"""Attempts at requests that were delivered or begun more than once, counted beside the results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import redis
from celery.states import FAILURE, SUCCESS
from redis.commands.core import Script

__all__ = ["MIN_KEPT_S", "Attempts", "RecordedClaim"]

_CLAIM = Path(__file__).with_name("claim.lua").read_text(encoding="utf-8")
#: How long a record is kept at least after the last attempt, in seconds: a worker may be stopped for long and go on.
MIN_KEPT_S = 24 * 3600
_STORED = {b"S": SUCCESS, b"F": FAILURE}


@dataclass(frozen=True)
class RecordedClaim:
    """What a claim has found.

    Attributes:
        stored: the state of the result that is stored; None if there is none that is final.
        may_begin: whether another attempt was put on record; not if a result is, or too many attempts are.
        attempt: its number.
        history: when and where those before it were claimed, as far as they are known: seconds since the epoch on the
            server's clock, and the worker.
    """

    stored: str | None
    may_begin: bool
    attempt: int
    history: tuple[tuple[float, str], ...] = ()


class Attempts:
    """Records of attempts in Redis, by the delivery tags of messages.

    Not by task ids: a retry has the id of the request that it repeats, and is another message.

    Args:
        client: the server of the results.
        prefix: the global prefix of the backend's keys.
        kept_s: how long a record is kept after its last attempt, in seconds.
    """

    def __init__(self, client: redis.Redis, prefix: str, kept_s: int) -> None:
        self._client, self._prefix, self._kept_s = client, prefix, kept_s

    def key_of(self, tag: str) -> str:
        """The key of a message's record."""
        return f"{self._prefix}celeriac.attempts.{tag}"

    def claim(
        self, requests: Sequence[tuple[Any, str]], worker: str, at_most: int, gives_up_at: int
    ) -> Sequence[RecordedClaim]:
        """Claim requests, each given as the key of its result and its delivery tag.

        Args:
            requests: the requests.
            worker: who claims them.
            at_most: how many attempts may be on record for another to begin.
            gives_up_at: with how many a request has its end; the last of them can then store nothing.

        Raises:
            redis.exceptions.RedisError: the server does not answer; nothing or a part is claimed.
        """
        keys = [key for result, tag in requests for key in (result, self.key_of(tag))]
        found: Any = self._claim(keys=keys, args=[worker, self._kept_s, at_most, gives_up_at])
        return [_claim_of(reply) for reply in found]

    def count(self, tags: Sequence[str]) -> list[int]:
        """How many attempts at each of these messages are known: 1 at one that was never claimed.

        Raises:
            redis.exceptions.RedisError: the server does not answer.
        """
        with self._client.pipeline(transaction=False) as pipe:
            for tag in tags:
                pipe.llen(self.key_of(tag))
            return [1 + int(length) for length in pipe.execute()]

    @cached_property
    def _claim(self) -> Script:
        script: Script = self._client.register_script(_CLAIM)
        return script


def _claim_of(reply: tuple[bytes, int, list[bytes]]) -> RecordedClaim:
    stored, may_begin, attempts = reply
    entries = (entry.decode(errors="replace").partition(" ") for entry in attempts)
    history = tuple((float(at_s), worker) for at_s, _, worker in entries)
    # The first attempt is not recorded, and this one comes after those that are.
    return RecordedClaim(_STORED.get(stored), bool(may_begin), len(history) + 2, history)
