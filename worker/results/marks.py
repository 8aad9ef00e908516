"""Marks of requests whose ids their senders chose: which of several messages with one id is computed."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import Any

import redis
from redis.commands.core import Script

from producer.contract.keys import MarkState, mark_key

__all__ = ["Marks", "Taken"]

_TAKE = Path(__file__).with_name("take.lua").read_text(encoding="utf-8")


class Taken(Enum):
    """What became of the wish to compute a message."""

    #: It is to be computed.
    TAKEN = ""
    #: Its result is stored.
    STORED = "S"
    #: Another message with its id is computed.
    DUPLICATE = "D"


class Marks:
    """The marks in the server of the results.

    Args:
        client: that server.
        prefix: the global prefix of the backend's keys.
        kept_s: how long a mark is kept after its message was taken, in seconds; no longer than a result.
    """

    def __init__(self, client: redis.Redis, prefix: str, kept_s: int) -> None:
        self._client, self._prefix, self._kept_s = client, prefix, kept_s

    def take(self, messages: Sequence[tuple[Any, str, str]]) -> list[Taken]:
        """Take messages, each given as the key of its result, its id and the name of its sending.

        Raises:
            redis.exceptions.RedisError: the server does not answer; none or a part is taken.
        """
        keys = [key for result, task_id, _ in messages for key in (result, self._key_of(task_id))]
        found: Any = self._take(keys=keys, args=[self._kept_s, *(sending for _, _, sending in messages)])
        return [Taken(reply.decode()) for reply in found]

    def is_replaced(self, task_id: str, sending: str) -> bool:
        """Whether another message has taken the place of this one. One that is about to be sent may never be.

        Raises:
            redis.exceptions.RedisError: the server does not answer.
        """
        mark: Any = self._client.get(self._key_of(task_id))
        return mark is not None and mark[:1] != MarkState.SENDING.encode() and mark[1:] != sending.encode()

    def _key_of(self, task_id: str) -> str:
        return self._prefix + mark_key(task_id)

    @cached_property
    def _take(self) -> Script:
        script: Script = self._client.register_script(_TAKE)
        return script
