"""Celery's request and kombu's event loop, as far as the pool uses them. Neither has types of its own."""

# ruff: noqa: SLF001

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from celery import Celery, Task, current_app
from celery.concurrency.prefork import _run_ready_callbacks
from kombu.message import Message

from worker.pool.billiard_adapter import JobOptions

__all__ = [
    "CeleryRequest",
    "Hub",
    "Payload",
    "Timer",
    "Tracer",
    "TracerArguments",
    "TracerReturn",
    "is_cancelled",
    "is_member_of_chord",
    "is_redelivered",
    "payload_of",
    "process_app",
    "request_of",
    "run_ready_acks",
]

#: A decoded message body: arguments, keyword arguments, and Celery's own part.
Payload = tuple[Sequence[Any], Mapping[str, Any], Mapping[str, Any] | None]
#: What Celery's tracer is called with: task name, id, headers, body, content type, content encoding.
TracerArguments = tuple[str, str, dict[str, Any], object, str | None, str | None]
#: What Celery's tracer returns: 1 if the task failed, its result or an ``ExceptionInfo``, and its runtime in seconds.
TracerReturn = tuple[int, Any, float]
#: Celery's tracer, which runs a task and stores its result.
Tracer = Callable[..., TracerReturn]


class CeleryRequest(Protocol):
    """Celery's request, in the parent process."""

    acknowledged: bool
    #: Hard and soft limit of the message, in seconds.
    time_limits: Sequence[float | None]
    time_start: float | None
    worker_pid: int | None
    _already_cancelled: bool
    _payload: Payload

    @property
    def args(self) -> Sequence[Any]:
        """Positional arguments."""

    @property
    def kwargs(self) -> Mapping[str, Any]:
        """Keyword arguments."""

    @property
    def expires(self) -> datetime | None:
        """When it is too late to begin."""

    @property
    def delivery_info(self) -> Mapping[str, Any]:
        """How it was delivered; ``routing_key`` is its queue."""

    @property
    def message(self) -> Message:
        """Its message."""

    @property
    def task(self) -> Task:
        """Its task."""

    def revoked(self) -> bool:
        """Whether it is revoked or expired; announces it if so."""


class Timer(Protocol):
    """An entry of the event loop's timer."""

    def cancel(self) -> object:
        """Do not call it any more."""


class Hub(Protocol):
    """Kombu's event loop."""

    def add_reader(self, fd: int, callback: Callable[..., object], *args: object) -> None:
        """Call ``callback`` when ``fd`` becomes readable."""

    def remove_reader(self, fd: int) -> None:
        """Stop watching ``fd``."""

    def call_repeatedly(self, delay: float, callback: Callable[..., object], *args: object) -> Timer:
        """Call ``callback`` every ``delay`` seconds."""

    def call_later(self, delay: float, callback: Callable[..., object], *args: object) -> object:
        """Call ``callback`` after ``delay`` seconds."""


def request_of(options: JobOptions) -> CeleryRequest | None:
    """The request to which the callbacks belong; None if it is not Celery's consumer that uses the pool."""
    request: CeleryRequest | None = getattr(options.get("accept_callback"), "__self__", None)
    return request


def is_cancelled(request: CeleryRequest) -> bool:
    """Whether the request was given back to the broker because its connection was lost."""
    return request._already_cancelled


def is_member_of_chord(payload: Payload) -> bool:
    """Whether a chord waits for the result of a request with this body."""
    return bool((payload[2] or {}).get("chord"))


def is_redelivered(request: CeleryRequest) -> bool:
    """Whether its message was delivered before, here or to another worker."""
    return bool(request.delivery_info.get("redelivered"))


def payload_of(request: CeleryRequest) -> Payload:
    """The decoded body of the request's message."""
    return request._payload


def run_ready_acks(hub: Hub) -> None:
    """Send the acknowledgements and rejections that wait for the next turn of an event loop that turns no more."""
    _run_ready_callbacks(hub)


def process_app() -> Celery:
    """The app of this process, without Celery's proxy around it."""
    return current_app._get_current_object()
