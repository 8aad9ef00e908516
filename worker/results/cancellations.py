"""The requests that their senders have cancelled, as far as this worker has heard of them.

The server of the results has them all, and says whether one is cancelled still: the same id may have been sent again.
It is asked only about ids that this worker has heard of, so other requests cost nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

import redis
from celery.utils.collections import LimitedSet

from producer.contract.keys import CANCELLED_KEPT_S, CANCELLED_KEY

__all__ = ["Cancellations"]

#: How many are remembered; as many as Celery remembers of its revocations.
_MAX_HEARD = 50_000
#: How far one reading reaches back into the time of the one before: the server's clock counts whole seconds here.
_OVERLAP_S = 2


class Cancellations:
    """Ids that were heard of, by remote control or by reading. Belongs to the worker's parent; threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._heard = LimitedSet(maxlen=_MAX_HEARD, expires=CANCELLED_KEPT_S)
        self._read_until_s = 0

    def hear(self, request_ids: Iterable[str]) -> None:
        """Take in that requests are cancelled."""
        with self._lock:
            for request_id in request_ids:
                self._heard.add(request_id)

    def read(self, client: redis.Redis, prefix: str) -> None:
        """Read what was cancelled since the last reading.

        Args:
            client: the server of the results.
            prefix: the global prefix of the backend's keys.

        Raises:
            redis.exceptions.RedisError: the server does not answer.
        """
        pipe = client.pipeline(transaction=False)
        pipe.time()
        pipe.zrangebyscore(prefix + CANCELLED_KEY, self._read_until_s - _OVERLAP_S, "+inf")
        (now_s, _), found = pipe.execute()
        self.hear(member.decode() for member in found)
        self._read_until_s = now_s

    def holds(self, request_id: str, client: redis.Redis, prefix: str) -> bool:
        """Whether a request is cancelled. Only for one that was heard of, the server is asked.

        Raises:
            redis.exceptions.RedisError: the server does not answer.
        """
        with self._lock:
            if request_id not in self._heard:
                return False
        score: Any = client.zscore(prefix + CANCELLED_KEY, request_id)
        if score is None:
            with self._lock:
                self._heard.discard(request_id)
        return score is not None
