"""Celery's Redis result backends, with the model that answered in the result's metadata."""

from __future__ import annotations

from typing import Any

from celery.backends.redis import RedisBackend as CeleryRedisBackend

__all__ = ["RESULT_BACKENDS", "RedisBackend"]


class RedisBackend(CeleryRedisBackend):
    """Stores ``{"model": {"name", "revision"}}`` beside ``status`` and ``result``; clients that know it not skip it."""

    def _get_result_meta(self, result: Any, state: str, traceback: Any, request: Any, **options: Any) -> dict[str, Any]:
        meta: dict[str, Any] = super()._get_result_meta(result, state, traceback, request, **options)
        model = getattr(request, "celeriac_model", None)
        if model is not None:
            meta["model"] = model
        return meta


#: For the loader's ``override_backends``, by URL scheme.
RESULT_BACKENDS = dict.fromkeys(("redis", "rediss"), f"{__name__}:RedisBackend")
