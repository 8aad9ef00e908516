"""Celery's Redis result backend, which adds the model to a result and stores the results of a batch together."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

from celery.backends.redis import RedisBackend as CeleryRedisBackend
from celery.backends.redis import SentinelBackend as CelerySentinelBackend
from celery.exceptions import BackendStoreError
from celery.states import FAILURE, STARTED, SUCCESS
from redis.commands.core import Script

from worker.results.answer_facts import facts_of

__all__ = ["RESULT_BACKENDS", "RedisBackend", "SentinelBackend"]


_STORE = Path(__file__).with_name("store_results.lua").read_text(encoding="utf-8")
_GATHERED_STATES = frozenset({STARTED, SUCCESS, FAILURE})
#: How long a server that is gone is tried for, in seconds. Then the requests go back, long before a time limit.
_STORING_S = 15.0
_PROBE_LASTS_S = 10


@dataclass
class _Gathered:
    """The results of a batch that are stored at its end.

    Attributes:
        keys: the keys whose values are held back until then.
        writes: the last value of each key, with its time to live in seconds.
    """

    keys: set[Any]
    writes: dict[Any, tuple[Any, int | None]] = field(default_factory=dict)


class RedisBackend(CeleryRedisBackend):
    """Adds ``{"model": {"name", "revision", "arithmetic"}}`` to what is stored; stock clients ignore it."""

    _gathered: _Gathered | None = None

    @contextlib.contextmanager
    def gather(self, task_ids: Sequence[str]) -> Iterator[None]:
        """Hold back the results that are stored inside, and store them together at the end, atomically.

        A result that is already a success is not overwritten.

        Args:
            task_ids: ids of the requests whose results are held back.

        Raises:
            redis.exceptions.RedisError: nothing could be stored, after the backend's retries, which end after 15 s.
        """
        self._gathered = _Gathered(set(map(self.get_key_for_task, task_ids)))
        try:
            yield
        finally:
            # Stored even if the process is about to exit: linked tasks have already been sent.
            writes, self._gathered = self._gathered.writes, None
            if writes:
                self.ensure(self._write, (writes,), timeout=_STORING_S)

    def get(self, key: Any) -> Any:
        """The value of a key, including one that is held back."""
        gathered = self._gathered
        if gathered is not None and key in gathered.keys:
            return gathered.writes.get(key, (None,))[0]
        return super().get(key)

    def set(self, key: Any, value: Any, expires: int | None = None, **retry_policy: Any) -> Any:
        """Store a value and publish it, or hold it back inside :meth:`gather`.

        Raises:
            BackendStoreError: the value is larger than Redis allows.
        """
        gathered = self._gathered
        if gathered is None or key not in gathered.keys:
            return super().set(key, value, expires=expires, **retry_policy)
        if len(value) > self._MAX_STR_VALUE_SIZE:
            raise BackendStoreError("value too large for Redis backend")
        gathered.writes[key] = value, expires
        return None

    def store_result(
        self, task_id: str, result: Any, state: str, traceback: Any = None, request: Any = None, **options: Any
    ) -> Any:
        """Store a result, immediately if another process may read or replace it before the batch ends.

        This applies to members of a chord, failures with errbacks, and requests that are retried.
        """
        gathered = self._gathered
        is_awaited = request is not None and bool(request.chord or request.errbacks)
        if gathered is not None and (is_awaited or state not in _GATHERED_STATES):
            key = self.get_key_for_task(task_id)
            gathered.keys.discard(key)
            gathered.writes.pop(key, None)
        return super().store_result(task_id, result, state, traceback=traceback, request=request, **options)

    def check_storing(self) -> None:
        """Store a value that soon expires, in the way in which results are stored.

        Raises:
            redis.exceptions.RedisError: results cannot be stored.
        """
        self._write({self.get_key_for_task(f"probe-{uuid4()}"): ("{}", _PROBE_LASTS_S)})

    def _write(self, writes: Mapping[Any, tuple[Any, int | None]]) -> None:
        arguments: list[Any] = []
        for value, expires in writes.values():
            arguments += value, (self.expires if expires is None else expires) or 0
        self._store(keys=list(writes), args=arguments)

    @cached_property
    def _store(self) -> Script:
        script: Script = self.client.register_script(_STORE)
        return script

    def _get_result_meta(self, result: Any, state: str, traceback: Any, request: Any, **options: Any) -> dict[str, Any]:
        meta: dict[str, Any] = super()._get_result_meta(result, state, traceback, request, **options)
        facts = facts_of(request)
        if facts is not None:
            meta["model"] = {"name": facts.model, "revision": facts.revision, "arithmetic": facts.arithmetic}
        return meta


class SentinelBackend(RedisBackend, CelerySentinelBackend):
    """The same where Sentinels know which server is the master."""


#: For the loader's ``override_backends``, by URL scheme.
RESULT_BACKENDS = {
    **dict.fromkeys(("redis", "rediss"), f"{__name__}:{RedisBackend.__name__}"),
    "sentinel": f"{__name__}:{SentinelBackend.__name__}",
}
