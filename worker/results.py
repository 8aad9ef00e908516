"""Celery's Redis result backends: the model that answered in the metadata, and a batch's results stored together."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from celery.backends.redis import RedisBackend as CeleryRedisBackend
from celery.exceptions import BackendStoreError

__all__ = ["RESULT_BACKENDS", "RedisBackend"]


@dataclass
class _Gathered:
    """What a batch stores.

    Attributes:
        known: what the keys hold by now, so that a success is not overwritten.
        writes: key, value and time to live in seconds of each, in order.
    """

    known: dict[Any, Any]
    writes: list[tuple[Any, Any, int | None]] = field(default_factory=list)


class RedisBackend(CeleryRedisBackend):
    """Stores ``{"model": {"name", "revision"}}`` beside ``status`` and ``result``; clients that know it not skip it."""

    _gathered: _Gathered | None = None

    @contextlib.contextmanager
    def gather(self, task_ids: Sequence[str]) -> Iterator[None]:
        """Store everything that is stored inside at its end, in one round trip; one more reads what is there already.

        Args:
            task_ids: whose results will be stored.

        Raises:
            redis.exceptions.RedisError: none of it could be stored, after the backend's retries.
        """
        keys = [self.get_key_for_task(task_id) for task_id in task_ids]
        self._gathered = _Gathered(dict(zip(keys, self.ensure(self.client.mget, (keys,)), strict=True)))
        try:
            yield
            writes = self._gathered.writes
        finally:
            self._gathered = None
        if writes:
            self.ensure(self._write, (writes,))

    def get(self, key: Any) -> Any:
        """What a key holds."""
        gathered = self._gathered
        if gathered is not None and key in gathered.known:
            return gathered.known[key]
        return super().get(key)

    def set(self, key: Any, value: Any, expires: int | None = None, **retry_policy: Any) -> Any:
        """Store a value, and tell who waits for it.

        Raises:
            BackendStoreError: it is larger than Redis allows.
        """
        gathered = self._gathered
        if gathered is None or key not in gathered.known:
            return super().set(key, value, expires=expires, **retry_policy)
        if len(value) > self._MAX_STR_VALUE_SIZE:
            raise BackendStoreError("value too large for Redis backend")
        gathered.known[key] = value
        gathered.writes.append((key, value, expires))
        return None

    def store_result(
        self, task_id: str, result: Any, state: str, traceback: Any = None, request: Any = None, **options: Any
    ) -> Any:
        """Store a result; that of a chord's part at once, since the chord's callback may read it."""
        gathered = self._gathered
        if gathered is not None and request is not None and request.chord:
            gathered.known.pop(self.get_key_for_task(task_id), None)
        return super().store_result(task_id, result, state, traceback=traceback, request=request, **options)

    def _write(self, writes: Sequence[tuple[Any, Any, int | None]]) -> None:
        with self.client.pipeline(transaction=False) as pipe:
            for key, value, expires in writes:
                lasts_s = self.expires if expires is None else expires
                if lasts_s:
                    pipe.setex(key, lasts_s, value)
                else:
                    pipe.set(key, value)
                pipe.publish(key, value)
            pipe.execute()

    def _get_result_meta(self, result: Any, state: str, traceback: Any, request: Any, **options: Any) -> dict[str, Any]:
        meta: dict[str, Any] = super()._get_result_meta(result, state, traceback, request, **options)
        model = getattr(request, "celeriac_model", None)
        if model is not None:
            meta["model"] = model
        return meta


#: For the loader's ``override_backends``, by URL scheme.
RESULT_BACKENDS = dict.fromkeys(("redis", "rediss"), f"{__name__}:RedisBackend")
