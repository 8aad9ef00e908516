"""What Celery passes to the pool, as plain objects."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from kombu.message import Message

from worker.pool.celery_adapter import Payload, TracerArguments, TracerReturn


class FakeRequest:
    """Celery's request; weakly referable, as Celery's is."""

    def __init__(
        self, *, acknowledged: bool = False, revoked: Callable[[], bool] = lambda: False, task: object = None
    ) -> None:
        self.id = "id"
        self.message: Any = None
        self.time_limits: Sequence[float | None] = (None, None)
        self.acknowledged = acknowledged
        self.time_start: float | None = 1.0
        self.worker_pid: int | None = 7
        self.args: Sequence[Any] = ()
        self.kwargs: Mapping[str, Any] = {}
        self.expires: datetime | None = None
        self.delivery_info: Mapping[str, Any] = {}
        self.task = task
        self.message = Message(delivery_tag="tag")
        self._already_cancelled = False
        self._payload: Payload = ((), {}, None)
        self._revoked = revoked

    def revoked(self) -> bool:
        return self._revoked()


def no_tracer(*_: object) -> TracerReturn:
    """Stands for Celery's tracer where nothing is traced."""
    raise NotImplementedError


def tracer_arguments(name: object) -> TracerArguments:
    """The tracer's arguments for a request whose id is ``name``."""
    return ("task", cast("str", name), {}, b"", None, None)
